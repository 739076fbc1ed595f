//! Huffman codes and the bits between two markers.

/// A table of codes, as a file defines it.
#[derive(Clone)]
pub(super) struct Table {
    /// For each eight bits that start with a code of eight bits or less: its length and its symbol; length 0 otherwise.
    short: [(u8, u8); 256],
    /// The last code of each length, -1 where there is none.
    last: [i32; 17],
    /// What to add to a code of each length for its symbol's position.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// The table with so many codes of each length, and their symbols in order. `None` where the codes do not fit.
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { short: [(0, 0); 256], last: [-1; 17], offset: [0; 17], symbols: symbols.to_vec() };
        let (mut code, mut position) = (0_i32, 0_usize);
        for (length, &count) in (1_usize..=16).zip(counts) {
            table.offset[length] = position as i32 - code;
            for &symbol in symbols.get(position..position + usize::from(count))? {
                if code >= 1 << length {
                    return None;
                }
                if length <= 8 {
                    let first = (code as usize) << (8 - length);
                    table.short[first..first + (1 << (8 - length))].fill((length as u8, symbol));
                }
                code += 1;
            }
            position += usize::from(count);
            if count > 0 {
                table.last[length] = code - 1;
            }
            code <<= 1;
        }
        Some(table)
    }

    /// Whether no symbol is over `most`.
    pub(super) fn symbols_up_to(&self, most: u8) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= most)
    }

    /// Length and symbol of the code that sixteen bits start with; symbol 0 where there is none.
    fn find(&self, bits: u16) -> (u32, u8) {
        let (length, symbol) = self.short[usize::from(bits >> 8)];
        if length > 0 {
            return (length.into(), symbol);
        }
        for length in 9..=16_usize {
            let code = i32::from(bits >> (16 - length));
            if code <= self.last[length] {
                let symbol = usize::try_from(code + self.offset[length]).ok().and_then(|at| self.symbols.get(at));
                return (length as u32, symbol.copied().unwrap_or(0));
            }
        }
        (16, 0)
    }
}

/// The bits of a scan, up to a marker. After the last one come zeros.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
    /// Whether `at` is at a marker, which is not passed.
    at_marker: bool,
    /// Whether more bits have been taken than there are before the marker.
    exhausted: bool,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, count: 0, at_marker: false, exhausted: false }
    }

    /// Where reading has come to: at a marker, or before it.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) const fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Whether bits are missing because the file ends, not because of a marker.
    pub(super) const fn is_cut(&self) -> bool {
        self.exhausted && self.at >= self.bytes.len()
    }

    fn fill(&mut self) {
        while self.count <= 48 && !self.at_marker {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff {
                match self.bytes.get(self.at + 1) {
                    Some(0) => self.at += 1,
                    Some(0xff) => {
                        self.at += 1;
                        continue;
                    }
                    Some(_) => {
                        self.at_marker = true;
                        return;
                    }
                    None => {
                        self.at += 1;
                        return;
                    }
                }
            }
            self.at += 1;
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next sixteen bits, which stay.
    fn peek(&mut self) -> u16 {
        if self.count < 16 {
            self.fill();
        }
        if self.count >= 16 {
            (self.buffer >> (self.count - 16)) as u16
        } else {
            (self.buffer << (16 - self.count)) as u16
        }
    }

    fn take(&mut self, count: u32) {
        if count > self.count {
            self.exhausted = true;
            (self.buffer, self.count) = (0, 0);
        } else {
            self.count -= count;
        }
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, table: &Table) -> u8 {
        let (length, symbol) = table.find(self.peek());
        self.take(length);
        symbol
    }

    /// A number of up to sixteen bits.
    pub(super) fn number(&mut self, bits: u32) -> i32 {
        if bits == 0 {
            return 0;
        }
        let number = self.peek() >> (16 - bits.min(16));
        self.take(bits);
        number.into()
    }

    pub(super) fn bit(&mut self) -> bool {
        self.number(1) == 1
    }

    /// A number with a sign: those that start with a zero bit are negative.
    pub(super) fn signed(&mut self, bits: u32) -> i32 {
        let number = self.number(bits);
        if bits > 0 && number < 1 << (bits - 1) { number - (1 << bits) + 1 } else { number }
    }

    /// Goes on behind the restart marker with this number, 0 to 7. One that is near it is taken for it or waited for,
    /// as libjpeg does.
    pub(super) fn restart(&mut self, number: u8) {
        (self.buffer, self.count) = (0, 0);
        self.exhausted = false;
        while let Some((at, marker)) = next_marker(self.bytes, self.at) {
            let ahead = marker.wrapping_sub(0xd0).wrapping_sub(number) & 7;
            match marker {
                0xd0..=0xd7 if ahead == 1 || ahead == 2 => return self.stop_at(at),
                0xd0..=0xd7 if ahead == 6 || ahead == 7 => self.at = at + 2,
                0xd0..=0xd7 => {
                    self.at = at + 2;
                    self.at_marker = false;
                    return;
                }
                0..0xc0 => self.at = at + 2,
                _ => return self.stop_at(at),
            }
        }
        self.at = self.bytes.len();
    }

    fn stop_at(&mut self, at: usize) {
        self.at = at;
        self.at_marker = true;
    }
}

/// The next marker from a position: where its `0xff` is, and its code.
pub(super) fn next_marker(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    let rest = bytes.get(from..)?;
    let pairs = rest.iter().zip(rest.get(1..)?).enumerate();
    let mut markers = pairs.filter(|(_, (first, code))| **first == 0xff && !matches!(**code, 0 | 0xff));
    markers.next().map(|(at, (_, &code))| (from + at, code))
}
