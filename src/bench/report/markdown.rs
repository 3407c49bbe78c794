//! The report as Markdown, for people: the machine, then a table for each part.

use std::fmt::Display;

use super::csv::shape;
use super::{Cache, KernelRow, Peak, Report, Scaling, Training};

/// What stands where something is not known or does not apply.
const NONE: &str = "-";

/// The report's tables, each under its heading; those without rows are left out.
pub fn markdown(report: &Report) -> String {
    let name = report.system.cpu_model.as_deref().unwrap_or("an unknown CPU");
    let parts = [
        table("Machine", "|  |  |", about(report)),
        table("Peaks", "| op | dtype | ISA | threads | rate | unit |", report.peaks.iter().map(peak)),
        table(
            "Kernels",
            "| op | shape | dtype | ISA | threads | samples | disturbed | median ms | GFLOP/s | per core \
             | counted work, % of peak | executed work, % of peak | % of roofline |",
            report.kernels.iter().map(kernel),
        ),
        table(
            "Scaling",
            "| op | shape | dtype | ISA | threads | median ms | speed-up |",
            report.scaling.iter().map(scaling),
        ),
        table(
            "Training",
            "| data set | images x units | inner steps | backend | dtype | ISA | threads | outer epochs s | images/s \
             | predictions/s |",
            report.training.iter().map(training),
        ),
    ];
    format!("# ffwd on {}\n{}", cell(name), parts.concat())
}

/// A table below its heading; nothing where it has no rows.
fn table<const COLUMNS: usize>(
    heading: &str,
    header: &str,
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let line = |row: [String; COLUMNS]| format!("| {} |\n", row.map(|text| cell(&text)).join(" | "));
    let lines: String = rows.into_iter().map(line).collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\n## {heading}\n\n{header}\n|{}\n{lines}", " --- |".repeat(COLUMNS))
}

/// Text that stays within its cell and is not read as Markdown.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for letter in text.chars() {
        match letter {
            '|' | '<' | '>' | '`' | '*' | '_' | '[' | '\\' => cell.extend(['\\', letter]),
            letter if letter.is_control() => cell.push(' '),
            letter => cell.push(letter),
        }
    }
    cell
}

fn or_none<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// With so many decimals that three digits are seen.
fn number(value: f64) -> String {
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$}")
}

fn number_or_none(value: Option<f64>) -> String {
    or_none(value.map(number))
}

/// A size in the largest unit of which it is at least one.
fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|&(_, size)| bytes >= size) {
        Some((unit, size)) => format!("{} {unit}", (10.0 * bytes as f64 / size as f64).round() / 10.0),
        None => format!("{bytes} B"),
    }
}

/// The machine, the program and the circumstances.
fn about(report: &Report) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let (system, build, run) = (&report.system, &report.build, &report.run);
    let [family, model, stepping] = [system.family, system.model, system.stepping].map(or_none);
    let [cpus, cores, threads, nodes] =
        [system.cpus, system.cores, system.threads_per_core, system.numa_nodes].map(or_none);
    let [vendor, kernel, hypervisor, governor] =
        [&system.vendor, &system.kernel, &system.hypervisor, &system.governor].map(|text| or_none(text.as_ref()));
    let caches: Vec<String> = system.caches.iter().map(cache).collect();
    let [memory, group_memory] = [system.memory_bytes, system.cgroup_memory_bytes].map(|size| or_none(size.map(bytes)));
    let [commit, rustc] = [&build.commit, &build.rustc].map(|text| or_none(text.as_ref()));
    let changed = if build.dirty == Some(true) { " with changes" } else { "" };
    let load = or_none(run.load_before.map(|load| load.map(|average| format!("{average:.2}")).join(" ")));
    let extent = if run.quick { ", quick" } else { "" };
    vec![
        row("CPU", format!("{vendor}, family {family}, model {model}, stepping {stepping}")),
        row("CPUs, cores, threads of a core, NUMA nodes", format!("{cpus}, {cores}, {threads}, {nodes}")),
        row("caches", caches.join(", ")),
        row("memory", memory),
        row("tile units", system.tile_units.join(" ")),
        row("ISA detected, usable", format!("{}; {}", system.isa_detected.join(" "), system.isa_usable.join(" "))),
        row("kernel, hypervisor, governor", format!("{kernel}, {hypervisor}, {governor}")),
        row("control group's CPUs, memory", format!("{}, {group_memory}", or_none(system.cgroup_cpus))),
        row("build", format!("ffwd {}, commit {commit}{changed}, {rustc}, {}", build.version, build.profile)),
        row("run", format!("{}, {} threads, seed {}, load {load} before{extent}", run.date, run.threads, run.seed)),
        row("cores' worth", or_none(cores_worth(report))),
        row("disturbed", or_none(disturbed(report))),
    ]
}

