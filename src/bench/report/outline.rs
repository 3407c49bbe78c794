//! A report in three lines: what the machine can do, what the kernels make of it, and what training comes to.

use itertools::Itertools;

use super::{KernelRow, Peak, Report, Training};

/// The three lines; a part that was not measured is left out of its line, or named as missing where it is all of it.
pub fn outline(report: &Report) -> [String; 3] {
    [machine(report), kernels(report), training(report)]
}

/// The best of each kind of peak on all threads, and how much of the report was disturbed.
fn machine(report: &Report) -> String {
    let best = |op: &str| {
        let rows = report.peaks.iter().filter(|peak| peak.op == op && peak.threads == report.run.threads);
        rows.filter(|peak| peak.rate.is_some()).max_by(|a, b| a.rate.partial_cmp(&b.rate).expect("rates are numbers"))
    };
    let words = |peak: &Peak| {
        let isa = peak.isa.as_ref().map(|isa| format!(" on {isa}")).unwrap_or_default();
        let what = if peak.unit == "GB/s" { "memory" } else { &peak.dtype };
        format!("{what} {:.0} {}{isa}", peak.rate.unwrap_or_default(), peak.unit)
    };
    let peaks: Vec<String> = ["fma", "tile", "copy"].into_iter().filter_map(best).map(words).collect();
    let disturbed = match report.disturbed() {
        Some((disturbed, samples)) => format!("; {disturbed} of {samples} samples were disturbed"),
        None => String::new(),
    };
    format!("peaks:    {}{disturbed}", or_nothing(peaks))
}

/// What share of the f32 peak dense products and dense steps reach on all threads.
fn kernels(report: &Report) -> String {
    let isa = report.system.isa_usable.first();
    let shares = |is_meant: fn(&str) -> bool| -> Vec<f64> {
        let is_counted = |row: &&KernelRow| {
            is_meant(&row.op) && row.dtype == "f32" && Some(&row.isa) == isa && row.threads == report.run.threads
        };
        let mut shares: Vec<f64> =
            report.kernels.iter().filter(is_counted).filter_map(|row| row.percent_of_peak).collect();
        shares.sort_by(f64::total_cmp);
        shares
    };
    let words = |name: &str, shares: Vec<f64>| {
        let (least, most) = (*shares.first()?, *shares.last()?);
        let range = if shares.len() > 1 { format!("{least:.0} to {most:.0}%") } else { format!("{most:.0}%") };
        Some(format!("{name} {range}"))
    };
    let products = shares(|op| op.starts_with("gemm/") && !op.contains(' '));
    let steps = shares(|op| op == "step/activations dense");
    let parts = [words("dense products", products), words("dense steps", steps)];
    let of = "of the f32 peak";
    format!("kernels:  {} {of}", or_nothing(parts.into_iter().flatten().collect()))
}

/// The fastest training.
fn training(report: &Report) -> String {
    let words = |training: &Training| {
        format!(
            "{:.0} images/s of {} through {} in {} on {}, {} steps each; {:.0} predictions/s",
            training.samples_per_second,
            training.dataset,
            training.layers.iter().join("-"),
            training.dtype,
            training.isa,
            training.inner_steps,
            training.predictions_per_second
        )
    };
    let fastest = report.training.iter().max_by(|a, b| a.samples_per_second.total_cmp(&b.samples_per_second));
    format!("training: {}", or_nothing(fastest.map(words).into_iter().collect()))
}

fn or_nothing(parts: Vec<String>) -> String {
    if parts.is_empty() { "not measured".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_report_comes_down_to_three_lines() {
        let mut report = report();
        report.system.isa_usable = vec!["avx2".into()];
        let [machine, kernels, training] = outline(&report);
        assert_eq!(machine, "peaks:    f32 100 GFLOP/s on avx2");
        assert_eq!(kernels, "kernels:  dense products 50% of the f32 peak");
        assert!(training.starts_with("training: ") && training.contains(" images/s of "), "{training}");
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let mut report = report();
        report.peaks.clear();
        report.kernels.clear();
        report.training.clear();
        assert!(outline(&report).iter().all(|line| line.contains("not measured")));
    }
}
