//! The 16-bit instructions, on silicon where the CPU has them and on a model of them everywhere.
//!
//! The assembly of `ffwd`'s AMX unit is executed as it ships: a handler of invalid instructions (`handler`) does what
//! each tile instruction does on a model of the tile registers (`model`). A process that has asked for permission to
//! use AMX could no longer be sent there, so what runs on the model runs in a process of its own, which is this program
//! started again for one test.
//!
//! Relies on Linux on x86-64, and is empty elsewhere.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod decoding;
mod handler;
mod model;
mod pairs;
mod training;
mod units;

use std::process::{Command, Output};

use ffwd::internals::{Amx, Avx512Bf16, Lack};
use ffwd::isa::Isa;

/// The variable that tells a process which of its tests it has been started for.
const CHILD: &str = "FFWD_TILE_TEST";

/// What a child's lines of results begin with.
const RESULT: &str = "found on the model: ";

/// Starts this program again for the test of that name alone.
fn start_again(test: &str) -> Output {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, test);
    command.output().expect("this program can be started again")
}

/// Whether this is the process that has been started for the test.
fn is_child_for(test: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|name| name == test)
}

/// Runs `body` in a process that uses the model, and hands over the lines that it returns there. `test` is the path of
/// the test that calls this. In the child itself there are none.
fn on_the_model(test: &str, body: impl FnOnce() -> Vec<String>) -> Option<Vec<String>> {
    if is_child_for(test) {
        body().iter().for_each(|line| println!("{RESULT}{line}"));
        assert!(handler::products() > 0, "no tile product was computed by the model");
        return None;
    }
    let output = start_again(test);
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && text.contains("1 passed");
    assert!(passed, "{test}: {}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    // The test harness ends no line before the first of a test's own.
    Some(text.lines().filter_map(|line| line.split_once(RESULT)).map(|(_, line)| line.to_owned()).collect())
}

/// The unit that ships, its instructions executed by the model; only for a process in which no test asks for AMX.
fn amx_on_the_model(isa: Isa) -> Amx {
    handler::install();
    // SAFETY: the handler does what the instructions do, from here on and on every thread.
    unsafe { Amx::unchecked(isa) }
}

/// The unit of this CPU with the vectors of `isa`, where it can be used.
fn amx_on_silicon(isa: Isa) -> Result<Amx, Lack> {
    // SAFETY: the CPU has just been seen to have the unit, and the process to be permitted to use it.
    Amx::new().map(|_| unsafe { Amx::unchecked(isa) })
}

#[test]
fn what_ran() {
    let amx = match Amx::new() {
        Ok(_) => "silicon and model",
        Err(Lack::Cpu) => "model only: the CPU lacks it",
        Err(Lack::Denied) => "model only: the system denies it",
    };
    let pairs = if Avx512Bf16::new().is_some() { "silicon and model" } else { "model only: the CPU lacks it" };
    println!("amx: {amx}; avx512bf16: {pairs}");
}
