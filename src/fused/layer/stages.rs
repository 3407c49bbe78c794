//! The stages of dense strips one at a time, for measurements: each over all strips of a batch, on what training gives
//! it.

use rayon::prelude::*;

use super::FusedLayer;
use crate::backend::{LayerBackend, Use};
use crate::batch::Input;
use crate::fused::buffers::ThreadBuffers;
use crate::fused::dense::{self, DenseProducts};
use crate::fused::epilogue::{DenseSums, Epilogue};
use crate::fused::input_orders::Orders;
use crate::fused::packing::{ColumnOrder, ColumnPanels};
use crate::fused::part::{PackedLayer, is_on};
use crate::fused::strip::{Form, Strip};
use crate::fused::z_to_d::ZBlocks;
use crate::parameters::Parameters;
use crate::ranks::Share;
use crate::recipe::{LossOfRows, Recipe};
use crate::simd::{Kernel, Simd};

/// What happens to a dense strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The batch's rows are packed for `Z = X W`.
    Pack,
    /// `Z = X W`.
    Forward,
    /// Bias, ReLU, goodness, loss and derivative: Z becomes D. Each strip begins with a copy of a Z, as a product
    /// leaves it; the copy counts.
    Epilogue,
    /// The rows are transposed and packed for `dW += X^T D`.
    Transpose,
    /// `dW += X^T D`.
    Gradient,
    /// The rows are packed in lines, as where a strip becomes sparse.
    Lines,
}

/// A batch of which single stages can be run, whatever its number format.
pub trait RunStage: Send {
    /// Runs one stage over all strips of `input`, the batch it was made of.
    fn run(&mut self, stage: Stage, input: &Input<'_>);
}

/// A batch of one number format.
pub struct Stages<P: DenseProducts> {
    layer: FusedLayer<P>,
    orders: Orders,
    example: Example<P>,
    results: Vec<PartResult>,
}

/// What is between the products of one strip: every strip's epilogue begins with its Z, and every gradient with its D,
/// which so stays in cache as in training.
struct Example<P: DenseProducts> {
    /// Z of a block of rows.
    z: ColumnPanels,
    /// The D that the epilogue makes of it.
    d: ColumnPanels,
    /// The same as the gradient product takes it, for each number of rows that a strip has.
    kept: Vec<(usize, P::D)>,
    /// Each unit's largest `z`.
    largest: ColumnPanels,
}

/// What the gradient of one part is added to.
struct PartResult {
    kernel: ColumnPanels,
    sums: DenseSums,
}

impl<P: DenseProducts> Stages<P> {
    /// Of the strips of `input`, all of them dense, transposed once.
    pub fn new(products: P, input: &Input<'_>, parameters: &Parameters, recipe: &Recipe) -> Self {
        let (k, u) = (parameters.k, parameters.u);
        let mut layer = FusedLayer::new(products, recipe, Some(0.0), k, u);
        let share = Share::whole(input.samples());
        let (cut, survey) = layer.batch.survey(products, recipe, input, (u, &share), &mut layer.buffers);
        let orders = Orders::new(&survey.counts, k, layer.batch.label_pixels > 0, P::ORDERS_INPUTS);
        layer.batch.pack_to_stay(layer.products, recipe, input, (cut, orders.rows()), &mut layer.buffers);
        layer.begin(input, Use::Inference);
        layer.parameters.load(parameters, false, (ColumnOrder::Natural(k), ColumnOrder::Natural(u)));
        let nr = layer.nr();
        let result = || PartResult {
            kernel: ColumnPanels::zeros(k.next_multiple_of(P::TILE_ROWS), u, nr),
            sums: DenseSums::zeros(layer.batch.label_pixels, u, nr),
        };
        let results = layer.batch.parts.iter().map(|_| result()).collect();
        let example = layer.products.run(TakeExample { layer: &layer });
        let mut stages = Self { layer, orders, example, results };
        stages.run(Stage::Transpose, input);
        stages
    }
}

/// Takes the first strip of a batch for an example.
struct TakeExample<'a, P: DenseProducts> {
    layer: &'a FusedLayer<P>,
}

