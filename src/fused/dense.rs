//! The dense-products seam: what a number format, or a matrix unit, must do for a strip in which every unit is
//! computed.
//!
//! ```text
//! pack        the strip's rows, once for each batch
//! load        the layer's weights, once for each step
//! forward     Z  = X W          Z in column panels of NR, not yet scaled
//!                               (the epilogue, shared by all formats, turns Z into D in place)
//! accumulate  dW += X^T D       dW in column panels of NR
//! rounding                      how far a computed z may be off: what keeps the bounds of units exact
//! ```
//!
//! Everything around these (strips, parts, the epilogue, the sums, the sparse form, what is known of units from step to
//! step) is written once, over this trait. [`f32`](F32) is the format every CPU has.

mod f32;

pub use self::f32::F32;

use super::packing::{ColumnOrder, ColumnPanels, LinePanels, PanelsMut};
use crate::simd::{Kernel, Simd};

/// One number format's dense products.
///
/// Letters: `rows` base rows of a strip, `k` inputs, `u` units. [`DenseProducts::run`] hands kernels vectors of NR
/// floats, as wide as a column panel of Z, D and dW.
pub trait DenseProducts: Copy + Send + Sync + 'static {
    /// The rows of one strip, packed.
    type Inputs: Default + Send + Sync;

    /// The weights of a layer, packed for all strips.
    type Weights: Send + Sync;

    /// The most base rows of a strip.
    const STRIP_ROWS: usize;

    /// Runs `kernel` with the instruction set switched on, on vectors of NR floats.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// The relative error of a computed `z`: it is off by at most this times the norm of the normalised row times that
    /// of the unit's weights and bias, whatever the order of the `k` products.
    fn rounding(self, k: usize) -> f64;

    /// Packs `rows`, rows x k, row-major, in place of what was packed.
    fn pack(self, rows: &[f32], k: usize, inputs: &mut Self::Inputs);

    /// Whether the transpose of the rows has been packed.
    fn is_transposed(self, inputs: &Self::Inputs) -> bool;

    /// Writes the rows back, rows x k, row-major, over `rows`.
    fn unpack(self, inputs: &Self::Inputs, rows: &mut Vec<f32>);

    /// Packs the transpose of `rows`, those that were packed, for [`DenseProducts::accumulate`]: k x rows, the inputs
    /// in `order`.
    fn transpose(self, inputs: &mut Self::Inputs, rows: &[f32], order: ColumnOrder<'_>);

    /// Moves what is packed into memory of its size, for a batch that stays.
    fn trim(self, inputs: &mut Self::Inputs);

    /// The rows in lines, for the sparse form; input `i` becomes packed column `positions[i]`.
    fn lines(self, inputs: &Self::Inputs, positions: &[usize]) -> LinePanels;

    /// Weights of `k` x `u` zeros.
    fn weights(self, k: usize, u: usize) -> Self::Weights;

    /// Takes in the row-major k x u matrix `kernel`, its columns in the order of `units`.
    fn load(self, weights: &mut Self::Weights, kernel: &[f32], units: ColumnOrder<'_>);

    /// `z = X W` for the first `panels` column panels of `z`, which has at least the strip's rows (rounded up to those
    /// of a tile).
    fn forward<S: Simd>(
        self,
        simd: S,
        inputs: &Self::Inputs,
        weights: &Self::Weights,
        panels: usize,
        z: &mut ColumnPanels,
    );

    /// `gradient += X^T D` for the column panels of `gradient`, k (rounded up to those of a tile) x u, whose units
    /// `is_on` says are on in some row; the others contribute nothing. The strip has been transposed.
    fn accumulate<S: Simd>(
        self,
        simd: S,
        inputs: &Self::Inputs,
        d: &ColumnPanels,
        is_on: impl Fn(usize) -> bool,
        gradient: &mut PanelsMut<'_>,
    );
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
