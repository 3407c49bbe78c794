//! One layer on the fused backend: a batch, the layer's parameters as strips need them, and the batch's life.

#[cfg(feature = "cli")]
pub mod stages;

use rayon::prelude::*;

use super::batch::{PackedBatch, Survey};
use super::buffers::Buffers;
use super::dense::{self, DenseProducts};
use super::drift::Bounds;
use super::epilogue::LayerView;
use super::input_orders::Orders;
use super::many_steps::ManySteps;
use super::one_step::{OneStep, OneStepSums};
use super::packing::{ColumnOrder, ColumnPanels};
use super::part::{PackedLayer, PartForward, StepRule};
use super::sparse::SparseLayer;
use crate::backend::{LayerBackend, Use, step_by_gradient};
use crate::batch::{Input, TRAINING_VARIANTS};
use crate::dropout::Dropout;
use crate::parameters::Parameters;
use crate::ranks::{PendingNumbers, PendingSum, Share};
use crate::recipe::{LossOfRows, Recipe};
use crate::update::Update;

/// A layer of `k` inputs and `u` units.
pub struct FusedLayer<P: DenseProducts> {
    products: P,
    recipe: Recipe,
    /// A strip becomes sparse where less than this share of its units are on; where the format says, if it is `None`.
    sparse_below: Option<f64>,
    k: usize,
    u: usize,
    batch: PackedBatch<P>,
    life: Life,
    parameters: Packed<P>,
    /// The buffers of mini-batches, once there was one.
    one_step: Option<OneStep<P>>,
    /// What gradients leave out.
    dropout: Option<Dropout>,
    /// The loss and the gradient of a step that has begun.
    begun: Option<(PendingNumbers, PendingSum)>,
    buffers: Buffers<P>,
}

/// What the batch is there for.
enum Life {
    Inference,
    OneStep,
    ManySteps(Box<ManySteps>),
}

/// A layer's parameters in the forms that dense strips need.
struct Packed<P: DenseProducts> {
    products: P,
    weights: P::Weights,
    /// Whether the weights of the next step are those that are packed.
    keeps_weights: bool,
    /// Whether the packed weights are the layer's now, with inputs and units as they come, as every batch but one that
    /// stays needs them.
    serves_again: bool,
    /// Weights of the label pixels: classes x u.
    labels: ColumnPanels,
    /// 1 x u.
    bias: ColumnPanels,
}

impl<P: DenseProducts> Packed<P> {
    /// Takes in the parameters of a step, of which the packed weights are kept or not.
    fn load(&mut self, parameters: &Parameters, keeps: bool, (inputs, units): (ColumnOrder<'_>, ColumnOrder<'_>)) {
        let Parameters { u, ref kernel, ref bias, .. } = *parameters;
        let is_natural = matches!((inputs, units), (ColumnOrder::Natural(_), ColumnOrder::Natural(_)));
        if !keeps {
            self.products.load(&mut self.weights, kernel, (inputs, units));
            self.serves_again = is_natural;
        }
        debug_assert!(self.serves_again == is_natural, "weights are packed as this batch needs them");
        self.labels.pack(&kernel[..self.labels.rows() * u], units);
        if bias.is_empty() {
            self.bias.fill(0.0);
        } else {
            self.bias.pack(bias, units);
        }
    }

    /// What strips need, of which dense ones compute the first `columns` columns.
    fn view<'a>(
        &'a self,
        units: ColumnOrder<'a>,
        columns: usize,
        sparse: Option<&'a SparseLayer>,
    ) -> PackedLayer<'a, P> {
        let Self { products, ref weights, ref labels, ref bias, .. } = *self;
        let panels = columns.div_ceil(bias.nr());
        PackedLayer { products, weights, view: LayerView { labels, bias, units, panels }, columns, sparse }
    }
}

