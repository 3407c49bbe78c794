//! IDX files, the format of the MNIST family: a short header, then one byte per pixel or label.
//!
//! Images are mapped into memory (`memmap2`), not copied; labels, a byte for each image, are copied. A `.gz` is first
//! unpacked into the cache by the neighbouring `gzip` module. The header is checked against the file's length before a
//! single pixel is looked at.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::{cache, gzip};
use crate::error::{DatasetProblem, Error, IdxProblem, Result};
use crate::files::write_atomically;
use crate::hex::hex;
use crate::pixels::{Pieces, Pixels};

/// The element type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;
/// The element type code of 32-bit integers, in which QMNIST keeps labels and what else it knows of each image.
const INTEGER: u8 = 0x0c;
/// Bytes of the longest header: the magic number and three dimensions.
pub(super) const MAX_HEADER: usize = 16;

/// The two kinds of file, told apart by their number of dimensions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Images,
    Labels,
}

impl Kind {
    /// Checks the number of dimensions, and returns the bytes of an element.
    fn check(self, element: u8, found: u8) -> std::result::Result<usize, IdxProblem> {
        match (self, element, found) {
            (Self::Labels, INTEGER, 2) => return Ok(size_of::<u32>()),
            (_, UNSIGNED_BYTE, _) => {}
            _ => return Err(IdxProblem::ElementType { found: element }),
        }
        match (self, found) {
            (Self::Images, 2 | 3) | (Self::Labels, 1) => Ok(1),
            (Self::Images, _) => Err(IdxProblem::Rank { found, expected: "3 (images, rows, columns) or 2" }),
            (Self::Labels, _) => Err(IdxProblem::Rank { found, expected: "1 (labels)" }),
        }
    }
}

/// A header that has been checked on its own: sizes are known to fit, the file's length is not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    count: usize,
    rows: usize,
    cols: usize,
    /// Bytes of the header.
    start: usize,
    /// Bytes of an element.
    element_bytes: usize,
    /// Bytes the whole file must have.
    pub(super) file_bytes: u64,
}

impl Header {
    /// Reads the header from the start of a file; `bytes` holds the whole file or its first [`MAX_HEADER`] bytes.
    pub(super) fn parse(bytes: &[u8], kind: Kind) -> std::result::Result<Self, IdxProblem> {
        let truncated = |expected| IdxProblem::HeaderTruncated { found: bytes.len() as u64, expected };
        let &[zero0, zero1, element, rank, ref rest @ ..] = bytes else { return Err(truncated(4)) };
        if [zero0, zero1] != [0, 0] {
            return Err(IdxProblem::Magic { found: [zero0, zero1] });
        }
        let element_bytes = kind.check(element, rank)?;
        let start = 4 + 4 * usize::from(rank);
        let sizes = rest.get(..start - 4).ok_or_else(|| truncated(start as u64))?;
        let mut sizes = sizes.chunks_exact(4).map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]));
        let count = sizes.next().unwrap_or(1);
        let (rows, cols) = match (sizes.next(), sizes.next()) {
            (Some(rows), Some(cols)) => (rows, cols),
            (pixels, _) => (1, pixels.unwrap_or(1)),
        };
        if rows == 0 || cols == 0 {
            return Err(IdxProblem::NoPixels { rows, cols });
        }
        Self::sized([count, rows, cols], start, element_bytes)
            .ok_or(IdxProblem::TooLarge { dimensions: [count, rows, cols] })
    }

    /// `None` when the sizes overflow.
    fn sized([count, rows, cols]: [u32; 3], start: usize, element_bytes: usize) -> Option<Self> {
        let [count, rows, cols] =
            [usize::try_from(count).ok()?, usize::try_from(rows).ok()?, usize::try_from(cols).ok()?];
        let elements = count.checked_mul(rows)?.checked_mul(cols)?;
        let file_bytes = elements.checked_mul(element_bytes)?.checked_add(start)?;
        Some(Self { count, rows, cols, start, element_bytes, file_bytes: u64::try_from(file_bytes).ok()? })
    }

    /// Compares the length the header announces with the one the file has.
    pub(super) fn check_length(&self, found: u64) -> std::result::Result<(), IdxProblem> {
        let expected = self.file_bytes;
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => Err(IdxProblem::FileTruncated { found, expected }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(IdxProblem::TrailingBytes { found, expected }),
        }
    }
}

