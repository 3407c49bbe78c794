//! `fast-train presets`: the sets of default options, and what a run of each would take here.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use ffwd::bench::loops::{multiply_adds, operations};
use ffwd::config::{Config, Preset};
use ffwd::tier::Tier;
use itertools::Itertools;

use crate::arguments::PresetsCommand;
use crate::{print, threads_or_available};

/// Runs of which the fastest counts: some tens of milliseconds.
const RUNS: usize = 10;

pub fn run(command: Option<PresetsCommand>) -> Result<ExitCode> {
    match command {
        None => list()?,
        Some(PresetsCommand::Show { name }) => {
            let preset = Preset::named(&name).expect("the command line takes these names only");
            print(Config::of_preset(&preset).to_toml().trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line for each preset.
fn list() -> Result<()> {
    let peak = peak()?;
    for preset in Preset::ALL {
        let config = Config::of_preset(&preset);
        let (layers, epochs) = (config.layers.iter().join("-"), config.epochs);
        let seconds = duration(preset.gflop / peak);
        print(format!("{:<13} {layers:<20} {epochs:>4} epochs  {seconds:>9}  {}", preset.name, preset.purpose()))?;
    }
    print(format!(
        "Times are for 60,000 images: measured elsewhere, scaled by this machine's f32 peak, {peak:.0} GFLOP/s. \
         `presets show NAME` prints all options."
    ))
}

/// A time in its usual unit.
fn duration(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Multiply-adds of all threads on registers, in GFLOP/s.
fn peak() -> Result<f64> {
    let isa = Tier::from_environment()?.isa();
    let threads = threads_or_available(0);
    let run = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| std::hint::black_box(multiply_adds(isa)));
            }
        });
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min);
    Ok(operations(isa) as f64 * threads as f64 / fastest / 1e9)
}
