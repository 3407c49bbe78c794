//! What reports are called: a letter in tables and charts, a label in the legend.

use super::{Heading, ReportFile, microarchitecture};
use crate::bench::report::Report;
use crate::text::shortened;

/// Longer names of CPUs and files are cut.
const MAX_CHARACTERS: usize = 60;

/// The heading of each report.
pub fn headings(files: &[ReportFile]) -> Vec<Heading> {
    let short: Vec<String> = files.iter().map(|file| short_label(&file.report)).collect();
    let unique = |label: &String| short.iter().filter(|other| *other == label).count() == 1;
    let headings = files.iter().zip(&short).enumerate().map(|(index, (file, label))| {
        let name = file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Heading {
            letter: letter(index),
            label: if unique(label) {
                label.clone()
            } else {
                format!("{label} ({})", shortened(&name, MAX_CHARACTERS))
            },
            path: shortened(&file.path.to_string_lossy(), 4 * MAX_CHARACTERS),
            system: file.report.system.clone(),
            build: file.report.build.clone(),
            run: file.report.run.clone(),
            disturbed: file.report.disturbed(),
            epochs_disturbed: file.report.epochs_disturbed(),
            kernels_without_quiet: file.report.kernels_without_quiet(),
            cores_worth: file.report.cores_worth(),
        }
    });
    headings.collect()
}

/// `A` to `Z`, then `A2` and so on.
pub fn letter(index: usize) -> String {
    let letter = char::from(b'A' + (index % 26) as u8);
    match index / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{}", round + 1),
    }
}

/// The CPU, what it is inside where that is known, and the instruction set.
fn short_label(report: &Report) -> String {
    let cpu = match (report.system.cpu_model.as_deref(), microarchitecture::of(&report.system)) {
        (Some(model), Some(inside)) => format!("{} ({inside})", short_cpu(model)),
        (Some(model), None) => short_cpu(model),
        (None, Some(inside)) => inside.to_owned(),
        (None, None) => "unknown CPU".to_owned(),
    };
    selected_isa(report).map_or_else(|| cpu.clone(), |isa| format!("{cpu} {}", shortened(isa, MAX_CHARACTERS)))
}

/// A CPU's name without trade marks and nominal frequency.
fn short_cpu(model: &str) -> String {
    let name = model.split(" @").next().unwrap_or(model).replace("(R)", "").replace("(TM)", "").replace("(tm)", "");
    let words: Vec<&str> = name.split_whitespace().filter(|word| !["CPU", "Processor"].contains(word)).collect();
    shortened(&words.join(" "), MAX_CHARACTERS)
}

/// What training chose, else what the kernels would choose.
fn selected_isa(report: &Report) -> Option<&str> {
    let trained = report.training.first().map(|row| &row.isa);
    let scaled = || report.scaling.first().map(|row| &row.isa);
    trained.or_else(scaled).or_else(|| report.system.isa_usable.first()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_named_in_few_words() {
        for (model, short) in [
            ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "Intel Xeon Platinum 8481C"),
            ("AMD EPYC 9654 96-Core Processor", "AMD EPYC 9654 96-Core"),
        ] {
            assert_eq!(short_cpu(model), short);
        }
    }

    #[test]
    fn letters_do_not_run_out() {
        assert_eq!([0, 25, 26, 53].map(letter), ["A", "Z", "A2", "B3"]);
    }
}
