//! What a layer does with the gradient of its data loss: the peer term and L2 regularisation are added, and the
//! optimiser takes its step.
//!
//! All of it is elementwise in the weights. A backend may do it with a whole gradient ([`Update::take`]), or with each
//! piece of it while that is in cache (`Update::begin`); the result is the same bit for bit.

use crate::batch::TRAINING_VARIANTS;
use crate::optimizer::{Optimizer, OptimizerState, StepNow};
use crate::parameters::Parameters;
use crate::peers::{self, Activity, PeerTerm};
use crate::ranks::Share;

/// L2 regularisation as Keras defines it: `kernel * sum(W^2) + bias * sum(b^2)` is added to the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct L2 {
    /// Weight of the kernel's sum of squares.
    pub kernel: f64,
    /// Weight of the bias's sum of squares.
    pub bias: f64,
}

/// What peer normalisation needs of one batch.
pub struct Peers<'a> {
    /// What is known of the layer's units.
    pub activity: &'a mut Activity,
    /// [`positive_inputs`](crate::peers::positive_inputs) of the batch.
    pub inputs: Vec<f32>,
    /// [`positive_activations`](crate::peers::positive_activations) of the batch, where they are known before the step.
    pub activities: Option<Vec<f32>>,
    /// How strongly units are drawn to the layer's mean.
    pub strength: f32,
    /// Which samples of the batch the activations are of.
    pub share: &'a Share,
}

/// A step that is to be taken with a gradient that is not there yet.
pub struct Update<'a> {
    /// Takes the step.
    pub optimizer: Optimizer,
    /// What the optimiser remembers of the layer.
    pub state: &'a mut OptimizerState,
    /// What the learning rate is multiplied with; 1 leaves it.
    pub rate: f64,
    /// How the layer is regularised.
    pub l2: L2,
    /// Peer normalisation, if there is any.
    pub peers: Option<Peers<'a>>,
}

/// A step that is being taken: the activations of its batch are known.
pub(crate) struct Begun<'a> {
    /// What the optimiser remembers of the layer.
    pub state: &'a mut OptimizerState,
    /// The optimiser's arithmetic.
    pub step: StepNow,
    /// What is added to the gradient before.
    pub terms: Terms,
    /// The loss of the regularisation before the step.
    pub loss: f64,
}

/// What is added to the gradient of a data loss: first the peer term, then the regularisation's.
pub(crate) struct Terms {
    /// The peer term, if there is one.
    pub peers: Option<PeerTerm>,
    /// The regularisation adds this times the weight, unless it is 0.
    pub kernel_slope: f32,
    /// The same for biases.
    bias_slope: f32,
}

impl<'a> Update<'a> {
    /// Begins the step. `outputs` are the rows of activations of this rank's share of the batch, (n * v) x u, which
    /// peer normalisation needs.
    ///
    /// # Panics
    ///
    /// Peer normalisation has no activations.
    pub(crate) fn begin(self, parameters: &Parameters, outputs: Option<&[f32]>) -> Begun<'a> {
        let Self { optimizer, state, rate, l2, peers } = self;
        let peers = peers.map(|Peers { activity, inputs, activities, strength, share }| {
            let sums = activities.unwrap_or_else(|| {
                let outputs = outputs.expect("peer normalisation needs the activations");
                peers::positive_activations(outputs, parameters.u, share).finish()
            });
            activity.learn(&sums, share.of());
            activity.term(inputs, (strength, share.of() * TRAINING_VARIANTS))
        });
        let (kernel_slope, kernel_loss) = regularisation(l2.kernel, &parameters.kernel);
        let (bias_slope, bias_loss) = regularisation(l2.bias, &parameters.bias);
        let step = optimizer.begin_step(state, rate);
        Begun { state, step, terms: Terms { peers, kernel_slope, bias_slope }, loss: kernel_loss + bias_loss }
    }

    /// Takes the step along a whole gradient of the data loss, to which the terms are added; returns the loss of the
    /// regularisation before it. `outputs` are the rows of activations, (n * v) x u, of this rank's share of the batch.
    ///
    /// # Panics
    ///
    /// Peer normalisation has no activations, or a shape is not that of the layer.
    pub fn take(self, parameters: &mut Parameters, gradient: &mut Parameters, outputs: Option<&[f32]>) -> f64 {
        let mut begun = self.begin(parameters, outputs);
        let Begun { state, step, terms, .. } = &mut begun;
        if let Some(peers) = &terms.peers {
            peers.add_to_kernel(&mut gradient.kernel);
        }
        add_slope(terms.kernel_slope, &parameters.kernel, &mut gradient.kernel);
        step.update_kernel(&mut state.kernel, &mut parameters.kernel, &gradient.kernel);
        begun.update_bias(parameters, gradient);
        begun.loss
    }
}

impl Begun<'_> {
    /// Takes the step with the biases, to whose gradient of the data loss the terms are added.
    pub fn update_bias(&mut self, parameters: &mut Parameters, gradient: &mut Parameters) {
        let Self { state, step, terms, .. } = self;
        if let Some(peers) = &terms.peers {
            peers.add_to_bias(&mut gradient.bias);
        }
        add_slope(terms.bias_slope, &parameters.bias, &mut gradient.bias);
        step.update_bias(&mut state.bias, &mut parameters.bias, &gradient.bias);
    }
}

/// The slope and the loss of a regularisation of `weight`.
fn regularisation(weight: f64, parameters: &[f32]) -> (f32, f64) {
    if weight == 0.0 {
        return (0.0, 0.0);
    }
    let squares: f64 = parameters.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
    ((2.0 * weight) as f32, weight * squares)
}

fn add_slope(slope: f32, parameters: &[f32], gradient: &mut [f32]) {
    if slope != 0.0 {
        gradient.iter_mut().zip(parameters).for_each(|(g, &w)| *g += slope * w);
    }
}