/// A checked IDX file in memory.
#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    header: Header,
    map: Mmap,
    /// The mapped file, whatever its name stands for by now, and what it was like before it was mapped.
    file: File,
    state: FileState,
}

impl Mapped {
    /// Opens a file, or the unpacked copy in `cache` of one that is packed.
    fn open(path: &Path, kind: Kind, cache: &Path) -> Result<Self> {
        if !fs::metadata(path).map_err(Error::io(path, "open"))?.is_file() {
            return Err(Error::Idx { path: path.to_path_buf(), problem: IdxProblem::NotAFile });
        }
        if !gzip::is_packed(path)? {
            return Self::open_unpacked(path, path, kind);
        }
        match Self::open_unpacked(path, &gzip::unpack_once(path, kind, cache)?, kind) {
            // The copy was sound when it was made, and has been damaged since.
            Err(Error::Idx { .. }) => Self::open_unpacked(path, &gzip::unpack_again(path, kind, cache)?, kind),
            opened => opened,
        }
    }

    /// Opens the unpacked file `path`, which goes by the name `given` towards the user.
    fn open_unpacked(given: &Path, path: &Path, kind: Kind) -> Result<Self> {
        let fail = |problem| Error::Idx { path: given.to_path_buf(), problem };
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        let state = FileState::of(&file);
        // SAFETY: the map is read-only and private, and this process never writes to a file it has mapped: the files it
        // makes are replaced by renaming, which leaves an existing map on the old file. Another process may truncate or
        // rewrite the file in place all the same: then reads end in a bus error, or see changed bytes. Sizes are copied
        // out of the header once, and each pixel is read as a number of which any value is valid, so no changed byte
        // can lead to another access of memory.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "map into memory"))?;
        let header = Header::parse(&map, kind).map_err(fail)?;
        header.check_length(map.len() as u64).map_err(fail)?;
        Ok(Self { path: given.to_path_buf(), header, map, file, state })
    }

    /// Checks that nobody has written into the file since it was opened, by its length and its time of change.
    fn check_unchanged(&self) -> Result<()> {
        if FileState::of(&self.file) == self.state {
            return Ok(());
        }
        Err(Error::Idx { path: self.path.clone(), problem: IdxProblem::Changed })
    }

    fn elements(&self) -> &[u8] {
        &self.map[self.header.start..]
    }
}

/// What a file says of itself without being read.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    length: Option<u64>,
    /// When it was changed last, where the file system tells.
    modified: Option<SystemTime>,
}

impl FileState {
    fn of(file: &File) -> Self {
        let metadata = file.metadata().ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        Self { length: metadata.map(|metadata| metadata.len()), modified }
    }
}

/// Images of one size, one byte per pixel, mapped into memory: of one file, or of several that follow each other.
///
/// A file that another process cuts off while it is mapped ends this one with SIGBUS, unless it handles the signal as
/// `fast-train` does; [`check_unchanged`](Self::check_unchanged) tells whether one has been written to.
#[derive(Debug)]
pub struct IdxImages {
    /// At least one.
    files: Vec<Mapped>,
    /// The number of the first image of each file.
    firsts: Vec<usize>,
    /// The images with rows and columns exchanged, where they were asked for so.
    transposed: Option<Vec<u8>>,
}

impl IdxImages {
    /// Opens an IDX file of unsigned bytes with 3 dimensions (n x rows x cols) or 2 (n x pixels, read as one row each).
    ///
    /// A file packed by gzip is unpacked into `cache` the first time.
    ///
    /// # Errors
    ///
    /// [`Error::Idx`] for a file that is not such a file, [`Error::Io`] for one that cannot be opened or unpacked.
    pub fn open_with(path: &Path, cache: &Path) -> Result<Self> {
        Self::open_shards(&[path.to_path_buf()], cache)
    }

