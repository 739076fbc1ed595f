//! Triangles of matrices.

/// Of each matrix of `rows` x `columns` elements of `width` bytes stays the part on and above (or, when `lower`, below) the
/// diagonal that starts `diagonal` columns right of the first element, and the rest becomes zero.
pub fn triangle(lower: bool, diagonal: i64, (rows, columns, width): (usize, usize, usize), matrices: &mut [u8]) {
    let row = columns.saturating_mul(width);
    if row == 0 || rows == 0 {
        return;
    }
    for (number, output) in matrices.chunks_exact_mut(row).enumerate() {
        // The first column of the part above the diagonal; below it ends one column later.
        let first = ((number % rows) as i64).saturating_add(diagonal);
        let edge = if lower { first.saturating_add(1) } else { first };
        let edge = edge.clamp(0, columns as i64) as usize * width;
        let cleared = if lower { output.get_mut(edge..) } else { output.get_mut(..edge) };
        cleared.into_iter().for_each(|part| part.fill(0));
    }
}
