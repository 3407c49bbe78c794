//! Data sets: labelled images in IDX files, mapped into memory and checked before use.
//!
//! [`Places::locate`] turns a name or a path into a directory, [`Dataset::open`] turns the directory into checked
//! images and labels. `idx` reads the files, `gzip` unpacks them, `digits` draws the built-in set, `fetch` downloads
//! the public ones.

pub mod cache;
pub mod digits;
#[cfg(feature = "fetch")]
pub mod fetch;
mod glyphs;
mod gzip;
mod handwriting;
pub mod idx;
pub mod known;
mod layout;
pub mod locate;
mod raster;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

pub use idx::{IdxImages, IdxLabels};
pub use locate::{Located, Places};

use crate::error::{DatasetProblem, Error, Result};
use crate::hex::hex;

/// Images and their labels, as many of one as of the other.
#[derive(Debug)]
pub struct Split {
    /// n images of one size.
    pub images: IdxImages,
    /// n labels, each below the number of classes.
    pub labels: IdxLabels,
}

/// How the files of a data set are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Number of classes.
    pub classes: usize,
    /// The label of the first class in the files.
    pub label_base: u8,
    /// Whether rows and columns of the images are exchanged.
    pub transpose: bool,
}

impl Reading {
    /// Labels from 0 on, and images as they are.
    pub fn of(classes: usize) -> Self {
        Self { classes, label_base: 0, transpose: false }
    }
}

/// A data set that has passed every check of [`Dataset::open`].
#[derive(Debug)]
pub struct Dataset {
    /// The name it was opened by.
    pub name: String,
    /// Whether it is the built-in set of drawn digits, whatever its name.
    pub synthetic: bool,
    /// The directory that holds the four files.
    pub directory: PathBuf,
    /// The images to train on, at least one.
    pub train: Split,
    /// The images to test on, of the same size; there may be none.
    pub test: Split,
    sha256: OnceLock<String>,
}

impl Dataset {
    /// Opens the data set in `directory` and checks that it can be trained on with this number of classes.
    ///
    /// The four files go by the names of MNIST (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    /// `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`), also with a dot before `idx`, each unpacked or as `.gz`;
    /// or by those of EMNIST and QMNIST, which begin with the name of the set
    /// (`emnist-letters-train-images-idx3-ubyte`, `-test-`); of several sets in a directory, `DIRECTORY/emnist-letters`
    /// is one. Each may be cut into shards, `train-images-00000-of-00064-idx3-ubyte` and so on, which are opened in
    /// their order. They lie in the directory itself or in torchvision's `MNIST/raw` or `FashionMNIST/raw` below it.
    /// `name` is what the data set will be called; the name of a public set also chooses among these sub-folders. A
    /// `.gz` is unpacked into `cache` the first time.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a file cannot be read or unpacked, [`Error::Idx`] when one is not a sound IDX file,
    /// [`Error::Dataset`] when together they are no data set: files missing, counts that differ, a label that is no
    /// class, images of two sizes, fewer pixels than classes, nothing to train on.
    pub fn open_with(directory: &Path, name: &str, reading: Reading, cache: &Path) -> Result<Self> {
        let (directory, [train_images, train_labels, test_images, test_labels]) =
            layout::resolve(directory, Some(name))?;
        let train = Split::open(&train_images, &train_labels, reading, cache)?;
        let test = Split::open(&test_images, &test_labels, reading, cache)?;
        check_sizes(&train.images, &test.images, reading.classes)?;
        let synthetic = test.labels.files().any(|(_, bytes)| name_by_labels(bytes) == Some(digits::NAME));
        Ok(Self { name: name.to_owned(), synthetic, directory, train, test, sha256: OnceLock::new() })
    }

