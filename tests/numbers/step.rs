//! A step that a backend takes piece by piece is the gradient followed by the update, bit for bit, and what it has
//! packed of the weights is what it would pack of those it leaves.

use crate::common;
use ffwd::backend::{Backend, Use};
use ffwd::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use ffwd::internals::{Decoded, Fused, TileTier};
use ffwd::isa::Isa;
use ffwd::optimizer::{Optimizer, OptimizerState, Rule};
use ffwd::parameters::Parameters;
use ffwd::peers::{self, Activity};
use ffwd::ranks::Share;
use ffwd::recipe::Recipe;
use ffwd::update::{L2, Peers, Update};

const RULES: [Rule; 3] = [
    Rule::Adam { lr: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, decay: 0.1 },
    Rule::Sgd { lr: 0.1, momentum: 0.9 },
    Rule::Averaged { lr: 0.1, momentum: 0.9, decay: 0.01 },
];

/// A layer in training.
#[derive(Clone, PartialEq, Debug)]
struct Learner {
    parameters: Parameters,
    state: OptimizerState,
    activity: Activity,
}

/// What a step leaves besides: the loss before it, the activations before it, and those after it.
type Left = (f64, Vec<f32>, Vec<f32>);

/// Takes a step as the backend takes it, or by a gradient and an update.
fn step(
    backend: &dyn Backend,
    learner: &mut Learner,
    input: &Input<'_>,
    rule: Rule,
    (l2, is_whole): (L2, bool),
) -> Left {
    let recipe = Recipe::keras(0.5);
    let Learner { parameters, state, activity } = learner;
    let (k, u) = (parameters.k, parameters.u);
    let share = &Share::whole(input.samples());
    let inputs = peers::positive_inputs(&recipe, input, share).finish();
    let peers = Peers { activity, inputs, activities: None, strength: 0.3, share };
    let optimizer = Optimizer::new(backend.isa(), rule);
    let update = Update { optimizer, state, rate: 0.5, l2, peers: Some(peers) };
    let mut gradient = Parameters::zeros(k, u, !parameters.bias.is_empty());
    let mut outputs = vec![f32::NAN; input.rows() * u];
    let mut after = outputs.clone();
    let mut layer = backend.layer(&recipe, k, u);
    layer.begin(input, Use::OneStep);
    let loss = if is_whole {
        let loss = layer.gradient(parameters, &mut gradient, Some(&mut outputs));
        loss + update.take(parameters, &mut gradient, Some(&outputs))
    } else {
        let loss = layer.step(parameters, &mut gradient, Some(&mut outputs), update);
        layer.keep_parameters();
        loss
    };
    layer.begin(input, Use::Inference);
    layer.forward(parameters, Some(&mut after), None);
    (loss, outputs, after)
}

fn backends() -> Vec<(String, Box<dyn Backend>)> {
    let in_bf16 = |isa: Isa| Box::new(Fused::in_bf16(isa, TileTier::Decoded(Decoded(isa)))) as Box<dyn Backend>;
    let decoded = common::isas().into_iter().map(|isa| (format!("bf16 on {isa}"), in_bf16(isa)));
    common::backends().into_iter().chain(decoded).collect()
}

fn check(input: &Input<'_>, u: usize, use_bias: bool) {
    for (name, backend) in backends() {
        for rule in RULES {
            for l2 in [L2::default(), L2 { kernel: 0.01, bias: 0.02 }] {
                let mut parameters = common::parameters(input.k(), u, 0.3, &mut common::rng(3));
                if !use_bias {
                    parameters.bias.clear();
                }
                let state = OptimizerState::new(rule, &parameters);
                let mut one = Learner { parameters, state, activity: Activity::new(u) };
                let mut other = one.clone();
                for _ in 0..2 {
                    let [pieces, whole] = [(&mut one, false), (&mut other, true)]
                        .map(|(learner, is_whole)| step(&*backend, learner, input, rule, (l2, is_whole)));
                    let what = format!("{name}, {rule:?}, {l2:?}, {} x {u}", input.k());
                    assert!(one == other, "{what}: weights or what is remembered of them");
                    assert!(pieces == whole, "{what}: loss or activations");
                }
            }
        }
    }
}

#[test]
fn images() {
    let rng = &mut common::rng(21);
    let (n, k, classes) = (70, 35, 4);
    let pixels = common::images(n, k, rng);
    let labels = [common::labels(n, classes, rng), common::labels(n, classes, rng)];
    let samples: Vec<u32> = (0..n as u32).collect();
    let images = Images { pixels: (&pixels).into(), k, samples: &samples, classes, overlay: Overlay::Labels(&labels) };
    check(&Input::Images(images), 70, true);
}

#[test]
fn activations() {
    let rng = &mut common::rng(22);
    for (n, k, u) in [(3, 1, 1), (40, 64, 33), (65, 33, 300)] {
        let rows: Vec<f32> = common::images(TRAINING_VARIANTS * n, k, rng).into_iter().map(f32::from).collect();
        check(&Input::Activations(Activations { rows: &rows, k, variants: TRAINING_VARIANTS }), u, n != 40);
    }
}
