//! The dense products in bf16, in tiles, on any unit that multiplies them.
//!
//! ```text
//! forward     A = X, rows of a strip in blocks of 32     B = W, packed for each step, in column panels of 32 units
//! accumulate  A = X^T, inputs in blocks of 32            B = D, packed block by block
//! ```
//!
//! Operands are rounded to bf16 once, to the nearest; bytes are exact. Sums are f32. Pairs of tiles of X that are all
//! zero are left out, of W and D none. Z is computed for a block of rows at a time and stays in L1 and L2 until the
//! epilogue has made D of it, which is kept in bf16: 512 rows x 512 units take 512 KiB of L2.

use rayon::prelude::*;

use std::ops::Range;

use super::DenseProducts;
use crate::fused::executed;
use crate::fused::packing::{ColumnOrder, ColumnPanels, PanelsMut};
use crate::simd::{Kernel, Simd};
use crate::tile::{BLOCK, GROUP, Nonzero, Pair, Product, SIDE, Streamed, TileUnit, ZERO, from_bf16, round_to_bf16};

/// bf16 products on a tile unit.
#[derive(Clone, Copy, Debug)]
pub struct Bf16<U>(pub U);

/// The most base rows of a strip, see [`DenseProducts::STRIP_ROWS`].
const STRIP_ROWS: usize = 512;

/// Column panels of the weights that are packed side by side: each row of the kernel is then read in pieces of 1 KiB,
/// long enough for the hardware to fetch ahead, and a layer of 1,000 units makes four tasks.
const PACKED_TOGETHER: usize = 8;

/// The rows of one strip.
#[derive(Default)]
pub struct Inputs {
    /// Rows x k.
    forward: TileRows,
    /// k x rows, once it has been asked for.
    transposed: TileRows,
    is_transposed: bool,
    is_trimmed: bool,
}

/// A left operand in tiles, those of zeros left out.
#[derive(Default)]
struct TileRows {
    rows: usize,
    depth: usize,
    /// Where the pairs of each block of 32 rows begin; one more than there are blocks.
    starts: Vec<usize>,
    /// Which 32 steps each pair holds, ascending within a block.
    steps: Vec<u32>,
    /// Where each pair is not zero.
    nonzero: Vec<Nonzero>,
    tiles: Vec<Pair>,
}

/// Shares of a left operand that are not zero.
struct Shares {
    /// Of its pairs of tiles.
    tiles: f64,
    /// Of the pairs of steps of each [`GROUP`] of rows.
    pairs: f64,
    /// Of the 16 steps of each group, half a tile's width: about the lines of the sparse form.
    lines: f64,
}

/// Some pairs of one block of rows.
struct BlockOfRows<'a> {
    tiles: &'a [Pair],
    steps: &'a [u32],
    nonzero: &'a [Nonzero],
}

impl BlockOfRows<'_> {
    /// Multiply-adds of its product with one column panel on the unit `U`.
    #[inline(always)]
    fn multiply_adds<U: TileUnit>(&self) -> usize {
        if !U::LEAVES_OUT_PAIRS {
            return self.tiles.len() * BLOCK * BLOCK * BLOCK;
        }
        let pairs: usize = self.nonzero.iter().flatten().map(|group| group.count_ones() as usize).sum();
        pairs * 2 * GROUP * BLOCK
    }
}

impl TileRows {
    /// Packs a matrix of `rows` x `depth` in the memory of what was packed where that suffices. `piece` writes the
    /// elements of a row from a step on over zeros, as many as there are up to 32.
    #[inline(always)]
    fn pack(&mut self, rows: usize, depth: usize, piece: impl Fn(usize, usize, &mut [u16; BLOCK])) {
        self.begin(rows, depth);
        for first_row in (0..rows).step_by(BLOCK) {
            self.starts.push(self.tiles.len());
            for first in (0..depth).step_by(BLOCK) {
                let mut pair = ZERO;
                for i in 0..BLOCK.min(rows - first_row) {
                    piece(first_row + i, first, &mut pair[i / SIDE].0[i % SIDE]);
                }
                self.push(first / BLOCK, &pair);
            }
        }
        self.starts.push(self.tiles.len());
    }

