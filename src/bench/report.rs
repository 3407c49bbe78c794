//! The benchmark report, `ffwd/report/v1`: what was measured on which machine, in one self-contained JSON object.
//!
//! What a machine does not tell is null; nothing is estimated. Times are nanoseconds of one run, and every sample is
//! kept, with what tells whether it was disturbed. A rate is work by the median of the others: GFLOP/s where the work
//! is operations (two for each multiply-add, counted as the algorithm is written), GB/s where it is bytes.
//!
//! Relies on serde for both directions: what `fast-train bench` writes, `fast-train compare` reads. `measure` takes the
//! measurement, from [`workloads`](super::workloads) and `crate::machine`, in rounds (`sample`); `csv` and `markdown`
//! are its other forms.

mod build;
mod csv;
mod kernels;
mod markdown;
mod measure;
mod memory_roof;
mod outline;
pub mod peaks;
mod sample;
mod scaling;
mod system;
mod training;

pub use csv::csv;
pub use markdown::markdown;
pub use measure::{Step, Watch, measure};
pub use memory_roof::MemoryRoof;
pub use outline::outline;

use serde::{Deserialize, Serialize};

use crate::bench::loops::last_level_bytes;
pub use crate::machine::Cache;

/// The name and version of this schema, the field `schema` of every report.
pub const SCHEMA: &str = "ffwd/report/v1";

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The machine.
    pub system: System,
    /// The program.
    pub build: Build,
    /// The circumstances.
    pub run: Circumstances,
    /// The limits of the machine, measured: on one thread and on all.
    pub peaks: Vec<Peak>,
    /// Every kernel on its shapes.
    pub kernels: Vec<KernelRow>,
    /// One inner step on 1, 2, ... threads.
    pub scaling: Vec<Scaling>,
    /// Whole outer epochs and prediction.
    pub training: Vec<Training>,
}

/// The machine, as CPUID, `/proc` and `/sys` tell, and what the kernels can use of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// The name the CPU gives itself.
    pub cpu_model: Option<String>,
    /// The vendor, as CPUID spells it, or its number on AArch64.
    pub vendor: Option<String>,
    /// Family, extended family added.
    pub family: Option<u32>,
    /// Model, extended model in front; the part on AArch64.
    pub model: Option<u32>,
    /// Stepping.
    pub stepping: Option<u32>,
    /// Logical CPUs that this process may run on.
    pub cpus: Option<usize>,
    /// Cores of these.
    pub cores: Option<usize>,
    /// Threads of a core (SMT).
    pub threads_per_core: Option<usize>,
    /// The caches of the first CPU.
    pub caches: Vec<Cache>,
    /// NUMA nodes.
    pub numa_nodes: Option<usize>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Instruction sets that CPUID shows, among those that the kernels know.
    pub isa_detected: Vec<String>,
    /// Those that the kernels can use here, fastest first.
    pub isa_usable: Vec<String>,
    /// The tile units that the kernels can use here, fastest first; reports of earlier versions do not tell.
    #[serde(default)]
    pub tile_units: Vec<String>,
    /// The kernel's name and release.
    pub kernel: Option<String>,
    /// The hypervisor, as CPUID spells it; null where there is none.
    pub hypervisor: Option<String>,
    /// The frequency governor of the first CPU.
    pub governor: Option<String>,
    /// CPUs that the control group allows; null where it sets no limit.
    pub cgroup_cpus: Option<f64>,
    /// Memory that the control group allows, in bytes; null where it sets no limit.
    pub cgroup_memory_bytes: Option<u64>,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The package's version.
    pub version: String,
    /// The commit it was built from; null outside a repository.
    pub commit: Option<String>,
    /// Whether files differed from that commit.
    pub dirty: Option<bool>,
    /// The compiler's version.
    pub rustc: Option<String>,
    /// `release` or `debug`.
    pub profile: String,
}

