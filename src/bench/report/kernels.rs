//! The rows of the kernels: what each workload reaches, and how far that is from the machine's limits.

use super::sample::{Subject, Taken, Timer};
use super::{KernelRow, MemoryRoof, Peak, System, median};
use crate::bench::workloads::Workload;

/// The instruction set of workloads whose library chooses for itself.
const LIBRARY: &str = "library";

/// What takes the samples of `workload` on `threads` threads.
pub(super) fn subject(workload: &Workload, threads: usize) -> Subject<'_> {
    let Workload { op, shape, dtype, isa, .. } = workload;
    let name = format!("{op} {shape} {dtype} {isa}, {threads} threads");
    Subject::new(name, (threads, true), |timer: &mut Timer<'_>| {
        timer.time(workload.prepare()?);
        Ok(())
    })
}

/// The row of `workload` on `threads` threads, against what `limits` allow.
pub(super) fn row(workload: &Workload, threads: usize, taken: Taken, limits: (&[Peak], &System)) -> KernelRow {
    let &Workload { flops, bytes, dtype, .. } = workload;
    let Taken { samples_ns, witnesses, executed } = taken;
    let median_ns = median(&witnesses.undisturbed(&samples_ns));
    let executed_flops = Some(2 * executed).filter(|&executed| executed > 0 && flops > 0);
    let limits = Limits::of(limits, workload, threads);
    let gflops = (flops > 0).then(|| flops as f64 / median_ns);
    // A kernel without operations is compared by its bytes.
    let (rate, roof) = match gflops {
        Some(gflops) => (gflops, limits.roof(executed_flops.unwrap_or(flops), bytes)),
        None => (bytes as f64 / median_ns, limits.memory.map(|memory| memory.of_bytes(bytes))),
    };
    let percent = |rate: f64, of: f64| Some(100.0 * rate / of).filter(|percent| percent.is_finite());
    let executed_gflops = executed_flops.map(|flops| flops as f64 / median_ns);
    let of_peak = |gflops: f64| percent(gflops, limits.arithmetic?);
    KernelRow {
        op: workload.op.clone(),
        shape: workload.shape.clone(),
        dtype: dtype.to_owned(),
        isa: workload.isa.clone(),
        threads,
        flops,
        bytes,
        samples_ns,
        witnesses,
        median_ns,
        executed_flops,
        gflops,
        gflops_per_core: gflops.map(|gflops| gflops / threads as f64),
        percent_of_peak: gflops.and_then(of_peak),
        executed_percent_of_peak: executed_gflops.and_then(of_peak),
        percent_of_roofline: roof.and_then(|roof| percent(executed_gflops.unwrap_or(rate), roof)),
    }
}

/// What a workload could reach on its number of threads, where it was measured.
struct Limits {
    /// Operations of its number format and instruction set, in GFLOP/s.
    arithmetic: Option<f64>,
    /// Bytes.
    memory: Option<MemoryRoof>,
}

impl Limits {
    /// A library may use whatever the machine has: its limit is the largest.
    fn of((peaks, system): (&[Peak], &System), workload: &Workload, threads: usize) -> Self {
        let same_set = |peak: &Peak| workload.isa == LIBRARY || peak.isa.as_deref() == Some(&workload.isa);
        let suitable = peaks.iter().filter(|peak| {
            peak.unit == "GFLOP/s" && peak.threads == threads && peak.dtype == workload.dtype && same_set(peak)
        });
        Self {
            arithmetic: suitable.filter_map(|peak| peak.rate).max_by(f64::total_cmp),
            memory: MemoryRoof::of(peaks, system, threads),
        }
    }