    /// Becomes the transpose of `other`.
    #[inline(always)]
    fn transpose_of(&mut self, other: &Self) {
        self.begin(other.depth, other.rows);
        for number in 0..other.depth.div_ceil(BLOCK) as u32 {
            self.starts.push(self.tiles.len());
            for (step, BlockOfRows { tiles, steps, .. }) in other.blocks().enumerate() {
                if let Ok(at) = steps.binary_search(&number) {
                    self.push(step, &transposed(&tiles[at]));
                }
            }
        }
        self.starts.push(self.tiles.len());
    }

    /// Forgets what was packed, for a matrix of `rows` x `depth`.
    #[inline(always)]
    fn begin(&mut self, rows: usize, depth: usize) {
        (self.rows, self.depth) = (rows, depth);
        self.starts.clear();
        self.steps.clear();
        self.nonzero.clear();
        self.tiles.clear();
        let most = rows.div_ceil(BLOCK) * depth.div_ceil(BLOCK);
        self.steps.reserve(most);
        self.nonzero.reserve(most);
        self.tiles.reserve(most);
    }

    /// Adds the pair of `step` to the last block of rows, unless it is zero.
    #[inline(always)]
    fn push(&mut self, step: usize, pair: &Pair) {
        // What the rows of each group have in common.
        let mut bits = [[0; BLOCK]; BLOCK / GROUP];
        for (i, row) in pair.iter().flat_map(|tile| &tile.0).enumerate() {
            bits[i / GROUP].iter_mut().zip(row).for_each(|(bits, number)| *bits |= number);
        }
        let nonzero = bits.map(|bits| pairs_that_are_on(&bits));
        if nonzero != Nonzero::default() {
            self.steps.push(step as u32);
            self.nonzero.push(nonzero);
            self.tiles.push(*pair);
        }
    }

    /// Moves what is packed into memory of its size.
    fn trim(&mut self) {
        self.steps = self.steps.to_vec();
        self.nonzero = self.nonzero.to_vec();
        self.tiles = self.tiles.to_vec();
    }

    /// How much of the matrix is not zero.
    #[inline(always)]
    fn shares(&self) -> Shares {
        let blocks = self.rows.div_ceil(BLOCK) * self.depth.div_ceil(BLOCK);
        let groups = || self.nonzero.iter().flatten();
        let share = |count: usize, of: usize| count as f64 / (blocks * of) as f64;
        let pairs = groups().map(|group| group.count_ones() as usize).sum();
        let lines = groups().flat_map(|group| group.to_le_bytes()).filter(|&line| line != 0).count();
        Shares {
            tiles: share(self.tiles.len(), 1),
            pairs: share(pairs, SIDE * BLOCK / GROUP),
            lines: share(lines, 2 * BLOCK / GROUP),
        }
    }

    /// The pairs of block `number`, and which steps they hold.
    #[inline(always)]
    fn block(&self, number: usize) -> BlockOfRows<'_> {
        self.pairs(self.starts[number]..self.starts[number + 1])
    }

    #[inline(always)]
    fn pairs(&self, pairs: Range<usize>) -> BlockOfRows<'_> {
        let (steps, nonzero) = (&self.steps[pairs.clone()], &self.nonzero[pairs.clone()]);
        BlockOfRows { tiles: &self.tiles[pairs], steps, nonzero }
    }

    /// The pairs of each block, and which steps they hold.
    #[inline(always)]
    fn blocks(&self) -> impl Iterator<Item = BlockOfRows<'_>> {
        self.starts.windows(2).map(|ends| self.pairs(ends[0]..ends[1]))
    }

    /// Writes the matrix back, row-major.
    #[inline(always)]
    fn unpack(&self, dense: &mut Vec<f32>) {
        dense.clear();
        dense.resize(self.rows * self.depth, 0.0);
        for (block, BlockOfRows { tiles, steps, .. }) in dense.chunks_mut(BLOCK * self.depth).zip(self.blocks()) {
            for (pair, &step) in tiles.iter().zip(steps) {
                for (i, row) in block.chunks_exact_mut(self.depth).enumerate() {
                    let from = &pair[i / SIDE].0[i % SIDE];
                    row[step as usize * BLOCK..].iter_mut().zip(from).for_each(|(to, &bits)| *to = from_bf16(bits));
                }
            }
        }
    }
}

/// The weights of a layer: for each column panel of 32 units, a pair of tiles for each 32 inputs.
pub struct Weights {
    /// Pairs of one column panel.
    steps: usize,
    tiles: Vec<Pair>,
}

