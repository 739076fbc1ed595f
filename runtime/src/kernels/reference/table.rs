//! Functions of one integer, given by their values.

/// Entries of a table for 16-bit integers: one for every 128th value, and one beyond the last.
pub const WIDE_ENTRIES: usize = 513;

/// `out[i] = table[input[i]]`, the stored byte taken as unsigned.
pub fn lookup<T: Copy>(input: &[u8], table: &[T], out: &mut [T]) {
    for (out, &x) in out.iter_mut().zip(input) {
        if let Some(&value) = table.get(usize::from(x)) {
            *out = value;
        }
    }
}

/// Interpolates between the entries that belong to the multiples of 128 below and above: `base + (slope * rest + 64) / 128`, rounded
/// down, where `slope` is the difference of both entries in 16 bits.
pub fn interpolate(input: &[i16], table: &[i16], out: &mut [i16]) {
    for (out, &x) in out.iter_mut().zip(input) {
        *out = interpolated(x, table);
    }
}

/// The function's value for one integer; see [`interpolate`].
pub fn interpolated(x: i16, table: &[i16]) -> i16 {
    let index = (256 + (i32::from(x) >> 7)) as usize;
    let entry = |index: usize| table.get(index).copied().unwrap_or(0);
    let base = entry(index);
    let slope = entry(index + 1).wrapping_sub(base);
    let step = (i32::from(slope) * i32::from(x & 0x7F) + 64) >> 7;
    base.wrapping_add(step as i16)
}
