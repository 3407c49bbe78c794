//! What the tile instructions, `vdpbf16ps` and `vcvtneps2bf16` compute, as Intel's manual has it ("Intel 64 and IA-32
//! Architectures Software Developer's Manual", volume 2, the section of each instruction).
//!
//! Relies on nothing but IEEE arithmetic of `f32` and `f64`, rounded to the nearest; no function allocates, so a signal
//! handler may call all of them. A `None` stands for the exception that the manual demands.

/// Tile registers.
pub const TILES: usize = 8;

/// Rows of a tile register, at most.
const ROWS: usize = 16;

/// Bytes of a row, at most.
const ROW_BYTES: usize = 64;

/// What `ldtilecfg` loads and `sttilecfg` stores.
pub type Configuration = [u8; 64];

/// Where a [`Configuration`] holds the rows of tile 0; those of the others follow.
const ROWS_AT: usize = 48;

/// Where a [`Configuration`] holds the bytes of a row of tile 0, in two bytes; those of the others follow.
const ROW_BYTES_AT: usize = 16;

/// The configuration and the tile registers of one thread.
#[derive(Clone)]
pub struct TileFile {
    configuration: Configuration,
    tiles: [[[u8; ROW_BYTES]; ROWS]; TILES],
}

/// The size of a tile.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    row_bytes: usize,
}

impl TileFile {
    /// Without a configuration, as after `tilerelease`.
    pub const fn new() -> Self {
        Self { configuration: [0; 64], tiles: [[[0; ROW_BYTES]; ROWS]; TILES] }
    }

    /// `ldtilecfg`. A row to start at, which is there after an interrupted load, is refused: nothing here interrupts
    /// one.
    pub fn load_configuration(&mut self, configuration: &Configuration) -> Option<()> {
        if configuration[0] == 0 {
            *self = Self::new();
            return Some(());
        }
        let is_palette_1 = configuration[0] == 1;
        let reserved_are_zero = configuration[1..ROW_BYTES_AT].iter().all(|&byte| byte == 0);
        let fits = |tile: usize| {
            let Shape { rows, row_bytes } = shape_in(configuration, tile);
            // A tile has rows and columns, or neither; the places for tiles beyond those of the palette hold zeros.
            let is_there = rows > 0 && row_bytes > 0 && tile < TILES;
            rows <= ROWS && row_bytes <= ROW_BYTES && (is_there || rows == 0 && row_bytes == 0)
        };
        (is_palette_1 && reserved_are_zero && (0..ROWS).all(fits)).then(|| {
            *self = Self::new();
            self.configuration = *configuration;
        })
    }

    /// What a native `ldtilecfg` has loaded or a native `tilerelease` has cleared. The tiles are kept where nothing has
    /// changed, so they may hold what was there before the last `ldtilecfg`, where the CPU has zeros.
    pub fn adopt_configuration(&mut self, configuration: &Configuration) -> Option<()> {
        if self.configuration == *configuration { Some(()) } else { self.load_configuration(configuration) }
    }

    /// `sttilecfg`.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// `tilerelease`.
    pub fn release(&mut self) {
        *self = Self::new();
    }

    /// `tilezero`.
    pub fn zero(&mut self, tile: usize) -> Option<()> {
        self.shape(tile)?;
        self.tiles[tile] = [[0; ROW_BYTES]; ROWS];
        Some(())
    }

    /// `tileloadd` and `tileloaddt1`: `read` fills each row.
    pub fn load(&mut self, tile: usize, mut read: impl FnMut(usize, &mut [u8])) -> Option<()> {
        let Shape { rows, row_bytes } = self.shape(tile)?;
        self.zero(tile)?;
        for (number, row) in self.tiles[tile][..rows].iter_mut().enumerate() {
            read(number, &mut row[..row_bytes]);
        }
        Some(())
    }

    /// `tilestored`: `write` is given each row.
    pub fn store(&self, tile: usize, mut write: impl FnMut(usize, &[u8])) -> Option<()> {
        let Shape { rows, row_bytes } = self.shape(tile)?;
        for (number, row) in self.tiles[tile][..rows].iter().enumerate() {
            write(number, &row[..row_bytes]);
        }
        Some(())
    }

