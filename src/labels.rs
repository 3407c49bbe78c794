//! Labels inside images: how a label is written over the first pixels, and which labels the negatives get (section 3.3
//! of Hinton 2022).
//!
//! Relies on nothing but pixels and random numbers; every backend takes these few functions as the definition of what a
//! layer-1 row holds.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::pixels::Image;

/// Which label an image carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// One of the classes.
    Class(u8),
    /// No class: what the read-out of a network is fed with (section 3.3 of Hinton 2022).
    Neutral,
}

/// How labels are written over the first pixels, one for each class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelStyle {
    /// What the pixel of the label's class becomes; the other classes' pixels become 0.
    pub value: LabelValue,
    /// What every class's pixel becomes where the label is neutral, as a share of [`LabelStyle::value`].
    pub neutral: f32,
}

/// The value of the pixel that marks the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelValue {
    /// The largest pixel of the whole original image: the Keras example.
    LargestPixel,
    /// 1, the brightest a pixel can be: Hinton's published code.
    One,
}

impl LabelStyle {
    /// The Keras example, and a tenth of its value for the neutral label.
    pub const LARGEST_PIXEL: Self = Self { value: LabelValue::LargestPixel, neutral: 0.1 };

    /// Hinton's published code: 1 for a label, 0.1 in all pixels for the neutral one.
    pub const ONE: Self = Self { value: LabelValue::One, neutral: 0.1 };

    /// The value of the label's input, in the numbers of [`Image::write`]; 0 where the largest pixel of an image
    /// without pixels is asked for.
    pub(crate) fn label_input(&self, image: Image<'_>) -> f32 {
        match self.value {
            LabelValue::LargestPixel => image.largest(),
            LabelValue::One => image.one(),
        }
    }

    /// The value of every class's input under the neutral label, in the same numbers.
    pub(crate) fn neutral_input(&self, image: Image<'_>) -> f32 {
        self.neutral * self.label_input(image)
    }

    /// Writes `image` with `label` overlaid into `row`, as floats in which 255 of a byte, or the unit of floats, is 1.
    ///
    /// The first `classes` inputs become zero, except the label's; or all of them the neutral value. They take the
    /// place of as many bytes of an image, or stand before the floats of a sample. `row` has k >= `classes` elements,
    /// and `classes` is above the label.
    ///
    /// # Panics
    ///
    /// `row` has not the length of the image, or that of the floats and `classes` more; it is shorter than `classes`,
    /// or the label is not below `classes`.
    ///
    /// # Examples
    ///
    /// ```
    /// use ffwd::labels::{Label, LabelStyle};
    /// use ffwd::pixels::Image;
    ///
    /// // The second of three classes: the largest pixel is 102, which is 0.4 of 255.
    /// let mut row = [0.0; 5];
    /// LabelStyle::LARGEST_PIXEL.overlay(Image::Bytes(&[51, 7, 8, 102, 0]), Label::Class(1), 3, &mut row);
    /// assert_eq!(row, [0.0, 0.4, 0.0, 0.4, 0.0]);
    ///
    /// // Floats keep all of theirs.
    /// LabelStyle::ONE.overlay(Image::Floats(&[-3.0, 1.5], 3.0), Label::Class(1), 3, &mut row);
    /// assert_eq!(row, [0.0, 1.0, 0.0, -1.0, 0.5]);
    /// ```
    pub fn overlay(&self, image: Image<'_>, label: Label, classes: usize, row: &mut [f32]) {
        let (of_label, behind) = row.split_at_mut(classes);
        image.write(classes, behind);
        match label {
            Label::Class(label) => {
                assert!(usize::from(label) < classes);
                of_label.fill(0.0);
                of_label[usize::from(label)] = self.label_input(image);
            }
            Label::Neutral => of_label.fill(self.neutral_input(image)),
        }
        let one = image.one();
        row.iter_mut().for_each(|x| *x /= one);
    }

