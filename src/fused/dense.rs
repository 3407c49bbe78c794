//! The dense-products seam: what a number format, or a matrix unit, must do for a strip in which every unit is
//! computed.
//!
//! ```text
//! pack        the strip's rows, once for each batch
//! load        the layer's weights, once for each step, or
//! load_rows   some of them, as the step of a mini-batch leaves them
//! forward     Z  = X W          Z in column panels of NR, not yet scaled, for a block of rows
//!                               (the epilogue, shared by all formats, turns Z into D in place)
//! keep        D                 in the form in which the gradient product takes it
//! accumulate  dW += X^T D       dW in column panels of NR; the first strip of a sum begins it
//! rounding                      how far a computed z may be off: what keeps the bounds of units exact
//! ```
//!
//! Everything around these (strips, parts, the epilogue, the sums, the sparse form, what is known of units from step to
//! step) is written once, over this trait. [`F32`] is the format every CPU has, [`Bf16`] that of matrix
//! units.

mod bf16;
mod f32;

pub use self::bf16::Bf16;
pub use self::f32::F32;

use std::ops::Range;

use super::packing::{ColumnOrder, ColumnPanels, LinePanels, PanelsMut, RowPanels};
use crate::simd::{Kernel, Simd};

/// One number format's dense products.
///
/// Letters: `rows` base rows of a strip, `k` inputs, `u` units. [`DenseProducts::run`] hands kernels vectors of NR
/// floats, as wide as a column panel of Z, D and dW; NR is at most 64. A strip is packed, trimmed if its batch stays,
/// and transposed before its first gradient.
///
/// [`DenseProducts::transpose`], [`DenseProducts::load_rows`], [`DenseProducts::forward`], [`DenseProducts::keep`] and
/// [`DenseProducts::accumulate`] run inside a kernel: they are `#[inline(always)]`, or they would be compiled without
/// the instruction set.
pub trait DenseProducts: Copy + Send + Sync + 'static {
    /// The rows of one strip, packed.
    type Inputs: Default + Send + Sync;

    /// The weights of a layer, packed for all strips.
    type Weights: Send + Sync;

    /// What the column panels of the packed weights are made of.
    type Element: Send;

    /// D of one strip, as the gradient product takes it; `()` where that is Z's own memory.
    type D: Default + Send + Sync;

    /// The most base rows of a strip, a multiple of [`DenseProducts::TILE_ROWS`].
    const STRIP_ROWS: usize;

    /// Base rows whose Z is computed at a time, before the epilogue takes it: a multiple of
    /// [`DenseProducts::TILE_ROWS`]; all rows of a strip where D is Z's own memory.
    const Z_ROWS: usize;

    /// Whether products of one block of rows go between the rows of another in the epilogue.
    const OVERLAPS: bool;

    /// Rows of a tile: Z has those of its block and dW those of the inputs, rounded up to whole tiles. What the rows
    /// beyond hold is never read.
    const TILE_ROWS: usize;

    /// The relative error of a packed input: so much longer than the recipe says can a row be.
    const INPUT_ROUNDING: f64;

    /// Whether the rows of a batch that stays are packed in the order of the lines of sparse strips: worth it where
    /// whole tiles are left out that hold nothing but zeros.
    const ORDERS_INPUTS: bool;

    /// Runs `kernel` with the instruction set switched on, on vectors of NR floats. Such kernels do not nest, see
    /// [`TileUnit::run`](crate::tile::TileUnit::run); those of [`Simd::run`] may run inside one.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// The relative error of a computed `z`: it is off by at most this times the norm of the normalised row times that
    /// of the unit's weights and bias, whatever the order of the `k` products. The bounds of dense strips take the
    /// larger of this and [`f32_rounding`]; sparse strips compute in f32.
    fn rounding(self, k: usize) -> f64;

    /// Packs `rows`, rows x k, row-major, in place of what was packed, which was transposed or not: this is not yet.
    fn pack(self, rows: &[f32], k: usize, inputs: &mut Self::Inputs);

    /// Whether the transpose of the rows has been packed.
    fn is_transposed(self, inputs: &Self::Inputs) -> bool;

    /// A strip of these rows becomes sparse where less than this share of its units are on: the faster the dense
    /// products, the smaller.
    fn sparse_share(self, inputs: &Self::Inputs) -> f64;

    /// Writes the rows back over `rows`: rows x k, row-major, as the format has rounded them.
    fn unpack(self, inputs: &Self::Inputs, rows: &mut Vec<f32>);

    /// Packs the transpose of `rows` for [`DenseProducts::accumulate`]: k x rows, the inputs in `order`. The rows are
    /// those that were packed, or what [`DenseProducts::unpack`] gives. Trims the transpose as well, if the rows have
    /// been trimmed.
    fn transpose(self, inputs: &mut Self::Inputs, rows: &[f32], order: ColumnOrder<'_>);

    /// Moves what is packed into memory of its size, for a batch that stays.
    fn trim(self, inputs: &mut Self::Inputs);

    /// The rows in lines, for the sparse form; packed column `i` becomes `positions[i]` of a line.
    fn lines(self, inputs: &Self::Inputs, positions: &[usize]) -> LinePanels {
        let (mut rows, mut panels) = (Vec::new(), RowPanels::<u32>::default());
        self.unpack(inputs, &mut rows);
        panels.pack(&rows, positions.len());
        LinePanels::pack(&panels, positions)
    }

    /// Weights of `k` x `u` zeros.
    fn weights(self, k: usize, u: usize) -> Self::Weights;

    /// Takes in the row-major k x u matrix `kernel`: its rows in the order of `inputs`, which is not the natural one
    /// only where the format orders them, and its columns in that of `units`. Columns beyond `u` stay zero.
    fn load(self, weights: &mut Self::Weights, kernel: &[f32], orders: (ColumnOrder<'_>, ColumnOrder<'_>));

    /// The column panels of the packed weights, to be written.
    fn panels_of_weights(self, weights: &mut Self::Weights) -> PanelsMut<'_, Self::Element>;

    /// Takes in two rows of a column panel, in the natural order of inputs and units: of panel `j` the rows `first`, an
    /// even number, and `first + 1`, or `first` alone where it is the last. They become what [`DenseProducts::load`]
    /// makes of them.
    fn load_rows<S: Simd>(
        self,
        simd: S,
        weights: &mut PanelsMut<'_, Self::Element>,
        panel_and_row: (usize, usize),
        rows: &[S::Vector],
    );

    /// `z = X W` for the base rows `block`, [`DenseProducts::Z_ROWS`] of them or what is left of the strip, and the
    /// column panels `panels`, zero in columns beyond `u`. Row 0 of `z` is the first of the block.
    fn forward<S: Simd>(
        self,
        simd: S,
        inputs: &Self::Inputs,
        block: Range<usize>,
        weights: &Self::Weights,
        panels: Range<usize>,
        z: &mut ColumnPanels,
    );

    /// Keeps the first `panels` column panels of D of some base rows, which are where their Z was: a block, and how
    /// many rows the whole strip has.
    fn keep<S: Simd>(
        self,
        simd: S,
        block_of_rows: (Range<usize>, usize),
        panels: usize,
        z: &ColumnPanels,
        d: &mut Self::D,
    );

    /// `gradient = X^T D`, or `gradient += ` that where the flag behind it says so, for the column panels of
    /// `gradient`, k (rounded up to whole tiles) x u. Those whose units `is_on` says are off in every row take part
    /// with zeros: their D must not be read, because it is that of another step. So is what D holds in rows beyond the
    /// strip's. The strip has been transposed.
    fn accumulate<S: Simd>(
        self,
        simd: S,
        inputs: &Self::Inputs,
        d: (&ColumnPanels, &Self::D),
        is_on: impl Fn(usize) -> bool,
        gradient: (&mut PanelsMut<'_>, bool),
    );
}

/// The blocks of `rows` base rows whose Z a format computes at a time.
pub fn blocks<P: DenseProducts>(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(P::Z_ROWS).map(move |first| first..rows.min(first + P::Z_ROWS))
}

/// The relative error of a sum in f32 of products of `k` inputs, a label and a bias, whatever its order: twice the
/// usual bound of half a unit in the last place for each operation.
pub fn f32_rounding(k: usize) -> f64 {
    (k + 4) as f64 * f64::from(f32::EPSILON)
}

/// The most rows of a strip of a format, and the rows of a tile.
pub fn rows<P: DenseProducts>(_: P) -> (usize, usize) {
    (P::STRIP_ROWS, P::TILE_ROWS)
}

/// NR of a format: the floats of a row of its column panels.
pub fn nr<P: DenseProducts>(products: P) -> usize {
    struct Lanes;

    impl Kernel for Lanes {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            S::LANES
        }
    }

    products.run(Lanes)
}

#[cfg(test)]
mod tests;
