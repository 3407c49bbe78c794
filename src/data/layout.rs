//! How a data set lies in a directory: the four files, their spellings, and torchvision's sub-folders.
//!
//! Looks at names only; the contents are read by `idx`.

use std::fs;
use std::path::{Path, PathBuf};

use super::known;
use crate::error::{DatasetProblem, Error, Result};

/// The four files of a data set, always in this order.
pub(super) const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The four files as they were found, in the order of [`NAMES`].
pub(super) type Files = [PathBuf; 4];

/// The files directly in a directory, or the names that are missing.
pub(super) fn files_in(directory: &Path) -> std::result::Result<Files, Vec<&'static str>> {
    let found = NAMES.map(|name| spelling_of(directory, name));
    match found {
        [Some(a), Some(b), Some(c), Some(d)] => Ok([a, b, c, d]),
        _ => Err(NAMES.into_iter().zip(&found).filter(|(_, path)| path.is_none()).map(|(name, _)| name).collect()),
    }
}

/// The first spelling of a file that exists: unpacked before packed, hyphen before dot; or its first shard.
fn spelling_of(directory: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let spellings = [name.to_owned(), dotted.clone(), format!("{name}.gz"), format!("{dotted}.gz")];
    let whole = spellings.into_iter().map(|spelling| directory.join(spelling)).find(|path| path.is_file());
    whole.or_else(|| first_shard(directory, name))
}

/// What stands in the name of the first shard of a file before their number.
const FIRST_SHARD: &str = "-00000-of-";

/// The first shard of a file, where it lies in shards: `train-images-00000-of-00064-idx3-ubyte` and its spellings.
fn first_shard(directory: &Path, name: &str) -> Option<PathBuf> {
    let (stem, kind) = name.split_once("-idx")?;
    let is_first = |found: &str| {
        let numbered = found.strip_prefix(stem).and_then(|rest| rest.strip_prefix(FIRST_SHARD));
        let behind = numbered.and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_digit())).map(|rest| {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            rest.strip_suffix(".gz").unwrap_or(rest)
        });
        behind.is_some_and(|behind| behind == format!("-idx{kind}") || behind == format!(".idx{kind}"))
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_first(name)).min().map(|name| directory.join(name))
}

/// The files that `path`, a file or the first shard of one, stands for, in their order.
///
/// # Errors
///
/// [`Error::Dataset`] when a shard is missing.
pub(super) fn shards(path: &Path) -> Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let count = name.split_once(FIRST_SHARD).and_then(|(_, rest)| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<usize>().ok()
    });
    let Some(count) = count.filter(|&count| count > 0) else { return Ok(vec![path.to_path_buf()]) };
    let shard = |number: usize| path.with_file_name(name.replacen("-00000-", &format!("-{number:05}-"), 1));
    let shards = (0..count).map(shard);
    let missing = |path: &PathBuf| {
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (!path.is_file()).then(name)
    };
    match shards.clone().filter_map(|path| missing(&path)).take(MOST_MISSED).collect::<Vec<_>>() {
        missing if missing.is_empty() => Ok(shards.collect()),
        missing => {
            let directory = path.parent().unwrap_or(path).to_path_buf();
            Err(Error::Dataset { path: directory, problem: DatasetProblem::MissingFiles { missing } })
        }
    }
}

/// The most shards that are missed by name.
const MOST_MISSED: usize = 4;

/// What the names of a published set's four files end with, behind its prefix (`emnist-letters`).
const PUBLISHED: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "test-images-idx3-ubyte", "test-labels-idx1-ubyte"];
/// The same of QMNIST, whose labels are integers, several for each image.
const QMNIST: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx2-int", "test-images-idx3-ubyte", "test-labels-idx2-int"];

/// The four files that begin with `prefix`, as EMNIST and QMNIST are published, or the names that are missing.
fn files_with(directory: &Path, prefix: &str) -> std::result::Result<Files, Vec<String>> {
    let files_of = |endings: [&str; 4]| {
        let names = endings.map(|ending| format!("{prefix}-{ending}"));
        let found = names.each_ref().map(|name| spelling_of(directory, name));
        match found {
            [Some(a), Some(b), Some(c), Some(d)] => Ok([a, b, c, d]),
            _ => Err(names.into_iter().zip(&found).filter(|(_, path)| path.is_none()).map(|(name, _)| name).collect()),
        }
    };
    let fewest = |a: Vec<String>, b: Vec<String>| if b.len() < a.len() { b } else { a };
    files_of(PUBLISHED).or_else(|missing| files_of(QMNIST).map_err(|of_qmnist| fewest(missing, of_qmnist)))
}

