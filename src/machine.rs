//! The machine: what CPUID, `/proc` and `/sys` tell, as plain values.
//!
//! The kernels need its caches alone (`topology`); what is known beyond them is for reports (`description`, `cpuid`,
//! `cgroup`). The files of Linux are read from any root directory, so that tests can lay out a machine of their own.
//! Nothing here needs privileges, and what cannot be read is `None`. This module relies on no other of this crate.

#[cfg(feature = "cli")]
mod cgroup;
#[cfg(feature = "cli")]
mod cpuid;
#[cfg(feature = "cli")]
mod description;
mod topology;
#[cfg(feature = "cli")]
mod waiting;

use std::path::PathBuf;

#[cfg(feature = "cli")]
pub use description::{Machine, detect, load};
use serde::{Deserialize, Serialize};
#[cfg(feature = "cli")]
pub use waiting::Waiting;

/// One cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is the closest to the core.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Logical CPUs that share it.
    pub shared_by: Option<usize>,
}

/// The caches of the first CPU that this process may run on, those closest to the core first; empty where nothing
/// tells.
pub fn caches() -> Vec<Cache> {
    let files = Files::of_this_machine();
    files.caches(files.first_cpu())
}

/// A machine's files: those below `/`, or a copy of some of them.
struct Files {
    root: PathBuf,
}

impl Files {
    fn of_this_machine() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// What the file at the absolute `path` holds, without white space around it; `None` where it cannot be read or is
    /// empty.
    fn read(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path.trim_start_matches('/'))).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// What stands behind `name` and a colon in a file of such lines, where it stands first.
    fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.read(path)?;
        let value = |line: &str| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned());
        text.lines().find_map(value)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A machine that is not this one, made of the files that are given as (path, content).
    pub(super) struct Imitation {
        directory: TempDir,
    }

    impl Imitation {
        pub(super) fn new(files: &[(&str, &str)]) -> Self {
            let imitation = Self { directory: TempDir::new().unwrap() };
            files.iter().for_each(|(path, content)| imitation.write(path, content));
            imitation
        }

        pub(super) fn write(&self, path: &str, content: &str) {
            let path = self.directory.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content}\n")).unwrap();
        }

        pub(super) fn files(&self) -> Files {
            Files { root: self.directory.path().to_path_buf() }
        }
    }
}
