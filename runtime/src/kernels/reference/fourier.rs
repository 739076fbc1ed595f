//! Discrete Fourier transforms of any length. Complex numbers are pairs of elements: real, imaginary.

use super::float::Float;

type Complex<F> = (F, F);

fn get<F: Float>(data: &[F], index: usize) -> Complex<F> {
    let at = index.saturating_mul(2);
    match data.get(at..at.saturating_add(2)) {
        Some(&[re, im]) => (re, im),
        _ => (F::ZERO, F::ZERO),
    }
}

fn put<F: Float>(data: &mut [F], index: usize, (re, im): Complex<F>) {
    let at = index.saturating_mul(2);
    if let Some([a, b]) = data.get_mut(at..at.saturating_add(2)) {
        (*a, *b) = (re, im);
    }
}

fn times<F: Float>(a: Complex<F>, b: Complex<F>) -> Complex<F> {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn plus<F: Float>(a: Complex<F>, b: Complex<F>) -> Complex<F> {
    (a.0 + b.0, a.1 + b.1)
}

/// The smallest prime factor of `n`, which is 2 at least.
fn radix(n: usize) -> usize {
    if n.is_multiple_of(2) {
        return 2;
    }
    let divides = |&candidate: &usize| n.is_multiple_of(candidate);
    (3usize..).step_by(2).take_while(|&candidate| candidate.saturating_mul(candidate) <= n).find(divides).unwrap_or(n)
}

/// A transform of `length` complex numbers.
#[derive(Clone, Copy, Debug)]
pub struct Transform<'a, F> {
    /// Number of complex numbers.
    pub length: usize,
    /// `exp(-2 pi i k / length)` for each k below `length`, as complex numbers.
    pub twiddles: &'a [F],
    /// The transform goes back, and divides by `length`.
    pub inverse: bool,
}

impl<F: Float> Transform<'_, F> {
    fn twiddle(&self, index: usize) -> Complex<F> {
        let (re, im) = get(self.twiddles, index.checked_rem(self.length).unwrap_or(0));
        (re, if self.inverse { -im } else { im })
    }

    /// Transforms the numbers in `from` and returns where the result is. Both slices hold `length` complex numbers.
    ///
    /// Numbers are combined in steps (Stockham's order), one for each prime factor of the length, the smallest first; each sum of a
    /// step starts from zero and runs upwards. So a prime length takes `length^2` products, a power of two `length * log2(length) / 2`.
    pub fn run<'b>(&self, mut from: &'b mut [F], mut to: &'b mut [F]) -> &'b mut [F] {
        let (mut left, mut stride) = (self.length, 1usize);
        while left > 1 {
            let radix = radix(left);
            left /= radix;
            self.step(from, to, [radix, left, stride]);
            core::mem::swap(&mut from, &mut to);
            stride = stride.saturating_mul(radix);
        }
        if self.inverse {
            let length = F::from_f64(self.length as f64);
            from.iter_mut().for_each(|x| *x = *x / length);
        }
        from
    }

    fn step(&self, from: &[F], to: &mut [F], [radix, left, stride]: [usize; 3]) {
        for p in 0..left {
            for q in 0..stride {
                let source = |t: usize| get(from, q.saturating_add(stride.saturating_mul(p + left * t)));
                for u in 0..radix {
                    let sum = match (radix, u) {
                        (2, 0) => plus(source(0), source(1)),
                        (2, _) => {
                            let (a, b) = (source(0), source(1));
                            (a.0 - b.0, a.1 - b.1)
                        }
                        _ => (0..radix).fold((F::ZERO, F::ZERO), |sum, t| {
                            let turn = (t as u64 * u as u64 % radix as u64) as usize;
                            plus(sum, times(source(t), self.twiddle(turn * (self.length / radix))))
                        }),
                    };
                    let turned = if p * u == 0 { sum } else { times(sum, self.twiddle(p * u * stride)) };
                    put(to, q.saturating_add(stride.saturating_mul(radix * p + u)), turned);
                }
            }
        }
    }

    /// Fills `buffer` with `length` complex numbers from `input`, which has 1 or 2 elements for each: those that `input` does not have
    /// are zero. With `mirrored`, numbers in the second half are the conjugates of those in the first, and the first and, if the
    /// length is even, the middle one are real.
    pub fn load(&self, buffer: &mut [F], mirrored: bool, input: impl Fn(usize) -> Complex<F>) {
        for index in 0..self.length {
            let back = self.length - index;
            let number = match mirrored {
                true if index == 0 || index == back => (input(index).0, F::ZERO),
                true if back < index => {
                    let (re, im) = input(back);
                    (re, -im)
                }
                _ => input(index),
            };
            put(buffer, index, number);
        }
    }
}

/// A view of one transform's input or output: number `index` starts at `first + index * stride` and has `parts` elements.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// First element.
    pub first: usize,
    /// Elements between numbers.
    pub stride: usize,
    /// Numbers.
    pub length: usize,
    /// 1 for real numbers, 2 for complex ones.
    pub parts: usize,
}

impl Lane {
    fn at(&self, index: usize) -> Option<usize> {
        (index < self.length).then(|| self.first.saturating_add(index.saturating_mul(self.stride)))
    }

    /// The number at `index`, zero where there is none.
    pub fn get<F: Float>(&self, data: &[F], index: usize) -> Complex<F> {
        let at = self.at(index).and_then(|at| data.get(at..at.saturating_add(self.parts)));
        match at {
            Some(&[re, im]) => (re, im),
            Some(&[re]) => (re, F::ZERO),
            _ => (F::ZERO, F::ZERO),
        }
    }

    /// Copies as many numbers as there are here from `numbers`, which are complex.
    pub fn copy_from<F: Float>(&self, numbers: &[F], data: &mut [F]) {
        for index in 0..self.length {
            let (re, im) = get(numbers, index);
            match self.at(index).and_then(|at| data.get_mut(at..at.saturating_add(self.parts))) {
                Some([a, b]) => (*a, *b) = (re, im),
                Some([a]) => *a = re,
                _ => {}
            }
        }
    }
}