    /// [`open_with`](Self::open_with) the user's cache directory.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &cache::user().directory)
    }

    /// As [`open_with`](Self::open_with), the images of several files, at least one, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with), and [`Error::Dataset`] when the images are not of one size.
    ///
    /// # Panics
    ///
    /// There is no file.
    pub(super) fn open_shards(paths: &[PathBuf], cache: &Path) -> Result<Self> {
        let open = |path: &PathBuf| Mapped::open(path, Kind::Images, cache);
        let files = paths.iter().map(open).collect::<Result<Vec<Mapped>>>()?;
        let size = |file: &Mapped| (file.header.rows, file.header.cols);
        if let Some(other) = files.iter().find(|file| size(file) != size(&files[0])) {
            let problem = DatasetProblem::ImageSize { found: size(other), expected: size(&files[0]) };
            return Err(Error::Dataset { path: other.path.clone(), problem });
        }
        let mut next = 0;
        let first = |file: &Mapped| {
            let first = next;
            next += file.header.count;
            first
        };
        let firsts = files.iter().map(first).collect();
        Ok(Self { files, firsts, transposed: None })
    }

    /// The same images with rows and columns exchanged, as EMNIST needs it, which keeps its images transposed.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] when the images have one row: pixels without a shape.
    pub fn transposed(self) -> Result<Self> {
        if self.transposed.is_some() {
            return Ok(Self { transposed: None, ..self });
        }
        if self.rows() == 1 {
            return Err(Error::Dataset { path: self.path().to_path_buf(), problem: DatasetProblem::Flat });
        }
        let (rows, cols) = (self.rows(), self.cols());
        let mut pixels = vec![0; self.count() * rows * cols];
        for (number, to) in pixels.chunks_exact_mut(rows * cols).enumerate() {
            let image = self.image(number);
            for (column, to) in to.chunks_exact_mut(rows).enumerate() {
                to.iter_mut().zip(image[column..].iter().step_by(cols)).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(Self { transposed: Some(pixels), ..self })
    }

    /// The number of images, n.
    pub fn count(&self) -> usize {
        self.files.iter().map(|file| file.header.count).sum()
    }

    /// Rows of each image, at least 1.
    pub fn rows(&self) -> usize {
        let Header { rows, cols, .. } = self.files[0].header;
        if self.transposed.is_some() { cols } else { rows }
    }

    /// Columns of each image, at least 1.
    pub fn cols(&self) -> usize {
        let Header { rows, cols, .. } = self.files[0].header;
        if self.transposed.is_some() { rows } else { cols }
    }

    /// Rows times columns, at least 1.
    pub fn pixels_per_image(&self) -> usize {
        self.rows() * self.cols()
    }

    /// All images, where they are.
    pub fn pixels(&self) -> Pixels<'_> {
        match (&self.transposed, &self.files[..]) {
            (Some(pixels), _) => Pixels::Whole(pixels),
            (None, [file]) => Pixels::Whole(file.elements()),
            _ => Pixels::Pieces(self, self.count()),
        }
    }

    /// The pixels of the images `numbers`, each rows x cols, row-major, 0 to 255: those of one file where they are, and
    /// of several files copied.
    ///
    /// # Panics
    ///
    /// The range does not lie below [`count`](Self::count).
    pub fn bytes_of(&self, numbers: Range<usize>) -> Cow<'_, [u8]> {
        let k = self.pixels_per_image();
        match self.pixels() {
            Pixels::Whole(bytes) => Cow::Borrowed(&bytes[numbers.start * k..numbers.end * k]),
            _ => Cow::Owned(numbers.flat_map(|number| self.image(number)).copied().collect()),
        }
    }

    /// The pixels of image `i`, rows x cols, row-major.
    ///
    /// # Panics
    ///
    /// If `i` is not below [`count`](Self::count).
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.pixels_per_image();
        if let Some(pixels) = &self.transposed {
            return &pixels[i * size..][..size];
        }
        let file = self.firsts.partition_point(|&first| first <= i) - 1;
        &self.files[file].elements()[(i - self.firsts[file]) * size..][..size]
    }

    /// The SHA-256 (in hexadecimal) of the pixels of the images `numbers`.
    ///
    /// # Panics
    ///
    /// The range does not lie below [`count`](Self::count).
    pub fn sum_of(&self, numbers: Range<usize>) -> String {
        let mut hash = Sha256::new();
        numbers.for_each(|number| hash.update(self.image(number)));
        hex(&hash.finalize())
    }

    /// The file, or the first, as it was given, `.gz` included.
    pub fn path(&self) -> &Path {
        &self.files[0].path
    }

    /// The whole unpacked files as they are mapped, headers included, with their paths as they were given.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|file| (&*file.path, &*file.map))
    }

    /// Checks that nobody has written into a file since it was opened, by its length and its time of change.
    ///
    /// # Errors
    ///
    /// [`Error::Idx`] when somebody has: what was read of it may then be of either state.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(Mapped::check_unchanged)
    }
}