impl<P: DenseProducts> FusedLayer<P> {
    /// The layer, without a batch.
    ///
    /// A strip becomes sparse where less than `sparse_below` of its units are on; where the format says, if that is
    /// `None`.
    pub fn new(products: P, recipe: &Recipe, sparse_below: Option<f64>, k: usize, u: usize) -> Self {
        let nr = dense::nr(products);
        let row = || ColumnPanels::zeros(1, u, nr);
        Self {
            products,
            recipe: *recipe,
            sparse_below,
            k,
            u,
            batch: PackedBatch::empty(),
            life: Life::Inference,
            parameters: Packed {
                products,
                weights: products.weights(k, u),
                keeps_weights: false,
                serves_again: true,
                labels: ColumnPanels::zeros(0, u, nr),
                bias: row(),
            },
            one_step: None,
            dropout: None,
            begun: None,
            buffers: Buffers::new(u, nr),
        }
    }

    /// NR of the layer's column panels.
    fn nr(&self) -> usize {
        self.parameters.bias.nr()
    }

    /// Packs a batch that stays, and begins its training life.
    fn begin_many_steps(&mut self, input: &Input<'_>, share: &Share) -> Life {
        let Self { products, ref recipe, k, u, .. } = *self;
        let (cut, Survey { counts, nonnegative }) =
            self.batch.survey(products, recipe, input, (u, share), &mut self.buffers);
        let label_pixels = self.batch.label_pixels;
        let orders = Orders::new(&counts, k, label_pixels > 0, P::ORDERS_INPUTS);
        self.batch.pack_to_stay(products, recipe, input, (cut, orders.rows()), &mut self.buffers);
        let norm = recipe.normalisation.norm_bound(k) * (1.0 + P::INPUT_ROUNDING);
        let rounding = dense::f32_rounding(k);
        let dense_rounding = products.rounding(k).max(rounding);
        let bounds = Bounds { label_pixels, nonnegative, norm, rounding, dense_rounding };
        Life::ManySteps(Box::new(ManySteps::new(&self.batch, orders, (k, u, self.nr()), bounds)))
    }

    fn loss(&self) -> LossOfRows {
        self.recipe.loss_of_rows(self.u, self.batch.rows()).with_dropout(self.dropout)
    }

    /// A gradient of a batch that stays.
    fn gradient_of_many(&mut self, parameters: &Parameters, gradient: &mut Parameters) -> f64 {
        let loss = self.loss();
        // The sparse form takes the rows one by one.
        let sparse_below = if loss.is_of_pairs() { Some(0.0) } else { self.sparse_below };
        let rule = StepRule { loss, sparse_below };
        let Self { batch, parameters: packed, buffers, life: Life::ManySteps(many), .. } = self else {
            unreachable!("the batch stays")
        };
        let ManySteps { known, sums } = &mut **many;
        let columns = known.advance(parameters);
        let units = ColumnOrder::Permuted(known.units.order());
        if batch.has_dense() {
            packed.load(parameters, false, (known.orders.rows(), units));
        }
        let layer = packed.view(units, columns, Some(&known.sparse));
        sums.compute(batch, layer, &known.orders, rule, buffers);
        sums.add_up(known, columns, gradient) / rule.loss.rows()
    }

    /// Computes D of a mini-batch.
    fn differentiate_one(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>) {
        let (loss, units) = (self.loss(), ColumnOrder::Natural(self.u));
        let keeps = std::mem::take(&mut self.parameters.keeps_weights);
        self.parameters.load(parameters, keeps, (ColumnOrder::Natural(self.k), units));
        let layer = self.parameters.view(units, self.u, None);
        let one_step = self.one_step.as_mut().expect("made when the batch began");
        one_step.differentiate(&mut self.batch, layer, loss, &self.buffers, outputs);
    }

    /// The loss of a mini-batch of which D has been computed: that of the parts of all ranks.
    fn begin_loss(&self) -> PendingNumbers {
        let PackedBatch { share, sums, .. } = &self.batch;
        let one_step = self.one_step.as_ref().expect("made when the batch began");
        share.ranks().begin_numbers(one_step.losses().collect(), |rank| sums.of(rank).len())
    }

    /// The loss of a mini-batch of which D has been computed. Without other ranks it allocates nothing.
    fn loss_of_one(&self) -> f64 {
        if self.batch.share.ranks().count() > 1 {
            return self.mean(self.begin_loss());
        }
        let one_step = self.one_step.as_ref().expect("made when the batch began");
        one_step.losses().sum::<f64>() / self.loss().rows()
    }

