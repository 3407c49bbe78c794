//! A backend of one's own: it hands every call on to another one, and takes the time of each layer's steps.
//!
//! `cargo run --release --example own_backend`
//!
//! A `Backend` makes a `LayerBackend` for each layer, which computes it batch after batch. Training and prediction know
//! nothing else of it, and so the weights are those of the other backend bit for bit.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ffwd::backend::{Backend, LayerBackend, Use};
use ffwd::backends;
use ffwd::batch::Input;
use ffwd::config::{Config, Preset};
use ffwd::data::digits;
use ffwd::dropout::Dropout;
use ffwd::isa::Isa;
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::ranks::Share;
use ffwd::recipe::Recipe;
use ffwd::tier::Tier;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use ffwd::update::Update;

/// How long each step of a layer took.
type Times = Arc<Mutex<Vec<Duration>>>;

/// The backend: another one, and the inputs, the units and the times of each layer that it has made.
struct Timed {
    inner: Box<dyn Backend>,
    layers: Mutex<Vec<(usize, usize, Times)>>,
}

impl Backend for Timed {
    fn name(&self) -> &'static str {
        "timed"
    }

    // Ranks that share a batch begin and finish steps by methods of their own, which this backend leaves out.
    fn computes_shares(&self) -> bool {
        false
    }

    fn part_samples(&self, samples: usize, weights: usize, wanted: Use) -> usize {
        self.inner.part_samples(samples, weights, wanted)
    }

    fn precision(&self) -> &'static str {
        self.inner.precision()
    }

    fn isa(&self) -> Isa {
        self.inner.isa()
    }

    fn products(&self) -> &'static str {
        self.inner.products()
    }

    fn layer(&self, recipe: &Recipe, k: usize, u: usize) -> Box<dyn LayerBackend> {
        let times = Times::default();
        self.layers.lock().expect("nobody panics with the list").push((k, u, Arc::clone(&times)));
        Box::new(TimedLayer { inner: self.inner.layer(recipe, k, u), times })
    }
}

/// A layer of the other backend, and the times of its steps.
struct TimedLayer {
    inner: Box<dyn LayerBackend>,
    times: Times,
}

impl LayerBackend for TimedLayer {
    fn begin_share(&mut self, input: &Input<'_>, wanted: Use, share: &Share) {
        self.inner.begin_share(input, wanted, share);
    }

    fn gradient(&mut self, parameters: &Parameters, gradient: &mut Parameters, outputs: Option<&mut [f32]>) -> f64 {
        self.inner.gradient(parameters, gradient, outputs)
    }

    // Not to be left out: without it a step would be a whole gradient and then the update, which is slower.
    fn step(
        &mut self,
        parameters: &mut Parameters,
        gradient: &mut Parameters,
        outputs: Option<&mut [f32]>,
        update: Update<'_>,
    ) -> f64 {
        let start = Instant::now();
        let loss = self.inner.step(parameters, gradient, outputs, update);
        self.times.lock().expect("nobody panics with the list").push(start.elapsed());
        loss
    }

    fn drop_out(&mut self, dropout: Option<Dropout>) {
        self.inner.drop_out(dropout);
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        self.inner.forward(parameters, outputs, goodness)
    }

    fn keep_parameters(&mut self) {
        self.inner.keep_parameters();
    }

    fn end(&mut self) {
        self.inner.end();
    }
}

fn main() -> ffwd::Result<()> {
    let config = Config { epochs: 3, ..Config::of_preset(&Preset::QUICK) };
    let inner = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    let backend = Timed { inner, layers: Mutex::default() };
    let (pixels, labels) = digits::draw(0..5_000);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    let network = Network::new(28, 28, config.classes, &config.layers, config.initial(), config.seed);
    let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, &backend, set);
    for _ in 0..config.epochs {
        let report = trainer.epoch(&AtomicBool::new(false)).expect("nobody stops it");
        println!("epoch {}: loss {:.3} in {:.2} s", report.epoch, report.final_loss, report.seconds);
    }
    for (k, u, times) in backend.layers.lock().expect("nobody panics with the list").iter() {
        let times = times.lock().expect("nobody panics with the list");
        let (steps, sum) = (times.len(), times.iter().sum::<Duration>());
        println!("layer of {k} inputs and {u} units: {steps} steps in {sum:.1?}");
    }
    Ok(())
}
