//! `fast-train info`: what this machine offers and what would be used.

use std::process::ExitCode;

use anyhow::Result;
use ffwd::bench::report::System;
use ffwd::config::{BackendName, PrecisionName};
use ffwd::data::locate::survey;
use ffwd::data::{Places, cache, known};
use ffwd::error::{Finding, SurveyRow};
use ffwd::isa::Isa;
use ffwd::tier::Tier;
use serde_json::json;
use std::collections::BTreeMap as Map;

use crate::{print, threads_or_available};

/// Prints the instruction sets, the threads and where the data sets are.
pub fn run(as_json: bool) -> Result<ExitCode> {
    let tier = Tier::from_environment()?;
    let isa = tier.isa();
    let usable: Vec<&str> = Isa::available().iter().map(Isa::name).collect();
    let threads = threads_or_available(0);
    let cache = cache::user();
    let cpu = System::of_this_machine().cpu_model;
    let precision = ffwd::backends::choose(BackendName::Auto, PrecisionName::Auto, tier)?.precision();
    let rows = survey(&Places::from_environment());
    let sets = known::NAMES.map(|name| (name, found(&rows, name)));
    if as_json {
        let info = json!({
            "schema": "ffwd/info/v1",
            "version": env!("CARGO_PKG_VERSION"),
            "cpu": cpu,
            "isa": { "usable": usable, "selected": isa.name() },
            "threads": threads,
            "precision": [precision],
            "tiles": Tier::tile_units().map(|(unit, usability)| (unit, usability.words())).collect::<Map<_, _>>(),
            "data": sets.map(|(name, row)| json!({ "name": name, "directory": row.map(|row| &row.directory) })),
            "cache": cache.directory,
            "fetch": cfg!(feature = "fetch"),
        });
        print(info)?;
    } else {
        print(format!("fast-train   {}", env!("CARGO_PKG_VERSION")))?;
        print(format!("CPU          {}", cpu.as_deref().unwrap_or("unknown")))?;
        print(format!("ISA          {isa} (this CPU has {})", usable.join(", ")))?;
        print(format!("threads      {threads}"))?;
        print(format!("precision    {precision}"))?;
        for (unit, usability) in Tier::tile_units() {
            print(format!("bf16 tiles   {unit}: {}", usability.words()))?;
        }
        for (name, row) in sets {
            print(format!("data         {name}: {}", words(row)))?;
        }
        print(format!(
            "cache        {}{}",
            cache.directory.display(),
            if cache.temporary { " (temporary)" } else { "" }
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The first place that holds a data set, or in which it will be drawn.
fn found<'a>(rows: &'a [SurveyRow], name: &str) -> Option<&'a SurveyRow> {
    let usable = |row: &&SurveyRow| matches!(row.finding, Finding::Held | Finding::NotYetDrawn);
    rows.iter().filter(|row| row.name == name).find(usable)
}

fn words(row: Option<&SurveyRow>) -> String {
    row.map_or_else(|| "not found".to_owned(), ToString::to_string)
}
