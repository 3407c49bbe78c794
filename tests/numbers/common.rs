//! What the tests share: the backends under test on every instruction set, and small random data.

use std::path::Path;

use ffwd::backend::Backend;
use ffwd::config::Config;
use ffwd::internals::{Fused, Reference};
use ffwd::isa::{ISA_VARIABLE, Isa};
use ffwd::parameters::Parameters;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// The instruction sets to test: the one `FFWD_ISA` asks for, or else every one this CPU has. Asking for one that the
/// CPU lacks fails the test: it would otherwise look green without having run.
pub fn isas() -> Vec<Isa> {
    if std::env::var_os(ISA_VARIABLE).is_some() {
        return vec![Isa::from_environment().expect("the requested instruction set")];
    }
    Isa::available()
}

/// The fused backend on `isa`, named: as it comes, and with every strip dense, every strip sparse, and some of each.
pub fn fused(isa: Isa) -> [(String, Fused); 4] {
    let forms = [("fused", None), ("dense", Some(0.0)), ("sparse", Some(2.0)), ("mixed", Some(0.45))];
    let of = |share: Option<f64>| share.map_or(Fused::new(isa), |share| Fused::new(isa).with_sparse_below(share));
    forms.map(|(form, share)| (format!("{form} on {isa}"), of(share)))
}

/// Every backend on every instruction set to test, named.
pub fn backends() -> Vec<(String, Box<dyn Backend>)> {
    let mut backends: Vec<(String, Box<dyn Backend>)> = Vec::new();
    for isa in isas() {
        backends.extend(fused(isa).map(|(name, fused)| (name, Box::new(fused) as Box<dyn Backend>)));
        backends.push((format!("reference on {isa}"), Box::new(Reference::new(isa))));
    }
    backends
}

/// Does `work` in a pool of `threads` threads.
pub fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(work)
}

/// Does `work` that consists of many small pieces, in a pool of one thread where `RAYON_NUM_THREADS` asks for no other
/// number: tests share the CPUs already, and waking another thread takes longer than a piece.
pub fn piecemeal<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    on_threads(wanted.unwrap_or(1), work)
}

/// The Keras example's configuration, or that of the preset that `fields` name, with some fields replaced.
pub fn config(fields: &str) -> Config {
    let mut table: toml::Table = fields.parse().expect("TOML");
    table.entry("preset").or_insert("keras".into());
    Config::resolve(None, table).expect("a valid configuration")
}

/// A generator of test data.
pub fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// `n` images of `k` bytes, three quarters of them zero.
pub fn images(n: usize, k: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    (0..n * k).map(|_| if rng.random_ratio(1, 4) { rng.random() } else { 0 }).collect()
}

/// `n` labels below `classes`.
pub fn labels(n: usize, classes: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    (0..n).map(|_| rng.random_range(0..classes) as u8).collect()
}

/// Parameters uniform in +-`spread`.
pub fn parameters(k: usize, u: usize, spread: f32, rng: &mut Xoshiro256PlusPlus) -> Parameters {
    let mut parameters = Parameters::zeros(k, u, true);
    for value in parameters.kernel.iter_mut().chain(&mut parameters.bias) {
        *value = rng.random_range(-spread..=spread);
    }
    parameters
}

/// The largest absolute difference of two slices of one length, all of it finite numbers.
pub fn gap(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|x| x.is_finite()), "a value was never written, or is no number");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The largest magnitude in a slice.
pub fn largest(a: &[f32]) -> f32 {
    a.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

/// The golden file of a case.
pub fn golden_text(case: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{case}.json"));
    std::fs::read_to_string(path).expect("a golden file")
}

pub fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

pub fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The bytes that hexadecimal digits spell.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A test for each golden file, which the module's `Golden` loads and checks on every backend.
macro_rules! golden_tests {
    ($($case:ident),+) => {$(
        #[test]
        fn $case() {
            let golden = Golden::load(stringify!($case));
            for (name, backend) in $crate::common::backends() {
                golden.check(&name, &*backend);
            }
        }
    )+};
}

pub(crate) use golden_tests;
