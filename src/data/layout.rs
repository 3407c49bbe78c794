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
    fs::read_dir(directory).map_err(Error::io(directory, "open the directory"))?;
    let fail = |problem| Error::Dataset { path: directory.to_path_buf(), problem };
    let missing = match files_in(directory) {
        Ok(files) => return Ok((directory.to_path_buf(), files)),
        Err(missing) => missing,
    };
    let wanted = |set: &&known::KnownSet| name.is_none_or(|name| known::set(name).is_none() || set.name == name);
    let folders = known::SETS.iter().filter(wanted).filter_map(|set| torchvision(directory, set.name));
    let mut held: Vec<_> = folders.filter_map(|folder| Some((folder.clone(), files_in(&folder).ok()?))).collect();
    match held.pop() {
        None => Err(fail(DatasetProblem::MissingFiles { missing })),
        Some(only) if held.is_empty() => Ok(only),
        Some(_) => Err(fail(DatasetProblem::Ambiguous)),
    }
}