impl<P: DenseProducts> Kernel for TakeExample<'_, P> {
    type Output = Example<P>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Example<P> {
        let FusedLayer { products, u, batch, parameters, buffers, .. } = self.layer;
        let packed = parameters.view(ColumnOrder::Natural(*u), *u, None);
        let ThreadBuffers { z: ZBlocks { even: z, .. }, h, largest, .. } = &mut *buffers.of_this_thread();
        let Strip { rows, form: Form::Dense(inputs) } = &batch.parts[0][0] else { unreachable!("strips begin dense") };
        let block = 0..rows.count().min(P::Z_ROWS);
        products.forward(simd, inputs, block.clone(), packed.weights, 0..packed.view.panels, z);
        let begin = z.clone();
        let mut sums = DenseSums::zeros(batch.label_pixels, *u, z.nr());
        let epilogue = Epilogue { rows, block: block.clone(), layer: packed.view, z, h, largest };
        epilogue.gradient(simd, block, &self.layer.loss(), &mut sums, None);
        let mut example = Example { z: begin, d: z.clone(), kept: Vec::new(), largest: largest.clone() };
        for Strip { rows, .. } in batch.parts.iter().flatten() {
            let rows = rows.count();
            if example.of_rows(rows).is_none() {
                let mut kept = P::D::default();
                for block in dense::blocks::<P>(rows) {
                    products.keep(simd, (block, rows), packed.view.panels, &example.d, &mut kept);
                }
                example.kept.push((rows, kept));
            }
        }
        example
    }
}

impl<P: DenseProducts> Example<P> {
    /// D of a strip of so many rows.
    fn of_rows(&self, rows: usize) -> Option<&P::D> {
        self.kept.iter().find(|(of, _)| *of == rows).map(|(_, kept)| kept)
    }
}

impl<P: DenseProducts> RunStage for Stages<P> {
    fn run(&mut self, stage: Stage, input: &Input<'_>) {
        let Self { layer, orders, example, results } = self;
        let FusedLayer { products, ref recipe, u, .. } = *layer;
        if stage == Stage::Pack {
            let wanted = (u, Use::Inference, &Share::whole(input.samples()));
            return layer.batch.pack(products, recipe, input, wanted, &mut layer.buffers);
        }
        let loss = layer.loss();
        let packed = layer.parameters.view(ColumnOrder::Natural(u), u, None);
        let buffers = &layer.buffers;
        layer.batch.parts.par_iter_mut().zip(results).for_each(|(strips, result)| {
            let buffers = &mut *buffers.of_this_thread();
            products.run(PartStage { stage, strips, layer: packed, example, orders, loss, result, buffers });
        });
    }
}

/// One stage of one part's strips.
struct PartStage<'a, P: DenseProducts> {
    stage: Stage,
    strips: &'a mut [Strip<P>],
    layer: PackedLayer<'a, P>,
    example: &'a Example<P>,
    orders: &'a Orders,
    loss: LossOfRows,
    result: &'a mut PartResult,
    buffers: &'a mut ThreadBuffers<P>,
}

impl<P: DenseProducts> Kernel for PartStage<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { stage, strips, layer, example, orders, loss, result, buffers } = self;
        let ThreadBuffers { z: ZBlocks { even: z, .. }, d, h, largest, room, .. } = buffers;
        let products = layer.products;
        for Strip { rows, form } in strips {
            let Form::Dense(packed) = form else { unreachable!("strips are dense before the first step") };
            match stage {
                Stage::Pack => unreachable!("packing is the batch's"),
                Stage::Forward => {
                    for block in dense::blocks::<P>(rows.count()) {
                        products.forward(simd, packed, block, layer.weights, 0..layer.view.panels, z);
                    }
                }
                Stage::Epilogue => {
                    for block in dense::blocks::<P>(rows.count()) {
                        z.copy_from(&example.z);
                        let epilogue = Epilogue { rows, block: block.clone(), layer: layer.view, z, h, largest };
                        epilogue.gradient(simd, block.clone(), &loss, &mut result.sums, None);
                        products.keep(simd, (block, rows.count()), layer.view.panels, z, d);
                    }
                }
                Stage::Transpose => {
                    products.unpack(packed, room);
                    products.transpose(packed, room, orders.transposed());
                }
                Stage::Gradient => {
                    let gradient = &mut result.kernel.panels_mut();
                    let kept = example.of_rows(rows.count()).expect("of every number of rows");
                    let is_on = |j| is_on(&example.largest, j);
                    products.accumulate(simd, packed, (&example.d, kept), is_on, (gradient, true));
                }
                Stage::Lines => _ = std::hint::black_box(products.lines(packed, &orders.places_in_lines())),
            }
        }
    }
}
