//! A batch, cut into parts and strips and packed: what it needs to be run forward, whatever comes afterwards.

use rayon::prelude::*;
use std::ops::Range;

use super::buffers::Buffers;
use super::dense::DenseProducts;
use super::input_orders::count_inputs;
use super::packing::ColumnOrder;
use super::rows::Take;
use super::strip::{self, Strip};
use crate::backend::Use;
use crate::batch::{Input, Overlay};
use crate::ranks::{Parts, Ranks, Share};
use crate::recipe::Recipe;

/// Parts of a batch, each of which has gradient sums of its own. A fixed number makes the sum independent of threads
/// and ranks; 32 keep 16 threads busy with two parts each and cost 32 x 1.6 MB of traffic for a 784 x 500 layer, about
/// 2% of its step on two cores.
const PARTS: usize = 32;

/// The most samples of a part, so that a batch of millions has work for more ranks than [`PARTS`]: a sum of 1.6 MB then
/// stands against 2 x 4 x 4096 operations for each of its weights, a tenth of a second of one core.
const MOST_PART_SAMPLES: usize = 4096;

/// Memory that the partial sums of a wide layer may take, one of its dense and one of its sparse strips for each part;
/// it gets fewer parts, but at least [`MIN_PARTS`].
const PARTIALS_BYTES: usize = 1 << 30;

/// The fewest parts a wide layer is cut into: the threads that can work on it.
const MIN_PARTS: usize = 4;

/// The fewest samples worth a partial sum of their own: clearing and adding up a k x u sum moves some 16 bytes for each
/// weight, which costs about as much time as 25 dense rows of 4 operations for each weight.
const MIN_PART_SAMPLES: usize = 64;

/// Rows of a strip of a mini-batch: the weights stream past each strip, 4 bytes for 128 operations, or 1 GB/s for each
/// 32 GFLOP/s, from L2 or L3; and a batch of 128 images makes strips for two threads.
const ONE_STEP_ROWS: usize = 64;

/// Samples of a part of a batch of `samples` for a layer of `weights` weights, by which its sums are added up: by this
/// shape alone, and for any two layers that of one is a multiple of the other's. Strips have at most `most` rows, a
/// multiple of `whole`.
pub fn part_samples(samples: usize, weights: usize, (most, whole): (usize, usize), wanted: Use) -> usize {
    let least = samples.div_ceil(PARTS).clamp(MIN_PART_SAMPLES, MOST_PART_SAMPLES);
    if wanted == Use::OneStep {
        return least.next_multiple_of(one_step_rows(most, whole));
    }
    let mut part = least.next_multiple_of(whole);
    // More than so many parts are for ranks, each of which has the sums of its own.
    let parts = |part: usize| samples.div_ceil(part).min(PARTS);
    let too_large = |parts: usize| parts > MIN_PARTS && parts * 2 * weights * size_of::<f32>() > PARTIALS_BYTES;
    while too_large(parts(part)) {
        part *= 2;
    }
    part
}

/// Rows of a strip of a mini-batch, of which there may be at most `most`.
fn one_step_rows(most: usize, whole: usize) -> usize {
    ONE_STEP_ROWS.next_multiple_of(whole).min(most)
}

/// How the base rows of a share of a batch are cut, by the shape of the whole batch alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    rows: usize,
    part_rows: usize,
    strip_rows: usize,
}

