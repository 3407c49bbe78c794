//! The stages of dense strips one at a time, for measurements: each over all strips of a batch, on what training gives
//! it.

use rayon::prelude::*;

use super::FusedLayer;
use crate::backend::{LayerBackend, Use};
use crate::batch::Input;
use crate::fused::buffers::ThreadBuffers;
use crate::fused::dense::{self, DenseProducts, F32};
use crate::fused::epilogue::{DenseSums, Epilogue};
use crate::fused::input_orders::Orders;
use crate::fused::packing::{ColumnOrder, ColumnPanels, MR};
use crate::fused::part::{PackedLayer, is_on};
use crate::fused::strip::{Form, Strip};
use crate::isa::Isa;
use crate::parameters::Parameters;
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

/// A batch of which single stages can be run.
pub struct Stages {
    layer: FusedLayer<F32>,
    orders: Orders,
    /// What the epilogue begins with: the Z of a strip.
    z: ColumnPanels,
    results: Vec<PartResult>,
}

/// What the gradient of one part is added to.
struct PartResult {
    kernel: ColumnPanels,
    sums: DenseSums,
}

impl Stages {
    /// Of the strips of `input`, all of them dense. Every stage has been run once, so that each finds what the one
    /// before it leaves.
    pub fn new(isa: Isa, input: &Input<'_>, parameters: &Parameters, recipe: &Recipe) -> Self {
        let (k, u) = (parameters.k, parameters.u);
        let mut layer = FusedLayer::new(F32(isa), recipe, Some(0.0), k, u);
        let (cut, survey) = layer.batch.survey(recipe, input, u, &mut layer.buffers);
        let orders = Orders::new(&survey.counts, k, layer.batch.label_pixels > 0, false);
        layer.batch.pack_to_stay(layer.products, recipe, input, (cut, orders.rows()), &mut layer.buffers);
        layer.begin(input, Use::Inference);
        layer.parameters.load(parameters, (ColumnOrder::Natural(k), ColumnOrder::Natural(u)));
        let nr = layer.nr();
        let result = || PartResult {
            kernel: ColumnPanels::zeros(k.next_multiple_of(MR), u, nr),
            sums: DenseSums::zeros(layer.batch.label_pixels, u, nr),
        };
        let results = layer.batch.parts.iter().map(|_| result()).collect();
        let mut stages = Self { layer, orders, z: ColumnPanels::zeros(0, u, nr), results };
        stages.run(Stage::Forward, input);
        // The Z of the strip that this thread had last.
        stages.z = stages.layer.buffers.of_this_thread().z.clone();
        for stage in [Stage::Epilogue, Stage::Transpose, Stage::Gradient] {
            stages.run(stage, input);
        }
        stages
    }

    /// Runs one stage over all strips of `input`, the batch it was made of.
    pub fn run(&mut self, stage: Stage, input: &Input<'_>) {
        let Self { layer, orders, z, results } = self;
        let FusedLayer { products, ref recipe, u, .. } = *layer;
        if stage == Stage::Pack {
            return layer.batch.pack(products, recipe, input, (u, Use::Inference), &mut layer.buffers);
        }
        let loss = layer.loss();
        let packed = layer.parameters.view(ColumnOrder::Natural(u), u, None);
        let buffers = &layer.buffers;
        layer.batch.parts.par_iter_mut().zip(results).for_each(|(strips, result)| {
            let buffers = &mut *buffers.of_this_thread();
            products.run(PartStage { stage, strips, layer: packed, z, orders, loss, result, buffers });
        });
    }
}

/// One stage of one part's strips.
struct PartStage<'a, P: DenseProducts> {
    stage: Stage,
    strips: &'a mut [Strip<P>],
    layer: PackedLayer<'a, P>,
    /// What the epilogue begins with.
    z: &'a ColumnPanels,
    orders: &'a Orders,
    loss: LossOfRows,
    result: &'a mut PartResult,
    buffers: &'a mut ThreadBuffers<P>,
}

impl<P: DenseProducts> Kernel for PartStage<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { stage, strips, layer, z: begin, orders, loss, result, buffers } = self;
        let ThreadBuffers { z, d, h, largest, room, .. } = buffers;
        let products = layer.products;
        for Strip { rows, form } in strips {
            let Form::Dense(packed) = form else { unreachable!("strips are dense before the first step") };
            match stage {
                Stage::Pack => unreachable!("packing is the batch's"),
                Stage::Forward => {
                    for block in dense::blocks::<P>(rows.count()) {
                        products.forward(simd, packed, block, layer.weights, layer.view.panels, z);
                    }
                }
                Stage::Epilogue => {
                    for block in dense::blocks::<P>(rows.count()) {
                        z.copy_from(begin);
                        let mut epilogue = Epilogue { rows, block: block.clone(), layer: layer.view, z, h, largest };
                        epilogue.gradient(simd, &loss, &mut result.sums, None);
                        products.keep(simd, (block, rows.count()), layer.view.panels, z, d);
                    }
                }
                Stage::Transpose => {
                    products.unpack(packed, room);
                    products.transpose(packed, room, orders.transposed());
                }
                Stage::Gradient => {
                    let gradient = &mut result.kernel.panels_mut();
                    products.accumulate(simd, packed, (z, d), |j| is_on(largest, j), (gradient, true));
                }
                Stage::Lines => _ = std::hint::black_box(products.lines(packed, &orders.places_in_lines())),
            }
        }
    }
}
