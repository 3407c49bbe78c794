//! Images changed anew each time that they are trained on: shifted by some pixels, and some of their pixels left out.
//!
//! An image is changed before labels are written over it, so that its positive, negative and neutral row show the same.

use rand::Rng;

use crate::pixels::{Image, Pixels};

/// How the images of a batch are changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// The most pixels that an image is shifted by, up or down and left or right; what comes in is zero (section 3.3 of
    /// Hinton 2022).
    pub shift: usize,
    /// The share of pixels that become zero, in steps of 1/256. The others stay as they are, because rows are
    /// normalised.
    pub dropout: f64,
}

impl Augmentation {
    /// Whether it changes anything.
    pub fn is_any(&self) -> bool {
        self.shift > 0 || self.dropout > 0.0
    }

    /// Writes `image`, `rows` x `cols` bytes, changed, over `to`.
    ///
    /// # Panics
    ///
    /// `image` or `to` has not `rows * cols` bytes.
    pub fn apply<R: Rng + ?Sized>(&self, image: &[u8], (rows, cols): (usize, usize), rng: &mut R, to: &mut [u8]) {
        assert!(image.len() == rows * cols && to.len() == image.len(), "an image of {rows} x {cols}");
        match self.shift {
            0 => to.copy_from_slice(image),
            most => {
                let mut by = || (rng.next_u32() as usize % (2 * most + 1)) as isize - most as isize;
                shift(image, (rows, cols), (by(), by()), to);
            }
        }
        if self.dropout > 0.0 {
            let left_out = (self.dropout * 256.0).round() as u16;
            for pixels in to.chunks_mut(size_of::<u64>()) {
                let drawn = rng.next_u64().to_le_bytes();
                pixels
                    .iter_mut()
                    .zip(drawn)
                    .for_each(|(pixel, drawn)| *pixel *= u8::from(u16::from(drawn) >= left_out));
            }
        }
    }
}

/// Changes the images of one batch after another, in memory of its own.
pub struct Augmenter {
    augmentation: Augmentation,
    /// The images of a batch as they were changed, n x k.
    changed: Vec<u8>,
    /// Their numbers, 0 to n.
    numbers: Vec<u32>,
}

impl Augmenter {
    /// What changes images as `augmentation` says.
    pub fn new(augmentation: Augmentation) -> Self {
        Self { augmentation, changed: Vec::new(), numbers: Vec::new() }
    }

    /// The images `samples` of `pixels`, changed, and their numbers among what is returned; these samples of these
    /// pixels, where nothing is to be changed. `size` is the rows and columns of an image.
    ///
    /// # Panics
    ///
    /// There is something to change, and no image of one of the numbers `samples`; or these are samples of floats.
    pub fn change<'a, R: Rng + ?Sized>(
        &'a mut self,
        (pixels, size): (Pixels<'a>, (usize, usize)),
        samples: &'a [u32],
        rng: &mut R,
    ) -> (Pixels<'a>, &'a [u32]) {
        let Self { augmentation, changed, numbers } = self;
        if !augmentation.is_any() {
            return (pixels, samples);
        }
        let k = size.0 * size.1;
        changed.resize(samples.len() * k, 0);
        numbers.clear();
        for ((number, &sample), to) in (0..).zip(samples).zip(changed.chunks_exact_mut(k)) {
            let Image::Bytes(image) = pixels.image(sample as usize, k) else { panic!("images of bytes to change") };
            augmentation.apply(image, size, rng, to);
            numbers.push(number);
        }
        (Pixels::Whole(changed), numbers)
    }
}

/// Writes `image` over `to`, moved down by the first number and to the right by the second.
fn shift(image: &[u8], (rows, cols): (usize, usize), (down, right): (isize, isize), to: &mut [u8]) {
    to.fill(0);
    let kept = cols.saturating_sub(right.unsigned_abs());
    let (from_column, to_column) = ((-right).max(0) as usize, right.max(0) as usize);
    for (row, to) in to.chunks_exact_mut(cols).enumerate() {
        let Some(from) = row.checked_add_signed(-down).filter(|&from| from < rows) else { continue };
        if kept > 0 {
            to[to_column..][..kept].copy_from_slice(&image[from * cols + from_column..][..kept]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    #[test]
    fn a_shifted_image_is_the_image_elsewhere_with_zeros_around() {
        let (rows, cols) = (3, 4);
        let image: Vec<u8> = (1..=12).collect();
        for down in -4..=4_isize {
            for right in -5..=5_isize {
                let mut to = vec![99; 12];
                shift(&image, (rows, cols), (down, right), &mut to);
                for (at, &found) in to.iter().enumerate() {
                    let (row, col) = ((at / cols) as isize - down, (at % cols) as isize - right);
                    let inside = (0..rows as isize).contains(&row) && (0..cols as isize).contains(&col);
                    let expected = if inside { image[row as usize * cols + col as usize] } else { 0 };
                    assert_eq!(found, expected, "{down} {right} {at}");
                }
            }
        }
    }

    #[test]
    fn a_batch_is_what_it_was_or_its_images_changed() {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let pixels = [1, 2, 3, 4, 5, 6];
        let samples = [2, 0];
        let mut none = Augmenter::new(Augmentation { shift: 0, dropout: 0.0 });
        let same = none.change(((&pixels).into(), (1, 2)), &samples, rng);
        assert!(matches!(same, (Pixels::Whole(bytes), numbers) if bytes == &pixels[..] && numbers == samples));
        // A dropout too small to leave anything out.
        let mut copied = Augmenter::new(Augmentation { shift: 0, dropout: 1e-9 });
        let changed = copied.change(((&pixels).into(), (1, 2)), &samples, rng);
        assert!(matches!(changed, (Pixels::Whole([5, 6, 1, 2]), [0, 1])));
    }

    #[test]
    fn every_shift_is_as_likely_and_none_is_larger() {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let mut image = vec![0; 49];
        image[24] = 1;
        let mut counts = [0; 49];
        for _ in 0..25_000 {
            let mut to = vec![0; 49];
            Augmentation { shift: 2, dropout: 0.0 }.apply(&image, (7, 7), rng, &mut to);
            counts[to.iter().position(|&pixel| pixel == 1).unwrap()] += 1;
        }
        for (at, &count) in counts.iter().enumerate() {
            let near = (1..6).contains(&(at / 7)) && (1..6).contains(&(at % 7));
            // Standard deviation: 31.
            assert!(if near { (count - 1_000_i32).abs() < 150 } else { count == 0 }, "{at}: {count}");
        }
    }

    #[test]
    fn a_share_of_the_pixels_is_left_out_and_the_rest_stays() {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let image = vec![7; 100_003];
        let mut to = vec![0; image.len()];
        Augmentation { shift: 0, dropout: 0.25 }.apply(&image, (1, image.len()), rng, &mut to);
        assert!(to.iter().all(|&pixel| pixel == 0 || pixel == 7));
        let share = to.iter().filter(|&&pixel| pixel == 0).count() as f64 / to.len() as f64;
        assert!((share - 0.25).abs() < 0.006, "{share}");
        Augmentation { shift: 0, dropout: 1.0 }.apply(&image, (1, image.len()), rng, &mut to);
        assert!(to.iter().all(|&pixel| pixel == 0));
    }
}