impl Cut {
    /// Cuts `rows` base rows into parts of at most `part` rows, and each part into strips of at most `most` rows of
    /// nearly equal size, all of them multiples of `whole` but the last, as `most` is. For one step, each strip is a
    /// part by itself.
    fn new(rows: usize, part: usize, (most, whole): (usize, usize), wanted: Use) -> Self {
        if wanted == Use::OneStep {
            let strip_rows = one_step_rows(most, whole);
            return Self { rows, part_rows: strip_rows, strip_rows };
        }
        let part_rows = part.next_multiple_of(whole);
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

impl Survey {
    /// What each rank has seen of its parts, together.
    fn of_all_ranks(self, ranks: &Ranks, parts: Parts, k: usize) -> Self {
        let counts = self.counts.iter().flatten().map(|&count| f64::from(count));
        let mine = std::iter::once(f64::from(u8::from(self.nonnegative))).chain(counts).collect();
        let mut all = Self { counts: Vec::new(), nonnegative: true };
        for numbers in ranks.gather_numbers(mine, |rank| 1 + parts.of(rank).len() * k) {
            let (nonnegative, counts) = numbers.split_first().expect("as many numbers as were sent");
            all.nonnegative &= *nonnegative != 0.0;
            let of_part = |part: &[f64]| part.iter().map(|&count| count as u32).collect();
            all.counts.extend(counts.chunks(k).map(of_part));
        }
        all
    }
}

/// The strips of a batch.
pub struct PackedBatch<P: DenseProducts> {
    /// Each part's strips.
    pub parts: Vec<Vec<Strip<P>>>,
    /// Parts of a larger batch before, whose memory the next one takes.
    spare: Vec<Vec<Strip<P>>>,
    /// How many samples the whole batch has, and which of them these are.
    pub share: Share,
    /// The parts of the whole batch, by which its sums are added up.
    pub sums: Parts,
    /// Strips of such a part, in a mini-batch.
    pub strips_of_part: usize,
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
        let share = Share::whole(0);
        Self {
            parts: Vec::new(),
            spare: Vec::new(),
            sums: share.parts(1),
            share,
            strips_of_part: 1,
            samples: 0,
            variants: 1,
            label_pixels: 0,
            strip_rows: 0,
        }
    }

    /// Packs `input` for a layer of `u` units, in the memory of the batch before where that suffices.
    pub fn pack(
        &mut self,
        products: P,
        recipe: &Recipe,
        input: &Input<'_>,
        (u, wanted, share): (usize, Use, &Share),
        buffers: &mut Buffers<P>,
    ) {
        let cut = self.cut(input, (u, wanted, share), buffers);
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

    /// Cuts `input`, a share of a batch that stays, for a layer of `u` units, and looks at the inputs.
    pub fn survey(
        &mut self,
        products: P,
        recipe: &Recipe,
        input: &Input<'_>,
        (u, share): (usize, &Share),
        buffers: &mut Buffers<P>,
    ) -> (Cut, Survey) {
        let cut = self.cut(input, (u, Use::ManySteps, share), buffers);
        let shared = &*buffers;
        let look = |(part, strips): (usize, &mut Vec<Strip<P>>)| {
            let room = &mut shared.of_this_thread().room;
            let mut counts = vec![0; input.k()];
            let mut nonnegative = true;
            for (range, strip) in cut.strips(part).zip(strips) {
                products.run(Take { rows: &mut strip.rows, recipe, input, range, dense: room });
                count_inputs(room, &mut counts);
                nonnegative &= room.iter().all(|&value| value >= 0.0);
            }
            (counts, nonnegative)
        };
        let parts: Vec<_> = self.parts.par_iter_mut().enumerate().map(look).collect();
        let nonnegative = parts.iter().all(|&(_, nonnegative)| nonnegative);
        let survey = Survey { counts: parts.into_iter().map(|(counts, _)| counts).collect(), nonnegative };
        (cut, survey.of_all_ranks(share.ranks(), self.sums, input.k()))
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
    fn cut(&mut self, input: &Input<'_>, (u, wanted, share): (usize, Use, &Share), buffers: &mut Buffers<P>) -> Cut {
        (self.samples, self.variants, self.share) = (input.samples(), input.variants(), share.clone());
        self.label_pixels = match input {
            Input::Images(images) if matches!(images.overlay, Overlay::Labels(_)) => images.classes,
            _ => 0,
        };
        const { assert!(P::STRIP_ROWS.is_multiple_of(P::TILE_ROWS) && P::Z_ROWS.is_multiple_of(P::TILE_ROWS)) };
        let (rows, sizes) = (strip::base_rows(input), (P::STRIP_ROWS, P::TILE_ROWS));
        let part = match wanted {
            Use::Inference => rows.div_ceil(PARTS).max(MIN_PART_SAMPLES),
            _ => {
                let samples = part_samples(share.of(), input.k() * u, sizes, wanted);
                self.sums = share.parts(samples);
                samples * self.variants / self.variants_of_base_row()
            }
        };
        let cut = Cut::new(rows, part, sizes, wanted);
        self.strips_of_part = part.div_ceil(cut.strip_rows);
        let Self { parts, spare, .. } = self;
        spare.extend(parts.drain(cut.parts().min(parts.len())..));
        parts.resize_with(cut.parts(), || spare.pop().unwrap_or_default());
        for (part, strips) in self.parts.iter_mut().enumerate() {
            strips.resize_with(cut.strips(part).len(), Strip::default);
        }
        self.strip_rows = cut.strip_rows.min(cut.rows).max(1);
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

    /// Rows of the whole batch, of all ranks: `n * v`.
    pub fn rows(&self) -> usize {
        self.share.of() * self.variants
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
    fn a_batch_of_millions_has_parts_for_many_ranks_and_a_wide_layer_few() {
        let part = |samples, weights| part_samples(samples, weights, (256, 4), Use::ManySteps);
        assert_eq!(
            [part(60_000, 784 * 500), part(131_072, 784 * 500), part(61_000_000, 784 * 500)],
            [1_876, 4_096, 4_096]
        );
        assert_eq!(60_000_usize.div_ceil(part(60_000, 1 << 28)), 4);
        assert_eq!(part_samples(128, 1, (256, 4), Use::OneStep), 64);
    }

    #[test]
    fn every_row_is_in_one_strip() {
        for (most, whole) in [(256, 4), (512, 32), (33, 3), (32, 32)] {
            for wanted in [Use::Inference, Use::OneStep, Use::ManySteps] {
                for rows in [0, 1, 3, 64, 65, 500, 1_000, 8_193, 60_000] {
                    for weights in [1, 784 * 500, 1 << 28] {
                        let part = part_samples(rows, weights, (most, whole), wanted);
                        let cut = Cut::new(rows, part, (most, whole), wanted);
                        let strips: Vec<Range<usize>> = (0..cut.parts()).flat_map(|part| cut.strips(part)).collect();
                        assert!(strips.iter().all(|strip| (1..=most).contains(&strip.len())));
                        assert_eq!(strips.iter().map(Range::len).sum::<usize>(), rows);
                        assert!(strips.windows(2).all(|pair| pair[0].end == pair[1].start));
                        assert!(strips.iter().rev().skip(1).all(|strip| strip.len().is_multiple_of(whole)));
                        assert!(wanted == Use::OneStep || cut.parts() <= PARTS);
                        let of_other = part_samples(rows, 784 * 500, (most, whole), wanted);
                        assert!(part.max(of_other).is_multiple_of(part.min(of_other)), "layers share units");
                    }
                }
            }
        }
    }
}
