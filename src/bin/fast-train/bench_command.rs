//! `fast-train bench`: measures this machine, prints the report and keeps it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use ffwd::Error;
use ffwd::bench::report::{self, Circumstances, Report, Step};
use ffwd::data::Reading;
use ffwd::tier::Tier;
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::{BenchArguments, ReportForm};
use crate::{INTERRUPTED, dataset, print, say, threads_or_available};

/// Labels of the reference network.
const CLASSES: usize = 10;

/// A load of more than this share of the CPUs takes time from what is measured.
const BUSY: f64 = 0.5;

pub fn run(arguments: &BenchArguments) -> Result<ExitCode> {
    let tier = Tier::from_environment()?;
    let file = arguments.save.as_deref().map(NewFile::at).transpose()?;
    let (dataset, _) = dataset::open(Some(&arguments.data), Reading::of(CLASSES), false)?;
    let circumstances =
        Circumstances::beginning(threads_or_available(arguments.threads as usize), arguments.seed, arguments.quick);
    warn_of_load(&circumstances);
    let announcer = Announcer::new();
    end_on_interrupt(announcer.bar.clone())?;
    let report = report::measure(circumstances, tier, &dataset, &mut announcer.watch())?;
    announcer.bar.finish_and_clear();
    dataset.check_unchanged()?;
    print(text(&report, arguments.output).trim_end())?;
    report::outline(&report).iter().for_each(say);
    if let Some(file) = file {
        file.write(&json(&report))?;
        say(format!("written to {}", file.path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(report: &Report, form: ReportForm) -> String {
    match form {
        ReportForm::Md => report::markdown(report),
        ReportForm::Json => json(report),
        ReportForm::Csv => report::csv(report),
    }
}

fn json(report: &Report) -> String {
    serde_json::to_string(report).expect("plain values serialise") + "\n"
}

fn warn_of_load(circumstances: &Circumstances) {
    let cpus = threads_or_available(0);
    if let Some([load, ..]) = circumstances.load_before.filter(|load| load[0] > BUSY * cpus as f64) {
        say(format!(
            "warning: the load of the last minute is {load:.2} on {cpus} CPUs: others will disturb the measurement"
        ));
    }
}

/// Ends the program at Ctrl-C: before the report is whole there is nothing to keep.
fn end_on_interrupt(bar: ProgressBar) -> Result<()> {
    ctrlc::set_handler(move || {
        bar.finish_and_clear();
        say("interrupted: nothing is written");
        std::process::exit(i32::from(INTERRUPTED));
    })
    .context("handling Ctrl-C")
}

/// Tells on stderr what is being measured: a line that changes on a terminal, elsewhere a line for each part.
struct Announcer {
    /// Hidden where stderr is no terminal.
    bar: ProgressBar,
}

impl Announcer {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{elapsed} {wide_msg}").expect("the template is valid");
        let bar = ProgressBar::new_spinner().with_style(style);
        // Ticks of its own would run while kernels do.
        bar.disable_steady_tick();
        Self { bar }
    }

    /// What the measurement reports to.
    fn watch(&self) -> impl FnMut(&Step<'_>) + Send {
        let bar = self.bar.clone();
        let mut running = String::new();
        move |&Step { part, next, left }| {
            let left = left.map_or(String::new(), |left| format!(", {} left", rough(left)));
            if !bar.is_hidden() {
                bar.set_message(format!("{part}{left}: {next}"));
                bar.tick();
            } else if part != running {
                say(format!("{part}{left}"));
            }
            running = part.to_owned();
        }
    }
}

/// A time in words that do not promise too much.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 100.. => format!("about {} minutes", (seconds + 30) / 60),
        seconds => format!("about {} s", seconds.div_ceil(5) * 5),
    }
}

/// A file that is not there yet.
struct NewFile {
    path: PathBuf,
}

impl NewFile {
    /// The file at `path`; checked before the measurement: what exists is not replaced, and the directory can be
    /// written.
    fn at(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path).into());
        }
        tempfile::tempfile_in(directory(path)).map_err(Error::io(path, "create a file in its directory"))?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// Creates and writes it.
    fn write(&self, content: &str) -> Result<()> {
        let written = File::create_new(&self.path).and_then(|mut file| file.write_all(content.as_bytes()));
        Ok(written.map_err(Error::io(&self.path, "write"))?)
    }
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn exists(path: &Path) -> Error {
    Error::config("--save", format!("{}, which is there already", path.display()), "the name of a new file")
}
