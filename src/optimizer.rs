//! The optimisers a layer can have, updating in place: Adam and SGD with momentum, with the semantics of Keras, and SGD
//! along a running mean of the gradients.
//!
//! Every update is elementwise, so neither the threads nor the cut into blocks can change a bit of it, and a backend
//! may take the step with each piece of a gradient while it is in cache (`StepNow::with_kernel`).

mod adam;
mod sgd;
mod step;

pub(crate) use step::{Step, split_each};

use crate::isa::Isa;
use crate::parameters::Parameters;

/// Which optimiser, with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Adam (Kingma & Ba 2015) as Keras computes it: the bias corrections are folded into the learning rate, and
    /// `epsilon` is added to the uncorrected root; with `decay`, AdamW (Loshchilov & Hutter 2019): `w -= lr decay w`
    /// besides, biases do not decay.
    Adam {
        /// Learning rate.
        lr: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Weight decay.
        decay: f64,
    },
    /// `velocity = momentum * velocity - lr * g; w += velocity`.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Share of the velocity kept from step to step.
        momentum: f64,
    },
    /// `mean = momentum * mean + (1 - momentum) * g; w -= lr * (mean + decay * w)`: Hinton's published code, whose
    /// biases do not decay.
    Averaged {
        /// Learning rate.
        lr: f64,
        /// Share of the running mean kept from step to step.
        momentum: f64,
        /// Weight decay.
        decay: f64,
    },
}

/// What a rule remembers of one layer from step to step, beside the parameters: part of the training state.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// Steps taken.
    pub steps: i32,
    /// Of the weights.
    pub kernel: Moments,
    /// Of the biases.
    pub bias: Moments,
}

/// What a rule remembers of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Adam's first moment, SGD's velocity, or the running mean.
    pub first: Vec<f32>,
    /// Adam's second moment; empty for the others.
    pub second: Vec<f32>,
}

impl Moments {
    fn zeros(rule: Rule, len: usize) -> Self {
        let second = if matches!(rule, Rule::Adam { .. }) { len } else { 0 };
        Self { first: vec![0.0; len], second: vec![0.0; second] }
    }
}

impl OptimizerState {
    /// Before the first step on a layer of the shape of `parameters`.
    pub fn new(rule: Rule, parameters: &Parameters) -> Self {
        Self {
            steps: 0,
            kernel: Moments::zeros(rule, parameters.kernel.len()),
            bias: Moments::zeros(rule, parameters.bias.len()),
        }
    }
}

/// An optimiser: a rule on an instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Optimizer {
    isa: Isa,
    rule: Rule,
}

impl Optimizer {
    /// The rule `rule`, on `isa`.
    pub fn new(isa: Isa, rule: Rule) -> Self {
        Self { isa, rule }
    }

    /// Takes one step along `gradient`, which has the shape of `parameters`, with `rate` times the rule's learning
    /// rate.
    ///
    /// # Panics
    ///
    /// `gradient` or `state` is of another shape, or `state` has not the moments of the rule.
    pub fn update(&self, state: &mut OptimizerState, parameters: &mut Parameters, gradient: &Parameters, rate: f64) {
        let now = self.begin_step(state, rate);
        now.update_kernel(&mut state.kernel, &mut parameters.kernel, &gradient.kernel);
        now.update_bias(&mut state.bias, &mut parameters.bias, &gradient.bias);
    }

    /// Counts a step in `state`, which is to be taken with `rate` times the rule's learning rate.
    pub(crate) fn begin_step(&self, state: &mut OptimizerState, rate: f64) -> StepNow {
        state.steps = state.steps.saturating_add(1);
        StepNow { isa: self.isa, rule: self.rule, steps: state.steps, rate }
    }
}

/// One step of a layer, which has been counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepNow {
    isa: Isa,
    rule: Rule,
    /// Steps taken, this one included.
    steps: i32,
    /// What the learning rate is multiplied with.
    rate: f64,
}

/// What is to be done with the arithmetic of a step, whichever rule's it is.
pub(crate) trait WithStep {
    /// Does it, with the moments that the step is about.
    fn run<const N: usize>(self, isa: Isa, step: impl Step<N>, moments: [&mut [f32]; N]);
}

