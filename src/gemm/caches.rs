//! The sizes of the caches that blocks are cut for.
//!
//! Relies on what Linux tells of the first CPU under `/sys`; where it tells nothing, on sizes that nearly all x86-64 and
//! AArch64 server cores of the last ten years come near.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Where Linux describes the caches of the first CPU.
const SYSFS: &str = "/sys/devices/system/cpu/cpu0/cache";

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caches {
    /// The second-level cache of a core.
    pub l2: usize,
    /// The last-level cache that cores share.
    pub l3: usize,
}

/// What is assumed of a cache that is not described.
const FALLBACK: Caches = Caches { l2: 1 << 20, l3: 32 << 20 };

impl Caches {
    /// Those of this machine, found once.
    pub fn detected() -> Self {
        static DETECTED: OnceLock<Caches> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::described(Path::new(SYSFS)))
    }

    /// What the `index*` directories of `directory` describe.
    fn described(directory: &Path) -> Self {
        let mut caches = FALLBACK;
        for index in fs::read_dir(directory).into_iter().flatten().flatten() {
            let field = |name| fs::read_to_string(index.path().join(name)).unwrap_or_default();
            let Some(size) = bytes(field("size").trim()) else { continue };
            match field("level").trim() {
                "2" => caches.l2 = size,
                "3" => caches.l3 = size,
                _ => {}
            }
        }
        caches
    }
}

/// A size as `/sys` writes it: `32K`, `1M`.
fn bytes(size: &str) -> Option<usize> {
    let digits = size.trim_end_matches(['K', 'M']);
    let unit = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    digits.parse::<usize>().ok().filter(|&number| number > 0)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        assert_eq!([bytes("32K"), bytes("2M"), bytes("512")], [Some(32 << 10), Some(2 << 20), Some(512)]);
        assert_eq!([bytes(""), bytes("K"), bytes("0K"), bytes("3KM"), bytes("many")], [None; 5]);
    }

    #[test]
    fn described_caches_replace_the_fallback_and_others_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let describe = |index: &str, level: &str, size: &str| {
            let path = directory.path().join(index);
            fs::create_dir(&path).unwrap();
            [("level", level), ("size", size)]
                .into_iter()
                .for_each(|(name, value)| fs::write(path.join(name), format!("{value}\n")).unwrap());
        };
        assert_eq!(Caches::described(directory.path()), FALLBACK);
        assert_eq!(Caches::described(&directory.path().join("missing")), FALLBACK);
        describe("index0", "1", "48K");
        describe("index2", "2", "2048K");
        describe("index3", "3", "no size");
        assert_eq!(Caches::described(directory.path()), Caches { l2: 2 << 20, ..FALLBACK });
    }
}