impl Pieces for IdxImages {
    fn image(&self, number: usize) -> &[u8] {
        self.image(number)
    }
}

/// Labels, one byte each. They are copied out of their file, so that they stay what they were checked to be.
#[derive(Debug)]
pub struct IdxLabels {
    /// At least one.
    files: Vec<Mapped>,
    values: Vec<u8>,
}

impl IdxLabels {
    /// Opens an IDX file of unsigned bytes with 1 dimension (n), or of 32-bit integers with 2 (n x fields, of which the
    /// first is the label: QMNIST).
    ///
    /// A file packed by gzip is unpacked into `cache` the first time.
    ///
    /// # Errors
    ///
    /// [`Error::Idx`] for a file that is not such a file, [`Error::Io`] for one that cannot be opened or unpacked.
    pub fn open_with(path: &Path, cache: &Path) -> Result<Self> {
        Self::open_shards(&[path.to_path_buf()], cache)
    }

    /// As [`open_with`](Self::open_with), the labels of several files, at least one, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    pub(super) fn open_shards(paths: &[PathBuf], cache: &Path) -> Result<Self> {
        let open = |path: &PathBuf| Mapped::open(path, Kind::Labels, cache);
        let files = paths.iter().map(open).collect::<Result<Vec<Mapped>>>()?;
        let values = files.iter().map(labels_in).collect::<Result<Vec<_>>>()?.concat();
        Ok(Self { files, values })
    }

    /// The same labels, none of which is below `base`, counted from it on: `base` becomes 0.
    pub(super) fn counted_from(mut self, base: u8) -> Self {
        self.values.iter_mut().for_each(|label| *label -= base);
        self
    }

    /// [`open_with`](Self::open_with) the user's cache directory.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &cache::user().directory)
    }

    /// The number of labels, n.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All labels, n bytes.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// The file, or the first, as it was given, `.gz` included.
    pub fn path(&self) -> &Path {
        &self.files[0].path
    }

    /// The whole unpacked files as they are mapped, headers included, with their paths as they were given.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|file| (&*file.path, &*file.map))
    }

    /// Checks that nobody has written into a file since it was opened, by its length and its time of change.
    ///
    /// # Errors
    ///
    /// [`Error::Idx`] when somebody has: what was read of it may then be of either state.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(Mapped::check_unchanged)
    }
}

/// The labels in a file.
fn labels_in(file: &Mapped) -> Result<Vec<u8>> {
    let Header { element_bytes, cols: fields, .. } = file.header;
    if element_bytes == 1 {
        return Ok(file.elements().to_vec());
    }
    let records = file.elements().chunks_exact(element_bytes * fields).enumerate();
    let label = |(index, record): (usize, &[u8])| {
        let label = u32::from_be_bytes([record[0], record[1], record[2], record[3]]);
        let problem = IdxProblem::LabelTooLarge { index, found: label };
        u8::try_from(label).map_err(|_| Error::Idx { path: file.path.clone(), problem })
    };
    records.map(label).collect()
}

/// Writes images (n x rows x cols bytes, row-major) as an uncompressed IDX file that appears whole or not at all.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be written.
///
/// # Panics
///
/// If `pixels` is not a whole number of images, an image has no pixels, or a size exceeds 32 bits.
pub fn write_images(path: &Path, rows: usize, cols: usize, pixels: &[u8]) -> Result<()> {
    let size = rows * cols;
    assert!(size > 0 && pixels.len().is_multiple_of(size), "{} bytes are no images of {rows} x {cols}", pixels.len());
    write(path, &[pixels.len() / size, rows, cols], pixels)
}

/// Writes labels (n bytes) as an uncompressed IDX file that appears whole or not at all.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be written.
///
/// # Panics
///
/// If the number of labels exceeds 32 bits.
pub fn write_labels(path: &Path, labels: &[u8]) -> Result<()> {
    write(path, &[labels.len()], labels)
}

fn write(path: &Path, dimensions: &[usize], elements: &[u8]) -> Result<()> {
    let mut header = vec![0, 0, UNSIGNED_BYTE, dimensions.len() as u8];
    for &size in dimensions {
        let size = u32::try_from(size).expect("an IDX dimension has 32 bits");
        header.extend(size.to_be_bytes());
    }
    write_atomically(path, |file| {
        file.write_all(&header).and_then(|()| file.write_all(elements)).map_err(Error::io(path, "write"))
    })
}