    /// [`open_with`](Self::open_with) the user's cache directory.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    ///
    /// # Examples
    ///
    /// ```
    /// use ffwd::data::{Dataset, idx};
    ///
    /// let directory = tempfile::tempdir()?;
    /// // Images of 2 x 3 pixels, a byte each, and labels below 2.
    /// for (part, count) in [("train", 4), ("t10k", 2)] {
    ///     let file = |ending: &str| directory.path().join(format!("{part}-{ending}-ubyte"));
    ///     idx::write_images(&file("images-idx3"), 2, 3, &vec![7; count * 2 * 3])?;
    ///     idx::write_labels(&file("labels-idx1"), &vec![1; count])?;
    /// }
    ///
    /// let dataset = Dataset::open(directory.path(), "mine", 2)?;
    /// let images = &dataset.train.images;
    /// assert_eq!((images.count(), images.rows(), images.cols()), (4, 2, 3));
    /// assert_eq!(dataset.test.labels.values(), [1, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(directory: &Path, name: &str, classes: usize) -> Result<Self> {
        Self::open_with(directory, name, Reading::of(classes), &cache::user().directory)
    }

    /// Checks that nobody has written into the files since they were opened, by their lengths and times of change.
    ///
    /// # Errors
    ///
    /// [`Error::Idx`] when somebody has: what was learnt from them may then be of either state.
    pub fn check_unchanged(&self) -> Result<()> {
        [&self.train, &self.test]
            .into_iter()
            .try_for_each(|Split { images, labels }| images.check_unchanged().and_then(|()| labels.check_unchanged()))
    }

    /// What is to be the same on every machine that has the data set, in words: sizes, and the SHA-256 of labels and of
    /// test images.
    pub fn outline(&self) -> String {
        let of_split = |Split { images, labels }: &Split| {
            let sum = hex(&Sha256::digest(labels.values()));
            format!("{} images of {} x {} with labels of SHA-256 {sum}", images.count(), images.rows(), images.cols())
        };
        let test = self.test.images.sum_of(0..self.test.images.count());
        format!("{}; {}, images of SHA-256 {test}", of_split(&self.train), of_split(&self.test))
    }

    /// One SHA-256 (in hexadecimal) for the whole data set: over the unpacked files, headers included, one after the
    /// other: training images, training labels, test images, test labels. Computed at the first call.
    pub fn sha256(&self) -> &str {
        let Self { train, test, .. } = self;
        self.sha256.get_or_init(|| {
            let mut hash = Sha256::new();
            for Split { images, labels } in [train, test] {
                images.files().chain(labels.files()).for_each(|(_, bytes)| hash.update(bytes));
            }
            hex(&hash.finalize())
        })
    }
}

impl Split {
    fn open(images: &Path, labels: &Path, reading: Reading, cache: &Path) -> Result<Self> {
        let Reading { classes, label_base, transpose } = reading;
        let images = IdxImages::open_shards(&layout::shards(images)?, cache)?;
        let images = if transpose { images.transposed()? } else { images };
        let labels = IdxLabels::open_shards(&layout::shards(labels)?, cache)?;
        let fail = |problem| Error::Dataset { path: labels.path().to_path_buf(), problem };
        if labels.len() != images.count() {
            let images_path = images.path().to_path_buf();
            return Err(fail(DatasetProblem::Counts { labels: labels.len(), images: images.count(), images_path }));
        }
        let base = usize::from(label_base);
        match labels.values().iter().position(|&label| !(base..base + classes).contains(&usize::from(label))) {
            Some(index) => {
                let found = labels.values()[index].into();
                Err(fail(DatasetProblem::Label { index, found, classes, base }))
            }
            None => Ok(Self { images, labels: labels.counted_from(label_base) }),
        }
    }
}

/// Checks that both splits have images of one size, large enough, and that there is something to train on.
fn check_sizes(train: &IdxImages, test: &IdxImages, classes: usize) -> Result<()> {
    let fail = |images: &IdxImages, problem| Err(Error::Dataset { path: images.path().to_path_buf(), problem });
    if train.count() == 0 {
        return fail(train, DatasetProblem::Empty);
    }
    if train.pixels_per_image() < classes {
        return fail(train, DatasetProblem::TooFewPixels { found: train.pixels_per_image(), classes });
    }
    let (found, expected) = ((test.rows(), test.cols()), (train.rows(), train.cols()));
    if found != expected {
        return fail(test, DatasetProblem::ImageSize { found, expected });
    }
    Ok(())
}

/// The known data set whose unpacked file of test labels this is.
fn name_by_labels(file: &[u8]) -> Option<&'static str> {
    known::name_by_test_labels(&hex(&Sha256::digest(file)))
}