impl Weights {
    #[inline(always)]
    fn panel(&self, j: usize) -> &[Pair] {
        &self.tiles[j * self.steps..][..self.steps]
    }
}

/// The 32 x 32 numbers of a pair, rows as columns.
#[inline(always)]
fn transposed(pair: &Pair) -> Pair {
    let mut to = ZERO;
    for (s, row) in pair.iter().flat_map(|tile| &tile.0).enumerate() {
        for (i, &number) in row.iter().enumerate() {
            to[i / SIDE].0[i % SIDE][s] = number;
        }
    }
    to
}

/// Copies up to 32 floats over the first of `to`.
#[inline(always)]
fn copy_piece(from: &[f32], to: &mut [f32; BLOCK]) {
    match from.first_chunk::<BLOCK>() {
        // A copy of known length is no call.
        Some(from) => *to = *from,
        None => to[..from.len()].copy_from_slice(from),
    }
}

/// Rounds up to 32 floats over the first of `to`.
#[inline(always)]
fn round_piece(from: &[f32], to: &mut [u16; BLOCK]) {
    match from.first_chunk::<BLOCK>() {
        // A loop of known length becomes a few instructions.
        Some(from) => to.iter_mut().zip(from).for_each(|(to, &value)| *to = round_to_bf16(value)),
        None => to.iter_mut().zip(from).for_each(|(to, &value)| *to = round_to_bf16(value)),
    }
}

/// Which pairs of steps have a number that is not zero, of either sign, where `bits` is what the numbers of each step
/// have in common.
#[inline(always)]
fn pairs_that_are_on(bits: &[u16; BLOCK]) -> u16 {
    let pairs = bits.as_chunks::<2>().0.iter().enumerate();
    pairs.map(|(number, [even, odd])| u16::from((even | odd) << 1 != 0) << number).sum()
}

/// Packs two rows of a right operand, 32 columns of each, as one row of each tile of a pair.
#[inline(always)]
fn pack_columns(pair: &mut Pair, row: usize, even: &[f32; BLOCK], odd: &[f32; BLOCK]) {
    for (half, tile) in pair.iter_mut().enumerate() {
        for column in 0..SIDE {
            tile.0[row][2 * column] = round_to_bf16(even[half * SIDE + column]);
            tile.0[row][2 * column + 1] = round_to_bf16(odd[half * SIDE + column]);
        }
    }
}

/// Packs rows of `k` floats.
struct PackRows<'a> {
    to: &'a mut TileRows,
    rows: &'a [f32],
    k: usize,
}

impl Kernel for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { to, rows, k } = self;
        to.pack(rows.len() / k, k, |row, first, to| round_piece(&rows[row * k..][..k][first..], to));
    }
}

/// Packs the weights of some column panels.
struct PackWeights<'a> {
    panels: &'a mut [Pair],
    /// Pairs of one panel.
    steps: usize,
    /// The number of the first panel.
    first_panel: usize,
    /// k x u, row-major.
    kernel: &'a [f32],
    inputs: ColumnOrder<'a>,
    units: ColumnOrder<'a>,
}

impl Kernel for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { panels, steps, first_panel, kernel, inputs, units } = self;
        let (k, u) = (inputs.count(), units.count());
        for first in (0..k).step_by(2) {
            for (j, panel) in (first_panel..).zip(panels.chunks_exact_mut(steps)) {
                let columns = j * BLOCK..u.min((j + 1) * BLOCK);
                let mut rows = [[0.0; BLOCK]; 2];
                for (to, packed) in rows.iter_mut().zip(first..k) {
                    let input = match inputs {
                        ColumnOrder::Natural(_) => packed,
                        ColumnOrder::Permuted(order) => order[packed] as usize,
                    };
                    let from = &kernel[input * u..][..u];
                    match units {
                        ColumnOrder::Natural(_) => copy_piece(&from[columns.clone()], to),
                        ColumnOrder::Permuted(order) => {
                            for (to, &unit) in to.iter_mut().zip(&order[columns.clone()]) {
                                *to = from[unit as usize];
                            }
                        }
                    }
                }
                pack_columns(&mut panel[first / BLOCK], first / 2 % SIDE, &rows[0], &rows[1]);
            }
        }
    }
}

impl<U: TileUnit> DenseProducts for Bf16<U> {
    type Inputs = Inputs;
    type Weights = Weights;
    type Element = Pair;
    type D = Kept;

