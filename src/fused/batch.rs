//! A batch, cut into parts and strips and packed: what it needs to be run forward, whatever comes afterwards.

use rayon::prelude::*;
use std::ops::Range;

use super::buffers::Buffers;
use super::dense::DenseProducts;
use super::input_orders::count_inputs;
use super::packing::ColumnOrder;
use super::strip::{self, Strip};
use crate::backend::Use;
use crate::batch::{Input, Overlay};
use crate::recipe::Recipe;

/// Parts of a batch that stays, each of which has gradient sums of its own. A fixed number makes the sum independent of
/// the threads; 32 keep 16 threads busy with two parts each and cost 32 x 1.6 MB of traffic for a 784 x 500 layer,
/// about 2% of its step on two cores.
pub const PARTS: usize = 32;

/// [`Units`](super::units::Units) keeps a bit for each part.
const _: () = assert!(PARTS <= u32::BITS as usize);

/// Memory that the partial sums of a wide layer may take, one of its dense and one of its sparse strips for each part;
/// it gets fewer parts, but at least [`MIN_PARTS`].
const PARTIALS_BYTES: usize = 1 << 30;

/// The fewest parts a wide layer is cut into: the threads that can work on it.
const MIN_PARTS: usize = 4;

/// The fewest rows worth a partial sum of their own: clearing and adding up a k x u sum moves some 16 bytes for each
/// weight, which costs about as much time as 25 dense rows of 4 operations for each weight.
const MIN_PART_ROWS: usize = 64;

/// Rows of a strip of a mini-batch: the weights stream past each strip, 4 bytes for 128 operations, or 1 GB/s for each
/// 32 GFLOP/s, from L2 or L3; and a batch of 128 images makes strips for two threads.
const ONE_STEP_ROWS: usize = 64;

/// How the base rows of a batch are cut, by its shape alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    rows: usize,
    part_rows: usize,
    strip_rows: usize,
}

impl Cut {
    /// Cuts `rows` base rows of a layer of `weights` weights into parts, and each part into strips of at most `most`
    /// rows of nearly equal size, all of them multiples of `whole` but the last, as `most` is.
    fn new(rows: usize, weights: usize, (most, whole): (usize, usize), wanted: Use) -> Self {
        if wanted == Use::OneStep {
            let strip_rows = ONE_STEP_ROWS.next_multiple_of(whole).min(most);
            return Self { rows, part_rows: strip_rows, strip_rows };
        }
        let parts = (PARTIALS_BYTES / (2 * weights * size_of::<f32>())).clamp(MIN_PARTS, PARTS);
        let part_rows = rows.div_ceil(parts).max(MIN_PART_ROWS).next_multiple_of(whole);
        let strips = part_rows.div_ceil(most);
        Self { rows, part_rows, strip_rows: part_rows.div_ceil(strips).next_multiple_of(whole) }
    }

    /// Number of parts.
    fn parts(self) -> usize {
        self.rows.div_ceil(self.part_rows)
    }

    /// The base rows of each strip of part `part`.
    fn strips(self, part: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
        let (start, end) = (part * self.part_rows, self.rows.min((part + 1) * self.part_rows));
        (start..end).step_by(self.strip_rows).map(move |first| first..end.min(first + self.strip_rows))
    }
}

/// What a batch's inputs are like, for what is decided once for many steps.
pub struct Survey {
    /// In how many base rows of each part each input is not zero: parts x k.
    pub counts: Vec<Vec<u32>>,
    /// Whether no input is negative.
    pub nonnegative: bool,
}

/// The strips of a batch.
pub struct PackedBatch<P: DenseProducts> {
    /// Each part's strips.
    pub parts: Vec<Vec<Strip<P>>>,
    /// Parts of a larger batch before, whose memory the next one takes.
    spare: Vec<Vec<Strip<P>>>,
    /// Samples, `n`.
    pub samples: usize,
    /// Rows of one sample, `v`.
    pub variants: usize,
    /// Label pixels whose weights are no part of the product.
    pub label_pixels: usize,
    /// The most base rows of a strip.
    pub strip_rows: usize,
}

impl<P: DenseProducts> PackedBatch<P> {
    /// No rows.
    pub fn empty() -> Self {
        Self { parts: Vec::new(), spare: Vec::new(), samples: 0, variants: 1, label_pixels: 0, strip_rows: 0 }
    }

    /// Packs `input` for a layer of `u` units, in the memory of the batch before where that suffices.
    pub fn pack(
        &mut self,
        products: P,
        recipe: &Recipe,
        input: &Input<'_>,
        (u, wanted): (usize, Use),
        buffers: &mut Buffers<P>,
    ) {
        let cut = self.cut(input, u, wanted, buffers);
        let shared = &*buffers;
        self.parts.par_iter_mut().enumerate().for_each(|(part, strips)| {
            let room = &mut shared.of_this_thread().room;
            for (rows, strip) in cut.strips(part).zip(strips) {
                strip.pack(products, recipe, (input, ColumnOrder::Natural(input.k())), rows, room);
                if wanted == Use::OneStep {
                    strip.transpose(products, room);
                }
            }
        });
    }