/// The circumstances of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// All threads: what rows of more than one thread were measured with.
    pub threads: usize,
    /// The seed of training's initial weights and negatives; operands of kernels are always the same.
    pub seed: u64,
    /// When it began, UTC: `2026-01-31T12:00:00Z`.
    pub date: String,
    /// Whether fewer samples of smaller shapes were taken.
    pub quick: bool,
    /// The system's load averages over 1, 5 and 15 minutes before it began.
    pub load_before: Option<[f64; 3]>,
    /// The share of the time of all CPUs that the hypervisor gave to others meanwhile; null where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen: Option<f64>,
}

/// What stood beside each sample of a row and tells whether the machine was left to it: lists as long as that of the
/// samples, or empty ones where nothing did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Witnesses {
    /// What the worse of the multiply-adds before and behind it got, as a share of the best of the report.
    pub arithmetic: Vec<f64>,
    /// The same of copies; 1 where nothing was copied.
    pub memory: Vec<f64>,
    /// The share of its time that the thread that waited longest waited for a CPU.
    pub waiting: Vec<f64>,
    /// Whether it is disturbed, and left out of medians and intervals.
    pub disturbed: Vec<bool>,
}

/// A limit of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// `fma` (multiply-adds on registers), `tile` (tile products on registers), `copy`, `triad` or `update` (memory),
    /// or one of these three `in cache` (the last-level cache).
    pub op: String,
    /// `f32`, `bf16` or `int8`.
    pub dtype: String,
    /// The instruction set; null for memory.
    pub isa: Option<String>,
    /// Threads it was measured with.
    pub threads: usize,
    /// `GFLOP/s` or `GB/s`.
    pub unit: String,
    /// Operations or bytes of one run.
    pub work: u64,
    /// Every sample, in nanoseconds.
    pub samples_ns: Vec<f64>,
    /// What stood beside each sample.
    #[serde(default, skip_serializing_if = "Witnesses::are_missing")]
    pub witnesses: Witnesses,
    /// Work by the time that was sustained ([`sustained`]); null where it could not be measured.
    pub rate: Option<f64>,
}

/// The row of one kernel on one shape: rows of two reports are of the same kernel where the first five fields agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelRow {
    /// What is computed, with what distinguishes its data.
    pub op: String,
    /// Sizes: m x k x n of a product, rows x k x u of a layer.
    pub shape: String,
    /// The number format of its products.
    pub dtype: String,
    /// The instruction set; `library` where a library chooses for itself.
    pub isa: String,
    /// Threads it was measured with.
    pub threads: usize,
    /// Operations of one run, as the algorithm is written; 0 where the kernel moves data only.
    pub flops: u64,
    /// Bytes that one run has to move between memory and the CPU at least: each operand read or written once.
    pub bytes: u64,
    /// Every sample, in nanoseconds.
    pub samples_ns: Vec<f64>,
    /// What stood beside each sample.
    #[serde(default, skip_serializing_if = "Witnesses::are_missing")]
    pub witnesses: Witnesses,
    /// The median of those that are not disturbed, or of all where all are.
    pub median_ns: f64,
    /// Operations that one run executes: those of [`KernelRow::flops`] without what it leaves out, and with what fills
    /// up tiles. Null where a kernel leaves nothing out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_flops: Option<u64>,
    /// Operations by the median; null where there are none.
    pub gflops: Option<f64>,
    /// The same for each thread.
    pub gflops_per_core: Option<f64>,
    /// Of the multiply-add peak of the same instruction set and number of threads, by the operations as the algorithm
    /// is written: above 100 where work is left out.
    pub percent_of_peak: Option<f64>,
    /// The same by the operations that are executed; null where nothing is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_percent_of_peak: Option<f64>,
    /// Of the smaller of that peak and what memory and the last-level cache allow for the kernel's bytes.
    pub percent_of_roofline: Option<f64>,
}

