//! Generators of random numbers, each derived from what it is for. No generator is carried from one batch to the next,
//! so that a run can go on from any epoch.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

/// What random numbers are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The labels of the negatives of a batch.
    Negatives,
    /// The order of the samples of an epoch.
    Order,
    /// How the images of a batch are changed.
    Augmentation,
    /// Which activations of a batch are left out.
    Dropout,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Negatives => "negatives",
            Self::Order => "order",
            Self::Augmentation => "augmentation",
            Self::Dropout => "dropout",
        }
    }
}

/// The generator for one purpose in one batch of one outer epoch, both counted from 0, of the run that `seed` decides.
pub fn generator(purpose: Purpose, seed: u64, epoch: usize, batch: usize) -> Xoshiro256PlusPlus {
    let numbers = [seed, epoch as u64, batch as u64].map(u64::to_le_bytes);
    let digest = Sha256::new().chain_update(numbers.as_flattened()).chain_update(purpose.name()).finalize();
    Xoshiro256PlusPlus::from_seed(digest.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn each_batch_of_each_epoch_of_each_seed_has_numbers_of_its_own() {
        let first = |seed, epoch, batch| generator(Purpose::Negatives, seed, epoch, batch).next_u64();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        let others = [first(1, 2, 3), first(2, 2, 3), first(1, 3, 3), first(1, 2, 4), first(2, 1, 3), first(3, 2, 1)];
        for (i, a) in others.iter().enumerate() {
            assert!(others[i + 1..].iter().all(|b| a != b));
        }
    }
}
