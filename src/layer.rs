//! One layer's local learning: its optimiser, its regularisation, and the inner steps on one batch.
//!
//! No gradient leaves or enters a layer: [`LayerTrainer::train`] sees a prepared batch and this layer's parameters.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::isa::Isa;
use crate::objective::Objective;
use crate::optimizer::{Optimizer, Rule};
use crate::step::{LayerStep, Parameters};

/// L2 regularisation as Keras defines it: `kernel * sum(W^2) + bias * sum(b^2)` is added to the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct L2 {
    /// Weight of the kernel's sum of squares.
    pub kernel: f64,
    /// Weight of the bias's sum of squares.
    pub bias: f64,
}

/// What trains one layer.
pub struct LayerTrainer {
    optimizer: Optimizer,
    objective: Objective,
    l2: L2,
    gradient: Parameters,
}

impl LayerTrainer {
    /// A trainer for a layer of the shape of `parameters`, before its first step.
    pub fn new(isa: Isa, rule: Rule, objective: Objective, l2: L2, parameters: &Parameters) -> Self {
        Self {
            optimizer: Optimizer::new(isa, rule, parameters),
            objective,
            l2,
            gradient: Parameters::zeros(parameters.k, parameters.u, !parameters.bias.is_empty()),
        }
    }

    /// Takes `steps` inner steps on one batch and returns the loss before each; fewer, where `stop` is set meanwhile.
    pub fn train(
        &mut self,
        parameters: &mut Parameters,
        batch: &mut dyn LayerStep,
        steps: usize,
        stop: &AtomicBool,
    ) -> Vec<f64> {
        let mut losses = Vec::new();
        while losses.len() < steps && !stop.load(Ordering::Relaxed) {
            let data_loss = batch.gradient(parameters, &self.objective, &mut self.gradient);
            losses.push(data_loss + self.regularise(parameters));
            self.optimizer.update(parameters, &self.gradient);
        }
        losses
    }

    /// Adds the regularisation's gradient and returns its loss.
    fn regularise(&mut self, parameters: &Parameters) -> f64 {
        add_l2(self.l2.kernel, &parameters.kernel, &mut self.gradient.kernel)
            + add_l2(self.l2.bias, &parameters.bias, &mut self.gradient.bias)
    }
}

fn add_l2(weight: f64, parameters: &[f32], gradient: &mut [f32]) -> f64 {
    if weight == 0.0 {
        return 0.0;
    }
    let slope = (2.0 * weight) as f32;
    let mut squares = 0.0;
    for (g, &w) in gradient.iter_mut().zip(parameters) {
        *g += slope * w;
        squares += f64::from(w) * f64::from(w);
    }
    weight * squares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch that asks for the end during its second step.
    struct Stopping<'a> {
        steps: usize,
        stop: &'a AtomicBool,
    }

    impl LayerStep for Stopping<'_> {
        fn gradient(&mut self, _: &Parameters, _: &Objective, gradient: &mut Parameters) -> f64 {
            self.steps += 1;
            self.stop.store(self.steps == 2, Ordering::Relaxed);
            gradient.kernel.fill(1.0);
            self.steps as f64
        }

        fn forward(&mut self, _: &Parameters, _: Option<&mut [f32]>, _: Option<&mut [f32]>) -> u64 {
            unreachable!("training asks for gradients only")
        }
    }

    #[test]
    fn training_ends_after_the_running_step() {
        let stop = AtomicBool::new(false);
        let mut parameters = Parameters::zeros(1, 1, false);
        let rule = Rule::Sgd { lr: 0.5, momentum: 0.0 };
        let objective = Objective { threshold: 1.5 };
        let mut trainer = LayerTrainer::new(Isa::best(), rule, objective, L2::default(), &parameters);
        let losses = trainer.train(&mut parameters, &mut Stopping { steps: 0, stop: &stop }, 5, &stop);
        assert_eq!(losses, [1.0, 2.0]);
        assert_eq!(parameters.kernel, [-1.0], "both steps were taken");
    }
}
