//! The blocks of a dense strip on their way from Z to D.
//!
//! ```text
//! products    Z of block 0 | panels of Z of block 1          | panels of Z of block 2          | ...
//! epilogue                 | between them, rows of block 0   | between them, rows of block 1   | ...
//! ```
//!
//! A tile unit works through the products that it has been given while the vectors go on with the epilogue's rows, as
//! far as the CPU looks ahead: some hundred instructions. So the two alternate panel by panel, in two buffers of Z.
//! Where the vectors compute the products as well, there is nothing to overlap: each block goes through its products,
//! then through the epilogue, in one buffer.

use std::ops::Range;

use super::dense::{self, DenseProducts};
use super::epilogue::{DenseSums, Epilogue, LayerView, side_by_side};
use super::packing::ColumnPanels;
use super::rows::Rows;
use crate::recipe::LossOfRows;
use crate::simd::Simd;

/// Z, then D, of two blocks of rows in turn: Z rows x u each.
pub struct ZBlocks {
    pub even: ColumnPanels,
    odd: ColumnPanels,
}

impl ZBlocks {
    /// Without rows, for `u` units in column panels of `nr`.
    pub fn new(u: usize, nr: usize) -> Self {
        Self { even: ColumnPanels::zeros(0, u, nr), odd: ColumnPanels::zeros(0, u, nr) }
    }

    /// Makes room for strips of `rows` base rows, whole tiles.
    pub fn fit<P: DenseProducts>(&mut self, rows: usize) {
        self.even.reshape(rows.min(P::Z_ROWS));
        let odd = if P::OVERLAPS { rows.saturating_sub(P::Z_ROWS) } else { 0 };
        self.odd.reshape(odd.min(P::Z_ROWS));
    }
}

/// A dense strip between its two products.
pub struct ZToD<'a, P: DenseProducts> {
    pub rows: &'a Rows,
    pub inputs: &'a P::Inputs,
    pub products: P,
    pub weights: &'a P::Weights,
    pub view: LayerView<'a>,
    pub z: &'a mut ZBlocks,
    /// Activations, see [`Epilogue::h`].
    pub h: &'a mut ColumnPanels,
    /// Each unit's largest `z`: 1 x u.
    pub largest: &'a mut ColumnPanels,
}

impl<P: DenseProducts> ZToD<'_, P> {
    /// The first block of rows.
    pub fn first_block(&self) -> Range<usize> {
        0..self.rows.count().min(P::Z_ROWS)
    }

    /// Computes Z of `block` in the even buffer.
    #[inline(always)]
    pub fn forward<S: Simd>(&mut self, simd: S, block: Range<usize>) {
        let panels = 0..self.view.panels;
        self.products.forward(simd, self.inputs, block, self.weights, panels, &mut self.z.even);
    }

    /// The share of units that are on in the first block, whose Z has been computed.
    #[inline(always)]
    pub fn share_on<S: Simd>(&mut self, simd: S) -> f64 {
        let (rows, block, layer) = (self.rows, self.first_block(), self.view);
        let Self { z, h, largest, .. } = self;
        Epilogue { rows, block, layer, z: &mut z.even, h, largest }.share_on(simd)
    }

    /// Turns the strip's Z, of which that of the first block has been computed, into D, and adds its loss, bias and
    /// label gradients to `sums`. Where asked for, writes the activations (output rows x u).
    #[inline(always)]
    pub fn gradient<S: Simd>(
        self,
        simd: S,
        loss: &LossOfRows,
        sums: &mut DenseSums,
        mut outputs: Option<&mut [f32]>,
        d: &mut P::D,
    ) {
        let Self { rows, inputs, products, weights, view, z, h, largest } = self;
        let count = rows.count();
        let ZBlocks { even, odd } = z;
        let (mut now, mut next) = (even, odd);
        for block in dense::blocks::<P>(count) {
            let following = block.end..if P::OVERLAPS { count.min(block.end + P::Z_ROWS) } else { block.end };
            let mut computed = 0;
            if !P::OVERLAPS && block.start > 0 {
                products.forward(simd, inputs, block.clone(), weights, 0..view.panels, now);
            }
            // As few rows as can be stand between two products. Where no products follow, one call takes all rows.
            let step = if following.is_empty() { block.len() } else { side_by_side(rows.variants()) };
            for first in block.clone().step_by(step) {
                let some = first..block.end.min(first + step);
                if !following.is_empty() {
                    let panels = view.panels * (some.end - block.start) / block.len();
                    products.forward(simd, inputs, following.clone(), weights, computed..panels, next);
                    computed = panels;
                }
                let epilogue = Epilogue { rows, block: block.clone(), layer: view, z: now, h, largest };
                epilogue.gradient(simd, some, loss, sums, outputs.as_deref_mut());
            }
            products.keep(simd, (block, count), view.panels, now, d);
            if P::OVERLAPS {
                std::mem::swap(&mut now, &mut next);
            }
        }
    }
}
