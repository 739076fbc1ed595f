//! Hashes of texts: CityHash64 of 2011 (its first version; later ones hash differently), by which CatBoost knows categories.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;
/// Multiplier of the 128 to 64 bit step.
const FOLD: u64 = 0x9ddf_ea08_eb38_2d69;

/// The little-endian word at `at`; bytes that are not there are zeros.
fn word(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(text.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

fn half_word(text: &[u8], at: usize) -> u64 {
    word(text, at) & 0xffff_ffff
}

fn mixed(value: u64) -> u64 {
    value ^ value >> 47
}

fn folded(low: u64, high: u64) -> u64 {
    let first = mixed((low ^ high).wrapping_mul(FOLD));
    mixed((high ^ first).wrapping_mul(FOLD)).wrapping_mul(FOLD)
}

fn up_to_16(text: &[u8]) -> u64 {
    let length = text.len();
    match length {
        0 => K2,
        1..=3 => {
            let byte = |at: usize| u64::from(text.get(at).copied().unwrap_or(0));
            let low = byte(0) + (byte(length >> 1) << 8);
            let high = length as u64 + (byte(length - 1) << 2);
            mixed(low.wrapping_mul(K2) ^ high.wrapping_mul(K3)).wrapping_mul(K2)
        }
        4..=8 => folded(length as u64 + (half_word(text, 0) << 3), half_word(text, length - 4)),
        _ => {
            let end = word(text, length - 8);
            folded(word(text, 0), end.wrapping_add(length as u64).rotate_right(length as u32)) ^ end
        }
    }
}

fn up_to_32(text: &[u8]) -> u64 {
    let length = text.len();
    let a = word(text, 0).wrapping_mul(K1);
    let b = word(text, 8);
    let c = word(text, length - 8).wrapping_mul(K2);
    let d = word(text, length - 16).wrapping_mul(K0);
    let low = a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let high = a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c).wrapping_add(length as u64);
    folded(low, high)
}

/// Two sums of the 32 bytes that begin at `at`, the last word given apart, from a start value.
fn half_of_64(text: &[u8], at: usize, start: u64, last: u64) -> (u64, u64) {
    let mut a = start;
    let b = a.wrapping_add(last).rotate_right(52);
    let mut c = a.rotate_right(37);
    a = a.wrapping_add(word(text, at + 8));
    c = c.wrapping_add(a.rotate_right(7));
    a = a.wrapping_add(word(text, at + 16));
    (a.wrapping_add(last), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
}

fn up_to_64(text: &[u8]) -> u64 {
    let length = text.len();
    let seed = (length as u64).wrapping_add(word(text, length - 16)).wrapping_mul(K0);
    let (vf, vs) = half_of_64(text, 0, word(text, 0).wrapping_add(seed), word(text, 24));
    let start = word(text, 16).wrapping_add(word(text, length - 32));
    let (wf, ws) = half_of_64(text, length - 32, start, word(text, length - 8));
    let r = mixed(vf.wrapping_add(ws).wrapping_mul(K2).wrapping_add(wf.wrapping_add(vs).wrapping_mul(K0)));
    mixed(r.wrapping_mul(K0).wrapping_add(vs)).wrapping_mul(K2)
}

/// A weak hash of the 32 bytes at `at`.
fn weak(text: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let a = a.wrapping_add(word(text, at));
    let last = word(text, at + 24);
    let b = b.wrapping_add(a).wrapping_add(last).rotate_right(21);
    let sum = a.wrapping_add(word(text, at + 8)).wrapping_add(word(text, at + 16));
    (sum.wrapping_add(last), b.wrapping_add(sum.rotate_right(44)).wrapping_add(a))
}

fn longer(text: &[u8]) -> u64 {
    let length = text.len();
    let mut x = word(text, 0);
    let mut y = word(text, length - 16) ^ K1;
    let mut z = word(text, length - 56) ^ K0;
    let mut v = weak(text, length - 64, length as u64, y);
    let mut w = weak(text, length - 32, (length as u64).wrapping_mul(K1), K0);
    z = z.wrapping_add(mixed(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    for at in (0..(length - 1) & !63).step_by(64) {
        x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(word(text, at + 16));
        x = x.rotate_right(37).wrapping_mul(K1) ^ w.1;
        y = y.wrapping_add(v.1).wrapping_add(word(text, at + 48));
        y = y.rotate_right(42).wrapping_mul(K1) ^ v.0;
        z = (z ^ w.0).rotate_right(33);
        v = weak(text, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak(text, at + 32, z.wrapping_add(w.1), y);
        core::mem::swap(&mut z, &mut x);
    }
    let low = folded(v.0, w.0).wrapping_add(mixed(y).wrapping_mul(K1)).wrapping_add(z);
    folded(low, folded(v.1, w.1).wrapping_add(x))
}

/// CityHash64, version 1, of a text.
pub fn city_hash(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => up_to_32(text),
        33..=64 => up_to_64(text),
        _ => longer(text),
    }
}

/// The low 32 bits of the hash of each text of `width` bytes, without the zeros at its end.
pub fn text_hash(width: usize, texts: &[u8], out: &mut [i32]) {
    if width == 0 {
        return out.fill(K2 as i32);
    }
    for (text, out) in texts.chunks_exact(width).zip(out) {
        let length = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        *out = city_hash(text.get(..length).unwrap_or_default()) as i32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_catboost() {
        // From `cat_features_hash` of models that CatBoost 1.2.10 saved as JSON.
        for (text, hash) in [
            ("", 0x2f90404f),
            ("z", 0x1c640e96),
            ("0", 0xaa458312),
            ("bb", 0x85aca1e2),
            ("29", 0xeae22b50),
            ("ccc", 0xacb5dab5),
            ("four", 0x1f5c5b77),
            ("Grün", 0x981200d5),
            ("fives", 0x3f401c4b),
            ("eightlen", 0x8038e71b),
            ("ninelength", 0xa2c91b66),
            ("sixteen-letters!", 0x7621ed2d),
            ("seventeen-letters", 0x8c6b018a),
            ("thirty-one letters in this text", 0x811de01b),
            ("exactly thirty-two letters here!", 0x3aba78ea),
            ("a much longer category than thirty-two bytes!", 0x7d94f4ce),
            ("sixty-four letters are a limit at which another formula is used.", 0x5ae5b292),
            ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0xf7225acf),
            (
                "ein Text von mehr als hundertachtundzwanzig Zeichen, damit die Schleife ueber Bloecke mehrmals laeuft und auch ihr Ende geprueft wird",
                0xb13b3e87,
            ),
        ] {
            assert_eq!(city_hash(text.as_bytes()) as u32, hash, "{text}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_no_part_of_a_text() {
        let mut out = [0; 3];
        text_hash(3, b"a\0\0abc\0\0\0", &mut out);
        assert_eq!(out, [city_hash(b"a") as i32, city_hash(b"abc") as i32, city_hash(b"") as i32]);
        text_hash(0, &[], &mut out);
        assert_eq!(out, [city_hash(b"") as i32; 3]);
    }
}
