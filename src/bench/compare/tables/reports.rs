//! What the reports were made with: machine, program, circumstances.

use super::{MISSING, Table, words};
use crate::bench::compare::text::number;
use crate::bench::compare::{Comparison, Heading};
use crate::bench::report::{Cache, System};

/// The reports: a row for each property, a column for each report.
pub fn reports(comparison: &Comparison) -> Table {
    let headings = &comparison.reports;
    let heads: Vec<&str> = headings.iter().map(|report| &*report.letter).collect();
    let row = |name: &str, value: &dyn Fn(&Heading) -> Option<String>| {
        let values = headings.iter().map(|report| value(report).unwrap_or_else(|| MISSING.into()));
        std::iter::once(name.to_owned()).chain(values).collect::<Vec<String>>()
    };
    let system = |name, value: fn(&System) -> Option<String>| row(name, &|report| value(&report.system));
    let rows = vec![
        row("report", &|report| Some(report.label.clone())),
        row("file", &|report| Some(report.path.clone())),
        system("CPU", |system| system.cpu_model.clone()),
        system("family, model, stepping", |system| {
            Some(format!("{}, {}, {}", system.family?, system.model?, system.stepping?))
        }),
        system("cores", |system| Some(system.cores?.to_string())),
        system("logical CPUs", |system| Some(system.cpus?.to_string())),
        system("caches", |system| {
            let caches: Vec<String> = system.caches.iter().map(cache).collect();
            (!caches.is_empty()).then(|| caches.join(", "))
        }),
        system("memory", |system| system.memory_bytes.map(bytes)),
        system("instruction sets", |system| Some(system.isa_usable.join(", ")).filter(|names| !names.is_empty())),
        system("kernel", |system| system.kernel.clone()),
        system("hypervisor", |system| system.hypervisor.clone()),
        system("governor", |system| system.governor.clone()),
        system("CPUs allowed", |system| system.cgroup_cpus.map(number)),
        row("version", &|report| Some(version(report))),
        row("compiler", &|report| report.build.rustc.clone()),
        row("threads", &|report| Some(report.run.threads.to_string())),
        row("cores' worth", &|report| report.cores_worth.map(number)),
        row("seed", &|report| Some(report.run.seed.to_string())),
        row("date", &|report| Some(report.run.date.clone())),
        row("load before", &|report| {
            report.run.load_before.map(|load| load.map(|load| format!("{load:.2}")).join(", "))
        }),
        row("disturbed samples", &|report| {
            report.disturbed.map(|(disturbed, samples)| format!("{disturbed} of {samples}"))
        }),
    ];
    Table::new("Reports", [words(&[""]), words(&heads)].concat(), rows)
}

fn cache(cache: &Cache) -> String {
    let kind = match &*cache.kind {
        "Data" => "d",
        "Instruction" => "i",
        _ => "",
    };
    format!("L{}{kind} {}", cache.level, bytes(cache.bytes))
}

fn bytes(bytes: u64) -> String {
    let (scaled, unit) = match bytes {
        0x4000_0000.. => (bytes as f64 / f64::from(1 << 30), "GiB"),
        0x10_0000.. => (bytes as f64 / f64::from(1 << 20), "MiB"),
        _ => (bytes as f64 / 1024.0, "KiB"),
    };
    let text = format!("{scaled:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

fn version(report: &Heading) -> String {
    let build = &report.build;
    let commit: Option<String> = build.commit.as_ref().map(|commit| commit.chars().take(12).collect());
    let commit = commit.map_or_else(String::new, |commit| format!(" {commit}"));
    let dirty = if build.dirty == Some(true) { ", changed since" } else { "" };
    format!("{}{commit}{dirty}, {}", build.version, build.profile)
}