impl StepNow {
    /// Takes the step with all weights.
    pub fn update_kernel(self, moments: &mut Moments, kernel: &mut [f32], gradient: &[f32]) {
        self.with_kernel(moments, Whole { weights: kernel, gradient });
    }

    /// Takes the step with the biases, which do not decay.
    pub fn update_bias(self, moments: &mut Moments, bias: &mut [f32], gradient: &[f32]) {
        self.with(moments, false, Whole { weights: bias, gradient });
    }

    /// Hands the arithmetic for the weights to `work`, which takes the step with each of them once.
    pub fn with_kernel(self, moments: &mut Moments, work: impl WithStep) {
        self.with(moments, true, work);
    }

    fn with(self, Moments { first, second }: &mut Moments, decays: bool, work: impl WithStep) {
        let Self { isa, rule, steps, rate } = self;
        match rule {
            Rule::Adam { lr, beta1, beta2, epsilon, decay } => {
                let decay = if decays { decay } else { 0.0 };
                let step = adam::Constants::at_step(steps, rate * lr, [beta1, beta2], epsilon, decay);
                work.run(isa, step, [first, second]);
            }
            Rule::Sgd { lr, momentum } => {
                let step = sgd::Momentum { lr: (rate * lr) as f32, momentum: momentum as f32 };
                work.run(isa, step, [first]);
            }
            Rule::Averaged { lr, momentum, decay } => {
                let decay = if decays { decay as f32 } else { 0.0 };
                let step = sgd::Averaged { lr: (rate * lr) as f32, momentum: momentum as f32, decay };
                work.run(isa, step, [first]);
            }
        }
    }
}

/// All weights of a tensor and their gradient.
struct Whole<'a> {
    weights: &'a mut [f32],
    gradient: &'a [f32],
}

