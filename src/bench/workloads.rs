//! Every kernel with its shapes, operations and bytes: what `cargo bench` and `fast-train bench` measure.
//!
//! One file for each group of kernels. Random operands come from [`SEED`]; where what a kernel does depends on the
//! content, its images are the built-in digits (digits.rs), drawn in memory.

mod adam;
mod batch;
mod data;
mod digits;
mod fused;
mod gemm;
mod packing;
mod predict;
mod step;
mod tile;
mod trained;

use itertools::Itertools;
use rand::distr::uniform::SampleRange;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::backend::Backend;
use crate::error::Result;
use crate::fused::Fused;
use crate::isa::Isa;
use crate::tier::Tier;
use crate::tile::TileTier;
pub use batch::batches;
pub use trained::trained;

/// The seed of operands and weights.
pub const SEED: u64 = 1;

/// The groups of kernels: the first part of every workload's `op`.
pub const GROUPS: [&str; 9] = ["gemm", "tile", "fused", "step", "adam", "packing", "data", "predict", "batch"];

/// Pixels of an image, the inputs of layer 1.
const PIXELS: usize = SIDE * SIDE;
/// Rows and columns of an image.
const SIDE: usize = 28;
/// Units of each layer.
const UNITS: usize = 500;
/// Labels, and pixels that the overlay replaces.
const CLASSES: usize = 10;
/// The threshold of the reference problem.
const THRESHOLD: f32 = 1.5;
/// Samples of the batches that steps are taken on: a sixth of MNIST, beyond every cache and short enough to repeat.
const SAMPLES: usize = 10_000;
/// `isa` of kernels that no instruction set was chosen for.
const PORTABLE: &str = "portable";
/// `isa` of kernels that choose for themselves.
const LIBRARY: &str = "library";
/// Bytes of a float, in the unit of [`Workload::bytes`].
const FLOAT: u64 = size_of::<f32>() as u64;

/// One kernel on one shape.
pub struct Workload {
    /// What is computed, with what distinguishes its data: `gemm/NN`, `step/activations 5%`. The first part groups
    /// kernels.
    pub op: String,
    /// Sizes: m x k x n of a product, rows x k x u of a layer.
    pub shape: String,
    /// The number format of its products.
    pub dtype: &'static str,
    /// The instruction set; `library` where a library chooses for itself.
    pub isa: String,
    /// Operations of one run, as the algorithm is written; 0 where the kernel moves data only.
    pub flops: u64,
    /// Bytes that one run has to move between memory and the CPU at least: each operand read or written once.
    pub bytes: u64,
    prepare: Box<dyn Fn() -> Result<PreparedKernel> + Send + Sync>,
}

/// A kernel with its operands in memory: each call runs it once, on the threads of the current rayon pool.
pub type PreparedKernel = Box<dyn FnMut() + Send>;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The reference problem's shapes, but steps on a sixth of its samples.
    Full,
    /// A tenth of the rows; a square of half the side.
    Quick,
}

impl Size {
    /// How many of `full` rows to take.
    fn rows(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full / 10,
        }
    }
}

impl Workload {
    /// Makes the operands, in the pool that the kernel will run in. They are large: one workload's should be dropped
    /// before the next one's are made. What is kept for the next ones is 8 MB of digits.
    ///
    /// # Errors
    ///
    /// The operand is a file, and the directory for temporary files cannot be written.
    pub fn prepare(&self) -> Result<PreparedKernel> {
        (self.prepare)()
    }

    /// The group of kernels that this one belongs to, one of [`GROUPS`].
    pub fn group(&self) -> &str {
        self.op.split_once('/').map_or(&self.op, |(group, _)| group)
    }
}

/// What to measure on: instruction sets, whose products are in f32, and tile units, whose products are in bf16.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The instruction sets.
    pub isas: Vec<Isa>,
    /// The tile units; everything around their products runs on the first of the instruction sets.
    pub tiles: Vec<TileTier>,
}

impl Targets {
    /// What `tier` has: its instruction set, and its tile units.
    pub fn of(tier: &Tier) -> Self {
        Self { isas: vec![tier.isa()], tiles: tier.tile_units_in_use() }
    }

    /// Everything that this machine has.
    pub fn available() -> Self {
        Self { isas: Isa::available(), tiles: Tier::new(Isa::best()).tile_units_in_use() }
    }

    /// The fused backend on each of them.
    fn backends(&self) -> Vec<Fused> {
        let in_f32 = self.isas.iter().map(|&isa| Fused::new(isa));
        let in_bf16 = self.tiles.iter().map(|&unit| Fused::in_bf16(self.isas[0], unit));
        in_f32.chain(in_bf16).collect()
    }
}

/// The workloads of `targets`, grouped by kernel and shape. Kernels that choose for themselves, or that are compiled
/// once for all, are listed once.
pub fn all(targets: &Targets, size: Size) -> Vec<Workload> {
    let (isas, backends) = (&targets.isas[..], &targets.backends()[..]);
    [
        gemm::workloads(isas, size),
        tile::workloads(&targets.tiles),
        fused::workloads(backends, size),
        step::workloads(backends, size),
        adam::workloads(isas),
        packing::workloads(isas, size),
        data::workloads(size),
        predict::workloads(isas, size),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A kernel on a shape, before an instruction set is chosen.
struct Work {
    op: String,
    shape: String,
    flops: u64,
    bytes: u64,
}

impl Work {
    /// The workload on `isa`, in 32-bit floats.
    fn on(&self, isa: impl ToString, prepare: impl Fn() -> PreparedKernel + Send + Sync + 'static) -> Workload {
        self.try_on(isa, move || Ok(prepare()))
    }

    /// The same, where operands cannot always be made.
    fn try_on(
        &self,
        isa: impl ToString,
        prepare: impl Fn() -> Result<PreparedKernel> + Send + Sync + 'static,
    ) -> Workload {
        let Self { op, shape, flops, bytes } = self;
        Workload {
            op: op.clone(),
            shape: shape.clone(),
            dtype: "f32",
            isa: isa.to_string(),
            flops: *flops,
            bytes: *bytes,
            prepare: Box::new(prepare),
        }
    }

    /// The workload on `backend`, in the number format of its products.
    fn on_backend(
        &self,
        backend: Fused,
        prepare: impl Fn(Fused) -> PreparedKernel + Send + Sync + 'static,
    ) -> Workload {
        Workload { dtype: backend.precision(), ..self.on(backend.products(), move || prepare(backend)) }
    }
}

/// Sizes as a shape: `60000x784x500`.
fn shape(sizes: &[usize]) -> String {
    sizes.iter().join("x")
}

/// How many elements a matrix of these sizes has; with operations for each among them, how many operations.
fn count(sizes: &[usize]) -> u64 {
    sizes.iter().map(|&size| size as u64).product()
}

/// A generator of operands.
fn generator() -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(SEED)
}

/// Uniform floats.
fn random(length: usize, range: impl SampleRange<f32> + Clone) -> Vec<f32> {
    let rng = &mut generator();
    (0..length).map(|_| rng.random_range(range.clone())).collect()
}

#[cfg(test)]
impl Workload {
    /// A workload that does next to nothing but has numbers, for tests of what is made of them.
    pub(super) fn of_numbers(op: &str, isa: &str, flops: u64, bytes: u64) -> Self {
        let prepare = Box::new(|| Ok(Box::new(std::thread::yield_now) as PreparedKernel));
        Self { op: op.into(), shape: "2x3x4".into(), dtype: "f32", isa: isa.into(), flops, bytes, prepare }
    }
}
