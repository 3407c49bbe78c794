//! Data and recipes at their ends, on every backend, instruction set and precision: all black, all white, one class,
//! one image, one unit, one pixel, a threshold of zero. Everything stays a finite number, and all backends begin with
//! the same losses.

use crate::bf16;
use crate::common;
use ffwd::backend::Backend;
use ffwd::network::Network;
use ffwd::predict::{self, By};
use ffwd::train::{EpochReport, Trainer, TrainingSet, TrainingState};

/// Ways of learning; the first with the learning rate of the Keras example, which is large.
const RECIPES: [&str; 7] = [
    "preset = \"keras\"\ninner_steps = 5",
    "preset = \"keras\"\ninner_steps = 3\noptimizer = \"sgd\"\nlr = 0.1\nthreshold = 0.0",
    "preset = \"quick\"",
    "preset = \"quick\"\noptimizer = \"adam\"\nlr = 0.01\nthreshold = 0.0\nloss = \"logistic\"",
    "preset = \"paper\"\nloss = \"symba\"\ndropout = 0.2\nweight_average = 0.5",
    "preset = \"paper\"\ngoodness = \"mean_of_squares\"\nloss = \"logistic\"\nlabel = \"largest_pixel\"",
    "preset = \"backprop\"",
];

/// Images and labels that a run may be given.
struct Set {
    what: &'static str,
    size: (usize, usize),
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

fn sets() -> Vec<Set> {
    let set = |what, n: usize, size: (usize, usize), classes: usize, pixel: fn(usize) -> u8| Set {
        what,
        size,
        classes,
        pixels: (0..n * size.0 * size.1).map(pixel).collect(),
        labels: (0..n).map(|i| (i % classes) as u8).collect(),
    };
    let mut sets = vec![
        set("all black", 40, (4, 5), 4, |_| 0),
        set("all white", 40, (4, 5), 4, |_| 255),
        set("black and white", 40, (4, 5), 4, |i| if i % 3 == 0 { 255 } else { 0 }),
        set("one pixel of a hundred", 40, (10, 10), 4, |i| if i % 100 == 57 { 1 } else { 0 }),
        set("one image", 1, (4, 5), 4, |i| i as u8),
        set("one black image", 1, (4, 5), 4, |_| 0),
        set("two images", 2, (4, 5), 4, |i| i as u8),
        set("a pixel for each class", 40, (2, 5), 10, |i| i as u8),
        set("images of one pixel", 40, (1, 1), 1, |i| i as u8),
    ];
    let mut one_label = set("one label of four", 40, (4, 5), 4, |i| (i * 37) as u8);
    one_label.labels.fill(2);
    sets.push(one_label);
    sets
}

/// What a short run comes to.
struct Outcome {
    reports: Vec<EpochReport>,
    network: Network,
    predicted: Vec<u8>,
}

fn outcome(backend: &dyn Backend, set: &Set, recipe: &str, layers: &str) -> Outcome {
    // With one class there is no wrong label.
    let of_one_class = if set.classes == 1 { "negatives = \"permuted\"\n" } else { "" };
    let fields =
        format!("{recipe}\nlayers = {layers}\nclasses = {}\nbatch = 16\nepochs = 3\n{of_one_class}", set.classes);
    let config = common::config(&fields);
    let network = Network::new(set.size.0, set.size.1, set.classes, &config.layers, config.initial(), 3);
    let training = TrainingSet { pixels: (&set.pixels).into(), labels: &set.labels };
    let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, backend, training);
    let reports: Vec<EpochReport> = (0..3).map(|_| trainer.epoch(&false.into()).unwrap()).collect();
    let network = trainer.into_state().into_result();
    let by = By::default_of(&network);
    let predicted = predict::predict(&network, &config.recipe(), backend, &set.pixels, by);
    Outcome { reports, network, predicted }
}

fn check_finite(Outcome { reports, network, predicted }: &Outcome, set: &Set, what: &str) {
    for report in reports {
        let losses = report.layer_loss.iter().chain(report.step_loss.iter().flatten()).chain(&report.readout_loss);
        assert!(losses.chain([&report.final_loss]).all(|loss| loss.is_finite()), "{what}: {report:?}");
        assert!(report.active.iter().all(|share| (0.0..=1.0).contains(share)), "{what}: {report:?}");
    }
    for parameters in network.layers.iter().chain(&network.readout) {
        let mut weights = parameters.kernel.iter().chain(&parameters.bias);
        assert!(weights.all(|w| w.is_finite() && !w.is_subnormal()), "{what}");
    }
    assert_eq!(predicted.len(), set.labels.len(), "{what}");
    assert!(predicted.iter().all(|&class| usize::from(class) < set.classes), "{what}");
}

/// The first epoch's losses, before small differences grow.
fn check_close(found: &Outcome, expected: &Outcome, tolerance: f64, what: &str) {
    let losses =
        |outcome: &Outcome| -> Vec<f64> { outcome.reports[0].step_loss.iter().map(|steps| steps[0]).collect() };
    for (found, expected) in losses(found).iter().zip(losses(expected)) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {found} {expected}");
    }
}

fn check(layers: &str) {
    let precise: Vec<(String, Box<dyn Backend>)> = common::backends();
    let of_unit = |(name, isa, unit)| bf16::backends(isa, unit).map(|fused| (name, fused));
    let rounded: Vec<_> = bf16::units().into_iter().flat_map(of_unit).collect();
    for set in sets() {
        for recipe in RECIPES {
            let reference = outcome(&*precise.last().expect("a backend").1, &set, recipe, layers);
            let what = |name: &str| format!("{name}, {}, layers {layers}, {recipe:?}", set.what);
            for (name, backend) in &precise {
                let found = outcome(&**backend, &set, recipe, layers);
                check_finite(&found, &set, &what(name));
                check_close(&found, &reference, 1e-4, &what(name));
            }
            // Back-propagation is in f32 everywhere.
            for (name, backend) in rounded.iter().filter(|_| !recipe.contains("backprop")) {
                let found = outcome(backend, &set, recipe, layers);
                check_finite(&found, &set, &what(name));
                check_close(&found, &reference, 0.03, &what(name));
            }
        }
    }
}

#[test]
fn data_at_its_ends() {
    common::piecemeal(|| check("[19, 8]"));
}

#[test]
fn layers_of_one_unit() {
    common::piecemeal(|| check("[1, 1]"));
}

#[test]
fn a_single_layer() {
    common::piecemeal(|| check("[1]"));
}