    /// A tile of dW is loaded and stored once for 16 products of each of its tiles; a panel of D takes 32 KiB of L1.
    const STRIP_ROWS: usize = STRIP_ROWS;

    const Z_ROWS: usize = BLOCK;

    const OVERLAPS: bool = U::RUNS_BESIDE_VECTORS;

    const TILE_ROWS: usize = BLOCK;

    /// Half a unit in the last of eight places, at most.
    const INPUT_ROUNDING: f64 = 1.0 / 256.0;

    /// A tile holds 16 rows x 32 inputs.
    const ORDERS_INPUTS: bool = true;

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.run(kernel)
    }

    /// Both operands are off by at most 2^-8 of themselves, half a unit in their last place; the sum is one of f32.
    fn rounding(self, k: usize) -> f64 {
        let operand = Self::INPUT_ROUNDING;
        operand * (2.0 + operand) + super::f32_rounding(k)
    }

    fn pack(self, rows: &[f32], k: usize, inputs: &mut Inputs) {
        assert!(k > 0 && rows.len().is_multiple_of(k), "whole rows of {k}");
        self.run(PackRows { to: &mut inputs.forward, rows, k });
        (inputs.is_transposed, inputs.is_trimmed) = (false, false);
    }

    fn is_transposed(self, inputs: &Inputs) -> bool {
        inputs.is_transposed
    }

    /// The dense form multiplies all units with what the tile unit does not leave out of the rows; the sparse form, in
    /// f32, those that are on with lines of 16 inputs that are not all zero.
    #[inline(always)]
    fn sparse_share(self, inputs: &Inputs) -> f64 {
        let Shares { tiles, pairs, lines } = inputs.forward.shares();
        let multiplied = if U::LEAVES_OUT_PAIRS { pairs } else { tiles };
        multiplied / (lines * U::COST_OF_SPARSE)
    }

    #[inline(always)]
    fn unpack(self, inputs: &Inputs, rows: &mut Vec<f32>) {
        inputs.forward.unpack(rows);
    }

    #[inline(always)]
    fn transpose(self, inputs: &mut Inputs, rows: &[f32], order: ColumnOrder<'_>) {
        let Inputs { forward, transposed, .. } = inputs;
        match order {
            ColumnOrder::Natural(_) => transposed.transpose_of(forward),
            ColumnOrder::Permuted(order) => {
                let k = order.len();
                transposed.pack(k, rows.len() / k, |input, first, to| {
                    let column = rows[first * k + order[input] as usize..].iter().step_by(k);
                    to.iter_mut().zip(column).for_each(|(to, &value)| *to = round_to_bf16(value));
                });
            }
        }
        if inputs.is_trimmed {
            inputs.transposed.trim();
        }
        inputs.is_transposed = true;
    }

    fn trim(self, inputs: &mut Inputs) {
        inputs.forward.trim();
        inputs.is_trimmed = true;
    }

    fn weights(self, k: usize, u: usize) -> Weights {
        let steps = k.div_ceil(BLOCK);
        Weights { steps, tiles: vec![ZERO; steps * u.div_ceil(BLOCK)] }
    }

    fn load(self, weights: &mut Weights, kernel: &[f32], (inputs, units): (ColumnOrder<'_>, ColumnOrder<'_>)) {
        let steps = weights.steps;
        let groups = weights.tiles.par_chunks_mut(steps * PACKED_TOGETHER).enumerate();
        groups.for_each(|(group, panels)| {
            let first_panel = group * PACKED_TOGETHER;
            self.run(PackWeights { panels, steps, first_panel, kernel, inputs, units });
        });
    }

    fn panels_of_weights(self, weights: &mut Weights) -> PanelsMut<'_, Pair> {
        PanelsMut::new(&mut weights.tiles, weights.steps)
    }

    #[inline(always)]
    fn load_rows<S: Simd>(
        self,
        simd: S,
        weights: &mut PanelsMut<'_, Pair>,
        (j, first): (usize, usize),
        rows: &[S::Vector],
    ) {
        let mut two = [[0.0; BLOCK]; 2];
        for (to, &row) in two.iter_mut().zip(rows) {
            simd.store(to, row);
        }
        pack_columns(&mut weights.panel(j)[first / BLOCK], first / 2 % SIDE, &two[0], &two[1]);
    }

    /// A block of rows stays in L1 while the weights pass, panel by panel, from L2.
    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        inputs: &Inputs,
        block: Range<usize>,
        weights: &Weights,
        panels: Range<usize>,
        z: &mut ColumnPanels,
    ) {
        let rows = inputs.forward.block(block.start / BLOCK);
        executed::count(rows.multiply_adds::<U>() * panels.len());
        let BlockOfRows { tiles: a, steps, nonzero } = rows;
        for j in panels {
            let (b, c) = (weights.panel(j), z.panel_mut(j));
            self.0.multiply(simd, Product { a, steps, nonzero, b, c, adds: false, streamed: Streamed::B });
        }
    }

    #[inline(always)]
    fn keep<S: Simd>(self, _: S, (block, rows): (Range<usize>, usize), panels: usize, z: &ColumnPanels, d: &mut Kept) {
        d.fit(rows.div_ceil(BLOCK), z.count());
        let step = block.start / BLOCK;
        for j in 0..panels {
            let (rows, _) = z.panel(j)[..block.len() * BLOCK].as_chunks::<BLOCK>();
            let pair = &mut d.tiles[j * d.steps + step];
            for (number, two) in rows.chunks(2).enumerate() {
                let odd = two.get(1).unwrap_or(&[0.0; BLOCK]);
                pack_columns(pair, number, &two[0], odd);
            }
            for number in rows.len().div_ceil(2)..SIDE {
                pair.iter_mut().for_each(|tile| tile.0[number] = [0; BLOCK]);
            }
        }
    }

    /// A panel of D stays in L1 while all blocks of X^T pass.
    #[inline(always)]
    fn accumulate<S: Simd>(
        self,
        simd: S,
        inputs: &Inputs,
        (_, d): (&ColumnPanels, &Kept),
        is_on: impl Fn(usize) -> bool,
        (gradient, adds): (&mut PanelsMut<'_>, bool),
    ) {
        let mut panels = 0;
        for j in gradient.numbers() {
            if !is_on(j) {
                if !adds {
                    gradient.panel(j).fill(0.0);
                }
                continue;
            }
            panels += 1;
            let b = &d.tiles[j * d.steps..][..d.steps];
            let c = gradient.panel(j).chunks_exact_mut(BLOCK * BLOCK);
            for (BlockOfRows { tiles: a, steps, nonzero }, c) in inputs.transposed.blocks().zip(c) {
                self.0.multiply(simd, Product { a, steps, nonzero, b, c, adds, streamed: Streamed::A });
            }
        }
        let multiply_adds: usize = inputs.transposed.blocks().map(|rows| rows.multiply_adds::<U>()).sum();
        executed::count(multiply_adds * panels);
    }
}

