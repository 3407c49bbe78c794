//! Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal;
use std::time::Duration;

use ffwd::text::one_line;
use ffwd::train::EpochReport;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use itertools::Itertools;

use crate::say;

/// Ten years, in seconds: longer is all the same.
const YEARS: f64 = 3.2e8;

/// Shows the epochs of one run.
pub struct Progress {
    epochs: usize,
    seconds: f64,
    form: Form,
}

enum Form {
    Silent,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// Progress over `epochs` outer epochs, of which some are `done`.
    pub fn new(epochs: usize, done: &[EpochReport], quiet: bool) -> Self {
        let form = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Form::Silent,
            (false, false) => Form::Lines,
            (false, true) => on_terminal(bar(epochs)),
        };
        if let Form::Bar(bar) = &form {
            bar.set_position(done.len() as u64);
        }
        Self { epochs, seconds: done.iter().map(|report| report.seconds).sum(), form }
    }

    /// Whether it shows nothing.
    pub fn is_silent(&self) -> bool {
        matches!(self.form, Form::Silent)
    }

    /// Shows one line that is not an epoch.
    pub fn note(&self, line: &str) {
        match &self.form {
            Form::Silent => {}
            Form::Lines => say(line),
            Form::Bar(bar) => bar.println(one_line(line)),
        }
    }

    /// Shows a finished epoch.
    pub fn epoch(&mut self, report: &EpochReport) {
        self.seconds += report.seconds;
        let left = self.seconds / report.epoch as f64 * (self.epochs - report.epoch) as f64;
        let line = self.line(report);
        match &self.form {
            Form::Silent => {}
            Form::Lines => say(format!("{line}  left {}", duration(left))),
            Form::Bar(bar) => {
                bar.println(line);
                bar.set_message(format!("left {}", duration(left)));
                bar.inc(1);
            }
        }
    }

    fn line(&self, report: &EpochReport) -> String {
        let list =
            |values: &[f64], form: fn(f64) -> String| -> String { values.iter().map(|&value| form(value)).join(" ") };
        let waiting = report.comm_seconds.map(|seconds| format!("  waiting {:.0}%", 100.0 * seconds / report.seconds));
        format!(
            "epoch {}/{}  FinalLoss {:.4}  layer loss {}  active {}{}  {:.2} s{}",
            report.epoch,
            self.epochs,
            report.final_loss,
            list(&report.layer_loss, |loss| format!("{loss:.4}")),
            list(&report.active, |share| format!("{:.1}%", 100.0 * share)),
            report.validation_accuracy.map_or_else(String::new, |share| format!("  validation {:.2}%", 100.0 * share)),
            report.seconds,
            waiting.unwrap_or_default(),
        )
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

/// The bar, or lines where the terminal cannot show it.
fn on_terminal(bar: ProgressBar) -> Form {
    if bar.is_hidden() { Form::Lines } else { Form::Bar(bar) }
}

/// A number of seconds in words.
fn duration(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if seconds < YEARS => HumanDuration(duration).to_string(),
        _ => "years".to_owned(),
    }
}

fn bar(epochs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} epochs  {elapsed} gone  {msg}");
    let bar = ProgressBar::new(epochs as u64).with_style(style.expect("the template is valid"));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn any_number_of_seconds_has_words() {
        assert_eq!(duration(300.0), "5 minutes");
        for seconds in [1e9, 1e19, 1e300, f64::INFINITY] {
            assert_eq!(duration(seconds), "years");
        }
    }
}
