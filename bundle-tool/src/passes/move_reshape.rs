//! Reshapes of tensors whose axes stand in another order elsewhere.

use ekiben_runtime::Shape;

/// A reshape of `base`, the axes of which are first put into an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// The order that the base's axes need.
    pub(super) base: Vec<usize>,
    /// The axes of the reshaped base, in the order of the result's.
    pub(super) order: Vec<usize>,
}

/// Axes that become others together: as many elements, side by side in C order.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// First axis and the end, before.
    from: (usize, usize),
    /// First axis and the end, after.
    to: (usize, usize),
}

/// The smallest groups of axes between two shapes; `None` where the batch would be split or joined with others.
fn groups(from: &Shape, to: &Shape) -> Option<Vec<Group>> {
    let (a, b) = (from.factors(), to.factors());
    let mut groups: Vec<Group> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let start = (i, j);
        let (mut left, mut right) = (u64::from(a[i]), u64::from(b[j]));
        (i, j) = (i + 1, j + 1);
        while left != right {
            let (side, axes, at) = if left < right { (&mut left, a, &mut i) } else { (&mut right, b, &mut j) };
            *side = side.checked_mul(u64::from(*axes.get(*at)?))?;
            *at += 1;
        }
        groups.push(Group { from: (start.0, i), to: (start.1, j) });
    }
    // What is left has length 1.
    let last = groups.last_mut()?;
    (last.from.1, last.to.1) = (a.len(), b.len());
    let batch_stays = |group: &Group| {
        let before = from.batch_axis().is_some_and(|axis| (group.from.0..group.from.1).contains(&axis));
        let after = to.batch_axis().is_some_and(|axis| (group.to.0..group.to.1).contains(&axis));
        let alone = (group.from.1 - group.from.0, group.to.1 - group.to.0) == (1, 1);
        (before, after) == (false, false) || (before && after && alone)
    };
    groups.iter().all(batch_stays).then_some(groups)
}

/// How a reshape of a tensor to `to` works on its base, axis `order[i]` of which is the tensor's axis `i` of `from`.
pub(super) fn moved_reshape(from: &Shape, to: &Shape, order: &[usize]) -> Option<Moved> {
    let mut groups: Vec<(usize, Group)> = groups(from, to)?
        .into_iter()
        .map(|group| {
            // A group stands where the first of its axes does that is longer than 1.
            let axes = group.from.0..group.from.1;
            let long = |axis: &usize| from.factor(*axis) != Some(1) || from.is_batch(*axis);
            let place = axes.clone().filter(long).chain(axes).map(|axis| order[axis]).next().unwrap_or(0);
            (place, group)
        })
        .collect();
    groups.sort_by_key(|&(place, _)| place);
    let mut moved = Moved { base: Vec::new(), order: vec![0; to.rank()] };
    let mut next = 0;
    for (_, group) in groups {
        moved.base.extend(&order[group.from.0..group.from.1]);
        for axis in group.to.0..group.to.1 {
            moved.order[axis] = next;
            next += 1;
        }
    }
    Some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(from: &[usize], to: &[usize], order: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
        let shape = |dims: &[usize]| Shape::new(dims, Some(0)).unwrap();
        moved_reshape(&shape(from), &shape(to), order).map(|moved| (moved.base, moved.order))
    }

    #[test]
    fn axes_are_kept_split_and_joined() {
        // Channels in groups, with the channels last.
        let split = moved(&[1, 6, 4, 5], &[1, 2, 3, 4, 5], &[0, 3, 1, 2]);
        assert_eq!(split, Some((vec![0, 1, 2, 3], vec![0, 3, 4, 1, 2])));
        let joined = moved(&[1, 3, 2, 4, 5], &[1, 6, 4, 5], &[0, 4, 3, 1, 2]);
        assert_eq!(joined, Some((vec![0, 1, 2, 4, 3], vec![0, 3, 1, 2])));
        // Pixels in a row.
        assert_eq!(moved(&[1, 6, 4, 5], &[1, 6, 20], &[0, 3, 1, 2]), Some((vec![0, 1, 2, 3], vec![0, 2, 1])));
        assert_eq!(moved(&[1, 6, 4, 5], &[1, 120], &[0, 3, 1, 2]), Some((vec![0, 3, 1, 2], vec![0, 1])));
        assert_eq!(moved(&[1, 6, 1, 1], &[1, 6], &[0, 3, 1, 2]), Some((vec![0, 3, 1, 2], vec![0, 1])));
    }

    #[test]
    fn the_batch_stays_alone() {
        assert_eq!(moved(&[1, 6, 4], &[6, 4], &[0, 2, 1]), None);
        assert_eq!(moved(&[2, 6], &[1, 12], &[1, 0]), None);
    }
}
