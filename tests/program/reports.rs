//! Reports of machines that do not exist, for the tests of `fast-train compare`.

use ffwd::bench::report::{
    Build, Cache, Circumstances, KernelRow, Peak, Report, SCHEMA, Scaling, System, Training, Witnesses, median,
};

/// What the numbers of a report follow from.
#[derive(Clone)]
pub struct Machine {
    /// The CPU's name.
    pub cpu: &'static str,
    /// Instruction sets with the number format of their products and the peak of one thread, in GFLOP/s; fastest first.
    pub isas: Vec<(&'static str, &'static str, f64)>,
    /// Of memory, in GB/s.
    pub memory: f64,
    /// Of the largest run; smaller runs are halves of it, down to one.
    pub threads: usize,
}

/// Two threads, tiles.
pub fn tiles() -> Machine {
    let isas = vec![("amx", "bf16", 3230.0), ("avx512", "f32", 222.0), ("portable", "f32", 26.0)];
    Machine { cpu: "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", isas, memory: 21.0, threads: 2 }
}

/// Sixteen threads, no tiles.
pub fn many_threads() -> Machine {
    let isas = vec![("avx512", "f32", 118.0), ("portable", "f32", 31.0)];
    Machine { cpu: "AMD EPYC 9654 96-Core Processor", isas, memory: 46.0, threads: 16 }
}

/// op, rows, k, u, share of the peak that is reached; an op that begins with `pack` moves data only.
const KERNELS: [(&str, u64, u64, u64, f64); 8] = [
    ("gemm/NN", 60000, 784, 500, 0.71),
    ("gemm/TN", 784, 60000, 500, 0.66),
    ("gemm/square", 2048, 2048, 2048, 0.8),
    ("forward/dense", 60000, 784, 500, 0.62),
    ("forward/activations 5%", 60000, 500, 500, 1.3),
    ("gradient/dense", 784, 60000, 500, 0.58),
    ("adam", 1, 784, 500, 0.004),
    ("pack/A", 60000, 784, 0, 1.0),
];

impl Machine {
    /// The report of this machine.
    pub fn report(&self) -> Report {
        let isas = || self.isas.iter();
        let threads = || [1, self.threads].into_iter();
        Report {
            schema: SCHEMA.into(),
            system: self.system(),
            build: Build {
                version: "0.1.0".into(),
                commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
                dirty: Some(false),
                rustc: Some("rustc 1.95.0".into()),
                profile: "release".into(),
            },
            run: Circumstances {
                threads: self.threads,
                seed: 1,
                date: "2026-01-31T12:00:00Z".into(),
                quick: false,
                load_before: Some([0.1, 0.2, 0.3]),
                stolen: None,
            },
            peaks: isas()
                .flat_map(|isa| threads().map(|threads| self.peak(isa, threads)))
                .chain(threads().map(|t| self.copy(t)))
                .collect(),
            kernels: isas().flat_map(|isa| KERNELS.map(|kernel| self.kernel(isa, kernel))).collect(),
            scaling: isas().flat_map(|isa| self.scaling(isa)).collect(),
            training: vec![self.training()],
        }
    }

    fn system(&self) -> System {
        let cache = |level, kind: &str, bytes| Cache { level, kind: kind.into(), bytes, shared_by: Some(1) };
        System {
            cpu_model: Some(self.cpu.into()),
            cpus: Some(self.threads),
            cores: Some(self.threads),
            caches: vec![cache(1, "Data", 48 << 10), cache(2, "Unified", 2 << 20)],
            memory_bytes: Some(16 << 30),
            isa_usable: self.isas.iter().map(|(isa, ..)| (*isa).into()).collect(),
            kernel: Some("Linux 6.1.0".into()),
            ..System::default()
        }
    }

    fn peak(&self, &(isa, dtype, gflops): &(&str, &str, f64), threads: usize) -> Peak {
        let work = 1_000_000_000;
        let samples_ns = samples(work as f64 / (gflops * threads as f64));
        let op = if isa == "amx" { "tile" } else { "fma" };
        let (isa, unit, rate) = (Some(isa.into()), "GFLOP/s".into(), Some(work as f64 / median(&samples_ns)));
        Peak {
            op: op.into(),
            dtype: dtype.into(),
            isa,
            threads,
            unit,
            work,
            samples_ns,
            witnesses: Witnesses::default(),
            rate,
        }
    }

    fn copy(&self, threads: usize) -> Peak {
        let (work, share) = (1 << 30, if threads == 1 { 0.6 } else { 1.0 });
        let samples_ns = samples(work as f64 / (self.memory * share));
        let rate = Some(work as f64 / median(&samples_ns));
        let (op, dtype, unit) = ("copy".into(), "f32".into(), "GB/s".into());
        Peak { op, dtype, isa: None, threads, unit, work, samples_ns, witnesses: Witnesses::default(), rate }
    }

    fn kernel(
        &self,
        &(isa, dtype, gflops): &(&str, &str, f64),
        (op, rows, k, u, share): (&str, u64, u64, u64, f64),
    ) -> KernelRow {
        let (flops, bytes) = (2 * rows * k * u, 4 * (rows * k + k * u + rows * u));
        let seconds_of_work = flops as f64 / (gflops * self.threads as f64 * share);
        let samples_ns = samples(if flops == 0 { bytes as f64 / (self.memory * share) } else { seconds_of_work });
        let shape = if u == 0 { format!("{rows} x {k}") } else { format!("{rows} x {k} x {u}") };
        KernelRow {
            op: op.into(),
            shape,
            dtype: dtype.into(),
            isa: isa.into(),
            threads: self.threads,
            flops,
            bytes,
            median_ns: median(&samples_ns),
            samples_ns,
            witnesses: Witnesses::default(),
            executed_flops: None,
            executed_percent_of_peak: None,
            gflops: None,
            gflops_per_core: None,
            percent_of_peak: None,
            percent_of_roofline: None,
        }
    }

    fn scaling<'a>(&self, &(isa, dtype, gflops): &'a (&str, &str, f64)) -> impl Iterator<Item = Scaling> + use<'a> {
        let all = self.threads;
        (1..=all).filter(move |threads| all.is_multiple_of(*threads)).map(move |threads| {
            let samples_ns = samples(4e10 / gflops * (0.04 + 0.96 / threads as f64));
            Scaling {
                op: "step/layer 1".into(),
                shape: "60000 x 784 x 500".into(),
                dtype: dtype.into(),
                isa: isa.into(),
                threads,
                median_ns: median(&samples_ns),
                samples_ns,
                witnesses: Witnesses::default(),
                speedup: 1.0,
            }
        })
    }

    fn training(&self) -> Training {
        let (isa, dtype, gflops) = self.isas[0];
        Training {
            dataset: "digits".into(),
            dataset_sha256: "ab".repeat(32),
            samples: 60000,
            layers: vec![500, 500],
            inner_steps: 50,
            backend: "fused".into(),
            dtype: dtype.into(),
            isa: isa.into(),
            threads: self.threads,
            epoch_seconds: vec![9000.0 / gflops / self.threads as f64; 3],
            epochs_disturbed: Vec::new(),
            samples_per_second: 1.0,
            final_loss: 0.7,
            predictions_per_second: 4000.0 * gflops,
            weights_sha256: "cd".repeat(32),
        }
    }
}

/// Samples around `ns`, all within one percent.
pub fn samples(ns: f64) -> Vec<f64> {
    (0..20).map(|index| ns * (0.995 + 0.0005 * f64::from(index * 7 % 20))).collect()
}