/// What all threads together do of what one does.
fn cores_worth(report: &Report) -> Option<String> {
    let (worth, threads) = (report.cores_worth()?, report.run.threads);
    let cores = if worth.round() == 1.0 { "core's" } else { "cores'" };
    let times = number(worth);
    Some(format!(
        "{threads} CPUs, {worth:.0} {cores} worth: {threads} threads do {times} times the multiply-adds of one"
    ))
}

/// How much of the measurement was disturbed, as far as its witnesses tell.
fn disturbed(report: &Report) -> Option<String> {
    let (disturbed, samples) = report.disturbed()?;
    let mut text = format!("{disturbed} of {samples} samples, taken again where there was time");
    if report.kernels_without_quiet() > 0 {
        text += &format!("; {} kernels have no other, their medians are of all", report.kernels_without_quiet());
    }
    if let Some((disturbed, epochs)) = report.epochs_disturbed() {
        text += &format!("; {disturbed} of {epochs} outer epochs");
    }
    if let Some(stolen) = report.run.stolen {
        text += &format!("; {:.1}% of the time stolen", 100.0 * stolen);
    }
    Some(text)
}

fn cache(cache: &Cache) -> String {
    let shared = cache.shared_by.map(|cpus| format!(" for {cpus} CPUs")).unwrap_or_default();
    format!("L{} {} {}{shared}", cache.level, cache.kind, bytes(cache.bytes))
}

fn peak(peak: &Peak) -> [String; 6] {
    let Peak { op, dtype, isa, threads, unit, rate, .. } = peak;
    [op.clone(), dtype.clone(), or_none(isa.as_ref()), threads.to_string(), number_or_none(*rate), unit.clone()]
}

fn kernel(kernel: &KernelRow) -> [String; 13] {
    let KernelRow { op, shape, dtype, isa, threads, samples_ns, witnesses, median_ns, .. } = kernel;
    let [gflops, per_core] = [kernel.gflops, kernel.gflops_per_core].map(number_or_none);
    // What leaves nothing out executes what is counted.
    let executed = kernel.executed_percent_of_peak.or(kernel.percent_of_peak);
    let [counted, executed, of_roofline] =
        [kernel.percent_of_peak, executed, kernel.percent_of_roofline].map(number_or_none);
    let disturbed = if witnesses.are_missing() { NONE.to_owned() } else { witnesses.disturbed().to_string() };
    let (samples, milliseconds) = (samples_ns.len().to_string(), format!("{:.3}", median_ns / 1e6));
    let [op, shape, dtype, isa] = [op, shape, dtype, isa].map(String::clone);
    let threads = threads.to_string();
    [op, shape, dtype, isa, threads, samples, disturbed, milliseconds, gflops, per_core, counted, executed, of_roofline]
}

fn scaling(point: &Scaling) -> [String; 7] {
    let Scaling { op, shape, dtype, isa, threads, median_ns, speedup, .. } = point;
    let [op, shape, dtype, isa] = [op, shape, dtype, isa].map(String::clone);
    [op, shape, dtype, isa, threads.to_string(), format!("{:.3}", median_ns / 1e6), number(*speedup)]
}

