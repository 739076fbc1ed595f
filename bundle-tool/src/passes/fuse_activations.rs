//! Recognises functions of one element in their parts: Gelu by erf and by tanh, SiLU and Swish, HardSwish.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::PassError;
use super::pattern::{Fusion, Links, fuse, near};
use crate::graph::{Graph, Node, TensorId};

/// The graph with one function in the place of its parts.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_activations(graph: &Graph) -> Result<Graph, PassError> {
    fuse(graph, find)
}

fn find(links: &Links<'_>, node: &Node) -> Option<Fusion> {
    let output = *node.outputs.first()?;
    if let Some((x, op)) = quotient(links, output) {
        return closed(links, node, x, op);
    }
    // outer * (own * x) * (gate_factor * gate), in any order.
    let (product, outer) = links.scaled(output);
    let sides = links.binary(product, BinaryKind::Mul)?;
    for [x, gate] in [sides, [sides[1], sides[0]]] {
        let (inner, own) = links.scaled(x);
        for (x, factor) in [(inner, outer * own), (x, outer)] {
            if let Some(op) = gated(links, gate, x, factor) {
                return closed(links, node, x, op);
            }
        }
    }
    None
}

fn closed(links: &Links<'_>, node: &Node, x: TensorId, op: Unary) -> Option<Fusion> {
    links.is_closed(node, &[x]).then(|| Fusion::of(op, &[x]))
}

/// The function that `factor * x * gate` is.
fn gated(links: &Links<'_>, gate: TensorId, x: TensorId, factor: f64) -> Option<Unary> {
    let (inner, a, b) = links.affine(gate);
    let line = |[constant, slope, square, cube]: [f64; 4]| (square == 0.0 && cube == 0.0).then_some((slope, constant));
    let halved = near(a, b) && near(factor * a, 0.5);
    if let Some((y, _)) = links.unary(inner, UnaryKind::Erf).filter(|_| halved) {
        let (slope, 0.0) = line(links.polynomial(y, x)?)? else { return None };
        return near(slope, std::f64::consts::FRAC_1_SQRT_2).then_some(Unary::of(UnaryKind::Gelu));
    }
    if let Some((y, _)) = links.unary(inner, UnaryKind::Tanh).filter(|_| halved) {
        let [0.0, slope, 0.0, cube] = links.polynomial(y, x)? else { return None };
        let root = (2.0 / std::f64::consts::PI).sqrt();
        return (near(slope, root) && near(cube, root * 0.044715)).then_some(Unary::of(UnaryKind::GeluTanh));
    }
    let whole = b == 0.0 && near(factor * a, 1.0);
    if let Some((y, _)) = links.unary(inner, UnaryKind::Sigmoid).filter(|_| whole) {
        let (slope, 0.0) = line(links.polynomial(y, x)?)? else { return None };
        return Some(match slope {
            1.0 => Unary::of(UnaryKind::Silu),
            _ => Unary { kind: UnaryKind::Swish, alpha: slope, beta: 0.0 },
        });
    }
    if let Some((y, hard)) = links.unary(inner, UnaryKind::HardSigmoid).filter(|_| whole) {
        return (y == x).then_some(Unary { kind: UnaryKind::HardSwish, ..hard });
    }
    let (y, clip) = links.unary(inner, UnaryKind::Clip)?;
    let (slope, constant) = line(links.polynomial(y, x)?)?;
    // The clip's upper bound becomes 1.
    let scale = factor * a;
    let fits = b == 0.0 && clip.alpha == 0.0 && near(scale * clip.beta, 1.0) && scale > 0.0;
    fits.then_some(Unary { kind: UnaryKind::HardSwish, alpha: slope * scale, beta: constant * scale })
}

/// `x / (1 + exp(-x))`.
fn quotient(links: &Links<'_>, output: TensorId) -> Option<(TensorId, Unary)> {
    let [x, divisor] = links.binary(output, BinaryKind::Div)?;
    let (power, 1.0, 1.0) = links.affine(divisor) else { return None };
    let (exponent, _) = links.unary(power, UnaryKind::Exp)?;
    let [0.0, -1.0, 0.0, 0.0] = links.polynomial(exponent, x)? else { return None };
    Some((x, Unary::of(UnaryKind::Silu)))
}
