//! The bytes of images, wherever they are, or the floats of samples: what data sets give and batches take.

use std::borrow::Cow;

/// Images of `k` bytes each, one after another: in one piece of memory, or wherever each of them is; or samples of
/// floats. A `&Vec<u8>` becomes whole images by `into()`.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// Whole images, side by side.
    Whole(&'a [u8]),
    /// The first so many images of some that lie in several files.
    Pieces(&'a dyn Pieces, usize),
    /// Samples of floats. A label has inputs of its own before them, one for each class.
    Floats(Floats<'a>),
}

/// Samples of floats, side by side.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a> {
    /// n x [`Floats::of_sample`] finite numbers, row-major.
    pub values: &'a [f32],
    /// Floats of a sample, at least one.
    pub of_sample: usize,
    /// What they are divided by, finite and above zero: what an input of 1 stands for. Of images this is 255.
    pub unit: f32,
}

/// One image, or one sample of floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Image<'a> {
    /// A byte for each input, the first of which give way to the label.
    Bytes(&'a [u8]),
    /// Floats, and what they are divided by; the label comes before them.
    Floats(&'a [f32], f32),
}

/// Images that do not lie in one piece of memory.
pub trait Pieces: Sync + std::fmt::Debug {
    /// The bytes of image `number`.
    fn image(&self, number: usize) -> &[u8];
}

impl<'a> Pixels<'a> {
    /// Image `number`, of `k` bytes; or the sample of that number.
    ///
    /// # Panics
    ///
    /// There are no more than `number` images.
    #[inline]
    pub fn image(self, number: usize, k: usize) -> Image<'a> {
        match self {
            Self::Whole(bytes) => Image::Bytes(&bytes[number * k..][..k]),
            Self::Pieces(images, count) => {
                assert!(number < count, "image {number} of {count}");
                Image::Bytes(images.image(number))
            }
            Self::Floats(Floats { values, of_sample, unit }) => {
                Image::Floats(&values[number * of_sample..][..of_sample], unit)
            }
        }
    }

    /// How many images of `k` bytes there are, or samples.
    ///
    /// # Panics
    ///
    /// The bytes are no whole images, or the floats no whole samples.
    pub fn count(self, k: usize) -> usize {
        let whole = |length: usize, of_one: usize| {
            assert!(length.is_multiple_of(of_one), "pixels are whole images");
            length / of_one
        };
        match self {
            Self::Whole(bytes) => whole(bytes.len(), k),
            Self::Pieces(_, count) => count,
            Self::Floats(floats) => whole(floats.values.len(), floats.of_sample),
        }
    }

    /// The first `count` images, of `k` bytes each, or samples.
    ///
    /// # Panics
    ///
    /// The images lie in one piece of memory, and there are fewer.
    pub fn first(self, count: usize, k: usize) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(&bytes[..count * k]),
            Self::Pieces(images, of) => Self::Pieces(images, count.min(of)),
            Self::Floats(floats) => {
                Self::Floats(Floats { values: &floats.values[..count * floats.of_sample], ..floats })
            }
        }
    }

    /// Whether a layer of `k` inputs reads them with the label of one of `classes`.
    pub fn fits(self, k: usize, classes: usize) -> bool {
        match self {
            Self::Whole(_) | Self::Pieces(..) => classes <= k,
            Self::Floats(floats) => classes + floats.of_sample == k,
        }
    }

    /// Rows and columns of what an image shows, where a network's images have the size `size`; samples of floats are
    /// one row.
    pub(crate) fn size(self, size: (usize, usize)) -> (usize, usize) {
        match self {
            Self::Whole(_) | Self::Pieces(..) => size,
            Self::Floats(floats) => (1, floats.of_sample),
        }
    }
}

impl<'a> Image<'a> {
    /// Writes the inputs behind those of the label of one of `classes` over `to`: bytes as they are, or floats divided
    /// by their unit. In both, [`Image::one`] stands for 1.
    ///
    /// # Panics
    ///
    /// `to` has not as many elements.
    #[inline(always)]
    pub(crate) fn write(self, classes: usize, to: &mut [f32]) {
        match self {
            Self::Bytes(bytes) => {
                assert_eq!(to.len(), bytes.len() - classes, "room for the pixels behind the label's");
                to.iter_mut().zip(&bytes[classes..]).for_each(|(to, &byte)| *to = f32::from(byte));
            }
            Self::Floats(values, unit) => {
                assert_eq!(to.len(), values.len(), "room for the floats of a sample");
                to.iter_mut().zip(values).for_each(|(to, value)| *to = value / unit);
            }
        }
    }

    /// What stands for 1 in [`Image::write`].
    pub(crate) fn one(self) -> f32 {
        match self {
            Self::Bytes(_) => 255.0,
            Self::Floats(..) => 1.0,
        }
    }

    /// The largest magnitude, in the numbers of [`Image::write`]; of bytes also those that give way to the label. 0
    /// where there is none.
    pub(crate) fn largest(self) -> f32 {
        match self {
            Self::Bytes(bytes) => f32::from(bytes.iter().copied().max().unwrap_or(0)),
            Self::Floats(values, unit) => values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / unit,
        }
    }

    /// The sum of the squares of what [`Image::write`] writes, where 1 is 1: exact for bytes.
    #[inline(always)]
    pub(crate) fn squared_norm(self, classes: usize) -> f64 {
        match self {
            Self::Bytes(bytes) => {
                let sum = bytes[classes..].iter().map(|&byte| u64::from(byte) * u64::from(byte)).sum::<u64>();
                sum as f64
            }
            Self::Floats(values, unit) => values.iter().map(|value| f64::from(value / unit).powi(2)).sum(),
        }
    }

    /// What the image shows, in bytes, for an order in which images that are alike stand side by side: of floats the
    /// magnitudes, in 64ths of their unit up to 4 of it, and 0 for nothing but 0.
    pub(crate) fn outline(self) -> Cow<'a, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Floats(values, unit) => {
                values.iter().map(|value| (64.0 * (value / unit).abs()).ceil() as u8).collect()
            }
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Pixels<'a> {
    fn from(bytes: &'a T) -> Self {
        Self::Whole(bytes.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: Floats<'static> = Floats { values: &[3.0, -6.0, 0.0, 0.01, 6.0, 1.5], of_sample: 3, unit: 6.0 };

    #[test]
    fn floats_are_divided_by_their_unit_and_stand_behind_the_label() {
        let pixels = Pixels::Floats(FLOATS);
        assert_eq!((pixels.count(5), pixels.first(1, 5).count(5), pixels.size((1, 5))), (2, 1, (1, 3)));
        assert!(pixels.fits(5, 2) && !pixels.fits(5, 3));
        let (image, mut row) = (pixels.image(0, 5), [9.0; 3]);
        image.write(2, &mut row);
        assert_eq!((row, image.one(), image.largest()), ([0.5, -1.0, 0.0], 1.0, 1.0));
        assert_eq!(image.squared_norm(2), 1.25);
        assert_eq!(*pixels.image(1, 5).outline(), [1, 64, 16]);
    }
}
