//! The roofline of a report: what its peaks allow for each kernel's operations and bytes, and what the kernel reaches.

use indexmap::IndexSet;
use serde::Serialize;

use crate::bench::report::{KernelRow, MemoryRoof, Peak, Report, median};

/// The limits of a machine on all of its threads, and its kernels on as many.
#[derive(Debug, Serialize)]
pub struct Roofline {
    /// Threads of everything here.
    pub threads: usize,
    /// The highest memory rate measured, in GB/s.
    pub memory: Option<f64>,
    /// The highest rates of operations, fastest first.
    pub ceilings: Vec<Ceiling>,
    /// The kernels that both compute and move data.
    pub dots: Vec<Dot>,
}

/// A measured limit of operations.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    /// The number format.
    pub dtype: String,
    /// The instruction set.
    pub isa: Option<String>,
    /// The rate, in GFLOP/s.
    pub rate: f64,
}

/// A kernel in the roofline.
#[derive(Debug, Serialize)]
pub struct Dot {
    /// What is computed.
    pub op: String,
    /// Sizes.
    pub shape: String,
    /// The number format.
    pub dtype: String,
    /// The instruction set.
    pub isa: String,
    /// Executed operations for each byte.
    pub intensity: f64,
    /// Their rate, in GFLOP/s.
    pub rate: f64,
    /// Of what the roof allows for the kernel's bytes; above 100 where work is left out and the report does not tell
    /// how much is executed, null where a peak is missing.
    pub percent: Option<f64>,
}

impl Roofline {
    /// The roofline of `report`.
    pub fn new(report: &Report) -> Self {
        let threads = report.run.threads;
        let measured = |peak: &&Peak| peak.unit == "GFLOP/s" && peak.threads == threads;
        let peaks = report.peaks.iter().filter(measured);
        let memory = MemoryRoof::of(&report.peaks, &report.system, threads);
        let ceiling = |peak: &Peak| {
            let rate = peak.sustained_rate()?;
            Some(Ceiling { dtype: peak.dtype.clone(), isa: peak.isa.clone(), rate })
        };
        let mut ceilings: Vec<Ceiling> = peaks.filter_map(ceiling).collect();
        ceilings.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        let kernels = report.kernels.iter().filter(|kernel| kernel.threads == threads);
        let dots = kernels.filter_map(|kernel| dot(kernel, &ceilings, memory)).collect();
        Self { threads, memory: memory.map(|roof| roof.memory), ceilings, dots }
    }

    /// The highest ceiling of each number format that a kernel uses, fastest first: among the instruction sets of its
    /// kernels, or among all where only a library uses the format.
    pub fn roofs(&self) -> Vec<&Ceiling> {
        let dtypes: IndexSet<&str> = self.dots.iter().map(|dot| &*dot.dtype).collect();
        let uses =
            |dot: &Dot, ceiling: &Ceiling| dot.dtype == ceiling.dtype && ceiling.isa.as_deref() == Some(&*dot.isa);
        let roof = |dtype: &str| {
            let mut ceilings = self.ceilings.iter().filter(|ceiling| ceiling.dtype == dtype);
            let used = ceilings.clone().find(|ceiling| self.dots.iter().any(|dot| uses(dot, ceiling)));
            used.or_else(|| ceilings.next())
        };
        let mut roofs: Vec<&Ceiling> = dtypes.into_iter().filter_map(roof).collect();
        roofs.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        roofs
    }
}

/// Whether a ceiling holds for a kernel. A library chooses its instruction set for itself, so that all hold.
fn holds(ceiling: &Ceiling, kernel: &KernelRow) -> bool {
    ceiling.dtype == kernel.dtype && (kernel.isa == "library" || ceiling.isa.as_ref() == Some(&kernel.isa))
}

fn dot(kernel: &KernelRow, ceilings: &[Ceiling], memory: Option<MemoryRoof>) -> Option<Dot> {
    if kernel.flops == 0 || kernel.bytes == 0 {
        return None;
    }
    // Work that is left out needs no roof.
    let flops = kernel.executed_flops.filter(|&flops| flops > 0).unwrap_or(kernel.flops);
    let intensity = flops as f64 / kernel.bytes as f64;
    let rate = flops as f64 / median(&kernel.witnesses.undisturbed(&kernel.samples_ns));
    let ceiling = ceilings.iter().find(|ceiling| holds(ceiling, kernel));
    let roof = ceiling.zip(memory);
    let roof = roof.map(|(ceiling, memory)| ceiling.rate.min(memory.of_bytes(kernel.bytes) * intensity));
    Some(Dot {
        op: kernel.op.clone(),
        shape: kernel.shape.clone(),
        dtype: kernel.dtype.clone(),
        isa: kernel.isa.clone(),
        intensity,
        rate,
        percent: roof.map(|roof| 100.0 * rate / roof),
    })
}
