//! Prediction: every label is tried on every image, and the label of the largest goodness summed over layers wins.

use crate::network::Network;
use crate::step::{Activations, Backend, Images, Input};

/// Images that go through all layers together: with ten labels and 500 units their activations take 20 MB.
const BLOCK_IMAGES: usize = 1000;

/// The goodness, summed over layers, of each label on each image: n x classes, row-major.
///
/// `pixels` holds n images of the network's size.
///
/// # Panics
///
/// When `pixels` is not a whole number of images.
pub fn goodness(network: &Network, backend: &dyn Backend, pixels: &[u8]) -> Vec<f32> {
    let k = network.pixels();
    assert!(pixels.len().is_multiple_of(k), "whole images of {k} bytes");
    pixels.chunks(BLOCK_IMAGES * k).flat_map(|block| block_goodness(network, backend, block)).collect()
}

fn block_goodness(network: &Network, backend: &dyn Backend, pixels: &[u8]) -> Vec<f32> {
    let (k, classes) = (network.pixels(), network.classes);
    let count = pixels.len() / k;
    let samples: Vec<u32> = (0..count as u32).collect();
    let labels: Vec<Vec<u8>> = (0..classes).map(|label| vec![label as u8; count]).collect();
    let mut input = Input::Images(Images { pixels, k, samples: &samples, classes, labels: &labels });
    let rows = count * classes;
    let mut total = vec![0.0; rows];
    let mut goodness = vec![0.0; rows];
    for parameters in &network.layers {
        let mut outputs = vec![0.0; rows * parameters.u];
        backend.prepare(input, parameters.u).forward(parameters, Some(&mut outputs), Some(&mut goodness));
        total.iter_mut().zip(&goodness).for_each(|(total, goodness)| *total += goodness);
        input = Input::Activations(Activations { rows: outputs, k: parameters.u, variants: classes });
    }
    total
}

/// The predicted label of each image: that of the largest goodness, the lowest such label on a tie.
///
/// # Panics
///
/// As [`goodness`].
pub fn predict(network: &Network, backend: &dyn Backend, pixels: &[u8]) -> Vec<u8> {
    goodness(network, backend, pixels).chunks_exact(network.classes).map(best_label).collect()
}

/// The index of the first largest value.
fn best_label(goodness: &[f32]) -> u8 {
    let mut best = 0;
    for (label, &value) in goodness.iter().enumerate() {
        if value > goodness[best] {
            best = label;
        }
    }
    best as u8
}

#[cfg(test)]
mod tests {
    use super::best_label;

    #[test]
    fn the_largest_goodness_wins_and_the_lowest_label_a_tie() {
        assert_eq!(best_label(&[0.5, 2.0, 1.0]), 1);
        assert_eq!(best_label(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(best_label(&[0.0, 0.0]), 0);
    }
}