    /// The mean of the losses of all parts.
    fn mean(&self, losses: PendingNumbers) -> f64 {
        losses.finish().iter().flatten().sum::<f64>() / self.loss().rows()
    }

    /// Begins to add up the gradient of a mini-batch of which D has been computed.
    fn begin_sum(&mut self, gradient: &mut Parameters) -> PendingSum {
        let Self { products, batch, buffers, one_step, .. } = self;
        let one_step = one_step.as_mut().expect("made when the batch began");
        let mut sums = OneStepSums { products: *products, one_step, batch, buffers, gradient };
        batch.share.ranks().begin_sum(batch.sums.count, &batch.sums.nodes_of_ranks(), &mut sums)
    }

    /// Checks that there is a batch that has a gradient of the shape of `gradient`.
    fn assert_gradient(&self, parameters: &Parameters, gradient: &Parameters) {
        assert_eq!(self.batch.variants, TRAINING_VARIANTS, "a gradient needs positive and negative rows");
        assert!(self.batch.share.of() > 0, "a gradient needs at least one sample");
        parameters.assert_shape(self.k, self.u);
        gradient.assert_shape(self.k, self.u);
        assert_eq!(parameters.bias.len(), gradient.bias.len(), "a bias in both or in neither");
    }
}

impl<P: DenseProducts> LayerBackend for FusedLayer<P> {
    fn begin_share(&mut self, input: &Input<'_>, wanted: Use, share: &Share) {
        input.assert_shapes();
        assert_eq!(input.samples(), share.own().len(), "the samples of the share");
        assert_eq!(input.k(), self.k, "a batch of the layer's inputs");
        let (u, sizes) = (self.u, (self.k, self.u, self.nr()));
        self.life = Life::Inference;
        // A batch that stays has an order of its own.
        self.parameters.keeps_weights &= wanted != Use::ManySteps;
        match wanted {
            Use::ManySteps => self.life = self.begin_many_steps(input, share),
            _ => self.batch.pack(self.products, &self.recipe, input, (u, wanted, share), &mut self.buffers),
        }
        if wanted == Use::OneStep {
            let one_step = self.one_step.get_or_insert_with(|| OneStep::new(u, sizes.2));
            one_step.begin(&self.batch, sizes, &mut self.buffers);
            self.life = Life::OneStep;
        }
        // Without label pixels they are not read, and stay for the next batch that has some.
        if self.batch.label_pixels > 0 {
            self.parameters.labels.reshape(self.batch.label_pixels);
        }
    }

    fn gradient(&mut self, parameters: &Parameters, gradient: &mut Parameters, outputs: Option<&mut [f32]>) -> f64 {
        self.assert_gradient(parameters, gradient);
        match self.life {
            Life::Inference => panic!("a batch for inference has no gradient"),
            Life::OneStep => {
                self.differentiate_one(parameters, outputs);
                self.begin_sum(gradient).finish(pieces(gradient));
                self.loss_of_one()
            }
            Life::ManySteps(_) => {
                // The bounds of units are those of all activations, and the sparse form knows no other.
                assert!(self.dropout.is_none(), "dropout on a batch for many steps");
                if outputs.is_some() {
                    self.forward(parameters, outputs, None);
                }
                self.gradient_of_many(parameters, gradient)
            }
        }
    }

    fn step(
        &mut self,
        parameters: &mut Parameters,
        gradient: &mut Parameters,
        mut outputs: Option<&mut [f32]>,
        update: Update<'_>,
    ) -> f64 {
        // Where other ranks have the rest of the batch, the whole gradient comes from them.
        if !matches!(self.life, Life::OneStep) || self.batch.share.ranks().count() > 1 {
            let loss = step_by_gradient(self, parameters, gradient, outputs, update);
            self.parameters.serves_again = false;
            return loss;
        }
        self.assert_gradient(parameters, gradient);
        self.differentiate_one(parameters, outputs.as_deref_mut());
        let loss = self.loss_of_one();
        let mut begun = update.begin(parameters, outputs.as_deref());
        let Self { products, one_step, batch, buffers, parameters: packed, .. } = self;
        let one_step = one_step.as_mut().expect("made when the batch began");
        let weights = (&mut begun, &mut packed.weights);
        one_step.update(*products, batch, buffers, (parameters, gradient), weights);
        loss + begun.loss
    }

