use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::*;

fn chain(batch: Option<usize>) -> Graph {
    let mut graph = Graph::new();
    let shape = Shape::new(&[1, 25], batch).unwrap();
    let mut id = graph.add_input("x", TensorSpec::new(DType::F32, shape));
    for step in 0..5 {
        id = graph.add(&format!("relu {step}"), Unary::of(UnaryKind::Relu), &[id]).unwrap();
    }
    graph.add_output(id);
    graph
}

#[test]
fn a_chain_of_functions_is_written_over_its_input() {
    let fixed = plan(&chain(None)).unwrap();
    assert_eq!(fixed.extent, Extent { fixed: 112, per_row: 0 });
    let batched = plan(&chain(Some(0))).unwrap();
    assert_eq!(batched.extent, Extent { fixed: 0, per_row: 112 });
    assert_eq!(batched.extent, batched.lower_bound);
    assert!(batched.steps.iter().all(|step| step.in_place));
}

#[test]
fn tensors_alive_together_do_not_overlap() {
    let mut graph = Graph::new();
    let spec = |n| TensorSpec::new(DType::F32, Shape::new(&[1, n], Some(0)).unwrap());
    let a = graph.add_input("a", spec(7));
    let b = graph.add("b", Unary::of(UnaryKind::Relu), &[a]).unwrap();
    let c = graph.add("c", Unary::of(UnaryKind::Exp), &[a]).unwrap();
    graph.add_output(b);
    graph.add_output(c);
    graph.add_output(a);
    let plan = plan(&graph).unwrap();
    let mut starts: Vec<_> = plan.places.values().map(|place| place.per_row).collect();
    starts.sort();
    assert_eq!(starts, [0, 32, 64]);
}

fn floats(dims: &[usize]) -> TensorSpec {
    TensorSpec::new(DType::F32, Shape::fixed(dims).unwrap())
}

fn start(plan: &ArenaPlan, id: TensorId) -> u64 {
    let place = plan.places[&Occupant::Tensor(id)];
    place.offset + u64::from(place.per_row)
}

/// A step that cannot be done in place.
fn product(graph: &mut Graph, x: TensorId) -> TensorId {
    let columns = graph.shape(x).factor(1).unwrap();
    let w = graph.add_constant("w", DType::F32, &[columns, columns], &vec![0.5f32; columns * columns]).unwrap();
    graph.add("product", MatMul { transpose_b: false }, &[x, w]).unwrap()
}

fn slice(graph: &mut Graph, x: TensorId, starts: &[i32], lengths: &[i32]) -> TensorId {
    let table: Vec<i32> = [starts, &vec![1; starts.len()], lengths].concat();
    let table = graph.add_constant("table", DType::I32, &[3, starts.len()], &table).unwrap();
    graph.add("slice", Slice, &[x, table]).unwrap()
}

#[test]
fn reshapes_and_parts_without_gaps_are_views() {
    let mut graph = Graph::new();
    let x = graph.add_input("x", floats(&[8, 4]));
    let h = product(&mut graph, x);
    let flat = graph.add_declared("flat", Reshape, &[h], floats(&[1, 32, 1])).unwrap();
    let perm = Permutation::new(&[2, 1, 0]).unwrap();
    let moved = graph.add("moved", Transpose { perm }, &[flat]).unwrap();
    let rows = slice(&mut graph, h, &[2, 0], &[3, 4]);
    let columns = slice(&mut graph, h, &[0, 1], &[8, 2]);
    for output in [moved, rows, columns] {
        graph.add_output(output);
    }
    let plan = plan(&graph).unwrap();
    assert_eq!(plan.steps.len(), 2, "the product, and the columns");
    assert_eq!(start(&plan, moved), start(&plan, h));
    assert_eq!(start(&plan, rows), start(&plan, h) + 32);
    assert_eq!(plan.extent.fixed, 256 - 64 + 64, "x, whose place the columns take, and h");
}

#[test]
fn the_parts_of_a_join_are_made_in_its_place() {
    let mut graph = Graph::new();
    let x = graph.add_input("x", floats(&[4, 4]));
    let a = product(&mut graph, x);
    let b = product(&mut graph, a);
    let joined = graph.add("joined", Concat { axis: 0 }, &[b, a]).unwrap();
    let twice = graph.add("twice", Concat { axis: 0 }, &[a, a]).unwrap();
    graph.add_output(joined);
    graph.add_output(twice);
    let plan = plan(&graph).unwrap();
    assert_eq!(plan.steps.len(), 3, "two products and the join that needs a copy");
    assert_eq!((start(&plan, b), start(&plan, a)), (start(&plan, joined), start(&plan, joined) + 64));
}