impl WithStep for Whole<'_> {
    fn run<const N: usize>(self, isa: Isa, step: impl Step<N>, moments: [&mut [f32]; N]) {
        let Self { weights, gradient } = self;
        let count = weights.len();
        assert!(gradient.len() == count && moments.iter().all(|m| m.len() == count), "one shape for all");
        step::take(isa, step, weights, gradient, moments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAM: Rule = Rule::Adam { lr: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, decay: 0.0 };

    /// Adam in f64, one weight, straight from the equations.
    fn adam_by_hand(mut w: f64, gradients: &[f64]) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let alpha = 0.03 * (1.0 - 0.999_f64.powi(t)).sqrt() / (1.0 - 0.9_f64.powi(t));
            w -= alpha * m / (v.sqrt() + 1e-7);
        }
        w
    }

    #[test]
    fn adam_follows_the_equations_on_every_isa_and_at_awkward_lengths() {
        for isa in Isa::available() {
            for k in [1, 3, 63, 64, 65, 200] {
                let mut parameters = Parameters::zeros(k, 1, true);
                let mut gradient = Parameters::zeros(k, 1, true);
                let (optimizer, mut state) = (Optimizer::new(isa, ADAM), OptimizerState::new(ADAM, &parameters));
                let slope = |i: usize, t: usize| ((i * 37 + t * 11) % 19) as f64 / 19.0 - 0.4;
                for t in 0..4 {
                    (0..k).for_each(|i| gradient.kernel[i] = slope(i, t) as f32);
                    optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
                }
                for (i, &w) in parameters.kernel.iter().enumerate() {
                    let expected = adam_by_hand(0.0, &[0, 1, 2, 3].map(|t| f64::from(slope(i, t) as f32)));
                    // Four steps of some ten roundings each on values below 0.12.
                    assert!((f64::from(w) - expected).abs() < 1e-6, "{isa} {k} {i}: {w} {expected}");
                }
            }
        }
    }

    #[test]
    fn weights_decay_beside_adam_and_biases_do_not() {
        let decaying = Rule::Adam { lr: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, decay: 0.5 };
        for isa in Isa::available() {
            let gradient = Parameters { k: 1, u: 1, kernel: vec![0.25], bias: vec![0.25] };
            let [plain, decayed] = [ADAM, decaying].map(|rule| {
                let mut parameters = Parameters { k: 1, u: 1, kernel: vec![2.0], bias: vec![2.0] };
                let mut state = OptimizerState::new(rule, &parameters);
                Optimizer::new(isa, rule).update(&mut state, &mut parameters, &gradient, 0.5);
                parameters
            });
            assert_eq!(plain.bias, decayed.bias, "{isa}");
            let gap = plain.kernel[0] - decayed.kernel[0] - 0.5 * 0.03 * 0.5 * 2.0;
            assert!(gap.abs() < 1e-6, "{isa}: {gap}");
        }
    }

    #[test]
    fn a_weight_whose_gradient_is_always_zero_never_moves() {
        for isa in Isa::available() {
            let mut parameters = Parameters { k: 2, u: 1, kernel: vec![0.25, -0.5], bias: vec![] };
            let gradient = Parameters::zeros(2, 1, false);
            let (optimizer, mut state) = (Optimizer::new(isa, ADAM), OptimizerState::new(ADAM, &parameters));
            (0..5).for_each(|_| optimizer.update(&mut state, &mut parameters, &gradient, 1.0));
            assert_eq!(parameters.kernel, [0.25, -0.5], "{isa}");
        }
    }

    #[test]
    fn first_moments_of_units_that_stay_off_end_at_zero_and_not_below_the_normal_numbers() {
        let gradients: Vec<f64> = std::iter::once(f64::from(1e-4_f32)).chain([0.0; 1_000]).collect();
        // Of the velocity -5e-5, in the end ten times as much; of the mean 1e-5, half of that.
        for (rule, expected) in [
            (ADAM, adam_by_hand(0.0, &gradients)),
            (Rule::Sgd { lr: 0.5, momentum: 0.9 }, -5e-4),
            (Rule::Averaged { lr: 0.5, momentum: 0.9, decay: 0.0 }, -5e-5),
        ] {
            for isa in Isa::available() {
                let mut parameters = Parameters::zeros(100, 1, false);
                let mut gradient = Parameters { kernel: vec![1e-4; 100], ..parameters.clone() };
                let (optimizer, mut state) = (Optimizer::new(isa, rule), OptimizerState::new(rule, &parameters));
                optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
                gradient.kernel.fill(0.0);
                for _ in 0..1_000 {
                    optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
                    assert!(state.kernel.first.iter().all(|m| *m == 0.0 || m.is_normal()), "{rule:?} on {isa}");
                }
                assert!(state.kernel.first.iter().all(|&m| m == 0.0), "{rule:?} on {isa}");
                let found = f64::from(parameters.kernel[99]);
                assert!((found - expected).abs() <= 1e-4 * expected.abs(), "{rule:?} on {isa}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_running_mean_follows_the_equations_and_biases_do_not_decay() {
        let rule = Rule::Averaged { lr: 0.5, momentum: 0.75, decay: 0.125 };
        for isa in Isa::available() {
            for k in [1, 17, 200] {
                let mut parameters = Parameters { k, u: 1, kernel: vec![2.0; k], bias: vec![2.0] };
                let gradient = Parameters { k, u: 1, kernel: vec![1.0; k], bias: vec![1.0] };
                let (optimizer, mut state) = (Optimizer::new(isa, rule), OptimizerState::new(rule, &parameters));
                // mean 0.25; w = 2 - 0.5 (0.25 + 0.25); the bias without decay.
                optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
                assert_eq!((parameters.kernel.as_slice(), parameters.bias[0]), (&*vec![1.75; k], 1.875), "{isa}");
                // mean 0.4375, half the rate; all of these are exact.
                optimizer.update(&mut state, &mut parameters, &gradient, 0.5);
                let kernel = 1.75 - 0.25 * (0.4375 + 0.125 * 1.75);
                assert_eq!((parameters.kernel[k - 1], parameters.bias[0]), (kernel, 1.875 - 0.25 * 0.4375), "{isa}");
            }
        }
    }

    #[test]
    fn sgd_carries_its_velocity() {
        let mut parameters = Parameters::zeros(1, 1, false);
        let gradient = Parameters { k: 1, u: 1, kernel: vec![1.0], bias: vec![] };
        let rule = Rule::Sgd { lr: 0.5, momentum: 0.5 };
        let (optimizer, mut state) = (Optimizer::new(Isa::best(), rule), OptimizerState::new(rule, &parameters));
        optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
        assert_eq!(parameters.kernel, [-0.5]);
        optimizer.update(&mut state, &mut parameters, &gradient, 1.0);
        assert_eq!(parameters.kernel, [-1.25]);
    }
}
