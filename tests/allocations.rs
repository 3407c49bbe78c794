//! Mini-batches of one shape allocate nothing after the first, neutral rows between them or not. The allocator counts,
//! and a program has one allocator, so this test is a program of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ffwd::backend::{Backend, LayerBackend, Use};
use ffwd::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use ffwd::internals::{Decoded, Fused, TileTier};
use ffwd::isa::Isa;
use ffwd::optimizer::{Optimizer, OptimizerState, Rule};
use ffwd::parameters::Parameters;
use ffwd::recipe::Recipe;
use ffwd::update::{L2, Update};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RULE: Rule = Rule::Sgd { lr: 0.01, momentum: 0.9 };
const CLASSES: usize = 4;
const BATCH: usize = 150;
/// Mini-batches of a round.
const BATCHES: usize = 10;
const ROUNDS: usize = 6;

struct Layer {
    backend: Box<dyn LayerBackend>,
    parameters: Parameters,
    gradient: Parameters,
    state: OptimizerState,
    outputs: Vec<f32>,
}

impl Layer {
    fn new(fused: Fused, k: usize, u: usize) -> Self {
        let kernel = (0..k * u).map(|i| ((i * 7_919) % 1_000) as f32 / 1_000.0 - 0.5).collect();
        let parameters = Parameters { k, u, kernel, bias: vec![0.1; u] };
        Self {
            backend: fused.layer(&Recipe::keras(1.5), k, u),
            gradient: parameters.clone(),
            state: OptimizerState::new(RULE, &parameters),
            outputs: vec![0.0; TRAINING_VARIANTS * BATCH * u],
            parameters,
        }
    }

    /// A pass over `neutral`, and a step on `input` with the same weights, of which the allocations are returned.
    fn train(&mut self, neutral: &Input<'_>, input: &Input<'_>, optimizer: Optimizer) -> usize {
        let Self { backend, parameters, gradient, state, outputs } = self;
        backend.begin(neutral, Use::Inference);
        backend.forward(parameters, Some(&mut outputs[..BATCH * parameters.u]), None);
        backend.keep_parameters();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        backend.begin(input, Use::OneStep);
        let update = Update { optimizer, state, rate: 1.0, l2: L2::default(), peers: None };
        assert!(backend.step(parameters, gradient, Some(outputs), update).is_finite());
        backend.keep_parameters();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    }
}

/// Both number formats.
fn formats(isa: Isa) -> [Fused; 2] {
    [Fused::new(isa), Fused::in_bf16(isa, TileTier::Decoded(Decoded(isa)))]
}

#[test]
fn a_mini_batch_after_the_first_allocates_nothing() {
    let (k, units, batches) = (50, 70, BATCHES * ROUNDS);
    let pixels: Vec<u8> = (0..BATCH * batches * k).map(|i| (i * 31 % 256) as u8 * u8::from(i % 3 == 0)).collect();
    let samples: Vec<u32> = (0..(BATCH * batches) as u32).collect();
    let labels: Vec<Vec<u8>> = (0..2).map(|v| (0..BATCH).map(|i| ((i + v) % CLASSES) as u8).collect()).collect();
    // The pool's threads are the ones that train: handing them work from outside would allocate.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for (isa, fused) in Isa::available().into_iter().flat_map(|isa| formats(isa).map(|fused| (isa, fused))) {
        pool.install(|| {
            let optimizer = Optimizer::new(isa, RULE);
            let mut layers = [Layer::new(fused, k, units), Layer::new(fused, units, units)];
            let mut train = |batch: usize| {
                let samples = &samples[batch * BATCH..][..BATCH];
                let overlay = Overlay::Labels(&labels);
                let images = Images { pixels: (&pixels).into(), k, samples, classes: CLASSES, overlay };
                let [first, second] = &mut layers;
                let neutral = Images { overlay: Overlay::Neutral, ..images };
                let of_first = first.train(&Input::Images(neutral), &Input::Images(images), optimizer);
                let rows = &first.outputs;
                let hidden = Activations { rows, k: units, variants: TRAINING_VARIANTS };
                let neutral = Activations { rows: &rows[..BATCH * units], k: units, variants: 1 };
                of_first + second.train(&Input::Activations(neutral), &Input::Activations(hidden), optimizer)
            };
            // The pool itself allocates when a thread first takes over work, whenever that is; not with each batch.
            let rounds = (0..ROUNDS).map(|round| (round * BATCHES..(round + 1) * BATCHES).map(&mut train).sum());
            let allocations: Vec<usize> = rounds.collect();
            let name = fused.precision();
            assert!(
                allocations.contains(&0),
                "{isa}, {name}: allocations in rounds of {BATCHES} batches: {allocations:?}"
            );
        });
    }
}