/// One inner step on some number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Which layer's step.
    pub op: String,
    /// rows x k x u.
    pub shape: String,
    /// The number format of its products.
    pub dtype: String,
    /// The instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// Every sample, in nanoseconds.
    pub samples_ns: Vec<f64>,
    /// What stood beside each sample.
    #[serde(default, skip_serializing_if = "Witnesses::are_missing")]
    pub witnesses: Witnesses,
    /// Their median.
    pub median_ns: f64,
    /// The median on one thread by this one.
    pub speedup: f64,
}

/// Training from the first epoch on, then prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The data set's name.
    pub dataset: String,
    /// Its sum.
    pub dataset_sha256: String,
    /// Images trained on.
    pub samples: usize,
    /// Units of each layer.
    pub layers: Vec<usize>,
    /// Inner steps of each layer in an outer epoch.
    pub inner_steps: usize,
    /// The backend.
    pub backend: String,
    /// The number format of its products.
    pub dtype: String,
    /// The instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// Each outer epoch, in seconds.
    pub epoch_seconds: Vec<f64>,
    /// Whether each was disturbed, however often it was trained; empty where nothing stood beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs_disturbed: Vec<bool>,
    /// Images by the median outer epoch.
    pub samples_per_second: f64,
    /// The loss after the last epoch, as the Keras example prints it.
    pub final_loss: f64,
    /// Images whose ten labels are tried in a second.
    pub predictions_per_second: f64,
    /// The sum of the weights after the last epoch.
    pub weights_sha256: String,
}

impl Witnesses {
    /// Whether nothing stood beside the samples.
    pub fn are_missing(&self) -> bool {
        self.disturbed.is_empty()
    }

    /// How many samples are disturbed.
    pub fn disturbed(&self) -> usize {
        self.disturbed.iter().filter(|disturbed| **disturbed).count()
    }

    /// Those of `samples` that are not disturbed, or all where all are or nothing stood beside them.
    pub fn undisturbed(&self, samples: &[f64]) -> Vec<f64> {
        let quiet = samples.iter().zip(&self.disturbed).filter(|(_, disturbed)| !**disturbed);
        Some(quiet.map(|(sample, _)| *sample).collect())
            .filter(|quiet: &Vec<f64>| !quiet.is_empty())
            .unwrap_or_else(|| samples.to_vec())
    }
}

impl System {
    /// Bytes of the last-level caches that so many threads have together; 0 where none is known.
    pub fn last_level_bytes(&self, threads: usize) -> u64 {
        last_level_bytes(&self.caches, self.cpus.unwrap_or(threads), threads)
    }
}

impl Peak {
    /// Work by the time that was sustained ([`sustained`]); `None` where it could not be measured.
    pub fn sustained_rate(&self) -> Option<f64> {
        let rate = self.work as f64 / median(&sustained(&self.witnesses.undisturbed(&self.samples_ns)));
        Some(rate).filter(|rate| rate.is_finite() && self.work > 0)
    }
}

impl Report {
    /// How many samples of peaks, kernels and scaling are disturbed, and how many there are; `None` where nothing stood
    /// beside them.
    pub fn disturbed(&self) -> Option<(usize, usize)> {
        let peaks = self.peaks.iter().map(|row| &row.witnesses);
        let all = peaks.chain(self.kernels.iter().map(|row| &row.witnesses));
        let all = all.chain(self.scaling.iter().map(|row| &row.witnesses));
        let of = |(disturbed, samples), row: &Witnesses| (disturbed + row.disturbed(), samples + row.disturbed.len());
        Some(all.fold((0, 0), of)).filter(|&(_, samples)| samples > 0)
    }

    /// How many cores' worth of multiply-adds all threads do together: their rate by that of one thread. `None` where
    /// one thread is all, or either was not measured.
    pub fn cores_worth(&self) -> Option<f64> {
        let rate = |threads| {
            let peaks = self.peaks.iter().filter(move |peak| peak.op == "fma" && peak.threads == threads);
            peaks.filter_map(Peak::sustained_rate).max_by(f64::total_cmp)
        };
        Some(rate(self.run.threads)? / rate(1)?).filter(|_| self.run.threads > 1)
    }

