//! One layer's local learning: the inner steps on one batch.
//!
//! No gradient leaves or enters a layer: [`LayerTrainer::train`] sees a layer with its batch, and this layer's
//! parameters.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::LayerBackend;
use crate::optimizer::{Optimizer, OptimizerState};
use crate::parameters::Parameters;
use crate::update::{L2, Peers, Update};

/// What trains one layer.
pub struct LayerTrainer {
    optimizer: Optimizer,
    l2: L2,
    gradient: Parameters,
}

/// How long a layer trains on a batch.
#[derive(Clone, Copy)]
pub struct InnerSteps<'a> {
    /// Steps to take.
    pub count: usize,
    /// What the learning rate is multiplied with.
    pub rate: f64,
    /// Ends the training after the running step, once it is set.
    pub stop: &'a AtomicBool,
}

impl LayerTrainer {
    /// A trainer for a layer of the shape of `parameters`.
    pub fn new(optimizer: Optimizer, l2: L2, parameters: &Parameters) -> Self {
        let gradient = Parameters::zeros(parameters.k, parameters.u, !parameters.bias.is_empty());
        Self { optimizer, l2, gradient }
    }

    /// Takes inner steps on the batch that `layer` has, and returns the loss before each; fewer than asked for, where
    /// training is to stop meanwhile.
    pub fn train(
        &mut self,
        (parameters, state): (&mut Parameters, &mut OptimizerState),
        layer: &mut dyn LayerBackend,
        InnerSteps { count, rate, stop }: InnerSteps<'_>,
    ) -> Vec<f64> {
        let mut losses = Vec::new();
        while losses.len() < count && !stop.load(Ordering::Relaxed) {
            losses.push(self.step((&mut *parameters, &mut *state), layer, None, None, rate));
        }
        losses
    }

    /// Takes one step on the batch that `layer` has, and returns the loss before it. Where asked for, writes the
    /// activations that the loss is of.
    pub fn step(
        &mut self,
        (parameters, state): (&mut Parameters, &mut OptimizerState),
        layer: &mut dyn LayerBackend,
        outputs: Option<&mut [f32]>,
        peers: Option<Peers<'_>>,
        rate: f64,
    ) -> f64 {
        let update = Update { optimizer: self.optimizer, state, rate, l2: self.l2, peers };
        layer.step(parameters, &mut self.gradient, outputs, update)
    }

    /// Begins a step on a share of a batch that `layer` has; writes the activations where asked for.
    pub fn begin_step(&mut self, parameters: &Parameters, layer: &mut dyn LayerBackend, outputs: Option<&mut [f32]>) {
        layer.begin_step(parameters, &mut self.gradient, outputs);
    }

    /// Takes the step that has begun, and returns the loss before it.
    pub fn finish_step(
        &mut self,
        (parameters, state): (&mut Parameters, &mut OptimizerState),
        layer: &mut dyn LayerBackend,
        peers: Option<Peers<'_>>,
        rate: f64,
    ) -> f64 {
        let update = Update { optimizer: self.optimizer, state, rate, l2: self.l2, peers };
        layer.finish_step(parameters, &mut self.gradient, update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Use;
    use crate::batch::Input;
    use crate::dropout::Dropout;
    use crate::isa::Isa;
    use crate::optimizer::Rule;
    use crate::ranks::Share;

    /// A batch that asks for the end during its second step.
    struct Stopping<'a> {
        steps: usize,
        stop: &'a AtomicBool,
    }

    impl LayerBackend for Stopping<'_> {
        fn begin_share(&mut self, _: &Input<'_>, _: Use, _: &Share) {
            unreachable!("the batch is there")
        }

        fn gradient(&mut self, _: &Parameters, gradient: &mut Parameters, _: Option<&mut [f32]>) -> f64 {
            self.steps += 1;
            self.stop.store(self.steps == 2, Ordering::Relaxed);
            gradient.kernel.fill(1.0);
            self.steps as f64
        }

        fn drop_out(&mut self, _: Option<Dropout>) {
            unreachable!("nothing is left out")
        }

        fn forward(&mut self, _: &Parameters, _: Option<&mut [f32]>, _: Option<&mut [f32]>) -> u64 {
            unreachable!("training asks for gradients only")
        }

        fn end(&mut self) {
            unreachable!("the batch stays")
        }
    }

    #[test]
    fn training_ends_after_the_running_step() {
        let stop = AtomicBool::new(false);
        let mut parameters = Parameters::zeros(1, 1, false);
        let rule = Rule::Sgd { lr: 0.25, momentum: 0.0 };
        let mut state = OptimizerState::new(rule, &parameters);
        let mut trainer = LayerTrainer::new(Optimizer::new(Isa::best(), rule), L2::default(), &parameters);
        let steps = InnerSteps { count: 5, rate: 2.0, stop: &stop };
        let losses = trainer.train((&mut parameters, &mut state), &mut Stopping { steps: 0, stop: &stop }, steps);
        assert_eq!(losses, [1.0, 2.0]);
        assert_eq!(parameters.kernel, [-1.0], "both steps were taken, at twice the rate");
    }
}
