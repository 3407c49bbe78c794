//! Labels inside images: the overlay that writes a label into the first pixels, and the labels of the negatives.
//!
//! Relies on nothing but bytes; every backend takes these few functions as the definition of what a layer-1 row holds.

use rand::Rng;
use rand::seq::SliceRandom;

/// The value of the pixel that marks the label: the largest byte of the whole original image.
pub fn label_value(image: &[u8]) -> u8 {
    image.iter().copied().max().unwrap_or(0)
}

/// Writes `image` with `label` overlaid into `row`, as floats in [0, 1].
///
/// The first `classes` pixels become zero, except pixel `label`, which takes [`label_value`]. `image` and `row` have
/// the same length k >= `classes` > `label`.
pub fn overlay(image: &[u8], label: u8, classes: usize, row: &mut [f32]) {
    assert!(image.len() == row.len() && classes <= row.len() && usize::from(label) < classes);
    for (to, &from) in row.iter_mut().zip(image) {
        *to = f32::from(from) / 255.0;
    }
    row[..classes].fill(0.0);
    row[usize::from(label)] = f32::from(label_value(image)) / 255.0;
}

/// The squared Euclidean norm of an overlaid image as floats in [0, 1], from an exact sum of squared bytes; the label does
/// not matter.
pub fn overlaid_squared_norm(image: &[u8], classes: usize) -> f64 {
    let square = |byte: u8| u64::from(byte) * u64::from(byte);
    let sum = square(label_value(image)) + image[classes..].iter().map(|&byte| square(byte)).sum::<u64>();
    sum as f64 / (255.0 * 255.0)
}

/// One random permutation of `labels`: the labels of the negatives. About one in ten equals the true label of MNIST,
/// as in the Keras example.
pub fn permuted<R: Rng + ?Sized>(labels: &[u8], rng: &mut R) -> Vec<u8> {
    let mut permuted = labels.to_vec();
    permuted.shuffle(rng);
    permuted
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    #[test]
    fn the_overlay_replaces_the_first_pixels_by_a_one_hot_label_of_the_largest_value() {
        let mut row = [9.0; 5];
        overlay(&[51, 7, 8, 102, 0], 1, 3, &mut row);
        assert_eq!(row, [0.0, 0.4, 0.0, 0.4, 0.0]);
    }

    #[test]
    fn the_largest_value_may_lie_in_the_pixels_that_are_replaced() {
        let mut row = [0.0; 3];
        overlay(&[255, 0, 51], 1, 2, &mut row);
        assert_eq!(row, [0.0, 1.0, 0.2]);
        assert!((overlaid_squared_norm(&[255, 0, 51], 2) - 1.04).abs() < 1e-12);
    }

    #[test]
    fn the_norm_is_that_of_the_overlaid_row_whatever_the_label() {
        let image = [3, 200, 0, 17, 255, 1];
        for label in 0..4 {
            let mut row = [0.0; 6];
            overlay(&image, label, 4, &mut row);
            let expected: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((overlaid_squared_norm(&image, 4) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn an_empty_image_has_norm_zero() {
        assert_eq!(overlaid_squared_norm(&[0; 12], 10), 0.0);
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
