//! An order of images in which neighbours look alike.
//!
//! The order of a batch is free, and a panel of rows visits every pixel that any of its rows has inked: the more alike the
//! rows, the fewer. The order is that of a k-d tree's leaves (Bentley 1975) over coarse images: a set is halved at the
//! median of the coarse pixel that varies most in it, and the halves are halved in turn.

/// Side of the blocks whose sums are the coarse pixels: seven to a side of MNIST, a stroke's width and a half each.
const BLOCK: usize = 4;

/// Sets of this size are not halved further: a panel's worth of rows.
const LEAF: usize = crate::simd::MR;

/// The numbers 0..n of the images in `pixels` (n x (rows * cols) bytes), those alike side by side. Depends on the pixels
/// alone.
pub fn order(pixels: &[u8], rows: usize, cols: usize) -> Vec<u32> {
    let coarse = CoarseImages::new(pixels, rows, cols);
    let mut order: Vec<u32> = (0..(pixels.len() / (rows * cols)) as u32).collect();
    coarse.halve(&mut order);
    order
}

/// n coarse images of `features` sums each.
struct CoarseImages {
    sums: Vec<u32>,
    features: usize,
}

impl CoarseImages {
    fn new(pixels: &[u8], rows: usize, cols: usize) -> Self {
        let (across, features) = (cols.div_ceil(BLOCK), cols.div_ceil(BLOCK) * rows.div_ceil(BLOCK));
        let mut sums = vec![0; pixels.len() / (rows * cols) * features];
        for (image, sums) in pixels.chunks_exact(rows * cols).zip(sums.chunks_exact_mut(features)) {
            for (y, row) in image.chunks_exact(cols).enumerate() {
                let sums = &mut sums[y / BLOCK * across..][..across];
                for (sum, block) in sums.iter_mut().zip(row.chunks(BLOCK)) {
                    *sum += block.iter().map(|&byte| u32::from(byte)).sum::<u32>();
                }
            }
        }
        Self { sums, features }
    }

    fn of(&self, image: u32) -> &[u32] {
        &self.sums[image as usize * self.features..][..self.features]
    }

    /// Orders `images` so that each half, quarter and so on holds those alike.
    fn halve(&self, images: &mut [u32]) {
        if images.len() <= LEAF {
            images.sort_unstable();
            return;
        }
        let feature = self.most_varied(images);
        let middle = (images.len() / 2).next_multiple_of(LEAF).min(images.len() - 1);
        // The number breaks ties, so that the halves do not depend on how the selection works.
        images.select_nth_unstable_by_key(middle, |&image| (self.of(image)[feature], image));
        let (low, high) = images.split_at_mut(middle);
        rayon::join(|| self.halve(low), || self.halve(high));
    }

    /// The coarse pixel of the largest variance over `images`; the first such, should there be several.
    fn most_varied(&self, images: &[u32]) -> usize {
        let mut moments = vec![(0_u64, 0_u64); self.features];
        for &image in images {
            for ((sum, squares), &value) in moments.iter_mut().zip(self.of(image)) {
                *sum += u64::from(value);
                *squares += u64::from(value) * u64::from(value);
            }
        }
        let n = images.len() as f64;
        let variance = |(sum, squares): (u64, u64)| squares as f64 / n - (sum as f64 / n).powi(2);
        let later_if_equal = |(a, x): &(usize, f64), (b, y): &(usize, f64)| x.total_cmp(y).then(b.cmp(a));
        let variances = moments.into_iter().map(variance).enumerate();
        variances.max_by(later_if_equal).map_or(0, |(feature, _)| feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_two_kinds_are_separated_and_none_is_lost() {
        let (rows, cols) = (6, 9);
        let mut pixels = vec![0_u8; 32 * rows * cols];
        for (number, image) in pixels.chunks_exact_mut(rows * cols).enumerate() {
            let kind = if number % 3 == 0 { 0..9 } else { 45..54 };
            image[kind].fill(200 + number as u8);
        }
        let found = order(&pixels, rows, cols);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..32).collect::<Vec<u32>>());
        let mixed =
            |panel: &[u32]| panel.iter().any(|number| number % 3 == 0) && panel.iter().any(|number| number % 3 != 0);
        assert!(found.chunks(LEAF).filter(|panel| mixed(panel)).count() <= 1, "{found:?}");
    }

    #[test]
    fn any_number_of_images_of_any_size_has_an_order() {
        for n in 0..14 {
            for (rows, cols) in [(1, 1), (1, 5), (7, 3)] {
                let mut found = order(&vec![7; n * rows * cols], rows, cols);
                found.sort_unstable();
                assert_eq!(found, (0..n as u32).collect::<Vec<u32>>());
            }
        }
    }
}
