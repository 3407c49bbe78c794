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

/// The first spelling of a file that exists: unpacked before packed, hyphen before dot.
fn spelling_of(directory: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let spellings = [name.to_owned(), dotted.clone(), format!("{name}.gz"), format!("{dotted}.gz")];
    spellings.into_iter().map(|spelling| directory.join(spelling)).find(|path| path.is_file())
}

/// What the names of a published set's training images end with, behind its prefix (`emnist-letters`, `qmnist`).
const TRAIN_IMAGES: &str = "-train-images-idx3-ubyte";
/// What the names of QMNIST's labels end with.
const QMNIST_LABELS: &str = "labels-idx2-int";

/// The four files that begin with `prefix`, as EMNIST and QMNIST are published, or the names that are missing.
fn files_with(directory: &Path, prefix: &str) -> std::result::Result<Files, Vec<String>> {
    let names = ["train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1"];
    let names = names.map(|name| format!("{prefix}-{name}-ubyte"));
    // QMNIST's labels are integers, several of them for each image.
    let found = names.each_ref().map(|name| {
        spelling_of(directory, name).or_else(|| spelling_of(directory, &name.replace("labels-idx1-ubyte", QMNIST_LABELS)))
    });
    match found {
        [Some(a), Some(b), Some(c), Some(d)] => Ok([a, b, c, d]),
        _ => Err(names.into_iter().zip(&found).filter(|(_, path)| path.is_none()).map(|(name, _)| name).collect()),
    }
}

/// The prefixes of the published sets in a directory, whole or not, in order: those of all training images.
fn prefixes_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut prefixes: Vec<String> = names
        .filter_map(|name| {
            let name = name.strip_suffix(".gz").unwrap_or(&name).replace(".idx", "-idx");
            Some(name.strip_suffix(TRAIN_IMAGES)?.to_owned())
        })
        .collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// Whether the path is a directory and the name of one of several published sets in it: `DIRECTORY/emnist-letters`.
pub(super) fn is_published(path: &Path) -> bool {
    published(path).is_some()
}

/// The files of a published set by a directory and its name.
fn published(path: &Path) -> Option<Files> {
    files_with(path.parent()?, path.file_name()?.to_str()?).ok()
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
    if let (false, Some(files)) = (directory.exists(), published(directory)) {
        return Ok((directory.to_path_buf(), files));
    }
    fs::read_dir(directory).map_err(Error::io(directory, "open the directory"))?;
    let fail = |problem| Error::Dataset { path: directory.to_path_buf(), problem };
    let missing: Vec<String> = match files_in(directory) {
        Ok(files) => return Ok((directory.to_path_buf(), files)),
        Err(missing) => missing.into_iter().map(str::to_owned).collect(),
    };
    let (mut whole, mut incomplete) = (Vec::new(), Vec::new());
    for prefix in prefixes_in(directory) {
        match files_with(directory, &prefix) {
            Ok(files) => whole.push((prefix, files)),
            Err(missing) => incomplete.push(missing),
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
    // Of a published set that is there in part, its own names.
    let missing = incomplete.into_iter().next().unwrap_or(missing);
    held.pop().ok_or_else(|| fail(DatasetProblem::MissingFiles { missing }))
}
