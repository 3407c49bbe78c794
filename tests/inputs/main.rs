//! Files from outside, sound ones and mutated ones, through everything that reads them (`targets.rs`).
//!
//! `tools/fuzz` runs the same functions under a fuzzer that looks for new paths, and its corpus is read here.

mod meter;
mod targets;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: meter::Meter = meter::Meter;

/// Files of each form that are tried in a run of the tests.
const CASES: u32 = 1_000;

/// The files that are kept for a target, each a sound one or one that led somewhere new.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fuzz/corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A change of a file, at a place that is a share of its length.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Number(Index, u32),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    CutOff(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Sizes and counts at which arithmetic could go wrong, beside small ones.
    let number =
        prop_oneof![0..9_u32, select(vec![255, 256, 65_535, 1 << 16, 1 << 24, 1 << 31, u32::MAX]), any::<u32>()];
    let text = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..9),
        select(vec!["[[", "{\"", "}", ",", "-", "0", "1e999", "nan", "\n", "\"", "99999999999999999999"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), number).prop_map(|(at, number)| Edit::Number(at, number)),
        2 => (any::<Index>(), text).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (any::<Index>(), 1..60_usize).prop_map(|(at, count)| Edit::Repeat(at, count)),
        1 => any::<Index>().prop_map(Edit::CutOff),
    ]
}

fn edited(mut file: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let place = |at: &Index| at.index(file.len() + 1);
        match edit {
            Edit::Set(at, byte) => {
                let at = place(at);
                file.get_mut(at).into_iter().for_each(|to| *to = *byte);
            }
            Edit::Number(at, number) => {
                let at = place(at) & !3;
                file.get_mut(at..at + 4).into_iter().for_each(|to| to.copy_from_slice(&number.to_be_bytes()));
            }
            Edit::Insert(at, bytes) => {
                let at = place(at);
                file.splice(at..at, bytes.iter().copied());
            }
            Edit::Remove(at, count) => {
                let at = place(at);
                file.drain(at..(at + count).min(file.len()));
            }
            Edit::Repeat(at, count) => {
                let at = place(at);
                let part = file[at..(at + count).min(file.len())].to_vec();
                file.splice(at..at, part);
            }
            Edit::CutOff(at) => file.truncate(place(at)),
        }
    }
    file
}

fn check((name, target): Target) {
    let files = corpus(name);
    files.iter().for_each(|file| target(file));
    let mutated =
        (select(files), proptest::collection::vec(edit(), 0..6)).prop_map(|(file, edits)| edited(file, &edits));
    let any = prop_oneof![9 => mutated, 1 => proptest::collection::vec(any::<u8>(), 0..300)];
    // A failure is told with the smallest file that has it; none is written beside the sources.
    let settings = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(settings, |(file in any)| target(&file));
}

macro_rules! inputs {
    ($($name:ident),+) => {$(
        #[test]
        fn $name() {
            check(*TARGETS.iter().find(|(name, _)| *name == stringify!($name)).expect("a target"));
        }
    )+};
}

inputs!(idx, gzip, config, model, state, report);

#[test]
fn hostile_models_are_refused_by_name() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fuzz/corpus/model");
    for (file, words) in [
        ("f16", "layer.0.kernel of type F16, expected F32"),
        ("bf16", "layer.0.kernel of type BF16, expected F32"),
        ("nan", "layer.0.kernel with the value NaN, expected finite numbers"),
        ("huge-header", "no safetensors file (header too large)"),
        ("header-beyond-file", "no safetensors file (invalid header length)"),
        ("duplicate", "a header with \"layer.0.kernel\" twice"),
        ("overlapping", "no safetensors file (invalid offset for tensor"),
        ("misaligned", "no safetensors file (invalid offset for tensor"),
        ("hole", "no safetensors file (invalid offset for tensor"),
        ("shape-overflow", "no safetensors file"),
        ("odd-length", "no safetensors file"),
    ] {
        let message = ffwd::checkpoint::load(&directory.join(file)).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains(file), "{file}: {message}");
    }
}
