//! Products of tiles by an operation on pairs of steps: `vdpbf16ps`, or what a test puts in its place.
//!
//! Relies on the layout of tiles: a row of a B tile is a vector of pairs, one for each column.

use std::hint::black_box;

use super::{BLOCK, GROUP, Nonzero, Pair, Product, SIDE};

/// What `vdpbf16ps` does, and the loads and stores around it.
pub trait PairDot: Copy {
    /// A sum for each of the [`SIDE`] columns of a tile.
    type Sums: Copy;

    /// Two steps of each of the columns, in bf16.
    type Pairs: Copy;

    /// The sums that `from` holds.
    fn load(self, from: &[f32; SIDE]) -> Self::Sums;

    /// Writes the sums to `to`.
    fn store(self, to: &mut [f32; SIDE], sums: Self::Sums);

    /// Asks for the line at `line`, to be written; nothing is read, so any address will do.
    fn ask_for(self, line: *const [f32; SIDE]);

    /// The pairs of a row of a B tile.
    fn pairs(self, row: &[u16; BLOCK]) -> Self::Pairs;

    /// The same pair for every column.
    fn repeat(self, pair: [u16; 2]) -> Self::Pairs;

    /// `sums + a[0] b[0] + a[1] b[1]` in each column, rounded as `vdpbf16ps` does it.
    fn dot(self, sums: Self::Sums, a: Self::Pairs, b: Self::Pairs) -> Self::Sums;
}

/// Rows of A whose sums are in registers at a time: 8 rows x 2 vectors are 16 accumulators, more than the 12 that two
/// pipes of latency 6 keep busy; a step takes 2 loads of B and 8 broadcasts of A for 16 products, where two loads can
/// begin for two products.
const ROWS: usize = GROUP;

/// Cache lines of a group of rows of C.
const LINES: usize = 2 * ROWS;

/// Computes one block of C.
///
/// # Panics
///
/// The slices are not of one shape.
#[inline(always)]
pub fn multiply_by_pairs<D: PairDot>(dot: D, product: Product<'_>) {
    product.assert_shapes();
    let Product { a, steps, nonzero, b, c, adds, .. } = product;
    let rows = c.as_chunks_mut::<SIDE>().0.as_chunks_mut::<2>().0;
    for (group, c) in rows.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
        multiply_rows(dot, (a, steps, nonzero), b, group, c, adds);
    }
}

/// The rows of a block of C that are group `group`.
///
/// The lines of the next group, or of the next block, are asked for at the beginning: those of dW come from beyond L2,
/// and sums would begin by waiting for them.
#[inline(always)]
fn multiply_rows<D: PairDot>(
    dot: D,
    (a, steps, nonzero): (&[Pair], &[u32], &[Nonzero]),
    b: &[Pair],
    group: usize,
    c: &mut [[[f32; SIDE]; 2]; ROWS],
    adds: bool,
) {
    let mut sums = [[dot.load(&[0.0; SIDE]); 2]; ROWS];
    if adds {
        for (sums, [c0, c1]) in sums.iter_mut().zip(&*c) {
            *sums = [dot.load(c0), dot.load(c1)];
        }
    }
    let first = group * ROWS;
    if adds {
        (LINES..2 * LINES).for_each(|line| dot.ask_for(c.as_ptr().cast::<[f32; SIDE]>().wrapping_add(line)));
    }
    for ((a, &step), nonzero) in a.iter().zip(steps).zip(nonzero) {
        let rows = &a[first / SIDE].0[first % SIDE..][..ROWS];
        let [b0, b1] = &b[step as usize];
        let mut left = nonzero[group];
        while left != 0 {
            let pair = left.trailing_zeros() as usize;
            left &= left - 1;
            let columns = [dot.pairs(&b0.0[pair]), dot.pairs(&b1.0[pair])];
            for (sums, row) in sums.iter_mut().zip(rows) {
                let a = dot.repeat([row[2 * pair], row[2 * pair + 1]]);
                for (sum, b) in sums.iter_mut().zip(columns) {
                    *sum = dot.dot(*sum, a, b);
                }
            }
        }
    }
    for (&[sum0, sum1], [c0, c1]) in sums.iter().zip(c) {
        dot.store(c0, sum0);
        dot.store(c1, sum1);
    }
}

/// A step of `multiply_rows` without its loads, `rounds` times; returns the operations.
#[inline(always)]
pub fn multiply_pairs_in_registers<D: PairDot>(dot: D, rounds: usize) -> u64 {
    // Values that the compiler cannot see; their products are about the smallest normal float, so that no sum of them
    // comes near the largest one.
    let [a, b] = [[0x2000; 2], [0x2001; 2]].map(|pair| dot.repeat(black_box(pair)));
    let mut sums = [dot.load(&black_box([0.0; SIDE])); 2 * ROWS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = dot.dot(*sum, a, b);
        }
    }
    for sum in sums {
        let mut floats = [0.0; SIDE];
        dot.store(&mut floats, sum);
        black_box(floats);
    }
    (rounds * sums.len() * 2 * 2 * SIDE) as u64
}