    fn begin_step(&mut self, parameters: &Parameters, gradient: &mut Parameters, outputs: Option<&mut [f32]>) {
        self.assert_gradient(parameters, gradient);
        assert!(matches!(self.life, Life::OneStep), "a batch for one step");
        self.differentiate_one(parameters, outputs);
        let loss = self.begin_loss();
        self.begun = Some((loss, self.begin_sum(gradient)));
    }

    fn finish_step(&mut self, parameters: &mut Parameters, gradient: &mut Parameters, update: Update<'_>) -> f64 {
        let (loss, sum) = self.begun.take().expect("a step has begun");
        let loss = self.mean(loss);
        sum.finish(pieces(gradient));
        (self.parameters.serves_again, self.parameters.keeps_weights) = (false, false);
        loss + update.take(parameters, gradient, None)
    }

    fn drop_out(&mut self, dropout: Option<Dropout>) {
        self.dropout = dropout;
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        parameters.assert_shape(self.k, self.u);
        let wanted = split_outputs(&self.batch, self.u, outputs, goodness);
        let Self { batch, parameters: packed, buffers, life, recipe, k, u, .. } = self;
        let keeps = std::mem::take(&mut packed.keeps_weights) && !matches!(life, Life::ManySteps(_));
        let (inputs, units, sparse) = match life {
            Life::ManySteps(many) => {
                let known = &mut many.known;
                known.advance(parameters);
                (known.orders.rows(), ColumnOrder::Permuted(known.units.order()), Some(&known.sparse))
            }
            _ => (ColumnOrder::Natural(*k), ColumnOrder::Natural(*u), None),
        };
        if batch.has_dense() {
            packed.load(parameters, keeps, (inputs, units));
        }
        let layer = packed.view(units, *u, sparse);
        let goodness = recipe.goodness;
        let jobs: Vec<_> = batch.parts.iter_mut().zip(wanted).collect();
        jobs.into_par_iter()
            .map(|(strips, (outputs, goodness_of_rows))| {
                let buffers = &mut *buffers.of_this_thread();
                layer.products.run(PartForward { strips, layer, goodness, outputs, goodness_of_rows, buffers })
            })
            .sum()
    }

    fn keep_parameters(&mut self) {
        self.parameters.keeps_weights = self.parameters.serves_again;
    }

    fn end(&mut self) {
        self.batch = PackedBatch::empty();
        self.life = Life::Inference;
        self.one_step = None;
    }
}

/// All that a gradient is, as [`OneStepSums`] sends it.
fn pieces(gradient: &mut Parameters) -> [&mut [f32]; 2] {
    [&mut gradient.kernel, &mut gradient.bias]
}

/// What a part is to write: its rows of activations, and its rows' goodness.
type Wanted<'a> = (Option<&'a mut [f32]>, Option<&'a mut [f32]>);

/// What each part is to write.
fn split_outputs<'a, P: DenseProducts>(
    batch: &PackedBatch<P>,
    u: usize,
    outputs: Option<&'a mut [f32]>,
    goodness: Option<&'a mut [f32]>,
) -> Vec<Wanted<'a>> {
    let rows: Vec<usize> =
        batch.parts.iter().map(|strips| strips.iter().map(|strip| strip.rows.outputs()).sum()).collect();
    split_rows(outputs, &rows, u).into_iter().zip(split_rows(goodness, &rows, 1)).collect()
}

/// Cuts a matrix of `width` columns into consecutive blocks of `rows` rows each; `None` becomes empty blocks.
fn split_rows<'a>(matrix: Option<&'a mut [f32]>, rows: &[usize], width: usize) -> Vec<Option<&'a mut [f32]>> {
    let Some(mut rest) = matrix else { return rows.iter().map(|_| None).collect() };
    assert_eq!(rest.len(), rows.iter().sum::<usize>() * width, "a result of the prepared shape");
    rows.iter().map(|&rows| rest.split_off_mut(..rows * width)).collect()
}
