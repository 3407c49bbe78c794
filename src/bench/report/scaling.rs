//! The rows of scaling: inner steps on one thread, on two, and so on up to all.

use super::{Scaling, kernels, median};
use crate::bench::report::sample::{Subject, Taken};
use crate::bench::workloads::Workload;

/// The workloads that are one inner step of each layer, with as many units on as in the first outer epochs.
const STEPS: [&str; 2] = ["step/images", "step/activations dense"];

/// Up to this many threads every number of them is measured, beyond only powers of two and all.
const EVERY: usize = 8;

/// An inner step on some number of threads.
pub(super) struct Point<'a> {
    workload: &'a Workload,
    threads: usize,
}

/// The points of the inner steps among `workloads`, with 1 to `threads` threads.
pub(super) fn points(workloads: &[Workload], threads: usize) -> Vec<Point<'_>> {
    let steps = workloads.iter().filter(|workload| STEPS.contains(&&*workload.op));
    steps.flat_map(|workload| counts(threads).into_iter().map(move |threads| Point { workload, threads })).collect()
}

/// The numbers of threads to measure, one first.
fn counts(threads: usize) -> Vec<usize> {
    (1..=threads).filter(|&count| count <= EVERY || count.is_power_of_two() || count == threads).collect()
}

impl<'a> Point<'a> {
    /// What takes its samples.
    pub(super) fn subject(&self) -> Subject<'a> {
        kernels::subject(self.workload, self.threads)
    }
}

/// The rows of `points`, in their order; there are samples for each.
pub(super) fn rows(points: &[Point<'_>], taken: impl Iterator<Item = Taken>) -> Vec<Scaling> {
    let mut one_thread = f64::NAN;
    let row = |(point, Taken { samples_ns, witnesses, .. }): (&Point<'_>, Taken)| {
        let median_ns = median(&witnesses.undisturbed(&samples_ns));
        if point.threads == 1 {
            one_thread = median_ns;
        }
        let Workload { op, shape, dtype, isa, .. } = point.workload;
        Scaling {
            op: op.clone(),
            shape: shape.clone(),
            dtype: (*dtype).to_owned(),
            isa: isa.clone(),
            threads: point.threads,
            samples_ns,
            witnesses,
            median_ns,
            speedup: one_thread / median_ns,
        }
    };
    points.iter().zip(taken).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_are_measured_in_powers_of_two_and_all() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(3), [1, 2, 3]);
        assert_eq!(counts(24), [1, 2, 3, 4, 5, 6, 7, 8, 16, 24]);
        assert_eq!(counts(32).last(), Some(&32));
    }

    #[test]
    fn steps_are_measured_and_nothing_else() {
        let workload = |op, isa| Workload::of_numbers(op, isa, 1, 1);
        let [images, activations] = STEPS;
        let workloads = [workload(images, "avx2"), workload("gemm/NN", "avx2"), workload(activations, "avx2")];
        let points = points(&workloads, 2);
        let samples =
            [8.0, 4.0, 6.0, 6.0].into_iter().map(|median| Taken { samples_ns: vec![median], ..Taken::default() });
        let rows = rows(&points, samples);
        let fields: Vec<_> = rows.iter().map(|row| (row.op.as_str(), row.threads, row.speedup)).collect();
        assert_eq!(fields, [(images, 1, 1.0), (images, 2, 2.0), (activations, 1, 1.0), (activations, 2, 1.0)]);
    }
}