fn training(training: &Training) -> [String; 10] {
    let Training { dataset, inner_steps, backend, dtype, isa, threads, epoch_seconds, .. } = training;
    let is_disturbed = |epoch: usize| training.epochs_disturbed.get(epoch) == Some(&true);
    let mark = |epoch| if is_disturbed(epoch) { " (disturbed)" } else { "" };
    let second = |(epoch, &seconds): (usize, &f64)| format!("{}{}", number(seconds), mark(epoch));
    let seconds: Vec<String> = epoch_seconds.iter().enumerate().map(second).collect();
    let [dataset, backend, dtype, isa] = [dataset, backend, dtype, isa].map(String::clone);
    let (steps, threads) = (inner_steps.to_string(), threads.to_string());
    let [images, predictions] = [training.samples_per_second, training.predictions_per_second].map(number);
    let epochs = seconds.join(" ");
    [dataset, shape(training), steps, backend, dtype, isa, threads, epochs, images, predictions]
}

#[cfg(test)]
mod tests {
    use super::super::Witnesses;
    use super::super::tests::report;
    use super::*;

    #[test]
    fn every_row_of_a_report_has_a_line_and_every_line_its_columns() {
        let report = report();
        let text = markdown(&report);
        for heading in ["# ffwd on Some CPU\n", "## Machine", "## Peaks", "## Kernels", "## Scaling", "## Training"] {
            assert!(text.contains(heading), "{heading} in\n{text}");
        }
        for table in text.split("\n## ").skip(1) {
            let lines: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
            let columns = |line: &str| line.replace("\\|", "").matches('|').count();
            assert!(lines.len() > 2 && lines.iter().all(|line| columns(line) == columns(lines[0])), "{table}");
        }
        for kernel in &report.kernels {
            let line = format!("| {} | {} | f32 | avx2 | 2 | ", cell(&kernel.op), kernel.shape);
            assert_eq!(text.matches(&line).count(), 1, "{line} in\n{text}");
        }
        assert!(text.contains("| 3 | - | 0.002 | 25.0 | 12.5 | 50.0 | 50.0 | 62.5 |"), "{text}");
    }

    #[test]
    fn what_disturbed_the_measurement_is_told() {
        let mut report = report();
        report.kernels[0].witnesses = Witnesses {
            arithmetic: vec![0.5, 0.99, 0.98],
            memory: vec![1.0; 3],
            waiting: vec![0.0; 3],
            disturbed: vec![true, false, false],
        };
        report.kernels[0].executed_percent_of_peak = Some(25.0);
        report.training[0].epochs_disturbed = vec![false, true, false];
        report.run.stolen = Some(0.012);
        report.peaks[1] = Peak { threads: 1, ..report.peaks[0].clone() };
        let text = markdown(&report);
        let disturbed =
            "1 of 3 samples, taken again where there was time; 1 of 3 outer epochs; 1.2% of the time stolen";
        assert!(text.contains(&format!("| disturbed | {disturbed} |")), "{text}");
        assert!(text.contains("2 CPUs, 1 core's worth: 2 threads do 1.00 times"), "{text}");
        assert!(text.contains("| 3 | 1 | 0.002 | 25.0 | 12.5 | 50.0 | 25.0 | 62.5 |"), "{text}");
        assert!(text.contains("| 1.00 3.00 (disturbed) 2.00 |"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_tables_without_rows_are_left_out() {
        let mut report = report();
        report.system = Default::default();
        report.scaling.clear();
        let text = markdown(&report);
        assert!(text.contains("# ffwd on an unknown CPU\n") && text.contains("| memory | - |"), "{text}");
        assert!(!text.contains("Scaling"));
    }

    #[test]
    fn text_stays_in_its_cell() {
        assert_eq!(cell("a|b\nc <d>"), "a\\|b c \\<d\\>");
    }

    #[test]
    fn sizes_have_their_unit() {
        assert_eq!([512, 32 << 10, 3 << 19, 24 << 30].map(bytes), ["512 B", "32 KiB", "1.5 MiB", "24 GiB"]);
        assert_eq!([3.456, 34.56, 345.6].map(number), ["3.46", "34.6", "346"]);
    }
}
