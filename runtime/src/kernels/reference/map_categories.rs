//! A value for each category.

/// For each code the value of `width` bytes at that place of `values`, the last one for a code that has none.
pub fn map_categories(codes: &[u32], values: &[u8], width: usize, out: &mut [u8]) {
    let width = width.max(1);
    let last = (values.len() / width).saturating_sub(1);
    for (slot, &code) in out.chunks_exact_mut(width).zip(codes) {
        let at = (code as usize).min(last).saturating_mul(width);
        if let Some(value) = values.get(at..at.saturating_add(width)) {
            slot.copy_from_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::map_categories;

    #[test]
    fn a_code_without_a_value_takes_the_last_one() {
        let mut out = [0u8; 8];
        map_categories(&[1, 0, 2, u32::MAX], &[1, 2, 3, 4, 5, 6], 2, &mut out);
        assert_eq!(out, [3, 4, 1, 2, 5, 6, 5, 6]);
        map_categories(&[0], &[], 2, &mut out[..2]);
        assert_eq!(out[..2], [3, 4]);
    }
}