    /// Cuts `input`, a batch that stays, for a layer of `u` units, and looks at the inputs.
    pub fn survey(&mut self, recipe: &Recipe, input: &Input<'_>, u: usize, buffers: &mut Buffers<P>) -> (Cut, Survey) {
        let cut = self.cut(input, u, Use::ManySteps, buffers);
        let shared = &*buffers;
        let look = |(part, strips): (usize, &mut Vec<Strip<P>>)| {
            let room = &mut shared.of_this_thread().room;
            let mut counts = vec![0; input.k()];
            let mut nonnegative = true;
            for (rows, strip) in cut.strips(part).zip(strips) {
                strip.rows.take(recipe, input, rows, room);
                count_inputs(room, &mut counts);
                nonnegative &= room.iter().all(|&value| value >= 0.0);
            }
            (counts, nonnegative)
        };
        let parts: Vec<_> = self.parts.par_iter_mut().enumerate().map(look).collect();
        let nonnegative = parts.iter().all(|&(_, nonnegative)| nonnegative);
        (cut, Survey { counts: parts.into_iter().map(|(counts, _)| counts).collect(), nonnegative })
    }

    /// As [`PackedBatch::pack`], for a batch that stays: packs the inputs in `order`, and trims each strip.
    pub fn pack_to_stay(
        &mut self,
        products: P,
        recipe: &Recipe,
        input: &Input<'_>,
        (cut, order): (Cut, ColumnOrder<'_>),
        buffers: &mut Buffers<P>,
    ) {
        let shared = &*buffers;
        self.parts.par_iter_mut().enumerate().for_each(|(part, strips)| {
            let room = &mut shared.of_this_thread().room;
            for (rows, strip) in cut.strips(part).zip(strips) {
                strip.pack(products, recipe, (input, order), rows, room);
                strip.trim(products);
            }
        });
    }

    /// Cuts `input`, has a strip for each cut, and fits the buffers.
    fn cut(&mut self, input: &Input<'_>, u: usize, wanted: Use, buffers: &mut Buffers<P>) -> Cut {
        (self.samples, self.variants) = (input.samples(), input.variants());
        self.label_pixels = match input {
            Input::Images(images) if matches!(images.overlay, Overlay::Labels(_)) => images.classes,
            _ => 0,
        };
        const { assert!(P::STRIP_ROWS.is_multiple_of(P::TILE_ROWS) && P::Z_ROWS.is_multiple_of(P::TILE_ROWS)) };
        let cut = Cut::new(strip::base_rows(input), input.k() * u, (P::STRIP_ROWS, P::TILE_ROWS), wanted);
        let Self { parts, spare, .. } = self;
        spare.extend(parts.drain(cut.parts().min(parts.len())..));
        parts.resize_with(cut.parts(), || spare.pop().unwrap_or_default());
        for (part, strips) in self.parts.iter_mut().enumerate() {
            strips.resize_with(cut.strips(part).len(), Strip::default);
        }
        self.strip_rows = cut.strip_rows.min(cut.rows);
        buffers.fit((self.tile_rows(), input.k()), self.variants_of_base_row());
        cut
    }

    /// Base rows of a strip, rounded up to whole tiles.
    pub fn tile_rows(&self) -> usize {
        self.strip_rows.next_multiple_of(P::TILE_ROWS)
    }

    /// Whether any strip is dense.
    pub fn has_dense(&self) -> bool {
        self.parts.iter().flatten().any(|strip| strip.dense().is_some())
    }

    /// Rows of the batch, `n * v`.
    pub fn rows(&self) -> usize {
        self.samples * self.variants
    }

    /// Variants that share a base row.
    pub fn variants_of_base_row(&self) -> usize {
        if self.label_pixels > 0 { self.variants } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_strip() {
        for (most, whole) in [(256, 4), (512, 32), (33, 3), (32, 32)] {
            for wanted in [Use::Inference, Use::OneStep, Use::ManySteps] {
                for rows in [0, 1, 3, 64, 65, 500, 1_000, 8_193, 60_000] {
                    for weights in [1, 784 * 500, 1 << 28] {
                        let cut = Cut::new(rows, weights, (most, whole), wanted);
                        let strips: Vec<Range<usize>> = (0..cut.parts()).flat_map(|part| cut.strips(part)).collect();
                        assert!(strips.iter().all(|strip| (1..=most).contains(&strip.len())));
                        assert_eq!(strips.iter().map(Range::len).sum::<usize>(), rows);
                        assert!(strips.windows(2).all(|pair| pair[0].end == pair[1].start));
                        assert!(strips.iter().rev().skip(1).all(|strip| strip.len().is_multiple_of(whole)));
                        assert!(wanted == Use::OneStep || cut.parts() <= PARTS);
                    }
                }
            }
        }
    }
}
