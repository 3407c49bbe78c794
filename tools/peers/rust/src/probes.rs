//! The worker that tells how fast the machine is just now, and how slow is too slow.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ffwd::bench::probe::{Probe, QUIET, QUIET_MEMORY, WAITING};
use serde_json::{Value, json};

/// What the copies of a probe take at least, where one of them takes less.
const COPYING: Duration = Duration::from_millis(1);

/// Probes on all threads of rayon's pool.
pub struct Probes(Probe);

impl Probes {
    pub fn new() -> Self {
        Self(Probe::new())
    }

    /// The answer to `hello`: the thresholds below and above which a sample is disturbed; or to `probe`: GFLOP/s of
    /// multiply-adds and GB/s of copying.
    pub fn answer(&mut self, line: &str) -> Result<Value> {
        match line {
            "hello" => Ok(json!({ "quiet": { "fma": QUIET, "copy": QUIET_MEMORY }, "waiting": WAITING })),
            "probe" => Ok(json!({ "fma": self.0.arithmetic(), "copy": self.copying() })),
            _ => bail!("{line:?}: not a command"),
        }
    }

    /// GB/s of so many copies.
    fn copying(&mut self) -> f64 {
        let start = Instant::now();
        let (mut copies, mut time) = (0.0, 0.0);
        while copies == 0.0 || start.elapsed() < COPYING {
            copies += 1.0;
            time += 1.0 / self.0.memory();
        }
        copies / time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_and_speeds_are_told() {
        let mut probes = Probes::new();
        let hello = probes.answer("hello").unwrap();
        let quiet = &hello["quiet"];
        assert_eq!((quiet["fma"].as_f64(), quiet["copy"].as_f64()), (Some(QUIET), Some(QUIET_MEMORY)));
        assert_eq!(hello["waiting"].as_f64(), Some(WAITING));
        let probe = probes.answer("probe").unwrap();
        assert!(probe["fma"].as_f64() > Some(0.0) && probe["copy"].as_f64() > Some(0.0), "{probe}");
        assert!(probes.answer("run").is_err());
    }
}
