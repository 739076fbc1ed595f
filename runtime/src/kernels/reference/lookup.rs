//! Search in sorted keys.

use core::cmp::Ordering;

/// A key with a total order in which NaN equals NaN and is the largest, and -0 equals 0.
pub trait Key: Copy {
    /// The order of two keys.
    fn order(self, other: Self) -> Ordering;
}

macro_rules! integer_key {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn order(self, other: Self) -> Ordering {
                self.cmp(&other)
            }
        }
    )*};
}
integer_key!(i32, i64, u32);

macro_rules! float_key {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn order(self, other: Self) -> Ordering {
                self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
            }
        }
    )*};
}
float_key!(f32, f64);

/// Position of each element among the rising `keys`; their number for an element that is none of them.
pub fn lookup<K: Key>(x: &[K], keys: &[K], out: &mut [i32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        let found = keys.binary_search_by(|key| key.order(x));
        *out = i32::try_from(found.unwrap_or(keys.len())).unwrap_or(i32::MAX);
    }
}
