//! The user's cache directory.
//!
//! Everything the program makes for itself (unpacked archives, downloads, the built-in data set) lies in the cache and
//! may be deleted at any time. Where it is follows the XDG rules (`etcetera`).

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The name of the cache directory of this program.
const NAME: &str = "ffwd";

/// The cache directory of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCache {
    /// The directory; it need not exist yet.
    pub directory: PathBuf,
    /// Whether it is a stand-in below the system's temporary directory, because the user has no home or may not write
    /// there.
    pub temporary: bool,
}

/// The cache directory of this user: `$XDG_CACHE_HOME/ffwd`, by default `~/.cache/ffwd`, or else a directory `ffwd`
/// below the system's temporary directory. Creates nothing.
pub fn user() -> UserCache {
    let base = etcetera::choose_base_strategy().ok().map(|strategy| strategy.cache_dir());
    choose(base, &std::env::temp_dir())
}

/// `base/ffwd` if it can be written, else `fallback/ffwd`.
fn choose(base: Option<PathBuf>, fallback: &Path) -> UserCache {
    match base.map(|base| base.join(NAME)).filter(|directory| is_writable(directory)) {
        Some(directory) => UserCache { directory, temporary: false },
        None => UserCache { directory: fallback.join(NAME), temporary: true },
    }
}

/// Whether a file can be made in `directory`, or in the directory in which it would have to be created.
fn is_writable(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|ancestor| ancestor.exists());
    existing.is_some_and(|existing| tempfile::tempfile_in(existing).is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn without_a_home_the_cache_is_temporary() {
        let root = tempfile::tempdir().unwrap();
        let expected = UserCache { directory: root.path().join("ffwd"), temporary: true };
        assert_eq!(choose(None, root.path()), expected);
    }

    #[test]
    fn a_base_that_cannot_be_written_gives_way() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        let expected = UserCache { directory: root.path().join("ffwd"), temporary: true };
        assert_eq!(choose(Some(file.join("below")), root.path()), expected);
    }

    #[test]
    fn choosing_a_directory_creates_nothing() {
        let root = tempfile::tempdir().unwrap();
        let chosen = choose(Some(root.path().join("a/b")), Path::new("unused"));
        assert_eq!(chosen, UserCache { directory: root.path().join("a/b/ffwd"), temporary: false });
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
