//! The median of some samples and the interval that holds the true one with 95% confidence, from order statistics.
//!
//! Nothing is assumed about how times are distributed: each sample is above the true median as often as below it, so
//! the number of samples below follows the binomial distribution of a fair coin.

/// A median and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The low end.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The high end.
    pub high: f64,
}

impl Interval {
    /// The interval of one sample or more; of fewer than six, which allow no such confidence, it runs from the smallest
    /// to the largest.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (last, rank) = (sorted.len() - 1, rank(sorted.len()));
        Self { low: sorted[rank], median: crate::bench::report::median(&sorted), high: sorted[last - rank] }
    }
}

/// How many of `count` sorted samples lie outside of the interval at either end: the most for which the true median is
/// among these with a probability of at most 2.5% each.
fn rank(count: usize) -> usize {
    const TAIL: f64 = 0.025;
    let samples = count as f64;
    // P(exactly i of the samples below) as a logarithm, which does not underflow: i = 0, then its successors.
    let mut logarithm = -samples * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for below in 0..count / 2 {
        tail += logarithm.exp();
        if tail > TAIL {
            return usize::saturating_sub(below, 1);
        }
        let i = below as f64;
        logarithm += ((samples - i) / (i + 1.0)).ln();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The low rank, counted from 1, in tables of the sign test at 95%, two-sided.
    #[test]
    fn ranks_are_those_of_the_tables() {
        for (count, rank_in_table) in [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (50, 18), (100, 40)]
        {
            assert_eq!(rank(count) + 1, rank_in_table, "{count} samples");
        }
    }

    #[test]
    fn few_samples_reach_from_the_smallest_to_the_largest() {
        for count in 1..=5 {
            assert_eq!(rank(count), 0);
        }
        assert_eq!(Interval::of(&[3.0]), Interval { low: 3.0, median: 3.0, high: 3.0 });
        assert_eq!(Interval::of(&[3.0, 1.0]), Interval { low: 1.0, median: 2.0, high: 3.0 });
    }

    #[test]
    fn the_interval_of_many_samples_is_narrow() {
        let samples: Vec<f64> = (0..100_001).rev().map(f64::from).collect();
        let Interval { low, median, high } = Interval::of(&samples);
        assert_eq!(median, 50_000.0);
        // 1.96 standard deviations of the rank, which are half the root of the count.
        assert!((low - (median - 310.0)).abs() < 3.0 && (high - (median + 310.0)).abs() < 3.0, "{low} {high}");
    }
}