    /// `tdpbf16ps`: tile `c` += tile `a` times tile `b`. The even and the odd steps of a row are summed apart, then
    /// together, then added.
    pub fn multiply(&mut self, c: usize, a: usize, b: usize) -> Option<()> {
        let [of_c, of_a, of_b] = [self.shape(c)?, self.shape(a)?, self.shape(b)?];
        let are_whole = [of_c, of_a, of_b].iter().all(|shape| shape.row_bytes.is_multiple_of(4));
        let pairs = of_a.row_bytes / 4;
        if !are_whole || of_c.rows != of_a.rows || pairs != of_b.rows || of_c.row_bytes != of_b.row_bytes {
            return None;
        }
        for row in 0..of_c.rows {
            let mut sums = [[0.0; 2]; ROW_BYTES / 4];
            for pair in 0..pairs {
                for (column, sums) in sums.iter_mut().enumerate().take(of_c.row_bytes / 4) {
                    for (parity, sum) in sums.iter_mut().enumerate() {
                        let a = half(&self.tiles[a][row], 2 * pair + parity);
                        let b = half(&self.tiles[b][pair], 2 * column + parity);
                        *sum = multiply_add(a, b, *sum);
                    }
                }
            }
            let row = &mut self.tiles[c][row];
            for (to, [even, odd]) in row[..of_c.row_bytes].as_chunks_mut().0.iter_mut().zip(sums) {
                *to = add(f32::from_le_bytes(*to), add(even, odd)).to_le_bytes();
            }
            row[of_c.row_bytes..].fill(0);
        }
        self.tiles[c][of_c.rows..].fill([0; ROW_BYTES]);
        Some(())
    }

    /// The size of a tile that is configured.
    fn shape(&self, tile: usize) -> Option<Shape> {
        let shape = shape_in(&self.configuration, tile);
        (self.configuration[0] == 1 && shape.rows > 0).then_some(shape)
    }
}

fn shape_in(configuration: &Configuration, tile: usize) -> Shape {
    let at = ROW_BYTES_AT + 2 * tile;
    let row_bytes = u16::from_le_bytes([configuration[at], configuration[at + 1]]);
    Shape { rows: configuration[ROWS_AT + tile].into(), row_bytes: row_bytes.into() }
}

/// The bf16 number at `index` of a row.
fn half(row: &[u8; ROW_BYTES], index: usize) -> u16 {
    u16::from_le_bytes([row[2 * index], row[2 * index + 1]])
}

/// One column of `vdpbf16ps`: the odd product is added first, and then the even one.
pub fn vdpbf16ps(sum: f32, [a_even, a_odd]: [u16; 2], [b_even, b_odd]: [u16; 2]) -> f32 {
    multiply_add(a_even, b_even, multiply_add(a_odd, b_odd, sum))
}

/// `a * b + sum`, rounded once, with subnormal operands taken as zeros and a subnormal result flushed. A result counts
/// as subnormal if it would be after rounding with exponents without end.
///
/// It is enough to compute in f64: the product has 16 bits and is exact, and where the sum is not, one of the two is
/// below 2^-28 of the other, which is a float itself and what both the exact and the inexact sum round to.
fn multiply_add(a: u16, b: u16, sum: f32) -> f32 {
    /// What is below rounds to a number below the smallest normal one.
    const SMALLEST: f64 = f32::MIN_POSITIVE as f64 * (1.0 - f32::EPSILON as f64 / 4.0);

    let [a, b] = [a, b].map(|bits| f64::from(flush(f32::from_bits(u32::from(bits) << 16))));
    let sum = a * b + f64::from(flush(sum));
    if sum.abs() < SMALLEST { 0_f32.copysign(sum as f32) } else { sum as f32 }
}

/// `a + b`, with subnormal operands taken as zeros and a subnormal result, which is always exact, flushed.
fn add(a: f32, b: f32) -> f32 {
    flush(flush(a) + flush(b))
}

/// Zero of the same sign in the place of a subnormal number.
fn flush(value: f32) -> f32 {
    if value.is_subnormal() { 0_f32.copysign(value) } else { value }
}

/// `vcvtneps2bf16` of one float, step by step as the manual has it.
pub fn vcvtneps2bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let upper = (bits >> 16) as u16;
    if value == 0.0 || value.is_subnormal() {
        upper & 0x8000
    } else if value.is_infinite() {
        upper
    } else if value.is_nan() {
        upper | 1 << 6
    } else {
        let lowest = bits >> 16 & 1;
        ((bits + 0x7fff + lowest) >> 16) as u16
    }
}