#[test]
fn nothing_is_written_over_what_is_read_later_or_by_the_same_step() {
    let mut graph = Graph::new();
    let x = graph.add_input("x", floats(&[2, 8]));
    let a = product(&mut graph, x);
    let flat = graph.add_declared("flat", Reshape, &[a], floats(&[2, 8])).unwrap();
    let squares = graph.add("squares", Binary { kind: BinaryKind::Mul }, &[a, flat]).unwrap();
    let doubles = graph.add("doubles", Binary { kind: BinaryKind::Add }, &[squares, squares]).unwrap();
    let part = slice(&mut graph, doubles, &[0, 0], &[1, 8]);
    let tanh = graph.add("tanh", Unary::of(UnaryKind::Tanh), &[part]).unwrap();
    let sum = graph.add("sum", Binary { kind: BinaryKind::Add }, &[tanh, doubles]).unwrap();
    graph.add_output(sum);
    let plan = plan(&graph).unwrap();
    let in_place: Vec<_> = plan.steps.iter().map(|step| step.in_place).collect();
    assert_eq!(in_place, [false, false, false, false, true], "the last step reads doubles for the last time");
}

fn dense(graph: &mut Graph, x: TensorId, columns: usize) -> TensorId {
    let rows = graph.shape(x).factor(1).unwrap();
    let w = graph.add_constant("w", DType::F32, &[rows, columns], &vec![0.5f32; rows * columns]).unwrap();
    graph.add("dense", MatMul { transpose_b: false }, &[x, w]).unwrap()
}

#[test]
fn branches_run_one_after_the_other_whatever_order_they_stand_in() {
    // Few branches are ordered exactly, many by the cost of the next node.
    for branches in [3, 40] {
        let mut graph = Graph::new();
        let x = graph.add_input("x", floats(&[1, 4]));
        let wide: Vec<_> = (0..branches).map(|_| dense(&mut graph, x, 64)).collect();
        let narrow: Vec<_> = wide.iter().map(|&wide| dense(&mut graph, wide, 4)).collect();
        let sum =
            narrow.iter().copied().reduce(|a, b| graph.add("sum", Binary { kind: BinaryKind::Add }, &[a, b]).unwrap());
        graph.add_output(sum.unwrap());
        let plan = plan(&graph).unwrap();
        assert_eq!(
            plan.extent.fixed,
            16 + 256 + 16 + 16,
            "the input, the sum so far, one wide result and what becomes of it"
        );
        assert_eq!(plan.extent, plan.lower_bound);
    }
}

/// A few matrix products and sums, each of results before it.
fn random_products(seed: u64) -> Graph {
    let mut state = seed;
    let mut below = |bound: usize| (ekiben_runtime::artifact::golden::split_mix(&mut state) % bound as u64) as usize;
    let mut graph = Graph::new();
    let mut made = vec![graph.add_input("x", floats(&[1, 4]))];
    for _ in 0..6 {
        let x = made[below(made.len())];
        let equal = made.iter().copied().find(|&y| y != x && graph.shape(y) == graph.shape(x));
        let node = match equal.filter(|_| below(2) == 0) {
            Some(y) => graph.add("sum", Binary { kind: BinaryKind::Add }, &[x, y]).unwrap(),
            None => dense(&mut graph, x, [4, 16, 64, 256][below(4)]),
        };
        made.push(node);
    }
    graph.add_output(made[made.len() - 1]);
    graph.add_output(made[made.len() - 2]);
    graph
}

/// Every order in which the nodes of a graph can run.
fn all_orders(graph: &Graph) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in graph.nodes() {
        let longer = |order: &Vec<usize>| {
            let made: Vec<TensorId> = order.iter().flat_map(|&node| graph.nodes()[node].outputs.clone()).collect();
            let known = |id: &TensorId| {
                made.contains(id) || graph.inputs().contains(id) || graph.tensor(*id).constant.is_some()
            };
            let next = |node: &usize| !order.contains(node) && graph.nodes()[*node].inputs.iter().flatten().all(known);
            let next = (0..graph.nodes().len()).filter(next);
            next.map(|node| [order.as_slice(), &[node]].concat()).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    orders
}

#[test]
fn the_order_is_the_best_of_all_orders() {
    let mut better = 0;
    for seed in 0..30 {
        let graph = random_products(seed);
        let scratch = Scratches::new(&graph).unwrap();
        let extent = |order: &Vec<usize>| {
            let lives = lives(&graph, order).unwrap();
            let planning = Planning { graph: &graph, order: order.clone(), lives, scratch: &scratch };
            for_one(planning.plan((true, true)).unwrap().extent)
        };
        let orders = all_orders(&graph);
        let best = orders.iter().map(extent).min().unwrap();
        assert_eq!(for_one(plan(&graph).unwrap().extent), best, "graph {seed} of {} orders", orders.len());
        better += usize::from(best < extent(&(0..graph.nodes().len()).collect()));
    }
    assert!(better > 3, "{better} graphs whose own order is not the best");
}
