//! The built-in data set: 60,000 + 10,000 drawn digits of 28 x 28 pixels, made once and kept in the cache.
//!
//! It needs no download and no licence, has the form of MNIST and is hard enough to be worth training. Every image has
//! a generator of its own, seeded by its number, so the set does not depend on the number of threads (`rayon`).
//! `handwriting` draws the images, `idx` writes them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::handwriting::Hand;
use super::raster::{PIXELS, SIDE};
use super::{idx, layout};
use crate::error::Result;

/// The name of the data set.
pub const NAME: &str = "digits";
/// The directory in the cache. The number counts the versions of the drawing code: images that differ in any bit need a
/// new one.
const DIRECTORY: &str = "digits-v1";
/// The SHA-256 of the file of test labels.
pub(super) const TEST_LABELS_SHA256: &str = "9e862494a8533d998727cb16439298db16edeeadb4af808eccf60c7ff313bd9f";
/// The numbers of the first training image, the first test image and the one after the last; they seed the generators.
const NUMBERS: [usize; 3] = [0, 60_000, 70_000];
/// The seed of the first image's generator.
const SEED: u64 = 0x6469_6769_7473_0000;
const CLASSES: usize = 10;

/// Where the data set lies in this cache directory, whether it has been made or not.
pub fn directory(cache: &Path) -> PathBuf {
    cache.join(DIRECTORY)
}

/// The directory of the data set in this cache directory; draws there first what is missing.
///
/// Each file appears whole or not at all, and every process that makes it writes the same bytes, so several may do so
/// at once.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) when the files cannot be written.
pub fn ensure(cache: &Path) -> Result<PathBuf> {
    let directory = directory(cache);
    let [train_images, train_labels, test_images, test_labels] = layout::NAMES.map(|name| directory.join(name));
    ensure_split(&train_images, &train_labels, NUMBERS[0]..NUMBERS[1])?;
    ensure_split(&test_images, &test_labels, NUMBERS[1]..NUMBERS[2])?;
    Ok(directory)
}

fn ensure_split(images: &Path, labels: &Path, numbers: Range<usize>) -> Result<()> {
    if images.exists() && labels.exists() {
        return Ok(());
    }
    let (pixels, values) = draw(numbers);
    idx::write_images(images, SIDE, SIDE, &pixels)?;
    idx::write_labels(labels, &values)
}

/// Whether the four files are there. What is in them is checked when they are opened.
pub(super) fn is_complete(directory: &Path) -> bool {
    layout::files_in(directory).is_ok()
}

/// Draws the images with these numbers: n x 28 x 28 pixels, a byte each, and n labels below 10. Of the data set, 0 to
/// 59,999 are the training images and 60,000 to 69,999 the test images.
///
/// # Examples
///
/// ```
/// let (pixels, labels) = ffwd::data::digits::draw(0..3);
/// assert_eq!((pixels.len(), labels.len()), (3 * 28 * 28, 3));
/// ```
pub fn draw(numbers: Range<usize>) -> (Vec<u8>, Vec<u8>) {
    let (mut pixels, mut labels) = (vec![0; numbers.len() * PIXELS], vec![0; numbers.len()]);
    let images = pixels.par_chunks_exact_mut(PIXELS).zip(&mut labels).zip(numbers.into_par_iter());
    images.for_each(|((image, label), number)| {
        let mut hand = Hand::new(SEED + number as u64);
        let digit = hand.choose(CLASSES);
        hand.write(digit, image);
        *label = digit as u8;
    });
    (pixels, labels)
}
