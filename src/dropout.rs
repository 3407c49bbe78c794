//! Dropout of activations (Srivastava et al. 2014): which units a training step leaves out of each sample.
//!
//! A unit is left out of all rows of a sample or of none. The loss of a pair compares the goodness of its two rows, and
//! units left out of one of them alone would be noise in the difference.

/// What SplitMix64 steps by: 2^64 by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The units that one step of a layer leaves out, after ReLU: of each sample some others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    seed: u64,
    /// A unit stays where its number, one of 2^32, is at least this.
    least: u32,
    /// What the activations that stay are multiplied with, so that their mean stays.
    factor: f32,
}

/// The units left out of one sample.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    key: u32,
    least: u32,
    factor: f32,
}

impl Dropout {
    /// Leaves out each unit with probability `share`, at least 0 and below 1; which ones, `seed` decides.
    pub fn new(share: f64, seed: u64) -> Self {
        // The cast saturates.
        Self { seed, least: (share * 4_294_967_296.0) as u32, factor: (1.0 / (1.0 - share)) as f32 }
    }

    /// The same for a share of the batch that begins with sample `first`: that one becomes sample 0.
    pub fn from_sample(self, first: usize) -> Self {
        Self { seed: self.seed.wrapping_add((first as u64).wrapping_mul(GOLDEN)), ..self }
    }

    /// The units left out of sample `sample` of the batch.
    #[inline(always)]
    pub fn of_sample(&self, sample: usize) -> Mask {
        // One step of SplitMix64: every sample's number is as good as a seed of its own.
        let mut key = self.seed.wrapping_add((sample as u64 + 1).wrapping_mul(GOLDEN));
        key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Mask { key: (key >> 32) as u32, least: self.least, factor: self.factor }
    }

    /// What the activations that stay are multiplied with: 1 / (1 - share).
    #[inline(always)]
    pub fn factor(&self) -> f32 {
        self.factor
    }
}

impl Mask {
    /// What the activation of `unit` is multiplied with: 0 where it is left out, and otherwise 1 / (1 - share).
    #[inline(always)]
    pub fn of(self, unit: usize) -> f32 {
        // A mixer of 32 bits (C. Wellons, "hash-prospector"), in operations that vectors have.
        let mut number = (unit as u32).wrapping_mul(0x9e37_79b9) ^ self.key;
        number = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
        number = (number ^ number >> 15).wrapping_mul(0x846c_a68b);
        number ^= number >> 16;
        if number >= self.least { self.factor } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_units_is_left_out_of_each_sample_and_other_ones_of_the_next() {
        for share in [0.0, 0.1, 0.5, 0.9] {
            let dropout = Dropout::new(share, 7);
            let masks: Vec<Vec<bool>> = (0..50)
                .map(|sample| (0..2_000).map(|unit| dropout.of_sample(sample).of(unit) == 0.0).collect())
                .collect();
            for mask in &masks {
                let found = mask.iter().filter(|&&out| out).count() as f64 / mask.len() as f64;
                // Five deviations of a mean of 2,000.
                assert!((found - share).abs() <= 5.0 * (share * (1.0 - share) / 2_000.0).sqrt(), "{share}: {found}");
            }
            let both = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && **b).count() as f64 / 2_000.0;
            for pair in masks.windows(2) {
                assert!((both(&pair[0], &pair[1]) - share * share).abs() < 0.06, "samples are independent");
            }
        }
    }

    #[test]
    fn a_share_leaves_out_what_the_whole_batch_does() {
        let dropout = Dropout::new(0.5, 9);
        let units = |mask: Mask| (0..100).map(move |unit| mask.of(unit)).collect::<Vec<f32>>();
        assert_eq!(units(dropout.from_sample(70).of_sample(3)), units(dropout.of_sample(73)));
    }

    #[test]
    fn the_mean_stays() {
        let dropout = Dropout::new(0.25, 1);
        let sum: f32 = (0..100_000).map(|unit| dropout.of_sample(3).of(unit)).sum();
        assert!((sum / 100_000.0 - 1.0).abs() < 0.01);
        assert_eq!(dropout.factor(), 4.0 / 3.0);
    }
}
