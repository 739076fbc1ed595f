//! Tables of functions of int16, as TFLite's reference kernels make them.

use ekiben_runtime::ops::table_lookup::WIDE_ENTRIES;

/// LiteRT's table of the logistic function at multiples of 1/24, whose curved part is raised so that interpolation errs less.
pub(super) fn sigmoid_table() -> Vec<u16> {
    const RAISED: [u8; 44] = [
        4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45, 46,
        49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
    ];
    let entry = |i: u8| {
        let nearest = (65536.0 / (1.0 + (-f64::from(i) / 24.0).exp())).round() as u16;
        nearest + u16::from(RAISED.contains(&i))
    };
    (0..=u8::MAX).map(entry).collect()
}

macro_rules! interpolated_table {
    ($(#[$doc:meta])* $name:ident: $float:ty) => {
        $(#[$doc])*
        pub(super) fn $name((scale, zero): ($float, i32), result: $float, function: impl Fn($float) -> $float) -> Vec<i16> {
            const STEPS: usize = WIDE_ENTRIES - 1;
            let (low, high) = (<$float>::from(i16::MIN), <$float>::from(i16::MAX));
            let [first, last] = [i16::MIN, i16::MAX].map(|end| scale * (i32::from(end) - zero) as $float);
            let step = (last - first) / STEPS as $float;
            let half = step / 2.0;
            let inverse = (high - low + 1.0) / (result * high - result * low);
            let entry = |i: usize| {
                let i = i as $float;
                let (value, middle, next) =
                    (function(first + i * step), function(first + i * step + half), function(first + (i + 1.0) * step));
                let sample = (value * inverse).round();
                let interpolated = ((next * inverse + sample) / 2.0).round();
                let bias = ((interpolated - (middle * inverse).round()) / 2.0).round();
                (sample - bias).clamp(low, high) as i16
            };
            let end = (function(last) * inverse).round().clamp(low, high) as i16;
            (0..STEPS).map(entry).chain([end]).collect()
        }
    };
}

interpolated_table! {
    /// A function of int16 with a scale and a zero point, to int16 with a scale: each entry is moved by half of the error that
    /// interpolation makes midway to the next.
    interpolated_table: f32
}

interpolated_table! {
    /// As [`interpolated_table`], in float64.
    precise_table: f64
}
