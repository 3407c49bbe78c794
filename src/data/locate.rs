//! From what the user said, a name or a path, to the directory that holds the data set.
//!
//! The places where a named set may be are fixed and few; [`Places`] holds them, so that tests (and callers with places
//! of their own) need not change the environment. Which set a directory holds is told from its test labels.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{cache, digits, gzip, known, layout, name_by_labels};
use crate::error::{Error, Finding, Result, SurveyRow};

/// A data set that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its name: a known one if its test labels are those of a known set or it was asked for by name, else the name of
    /// its directory.
    pub name: String,
    /// The directory that holds the four files.
    pub directory: PathBuf,
    /// What finds it again from any working directory: its name if it was found by it, else the absolute path.
    pub spec: String,
    /// Where it was found, in words: `$FFWD_DATA`, `./data`, `the user cache`, `/usr/share/datasets`, `the path given`.
    pub found_in: &'static str,
}

/// Where named data sets are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `$FFWD_DATA`: a directory that holds the files of one set, or one with a sub-directory for each set.
    pub data: Option<PathBuf>,
    /// The working directory: paths are relative to it, and its `data` is looked at like `$FFWD_DATA`.
    pub current: PathBuf,
    /// The cache directory, with a sub-directory for each set.
    pub cache: PathBuf,
    /// The data sets of the system, with a sub-directory for each set.
    pub system: PathBuf,
}

/// Every known data set in every place looked at, found or not.
pub fn survey(places: &Places) -> Vec<SurveyRow> {
    known::NAMES.into_iter().flat_map(|name| places.look_for(name)).collect()
}

impl Places {
    /// The places of this process: `$FFWD_DATA`, the working directory, the user's cache, `/usr/share/datasets`.
    pub fn from_environment() -> Self {
        Self {
            data: std::env::var_os("FFWD_DATA").filter(|value| !value.is_empty()).map(PathBuf::from),
            current: PathBuf::from("."),
            cache: cache::user().directory,
            system: PathBuf::from("/usr/share/datasets"),
        }
    }

    /// Finds what the user calls `spec`: the path of a directory, or a name (`mnist`, `fashion-mnist`, `digits`).
    ///
    /// Whatever contains a path separator is a path, and so is the name of a directory here, unless it is the name
    /// of a known set and the directory does not hold its files. A name is looked up in `$FFWD_DATA`, in `./data` (each
    /// holding the files themselves, a directory of that name, or torchvision's folders), in the cache and among the
    /// system's data sets. Files that lie directly in a place count only if their test labels are those of the set; a
    /// directory called after the set is believed unless it holds another known one. `digits` is drawn into the cache
    /// if it is not found.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when `spec` is neither a known name nor a directory, or its absolute path is no UTF-8,
    /// [`Error::NotFound`] when a known set is in none of the places, [`Error::Io`] or [`Error::Dataset`] when a
    /// directory given by path cannot be read or does not hold the files, [`Error::Io`] when `digits` cannot be
    /// written.
    pub fn locate(&self, spec: &str) -> Result<Located> {
        let path = self.current.join(spec);
        let name = known::NAMES.into_iter().find(|&name| name == spec);
        match name {
            Some(_) if layout::resolve(&path, name).is_ok() => self.at_path(&path, name),
            Some(name) => self.by_name(name),
            None if !spec.is_empty()
                && (spec.contains(std::path::is_separator) || path.is_dir() || layout::is_published(&path)) =>
            {
                self.at_path(&path, None)
            }
            None => {
                let expected = format!("{} or the path of a directory", known::NAMES.join(", "));
                Err(Error::config("data set", format!("{spec:?}"), expected))
            }
        }
    }

    fn at_path(&self, path: &Path, name: Option<&str>) -> Result<Located> {
        let (directory, files) = layout::resolve(path, name)?;
        let name = name_of(&files).map_or_else(|| directory_name(path), str::to_owned);
        let full = std::path::absolute(path).map_err(Error::io(path, "tell the absolute path"))?;
        let spec = full.into_os_string().into_string().map_err(|full| {
            Error::config("data set", format!("{full:?}"), "a path in UTF-8, in which it can be remembered")
        })?;
        Ok(Located { name, directory, spec, found_in: "the path given" })
    }

    fn by_name(&self, name: &'static str) -> Result<Located> {
        let looked = self.look_for(name);
        let named = |directory, found_in| Located { name: name.to_owned(), directory, spec: name.to_owned(), found_in };
        if let Some(row) = looked.iter().find(|row| row.finding == Finding::Held) {
            return Ok(named(row.directory.clone(), row.found_in));
        }
        if name == digits::NAME {
            return Ok(named(digits::ensure(&self.cache)?, IN_CACHE));
        }
        Err(Error::NotFound { name: name.to_owned(), looked })
    }

    /// Looks for one known set in every place, in order.
    fn look_for(&self, name: &'static str) -> Vec<SurveyRow> {
        let mut rows = Vec::new();
        let mut look = |found_in, directory: PathBuf, named| {
            let finding = examine(&directory, name, named);
            rows.push(SurveyRow { name, found_in, directory, finding });
        };
        let here = self.current.join("data");
        for (found_in, root) in self.data.iter().map(|root| (IN_VARIABLE, root)).chain([("./data", &here)]) {
            look(found_in, root.clone(), false);
            look(found_in, root.join(name), true);
            if let Some(folder) = layout::torchvision(root, name) {
                look(found_in, folder, true);
            }
        }
        if name != digits::NAME {
            look(IN_CACHE, self.cache.join(name), true);
        }
        look("/usr/share/datasets", self.system.join(name), true);
        if name == digits::NAME {
            let directory = digits::directory(&self.cache);
            let finding = if digits::is_complete(&directory) { Finding::Held } else { Finding::NotYetDrawn };
            rows.push(SurveyRow { name, found_in: IN_CACHE, directory, finding });
        }
        rows
    }
}

/// The place that the user's environment names.
pub const IN_VARIABLE: &str = "$FFWD_DATA";
/// The place of downloads and of the built-in set.
const IN_CACHE: &str = "the user cache";

/// What a directory holds of a set; `named` says that the directory is called after it.
fn examine(directory: &Path, name: &'static str, named: bool) -> Finding {
    match layout::files_in(directory) {
        Err(missing) if missing.len() == layout::NAMES.len() => Finding::Nothing,
        Err(missing) => Finding::Incomplete(missing),
        Ok(files) => match name_of(&files) {
            Some(held) if held == name => Finding::Held,
            None if named => Finding::Held,
            held => Finding::Other(held),
        },
    }
}

/// The known set whose test labels these files have.
fn name_of(files: &layout::Files) -> Option<&'static str> {
    let [_, _, _, labels] = files;
    let mut content = Vec::new();
    let limit = known::TEST_LABELS_BYTES + 1;
    if gzip::is_packed(labels).ok()? {
        gzip::reader(labels).ok()?.take(limit).read_to_end(&mut content).ok()?;
    } else {
        fs::File::open(labels).ok()?.take(limit).read_to_end(&mut content).ok()?;
    }
    name_by_labels(&content)
}

/// The last part of a path, also when it is written as `.` or `..`.
fn directory_name(path: &Path) -> String {
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    full.file_name().map_or_else(|| "data".to_owned(), |name| name.to_string_lossy().into_owned())
}