    /// The squared Euclidean norm of what [`overlay`](Self::overlay) writes, whatever the class of its label; for bytes
    /// from an exact sum of squares where there is no neutral label.
    ///
    /// # Panics
    ///
    /// `image` has fewer pixels than `classes`.
    #[inline(always)]
    pub fn squared_norm(&self, image: Image<'_>, is_neutral: bool, classes: usize) -> f64 {
        let of_label = if is_neutral {
            classes as f64 * f64::from(self.neutral_input(image)).powi(2)
        } else {
            f64::from(self.label_input(image)).powi(2)
        };
        (of_label + image.squared_norm(classes)) / f64::from(image.one()).powi(2)
    }
}

/// One random permutation of `labels`: the labels of the negatives. About one in ten equals the true label of MNIST,
/// as in the Keras example.
pub fn permuted<R: Rng + ?Sized>(labels: &[u8], rng: &mut R) -> Vec<u8> {
    let mut permuted = labels.to_vec();
    permuted.shuffle(rng);
    permuted
}

/// A label for each negative that is not its true one of `labels`, all others being equally likely; with one class the
/// true one.
pub fn wrong<R: Rng + ?Sized>(labels: &[u8], classes: usize, rng: &mut R) -> Vec<u8> {
    let mut draw = |&label: &u8| match classes {
        1 => label,
        _ => {
            let other = rng.random_range(0..classes - 1) as u8;
            other + u8::from(other >= label)
        }
    };
    labels.iter().map(&mut draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    const KERAS: LabelStyle = LabelStyle::LARGEST_PIXEL;

    #[test]
    fn the_overlay_replaces_the_first_pixels_by_a_one_hot_label_of_the_largest_value() {
        let mut row = [9.0; 5];
        KERAS.overlay(Image::Bytes(&[51, 7, 8, 102, 0]), Label::Class(1), 3, &mut row);
        assert_eq!(row, [0.0, 0.4, 0.0, 0.4, 0.0]);
    }

    #[test]
    fn the_largest_value_may_lie_in_the_pixels_that_are_replaced() {
        let mut row = [0.0; 3];
        KERAS.overlay(Image::Bytes(&[255, 0, 51]), Label::Class(1), 2, &mut row);
        assert_eq!(row, [0.0, 1.0, 0.2]);
        assert!((KERAS.squared_norm(Image::Bytes(&[255, 0, 51]), false, 2) - 1.04).abs() < 1e-12);
    }

    #[test]
    fn a_neutral_label_is_in_every_pixel() {
        let mut row = [9.0; 4];
        LabelStyle::ONE.overlay(Image::Bytes(&[7, 8, 51, 0]), Label::Neutral, 2, &mut row);
        assert_eq!(row, [0.1, 0.1, 0.2, 0.0]);
        LabelStyle::ONE.overlay(Image::Bytes(&[7, 8, 51, 0]), Label::Class(0), 2, &mut row);
        assert_eq!(row, [1.0, 0.0, 0.2, 0.0]);
    }

    #[test]
    fn the_norm_is_that_of_the_overlaid_row_whatever_the_label() {
        let image = [3, 200, 0, 17, 255, 1];
        for style in [KERAS, LabelStyle::ONE] {
            for label in (0..4).map(Label::Class).chain([Label::Neutral]) {
                let mut row = [0.0; 6];
                style.overlay(Image::Bytes(&image), label, 4, &mut row);
                let expected: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                assert!((style.squared_norm(Image::Bytes(&image), label == Label::Neutral, 4) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn wrong_labels_are_all_the_others_alike() {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let drawn = wrong(&[2; 30_000], 4, rng);
        let count = |label: u8| drawn.iter().filter(|&&drawn| drawn == label).count();
        // Standard error: 82.
        assert!(count(2) == 0 && [0, 1, 3].map(count).iter().all(|count| count.abs_diff(10_000) < 330));
        assert_eq!(wrong(&[0, 0], 1, rng), [0, 0]);
    }

    #[test]
    fn an_empty_image_has_norm_zero() {
        assert_eq!(KERAS.squared_norm(Image::Bytes(&[0; 12]), false, 10), 0.0);
    }

    #[test]
    fn negatives_are_a_permutation_that_depends_on_the_seed_only() {
        let labels: Vec<u8> = (0..200).map(|i| i % 10).collect();
        let draw = |seed| permuted(&labels, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        let (first, again, other) = (draw(1), draw(1), draw(2));
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_ne!(first, labels);
        let mut sorted = (first, labels);
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        assert_eq!(sorted.0, sorted.1);
    }
}
