//! Reading data: labels overlaid on a batch of digits, and an IDX file opened, checked and read through its memory map.

use std::hint::black_box;
use std::path::Path;

use rayon::prelude::*;

use super::digits::Digits;
use super::{
    CLASSES, FLOAT, PIXELS, PORTABLE, PreparedKernel, SAMPLES, SIDE, Size, Work, Workload, count, generator, shape,
};
use crate::data::{IdxImages, idx};
use crate::error::{Error, Result};
use crate::labels::{Label, LabelStyle};
use crate::pixels::Image;
use rand::Rng;

/// Images in the file: those of MNIST.
const IN_FILE: usize = 60_000;

/// Bytes that a thread adds up at a time.
const BLOCK: usize = 1 << 16;

pub(super) fn workloads(size: Size) -> Vec<Workload> {
    let (batch, in_file) = (size.rows(SAMPLES), size.rows(IN_FILE));
    let work = |op: &str, images, pixel_bytes| Work {
        op: op.to_owned(),
        shape: shape(&[images, PIXELS]),
        flops: 0,
        bytes: count(&[images, PIXELS]) * pixel_bytes,
    };
    let overlay = work("data/overlay", batch, 1 + FLOAT).on(PORTABLE, move || overlay(size));
    let idx = work("data/IDX", in_file, 1).try_on(PORTABLE, move || read_idx(in_file, &std::env::temp_dir()));
    vec![overlay, Workload { dtype: "u8", ..idx }]
}

/// Digits with their labels as rows of floats.
fn overlay(size: Size) -> PreparedKernel {
    let digits = Digits::of(size);
    let mut rows = vec![0.0; digits.pixels.len()];
    Box::new(move || {
        let images = digits.pixels.par_chunks_exact(PIXELS).zip(&digits.drawn);
        rows.par_chunks_exact_mut(PIXELS).zip(images).for_each(|(row, (image, &label))| {
            LabelStyle::LARGEST_PIXEL.overlay(Image::Bytes(image), Label::Class(label), CLASSES, row);
        });
        black_box(&rows);
    })
}

/// The sum of all bytes of a file of random images in a directory of its own below `place`, which the operating system
/// holds in memory.
fn read_idx(images: usize, place: &Path) -> Result<PreparedKernel> {
    let mut pixels = vec![0; images * PIXELS];
    generator().fill_bytes(&mut pixels);
    let directory = tempfile::tempdir_in(place).map_err(Error::io(place, "create a directory in it"))?;
    let path = directory.path().join("images");
    idx::write_images(&path, SIDE, SIDE, &pixels)?;
    Ok(Box::new(move || _ = black_box(sum(&path, directory.path()))))
}

fn sum(path: &Path, cache: &Path) -> u64 {
    let images = IdxImages::open_with(path, cache).expect("the file just written");
    let sum = |block: &[u8]| block.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    images.bytes_of(0..images.count()).par_chunks(BLOCK).map(sum).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap().path().join("missing");
        let error = read_idx(1, &place).err().expect("nothing can be written there").to_string();
        assert!(error.starts_with(&format!("{}: cannot create a directory", place.display())), "{error}");
    }
}
