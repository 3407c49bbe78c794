//! The rows of the kernels: what each workload reaches, and how far that is from the machine's limits.

use super::sample::{Subject, Timer};
use super::{KernelRow, Peak, median};
use crate::bench::workloads::Workload;

/// The instruction set of workloads whose library chooses for itself.
const LIBRARY: &str = "library";

/// What takes the samples of `workload` on `threads` threads.
pub(super) fn subject(workload: &Workload, threads: usize) -> Subject<'_> {
    let Workload { op, shape, dtype, isa, .. } = workload;
    let name = format!("{op} {shape} {dtype} {isa}, {threads} threads");
    Subject::new(name, threads, |timer: &mut Timer<'_>| {
        timer.time(workload.prepare()?);
        Ok(())
    })
}

/// The row of `workload` on `threads` threads, against the measured `peaks`.
pub(super) fn row(workload: &Workload, threads: usize, samples_ns: Vec<f64>, peaks: &[Peak]) -> KernelRow {
    let &Workload { flops, bytes, dtype, .. } = workload;
    let median_ns = median(&samples_ns);
    let limits = Limits::of(peaks, workload, threads);
    let gflops = (flops > 0).then(|| flops as f64 / median_ns);
    // A kernel without operations is compared by its bytes.
    let (rate, roof) = match gflops {
        Some(gflops) => (gflops, limits.roof(flops as f64 / bytes as f64)),
        None => (bytes as f64 / median_ns, limits.memory),
    };
    let percent = |rate: f64, of: f64| Some(100.0 * rate / of).filter(|percent| percent.is_finite());
    KernelRow {
        op: workload.op.clone(),
        shape: workload.shape.clone(),
        dtype: dtype.to_owned(),
        isa: workload.isa.clone(),
        threads,
        flops,
        bytes,
        samples_ns,
        median_ns,
        gflops,
        gflops_per_core: gflops.map(|gflops| gflops / threads as f64),
        percent_of_peak: gflops.zip(limits.arithmetic).and_then(|(gflops, peak)| percent(gflops, peak)),
        percent_of_roofline: roof.and_then(|roof| percent(rate, roof)),
    }
}

/// What a workload could reach on its number of threads, where it was measured.
struct Limits {
    /// Operations of its number format and instruction set, in GFLOP/s.
    arithmetic: Option<f64>,
    /// Bytes, in GB/s.
    memory: Option<f64>,
}

impl Limits {
    /// A library may use whatever the machine has: its limit is the largest.
    fn of(peaks: &[Peak], workload: &Workload, threads: usize) -> Self {
        let largest = |unit: &str, suits: &dyn Fn(&Peak) -> bool| {
            let suitable = peaks.iter().filter(|peak| peak.unit == unit && peak.threads == threads && suits(peak));
            suitable.filter_map(|peak| peak.rate).max_by(f64::total_cmp)
        };
        let same_set = |peak: &Peak| workload.isa == LIBRARY || peak.isa.as_deref() == Some(&workload.isa);
        Self {
            arithmetic: largest("GFLOP/s", &|peak| peak.dtype == workload.dtype && same_set(peak)),
            memory: largest("GB/s", &|_| true),
        }
    }

    /// The roofline, in GFLOP/s, at this many operations for a byte.
    fn roof(&self, intensity: f64) -> Option<f64> {
        Some(self.arithmetic?.min(intensity * self.memory?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(unit: &str, dtype: &str, isa: Option<&str>, threads: usize, rate: f64) -> Peak {
        Peak {
            op: String::new(),
            dtype: dtype.into(),
            isa: isa.map(Into::into),
            threads,
            unit: unit.into(),
            work: 1,
            samples_ns: vec![1.0],
            rate: Some(rate),
        }
    }

    fn peaks() -> Vec<Peak> {
        vec![
            peak("GFLOP/s", "f32", Some("avx2"), 2, 200.0),
            peak("GFLOP/s", "f32", Some("portable"), 2, 50.0),
            peak("GFLOP/s", "f32", Some("portable"), 1, 25.0),
            peak("GFLOP/s", "bf16", Some("amx"), 2, 4000.0),
            peak("GB/s", "f32", None, 2, 20.0),
            peak("GB/s", "f32", None, 2, 16.0),
        ]
    }

    fn workload(isa: &str, flops: u64, bytes: u64) -> Workload {
        Workload::of_numbers("gemm/NN", isa, flops, bytes)
    }

    #[test]
    fn a_kernel_is_held_against_the_peak_of_its_own_instruction_set_and_threads() {
        let row = row(&workload("portable", 50_000, 1_000), 2, vec![1_000.0, 3_000.0, 2_000.0], &peaks());
        assert_eq!((row.median_ns, row.gflops, row.gflops_per_core), (2_000.0, Some(25.0), Some(12.5)));
        assert_eq!((row.percent_of_peak, row.percent_of_roofline), (Some(50.0), Some(50.0)));
        assert_eq!(row.samples_ns, [1_000.0, 3_000.0, 2_000.0], "as they were taken");
    }

    #[test]
    fn few_operations_for_a_byte_are_bound_by_memory() {
        // Two operations for a byte: at most 40 GFLOP/s.
        let row = row(&workload("avx2", 20_000, 10_000), 2, vec![1_000.0], &peaks());
        assert_eq!((row.percent_of_peak, row.percent_of_roofline), (Some(10.0), Some(50.0)));
    }

    #[test]
    fn a_library_is_held_against_the_best() {
        let row = row(&workload(LIBRARY, 100_000, 1), 2, vec![1_000.0], &peaks());
        assert_eq!(row.percent_of_peak, Some(50.0));
    }

    #[test]
    fn without_operations_bytes_are_held_against_memory() {
        let row = row(&workload("avx2", 0, 10_000), 2, vec![1_000.0], &peaks());
        assert_eq!((row.gflops, row.gflops_per_core, row.percent_of_peak), (None, None, None));
        assert_eq!(row.percent_of_roofline, Some(50.0));
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let row = row(&workload("avx2", 10, 10), 1, vec![1_000.0], &peaks());
        assert_eq!((row.gflops, row.percent_of_peak, row.percent_of_roofline), (Some(0.01), None, None));
        let nothing_moved = super::row(&workload("avx2", 200_000, 0), 2, vec![1_000.0], &peaks());
        assert_eq!(nothing_moved.percent_of_roofline, Some(100.0), "the peak alone bounds it");
        let nothing = super::row(&workload("avx2", 0, 0), 2, vec![0.0], &peaks());
        assert_eq!(nothing.percent_of_roofline, None);
    }
}
