//! The backend contract: what any backend must do for one layer, batch after batch.
//!
//! A [`Backend`] makes a [`LayerBackend`] for each layer. [`LayerBackend::begin`] hands it a batch, which it packs and
//! orders and of whose rows it finds the norms. The caller then asks it for gradients and activations, each under the
//! parameters that the call passes. It keeps its memory after the batch, so that it need not allocate for another batch
//! of the same size; [`LayerBackend::end`] gives the memory back.
//!
//! A backend may remember earlier steps on a batch to save work. What it remembers may change the rounding of a later
//! step and nothing else, and it forgets it with the batch. What is done with a gradient lives elsewhere
//! ([`crate::update`]); a backend that takes the step decides only when it is done with which piece.

use crate::batch::Input;
use crate::dropout::Dropout;
use crate::isa::Isa;
use crate::parameters::Parameters;
use crate::ranks::Share;
use crate::recipe::Recipe;
use crate::update::Update;

/// What a batch is wanted for, which decides how much to prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Activations and goodness: no gradient will be asked for.
    Inference,
    /// One gradient, of a batch that will not come again: a mini-batch.
    OneStep,
    /// Many gradients on the same batch, for which a backend may order, sort and remember what it likes.
    ManySteps,
}

impl Use {
    /// What a batch of `steps` training steps is wanted for.
    pub fn training(steps: usize) -> Self {
        if steps == 1 { Self::OneStep } else { Self::ManySteps }
    }
}

/// One layer, on one backend.
pub trait LayerBackend: Send {
    /// Takes in a batch in place of the last one. Nothing of `input` is needed afterwards.
    ///
    /// # Panics
    ///
    /// The batch's shapes do not fit each other or the layer: a programmer's error.
    fn begin(&mut self, input: &Input<'_>, wanted: Use) {
        self.begin_share(input, wanted, &Share::whole(input.samples()));
    }

    /// The same of a share of a batch, the rest of which other ranks take in. Losses and gradients are then those of
    /// the whole batch, and activations those of the share.
    ///
    /// # Panics
    ///
    /// As [`LayerBackend::begin`], or `input` has not the samples of the share.
    fn begin_share(&mut self, input: &Input<'_>, wanted: Use, share: &Share);

    /// The batch's mean loss under `parameters`, and its gradient, written over `gradient`.
    ///
    /// Where asked for, writes the rows of activations `h` ((n * v) x u, row-major) that the loss is of.
    /// The batch has the two training variants and at least one sample. The loss is the mean over all `2n` rows.
    ///
    /// # Panics
    ///
    /// The batch is for inference, or a shape is not the layer's.
    fn gradient(&mut self, parameters: &Parameters, gradient: &mut Parameters, outputs: Option<&mut [f32]>) -> f64;

    /// Takes a step: `update` with the batch's gradient. Returns the loss before it, that of the regularisation
    /// included.
    ///
    /// Where asked for, writes the rows of activations as [`LayerBackend::gradient`] does; peer normalisation needs
    /// them. `gradient` is room for the gradient; what it holds afterwards is left open.
    ///
    /// # Panics
    ///
    /// As [`LayerBackend::gradient`], or peer normalisation has no activations.
    fn step(
        &mut self,
        parameters: &mut Parameters,
        gradient: &mut Parameters,
        outputs: Option<&mut [f32]>,
        update: Update<'_>,
    ) -> f64 {
        step_by_gradient(self, parameters, gradient, outputs, update)
    }

    /// Begins a step on a share of a batch for one step: computes what this rank has of the gradient and sends it off.
    /// Other layers may begin theirs before [`LayerBackend::finish_step`] takes the step. Otherwise as
    /// [`LayerBackend::step`].
    ///
    /// The arguments are the parameters, room for the gradient, and room for the activations of this rank's share.
    ///
    /// # Panics
    ///
    /// As [`LayerBackend::step`], or the backend does not compute shares.
    fn begin_step(&mut self, _: &Parameters, _: &mut Parameters, _: Option<&mut [f32]>) {
        unreachable!("the backend computes whole batches")
    }

    /// Takes the step that has begun, with the same `gradient`; `update` knows the activations that it needs. Returns
    /// the loss before the step, that of the regularisation included.
    ///
    /// The arguments are the parameters, the gradient and the update.
    ///
    /// # Panics
    ///
    /// No step has begun, or the backend does not compute shares.
    fn finish_step(&mut self, _: &mut Parameters, _: &mut Parameters, _: Update<'_>) -> f64 {
        unreachable!("the backend computes whole batches")
    }

    /// Leaves activations out of the next gradients, after ReLU: their loss and the activations they write are of what
    /// `dropout` leaves, `None` being all. What [`LayerBackend::forward`] computes is always of all.
    ///
    /// A gradient of a batch for many steps panics while there is a dropout.
    fn drop_out(&mut self, dropout: Option<Dropout>);

    /// Runs the batch through the layer.
    ///
    /// Where asked for, writes the rows of activations `h` ((n * v) x u, row-major) and each row's goodness (n * v).
    /// Returns how many activations are above zero.
    ///
    /// # Panics
    ///
    /// A shape is not the layer's or the batch's.
    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64;

    /// Says that the parameters of the next call are those of the last one, or those that its step has left, so that
    /// what was packed of them serves again, whatever the batch.
    fn keep_parameters(&mut self) {}

    /// Forgets the batch and gives its memory back.
    fn end(&mut self);
}

/// A step by the whole gradient, then the update.
pub(crate) fn step_by_gradient<L: LayerBackend + ?Sized>(
    layer: &mut L,
    parameters: &mut Parameters,
    gradient: &mut Parameters,
    mut outputs: Option<&mut [f32]>,
    update: Update<'_>,
) -> f64 {
    let loss = layer.gradient(parameters, gradient, outputs.as_deref_mut());
    loss + update.take(parameters, gradient, outputs.as_deref())
}

/// One way of computing layers. `examples/own_backend.rs` has one that is written from outside this crate.
pub trait Backend: Send + Sync {
    /// The name `--backend` takes.
    fn name(&self) -> &'static str;

    /// Whether it can compute a share of a batch, the rest of which other ranks compute.
    fn computes_shares(&self) -> bool {
        true
    }

    /// The samples of a part of a batch of `samples`, by which sums over it are added up for a layer of `weights`
    /// weights: decided by this shape alone. Of two layers, one's is a multiple of the other's.
    fn part_samples(&self, samples: usize, weights: usize, wanted: Use) -> usize;

    /// The number format of its products, by a name that `--precision` takes.
    fn precision(&self) -> &'static str;

    /// The instruction set the optimiser runs on, and the backend's own kernels.
    fn isa(&self) -> Isa;

    /// What chose the instruction set of its products: [`Backend::isa`], or a library's own detection.
    fn products(&self) -> &'static str {
        self.isa().name()
    }

    /// A layer of `k` inputs and `u` units that computes as `recipe` says, without a batch.
    fn layer(&self, recipe: &Recipe, k: usize, u: usize) -> Box<dyn LayerBackend>;
}