    /// How many outer epochs are disturbed, and how many there are; `None` where nothing stood beside them.
    pub fn epochs_disturbed(&self) -> Option<(usize, usize)> {
        let epochs = || self.training.iter().flat_map(|training| &training.epochs_disturbed);
        Some((epochs().filter(|disturbed| **disturbed).count(), epochs().count())).filter(|&(_, epochs)| epochs > 0)
    }

    /// Kernels of which no sample is undisturbed, so that their medians are of all.
    pub fn kernels_without_quiet(&self) -> usize {
        let marks = self.kernels.iter().map(|row| &row.witnesses.disturbed);
        marks.filter(|disturbed| !disturbed.is_empty() && disturbed.iter().all(|disturbed| *disturbed)).count()
    }
}

/// The fastest quarter of some samples, at least one of them: what was sustained at the best moments. Its median is the
/// time of a peak.
pub fn sustained(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.truncate(samples.len().div_ceil(4));
    sorted
}

/// The median; of an even number of samples the mean of the middle two, of none not a number.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small report in which every part has rows.
    pub(super) fn report() -> Report {
        let peak = |op: &str, rate: Option<f64>| Peak {
            op: op.into(),
            dtype: "f32".into(),
            isa: Some("avx2".into()),
            threads: 2,
            unit: "GFLOP/s".into(),
            work: 1,
            samples_ns: rate.into_iter().collect(),
            witnesses: Witnesses::default(),
            rate,
        };
        let kernel = |op: &str, gflops: Option<f64>| KernelRow {
            op: op.into(),
            shape: "2x3x4".into(),
            dtype: "f32".into(),
            isa: "avx2".into(),
            threads: 2,
            flops: gflops.map_or(0, |_| 50_000),
            bytes: 20_000,
            samples_ns: vec![1_000.0, 3_000.0, 2_000.0],
            witnesses: Witnesses::default(),
            median_ns: 2_000.0,
            executed_flops: None,
            executed_percent_of_peak: None,
            gflops,
            gflops_per_core: gflops.map(|gflops| gflops / 2.0),
            percent_of_peak: gflops.map(|gflops| 2.0 * gflops),
            percent_of_roofline: Some(62.5),
        };
        Report {
            schema: SCHEMA.into(),
            system: System { cpu_model: Some("Some CPU".into()), ..System::default() },
            build: Build { version: "0.0.1".into(), commit: None, dirty: None, rustc: None, profile: "release".into() },
            run: Circumstances {
                threads: 2,
                seed: 1,
                date: "2026-01-31T12:00:00Z".into(),
                quick: false,
                load_before: None,
                stolen: None,
            },
            peaks: vec![peak("fma", Some(100.0)), peak("tile", None)],
            kernels: vec![kernel("gemm/NN", Some(25.0)), kernel("pack | rows", None)],
            scaling: vec![Scaling {
                op: "step/a".into(),
                shape: "2x3x4".into(),
                dtype: "f32".into(),
                isa: "avx2".into(),
                threads: 1,
                samples_ns: vec![5.0],
                witnesses: Witnesses::default(),
                median_ns: 5.0,
                speedup: 1.0,
            }],
            training: vec![Training {
                dataset: "digits".into(),
                dataset_sha256: "0".into(),
                samples: 10,
                layers: vec![5, 4],
                inner_steps: 3,
                backend: "fused".into(),
                dtype: "f32".into(),
                isa: "avx2".into(),
                threads: 2,
                epoch_seconds: vec![1.0, 3.0, 2.0],
                epochs_disturbed: Vec::new(),
                samples_per_second: 5.0,
                final_loss: 0.5,
                predictions_per_second: 7.0,
                weights_sha256: "1".into(),
            }],
        }
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
