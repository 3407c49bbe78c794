//! The bytes of images, wherever they are: what data sets give and batches take.

/// Images of `k` bytes each, one after another: in one piece of memory, or wherever each of them is. A `&Vec<u8>`
/// becomes whole images by `into()`.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// Whole images, side by side.
    Whole(&'a [u8]),
    /// The first so many images of some that lie in several files.
    Pieces(&'a dyn Pieces, usize),
}

/// Images that do not lie in one piece of memory.
pub trait Pieces: Sync + std::fmt::Debug {
    /// The bytes of image `number`.
    fn image(&self, number: usize) -> &[u8];
}

impl<'a> Pixels<'a> {
    /// Image `number`, of `k` bytes.
    ///
    /// # Panics
    ///
    /// There are no more than `number` images.
    #[inline]
    pub fn image(self, number: usize, k: usize) -> &'a [u8] {
        match self {
            Self::Whole(bytes) => &bytes[number * k..][..k],
            Self::Pieces(images, count) => {
                assert!(number < count, "image {number} of {count}");
                images.image(number)
            }
        }
    }

    /// How many images of `k` bytes there are.
    ///
    /// # Panics
    ///
    /// The bytes are no whole images.
    pub fn count(self, k: usize) -> usize {
        match self {
            Self::Whole(bytes) => {
                assert!(bytes.len().is_multiple_of(k), "pixels are whole images");
                bytes.len() / k
            }
            Self::Pieces(_, count) => count,
        }
    }

    /// The first `count` images, of `k` bytes each.
    ///
    /// # Panics
    ///
    /// The images lie in one piece of memory, and there are fewer.
    pub fn first(self, count: usize, k: usize) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(&bytes[..count * k]),
            Self::Pieces(images, of) => Self::Pieces(images, count.min(of)),
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Pixels<'a> {
    fn from(bytes: &'a T) -> Self {
        Self::Whole(bytes.as_ref())
    }
}
