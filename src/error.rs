//! The one error type: what is wrong, where, and what was expected.
//!
//! Files and users' input end in an [`Error`], whose message is complete and one line; programmers' errors (a shape
//! that does not fit) are assertions.

mod data;

use std::path::{Path, PathBuf};

#[cfg(feature = "fetch")]
pub use data::FailedMirror;
pub use data::{DatasetProblem, Finding, IdxProblem, SurveyRow};

use crate::text::shortened;

/// The result of everything that reads a file or a user's words.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with the place it was found and what was expected there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{path}: cannot {action}: {reason}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb phrase: `open`, `create the directory`.
        action: &'static str,
        /// The operating system's answer.
        reason: std::io::Error,
    },
    /// An option, environment variable or configuration field holds something it cannot hold.
    #[error("{field}: found {found}, expected {expected}")]
    Config {
        /// The field as the user spells it: `--layers`, `FFWD_ISA`, `run.toml: epochs`.
        field: String,
        /// What it held.
        found: String,
        /// What it may hold.
        expected: String,
    },
    /// A file that is not the IDX file it should be.
    #[error("{path}: {problem}", path = path.display())]
    Idx {
        /// The file as it was given, `.gz` included.
        path: PathBuf,
        /// What was found and what was expected.
        problem: IdxProblem,
    },
    /// Files that are sound one by one, but do not make a data set.
    #[error("{path}: {problem}", path = path.display())]
    Dataset {
        /// The file or directory at fault.
        path: PathBuf,
        /// What was found and what was expected.
        problem: DatasetProblem,
    },
    /// A file that is not the model it should be.
    #[error("{path}: found {found}, expected {expected}", path = path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What a model file holds there.
        expected: String,
    },
    /// A file that is not the benchmark report it should be.
    #[error("{path}: {field}: found {found}, expected {expected}", path = path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// The field with its place, `kernels[3].samples_ns`, or `content` for the file as a whole.
        field: String,
        /// What it holds.
        found: String,
        /// What a report holds there.
        expected: String,
    },
    /// A data set that is in none of the places where it may be.
    #[error(
        "data set {name}: not found in {}, expected its four IDX files; \
         `fast-train data list` shows what each place holds",
        places(looked)
    )]
    NotFound {
        /// The name that was asked for.
        name: String,
        /// Every place looked at, in order, with what is there.
        looked: Vec<SurveyRow>,
    },
    /// A data set that no mirror delivered.
    #[cfg(feature = "fetch")]
    #[error("data set {name}: no mirror delivered it: {}", reasons(attempts))]
    Fetch {
        /// The name that was asked for.
        name: String,
        /// Every mirror tried, in order, with its reason.
        attempts: Vec<FailedMirror>,
    },
}

/// The places looked at, each once, in words.
fn places(looked: &[SurveyRow]) -> String {
    let mut places: Vec<&str> = looked.iter().map(|row| row.found_in).collect();
    places.dedup();
    match places.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "any place".to_owned(),
    }
}

/// Every mirror with its reason.
#[cfg(feature = "fetch")]
fn reasons(attempts: &[FailedMirror]) -> String {
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Words that may come from a file or a user, as part of a message: on one line, and not without end.
fn words(text: &str) -> String {
    shortened(text, 2_000)
}

impl Error {
    /// Wraps an operating system error with the path and the action it belongs to: what `map_err` takes.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |reason| Self::Io { path, action, reason }
    }

    /// A field that holds something it cannot hold.
    pub fn config(field: impl AsRef<str>, found: impl ToString, expected: impl AsRef<str>) -> Self {
        Self::Config {
            field: words(field.as_ref()),
            found: words(&found.to_string()),
            expected: words(expected.as_ref()),
        }
    }

    /// A file that is not the model it should be.
    pub(crate) fn model(path: &Path, found: &str, expected: &str) -> Self {
        Self::Model { path: path.to_path_buf(), found: words(found), expected: words(expected) }
    }
}