/// D of one strip: for each column panel of 32 units, a pair of tiles for each 32 rows.
#[derive(Default)]
pub struct Kept {
    /// Pairs of one column panel.
    steps: usize,
    tiles: Vec<Pair>,
}

impl Kept {
    /// Makes room for `steps` pairs of each of `panels` column panels.
    #[inline(always)]
    fn fit(&mut self, steps: usize, panels: usize) {
        self.steps = steps;
        if self.tiles.len() < steps * panels {
            self.tiles.resize(steps * panels, ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::tile::Decoded;

    #[test]
    fn the_share_to_become_sparse_at_is_work_by_work() {
        let products = Bf16(Decoded(Isa::best()));
        let (rows, k) = (64, 64);
        let mut inputs = Inputs::default();
        // One of four pairs of tiles, in it one pair of steps of one group of rows.
        let mut dense = vec![0.0; rows * k];
        dense[40 * k + 7] = 1.0;
        products.pack(&dense, k, &mut inputs);
        let Shares { tiles, pairs, lines } = inputs.forward.shares();
        assert_eq!((tiles, pairs, lines), (1.0 / 4.0, 1.0 / (4.0 * 4.0 * 16.0), 1.0 / (4.0 * 4.0 * 2.0)));
        assert_eq!(products.sparse_share(&inputs), tiles / lines / Decoded::COST_OF_SPARSE);
        dense.fill(1.0);
        products.pack(&dense, k, &mut inputs);
        assert_eq!(products.sparse_share(&inputs), 1.0 / Decoded::COST_OF_SPARSE);
        dense.fill(0.0);
        products.pack(&dense, k, &mut inputs);
        assert!(products.sparse_share(&inputs).is_nan(), "nothing is below it: a strip of zeros stays dense");
    }
}