/// The prefixes of the published sets in a directory, whole or not, in order.
fn prefixes_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut prefixes: Vec<String> = names
        .filter_map(|name| {
            let name = name.strip_suffix(".gz").unwrap_or(&name).replace(".idx", "-idx");
            let prefix = |ending: &&str| Some(name.strip_suffix(*ending)?.strip_suffix('-')?.to_owned());
            PUBLISHED.iter().chain(&QMNIST).find_map(prefix)
        })
        .collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// Whether the path is a directory and the name of one of several published sets in it: `DIRECTORY/emnist-letters`.
pub(super) fn is_published(path: &Path) -> bool {
    published(path).is_some_and(|files| files.is_ok())
}

/// The files of a published set by a directory and its name, or the names that are missing.
fn published(path: &Path) -> Option<std::result::Result<Files, Vec<String>>> {
    Some(files_with(path.parent()?, path.file_name()?.to_str()?))
}

/// Where torchvision keeps a data set below its root: `ROOT/MNIST/raw`; `None` for a set it does not know.
pub(super) fn torchvision(root: &Path, name: &str) -> Option<PathBuf> {
    known::set(name).map(|set| root.join(set.torchvision).join("raw"))
}

/// The directory that holds the files directly, `directory` itself or torchvision's sub-folder of it, and the files.
///
/// `name` decides if there is a sub-folder for more than one data set; it may be unknown.
///
/// # Errors
///
/// [`Error::Io`] when the directory cannot be read, [`Error::Dataset`] when files are missing or it is not clear
/// which sub-folder is meant.
pub(super) fn resolve(directory: &Path, name: Option<&str>) -> Result<(PathBuf, Files)> {
    let fail = |problem| Error::Dataset { path: directory.to_path_buf(), problem };
    if !directory.exists() {
        match published(directory) {
            Some(Ok(files)) => return Ok((directory.to_path_buf(), files)),
            Some(Err(missing)) if missing.len() < NAMES.len() => {
                return Err(fail(DatasetProblem::MissingFiles { missing }));
            }
            _ => {}
        }
    }
    fs::read_dir(directory).map_err(Error::io(directory, "open the directory"))?;
    let mut missing: Vec<String> = match files_in(directory) {
        Ok(files) => return Ok((directory.to_path_buf(), files)),
        Err(missing) => missing.into_iter().map(str::to_owned).collect(),
    };
    let mut whole = Vec::new();
    for prefix in prefixes_in(directory) {
        match files_with(directory, &prefix) {
            Ok(files) => whole.push((prefix, files)),
            // What is missed is the set of which most is there, by its own names.
            Err(of_prefix) if of_prefix.len() < missing.len() => missing = of_prefix,
            Err(_) => {}
        }
    }
    if whole.len() > 1 {
        return Err(fail(DatasetProblem::Ambiguous { found: whole.into_iter().map(|(prefix, _)| prefix).collect() }));
    }
    if let Some((_, files)) = whole.pop() {
        return Ok((directory.to_path_buf(), files));
    }
    let wanted = |set: &&known::KnownSet| name.is_none_or(|name| known::set(name).is_none() || set.name == name);
    let folders = known::SETS.iter().filter(wanted).filter_map(|set| torchvision(directory, set.name));
    let mut held: Vec<_> = folders.filter_map(|folder| Some((folder.clone(), files_in(&folder).ok()?))).collect();
    if held.len() > 1 {
        let below = |folder: &Path| folder.strip_prefix(directory).unwrap_or(folder).display().to_string();
        let found = held.iter().map(|(folder, _)| below(folder)).collect();
        return Err(fail(DatasetProblem::Ambiguous { found }));
    }
    held.pop().ok_or_else(|| fail(DatasetProblem::MissingFiles { missing }))
}
