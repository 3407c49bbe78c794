//! How fast the bytes of a kernel can move: through memory, as far as the last-level cache does not hold them.

use super::peaks::IN_CACHE;
use super::{Peak, System};

/// The measured limits of memory and of the last-level cache for some number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryRoof {
    /// The highest rate of memory, in GB/s.
    pub memory: f64,
    /// The highest rate of the last-level cache, in GB/s, and its size in bytes, where both are known.
    cache: Option<(f64, u64)>,
}

impl MemoryRoof {
    /// The limits among `peaks`, of `threads` threads on `system`; `None` where memory was not measured.
    pub fn of(peaks: &[Peak], system: &System, threads: usize) -> Option<Self> {
        let highest = |in_cache: bool| {
            let measured = peaks.iter().filter(|peak| {
                peak.unit == "GB/s" && peak.threads == threads && peak.op.ends_with(IN_CACHE) == in_cache
            });
            measured.filter_map(Peak::sustained_rate).max_by(f64::total_cmp)
        };
        let size = system.last_level_bytes(threads);
        Some(Self { memory: highest(false)?, cache: highest(true).map(|rate| (rate, size)) })
    }

    /// The rate at which a kernel can move `bytes` again and again, in GB/s: that of the cache for what the cache holds
    /// of them, that of memory for the rest.
    pub fn of_bytes(&self, bytes: u64) -> f64 {
        let Some((rate, size)) = self.cache else { return self.memory };
        let held = (size as f64 / bytes as f64).min(1.0);
        1.0 / (held / rate.max(self.memory) + (1.0 - held) / self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cache_holds_moves_at_its_rate() {
        let roof = MemoryRoof { memory: 20.0, cache: Some((80.0, 1_000)) };
        assert_eq!(roof.of_bytes(500), 80.0);
        assert_eq!(roof.of_bytes(2_000), 32.0, "half at 80 and half at 20");
        assert!(roof.of_bytes(1_000_000) < 20.1);
        assert_eq!(MemoryRoof { cache: None, ..roof }.of_bytes(500), 20.0);
        assert_eq!(MemoryRoof { cache: Some((10.0, 1_000)), ..roof }.of_bytes(500), 20.0, "no cache is slower");
    }
}
