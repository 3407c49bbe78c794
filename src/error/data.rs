//! What can be wrong with a data set: a file, four of them together, the places they are looked for, mirrors.
//!
//! Plain values with their words (`thiserror`); [`crate::error::Error`] adds the path.

use std::fmt;
use std::path::PathBuf;

use crate::text::one_line;

/// How a file departs from the IDX format, or from the kind of IDX file that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxProblem {
    /// A directory, a pipe or a device.
    #[error("found something that is not a regular file, expected an IDX file")]
    NotAFile,
    /// The file ends inside its header.
    #[error("header truncated: found {found} bytes, expected at least {expected}")]
    HeaderTruncated {
        /// Bytes in the file.
        found: u64,
        /// Bytes of the header.
        expected: u64,
    },
    /// The first two bytes are not zero, so this is no IDX file at all.
    #[error(
        "bad magic number: found {:02x} {:02x}{}, expected an IDX file, which starts with 00 00",
        found[0],
        found[1],
        as_known(*found)
    )]
    Magic {
        /// The first two bytes.
        found: [u8; 2],
    },
    /// The third byte names an element type other than unsigned bytes.
    #[error("found element type 0x{found:02x}, expected 0x08 (unsigned bytes)")]
    ElementType {
        /// The type code found.
        found: u8,
    },
    /// The fourth byte, the number of dimensions, does not fit the kind of file.
    #[error("found {found} dimensions, expected {expected}")]
    Rank {
        /// The number found.
        found: u8,
        /// What was expected there, in words.
        expected: &'static str,
    },
    /// Images without any pixels.
    #[error("found images of {rows} x {cols} pixels, expected at least one pixel")]
    NoPixels {
        /// Rows per image.
        rows: u32,
        /// Columns per image.
        cols: u32,
    },
    /// The dimensions multiply to more than can be addressed.
    #[error("found dimensions {dimensions:?}, expected a size that fits in memory")]
    TooLarge {
        /// The dimensions of the header.
        dimensions: [u32; 3],
    },
    /// The file ends before its last element.
    #[error("file truncated: found {found} bytes, expected {expected} by its header")]
    FileTruncated {
        /// Bytes in the file.
        found: u64,
        /// Bytes by the header.
        expected: u64,
    },
    /// The file goes on after its last element.
    #[error("trailing bytes: found {found} bytes or more, expected {expected} by its header")]
    TrailingBytes {
        /// Bytes in the file; in a `.gz`, where unpacking stopped.
        found: u64,
        /// Bytes by the header.
        expected: u64,
    },
    /// A label of 32 bits that is none of 256 classes.
    #[error("found label {found} at index {index}, expected one below 256")]
    LabelTooLarge {
        /// Its index.
        index: usize,
        /// The label.
        found: u32,
    },
    /// Somebody has written into the file while it was in use.
    #[error(
        "found it changed since it was opened, expected it to stay as it is while it is in use; \
         replace a data file by renaming another one over it"
    )]
    Changed,
    /// A `.gz` that cannot be unpacked.
    #[error("found a damaged gzip stream ({reason}), expected an IDX file packed by gzip")]
    Gzip {
        /// What the decoder says.
        reason: String,
    },
}

/// What a file is that starts with these two bytes, in words to be put behind them.
fn as_known(start: [u8; 2]) -> &'static str {
    match &start {
        b"<!" | b"<h" | b"<H" | b"<?" => ", the start of a web page",
        b"PK" => ", the start of a zip archive",
        b"BZ" => ", the start of a bzip2 file",
        [0xfd, 0x37] => ", the start of an xz file",
        [0x28, 0xb5] => ", the start of a zstd file",
        [0x93, 0x4e] => ", the start of a NumPy array",
        [0x89, 0x50] => ", the start of a PNG picture",
        [0xff, 0xd8] => ", the start of a JPEG picture",
        _ => "",
    }
}

/// How four sound files fail to be a data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetProblem {
    /// Some of the four files are not there.
    #[error("found no {}, expected the four IDX files, each as it is or with .gz", one_line(&missing.join(", no ")))]
    MissingFiles {
        /// The names that no spelling was found for.
        missing: Vec<String>,
    },
    /// More than one sub-folder holds a data set.
    #[error("found {}, expected one data set: name one of these", one_line(&found.join(", ")))]
    Ambiguous {
        /// What is there, by the names below the directory.
        found: Vec<String>,
    },
    /// There are not as many labels as images.
    #[error("found {labels} labels, expected {images}, the number of images in {}", images_path.display())]
    Counts {
        /// Labels in this file.
        labels: usize,
        /// Images in the other.
        images: usize,
        /// The file of images.
        images_path: PathBuf,
    },
    /// A label that is no class.
    #[error(
        "found label {found} at index {index}, expected a label from {base} to {}{}",
        base + classes - 1,
        if found == classes && *base == 0 { "; where labels start at 1, say --label-base 1" } else { "" }
    )]
    Label {
        /// The first index at which there is such a label.
        index: usize,
        /// The label.
        found: usize,
        /// The number of classes.
        classes: usize,
        /// The first label.
        base: usize,
    },
    /// The test images have another size than the training images.
    #[error("found images of {found:?} pixels, expected {expected:?} (rows, columns) as in the training images")]
    ImageSize {
        /// Rows and columns of the test images.
        found: (usize, usize),
        /// Rows and columns of the training images.
        expected: (usize, usize),
    },
    /// The images have too few pixels to carry the label.
    #[error("found images of {found} pixels, expected at least {classes}, one per class, to carry the label")]
    TooFewPixels {
        /// Pixels per image.
        found: usize,
        /// The number of classes.
        classes: usize,
    },
    /// Images whose rows and columns are to be exchanged are rows of pixels without a shape.
    #[error("found images of one row each, expected rows and columns, which transpose = true exchanges")]
    Flat,
    /// There is nothing to train on.
    #[error("found no training image, expected at least one")]
    Empty,
}

/// One place looked at for one data set; displayed as `DIRECTORY (PLACE): FINDING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyRow {
    /// The data set looked for.
    pub name: &'static str,
    /// The place in words: `$FFWD_DATA`, `./data`, `the user cache`, `/usr/share/datasets`.
    pub found_in: &'static str,
    /// The directory looked at.
    pub directory: PathBuf,
    /// What is there.
    pub finding: Finding,
}

/// What a directory holds of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The four files.
    Held,
    /// None of the four files.
    Nothing,
    /// Some of the files, but not these.
    Incomplete(Vec<&'static str>),
    /// The four files, but of the set named here or, without a name, of none that is known.
    Other(Option<&'static str>),
    /// The built-in set, which is drawn when it is first asked for.
    NotYetDrawn,
}

impl fmt::Display for SurveyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.directory.display(), self.found_in, self.finding)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("found"),
            Self::Nothing => f.write_str("nothing"),
            Self::Incomplete(missing) => write!(f, "no {}", missing.join(", no ")),
            Self::Other(Some(name)) => write!(f, "holds {name}"),
            Self::Other(None) => f.write_str("holds a data set that is not known"),
            Self::NotYetDrawn => f.write_str("not yet drawn; made when first used"),
        }
    }
}

/// A mirror that did not deliver; displayed as `MIRROR: REASON`.
#[cfg(feature = "fetch")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedMirror {
    /// Its base address.
    pub mirror: String,
    /// Why, with the file at which it failed.
    pub reason: String,
}

#[cfg(feature = "fetch")]
impl fmt::Display for FailedMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.mirror, self.reason)
    }
}
