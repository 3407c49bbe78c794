//! The sizes of the caches that blocks are cut for.
//!
//! They are those that [`crate::machine`] finds. For a cache that it does not find, a size is assumed that nearly all
//! x86-64 and AArch64 server cores of the last ten years come near.

use std::sync::OnceLock;

use crate::machine::{self, Cache};

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caches {
    /// The second-level cache of a core.
    pub l2: usize,
    /// The last-level cache that cores share.
    pub l3: usize,
}

/// The sizes that are assumed where the machine does not describe its caches.
const FALLBACK: Caches = Caches { l2: 1 << 20, l3: 32 << 20 };

impl Caches {
    /// The caches of this machine, which are looked up once.
    pub fn detected() -> Self {
        static DETECTED: OnceLock<Caches> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::among(&machine::caches()))
    }

    /// The sizes of the levels that `caches` describe.
    fn among(caches: &[Cache]) -> Self {
        let level = |level| caches.iter().find(|cache| cache.level == level).map(|cache| cache.bytes as usize);
        Self { l2: level(2).unwrap_or(FALLBACK.l2), l3: level(3).unwrap_or(FALLBACK.l3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn described_caches_replace_the_fallback_and_others_do_not() {
        let cache = |level, bytes| Cache { level, kind: "Unified".to_owned(), bytes, shared_by: None };
        assert_eq!(Caches::among(&[]), FALLBACK);
        assert_eq!(Caches::among(&[cache(1, 48 << 10), cache(2, 2 << 20)]), Caches { l2: 2 << 20, ..FALLBACK });
        assert_eq!(Caches::among(&[cache(3, 16 << 20)]), Caches { l3: 16 << 20, ..FALLBACK });
    }
}
