//! `fast-train`: trains, evaluates and applies Forward-Forward networks from the command line.
//!
//! Arguments, progress, run directories and plots live here; every number comes from the library.
//!
//! Exit codes: 0 done, 2 usage, 3 a kernel slower than `compare --fail-over` allows, 1 anything else with one line on
//! stderr, 130 interrupted.

mod arguments;
mod bench_command;
mod compare_command;
mod cut_off;
mod data_command;
mod dataset;
mod goodness_watch;
mod info;
mod interrupt;
mod keeper;
mod model;
mod model_commands;
mod pictures;
mod plots;
mod presets_command;
mod progress;
mod ranks;
mod report_command;
mod run_directory;
mod shell;
mod show_command;
mod summary;
mod sweep_command;
mod train_command;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use ffwd::text;

use arguments::{Arguments, Command};
use ranks::Refused;

const USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    if cfg!(debug_assertions) {
        say("warning: this is a debug build, many times slower than `cargo run --release`");
    }
    run(arguments).unwrap_or_else(|error| {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return refused.exit_code();
        }
        say(format!("error: {error:#}"));
        match error.downcast_ref() {
            Some(ffwd::Error::Config { .. }) => ExitCode::from(USAGE),
            _ => ExitCode::FAILURE,
        }
    })
}

/// Writes text and a line's end to stdout. A reader that has gone away, as behind `| head`, has seen enough: that is no
/// error.
fn print(line: impl std::fmt::Display) -> anyhow::Result<()> {
    write_out(&text::lines(&format!("{line}\n")))
}

/// Writes text to stdout, as [`print`] writes a line.
fn write_out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to stdout"),
    }
}

/// Writes a line to stderr; a reader that has gone away must not end a run, so it is not missed.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text::one_line(&line.to_string()));
}

/// `asked` threads, or, for none, one for each core that affinity and cgroup leave to this process.
fn threads_or_available(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => train_command::run(&arguments.train),
        Some(Command::Train(train)) => train_command::run(&train),
        Some(Command::Sweep(sweep)) => sweep_command::run(&sweep),
        Some(Command::Eval(eval)) => model_commands::eval(&eval),
        Some(Command::Predict(predict)) => model_commands::predict(&predict),
        Some(Command::Show(show)) => show_command::run(&show),
        Some(Command::Report(report)) => report_command::run(&report),
        Some(Command::Info(info)) => info::run(info.json),
        Some(Command::Bench(bench)) => bench_command::run(&bench),
        Some(Command::Compare(compare)) => compare_command::run(&compare),
        Some(Command::Presets { command }) => presets_command::run(command),
        Some(Command::Data { command }) => data_command::run(command),
        Some(Command::Completions { shell }) => shell::completions(shell),
        Some(Command::Man { directory }) => shell::manual(&directory),
    }
}