    /// The roofline of so many operations and bytes, in GFLOP/s.
    fn roof(&self, flops: u64, bytes: u64) -> Option<f64> {
        let intensity = flops as f64 / bytes as f64;
        Some(self.arithmetic?.min(intensity * self.memory?.of_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Witnesses;

    fn peak(unit: &str, dtype: &str, isa: Option<&str>, threads: usize, rate: f64) -> Peak {
        Peak {
            op: String::new(),
            dtype: dtype.into(),
            isa: isa.map(Into::into),
            threads,
            unit: unit.into(),
            work: 1_000_000_000,
            samples_ns: vec![1e9 / rate],
            witnesses: Witnesses::default(),
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

    fn row_of(workload: &Workload, threads: usize, samples_ns: Vec<f64>) -> KernelRow {
        let taken = Taken { samples_ns, ..Taken::default() };
        row(workload, threads, taken, (&peaks(), &System::default()))
    }

    fn workload(isa: &str, flops: u64, bytes: u64) -> Workload {
        Workload::of_numbers("gemm/NN", isa, flops, bytes)
    }

    #[test]
    fn a_kernel_is_held_against_the_peak_of_its_own_instruction_set_and_threads() {
        let row = row_of(&workload("portable", 50_000, 1_000), 2, vec![1_000.0, 3_000.0, 2_000.0]);
        assert_eq!((row.median_ns, row.gflops, row.gflops_per_core), (2_000.0, Some(25.0), Some(12.5)));
        assert_eq!((row.percent_of_peak, row.percent_of_roofline), (Some(50.0), Some(50.0)));
        assert_eq!(row.samples_ns, [1_000.0, 3_000.0, 2_000.0], "as they were taken");
    }

    #[test]
    fn few_operations_for_a_byte_are_bound_by_memory() {
        // Two operations for a byte: at most 40 GFLOP/s.
        let row = row_of(&workload("avx2", 20_000, 10_000), 2, vec![1_000.0]);
        assert_eq!((row.percent_of_peak, row.percent_of_roofline), (Some(10.0), Some(50.0)));
    }

    #[test]
    fn a_library_is_held_against_the_best() {
        let row = row_of(&workload(LIBRARY, 100_000, 1), 2, vec![1_000.0]);
        assert_eq!(row.percent_of_peak, Some(50.0));
    }

    #[test]
    fn without_operations_bytes_are_held_against_memory() {
        let row = row_of(&workload("avx2", 0, 10_000), 2, vec![1_000.0]);
        assert_eq!((row.gflops, row.gflops_per_core, row.percent_of_peak), (None, None, None));
        assert_eq!(row.percent_of_roofline, Some(50.0));
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let row = row_of(&workload("avx2", 10, 10), 1, vec![1_000.0]);
        assert_eq!((row.gflops, row.percent_of_peak, row.percent_of_roofline), (Some(0.01), None, None));
        let nothing_moved = row_of(&workload("avx2", 200_000, 0), 2, vec![1_000.0]);
        assert_eq!(nothing_moved.percent_of_roofline, Some(100.0), "the peak alone bounds it");
        let nothing = row_of(&workload("avx2", 0, 0), 2, vec![0.0]);
        assert_eq!(nothing.percent_of_roofline, None);
    }
    #[test]
    fn disturbed_samples_are_kept_and_do_not_count() {
        let disturbed = vec![false, true, false];
        let witnesses = Witnesses { disturbed, ..Witnesses::default() };
        let taken = Taken { samples_ns: vec![1_000.0, 9_000.0, 3_000.0], witnesses, executed: 0 };
        let row = row(&workload("avx2", 10, 10), 2, taken, (&peaks(), &System::default()));
        assert_eq!((row.median_ns, row.samples_ns.len(), row.executed_flops), (2_000.0, 3, None));
    }

    #[test]
    fn work_that_is_left_out_is_counted_and_not_executed() {
        let taken = Taken { samples_ns: vec![1_000.0], executed: 50_000, ..Taken::default() };
        let row = row(&workload("avx2", 400_000, 1), 2, taken, (&peaks(), &System::default()));
        assert_eq!((row.percent_of_peak, row.executed_percent_of_peak), (Some(200.0), Some(50.0)));
        assert_eq!((row.executed_flops, row.percent_of_roofline), (Some(100_000), Some(50.0)));
    }
}
