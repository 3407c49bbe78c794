//! `fast-train info`: what this machine offers and what would be used.

use std::process::ExitCode;

use anyhow::Result;
use ffwd::data::cache;
use ffwd::isa::Isa;
use serde_json::json;

use crate::print;

/// Prints the instruction sets, the threads and the cache directory.
pub fn run(as_json: bool) -> Result<ExitCode> {
    let isa = Isa::from_environment()?;
    let usable: Vec<&str> = Isa::available().iter().map(Isa::name).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cache = cache::user();
    let cpu = cpu_model();
    if as_json {
        let info = json!({
            "schema": "ffwd/info/v1",
            "version": env!("CARGO_PKG_VERSION"),
            "cpu": cpu,
            "isa": { "usable": usable, "selected": isa.name() },
            "threads": threads,
            "precision": ["f32"],
            "cache": cache.directory,
            "fetch": cfg!(feature = "fetch"),
        });
        print(info)?;
    } else {
        print(format!("fast-train   {}", env!("CARGO_PKG_VERSION")))?;
        print(format!("CPU          {}", cpu.as_deref().unwrap_or("unknown")))?;
        print(format!("ISA          {isa} (this CPU has {})", usable.join(", ")))?;
        print(format!("threads      {threads}"))?;
        print("precision    f32")?;
        print(format!(
            "cache        {}{}",
            cache.directory.display(),
            if cache.temporary { " (temporary)" } else { "" }
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name the CPU gives itself, where Linux tells it.
fn cpu_model() -> Option<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpus.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
