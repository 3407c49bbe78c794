//! k-d order: an order of items in which neighbours are alike.
//!
//! The samples of a batch may stand in any order, and so may the inputs of a layer. A panel of rows visits every pixel
//! that is not zero in any of its rows, and a row visits every cache line in which one of its inputs is not zero: the
//! more alike the neighbours are, the fewer these are. The order is that of the leaves of a k-d tree (Bentley 1975): a
//! set is halved at the median of the feature that varies most in it, and the halves are halved in turn.

/// The side of the blocks of pixels whose sums are the features of an image: an MNIST image has seven of them to a
/// side, and each is one and a half times as wide as a stroke.
const BLOCK: usize = 4;

/// Images of one leaf of the tree: those of one row panel, which visit the same pixels.
const LEAF: usize = 4;

/// The numbers 0..n of `images`, of rows * cols bytes each, with those that are alike side by side. The order depends
/// on the pixels alone.
fn order_of<T: AsRef<[u8]>>(images: impl ExactSizeIterator<Item = T>, rows: usize, cols: usize) -> Vec<u32> {
    let (across, count) = (cols.div_ceil(BLOCK), cols.div_ceil(BLOCK) * rows.div_ceil(BLOCK));
    let mut sums = vec![0; images.len() * count];
    for (image, sums) in images.zip(sums.chunks_exact_mut(count)) {
        for (y, row) in image.as_ref().chunks_exact(cols).enumerate() {
            let sums = &mut sums[y / BLOCK * across..][..across];
            for (sum, block) in sums.iter_mut().zip(row.chunks(BLOCK)) {
                *sum += block.iter().map(|&byte| u32::from(byte)).sum::<u32>();
            }
        }
    }
    order(&sums, count, LEAF)
}

/// Each image's place in an order in which images that are alike stand side by side.
pub fn places<T: AsRef<[u8]>>(images: impl ExactSizeIterator<Item = T>, rows: usize, cols: usize) -> Vec<u32> {
    let mut places = vec![0; images.len()];
    order_of(images, rows, cols).iter().zip(0..).for_each(|(&image, place)| places[image as usize] = place);
    places
}

/// The numbers 0..n of items with `count` features each (`features`, n x count), with items that are alike side by
/// side: the first `leaf` of them are one leaf of the tree, the next `leaf` are another, and so on.
pub fn order(features: &[u32], count: usize, leaf: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..(features.len() / count) as u32).collect();
    Features { values: features, count, leaf }.halve(&mut order);
    order
}

/// The features of n items, `count` of each.
struct Features<'a> {
    values: &'a [u32],
    count: usize,
    /// Sets of this size are not halved further.
    leaf: usize,
}

impl Features<'_> {
    fn of(&self, item: u32) -> &[u32] {
        &self.values[item as usize * self.count..][..self.count]
    }

    /// Orders `items` so that each half, each quarter and so on holds items that are alike.
    fn halve(&self, items: &mut [u32]) {
        if items.len() <= self.leaf {
            items.sort_unstable();
            return;
        }
        let feature = self.most_varied(items);
        let middle = (items.len() / 2).next_multiple_of(self.leaf).min(items.len() - 1);
        // The number breaks ties, so that the halves do not depend on how the selection works.
        items.select_nth_unstable_by_key(middle, |&item| (self.of(item)[feature], item));
        let (low, high) = items.split_at_mut(middle);
        rayon::join(|| self.halve(low), || self.halve(high));
    }

    /// The feature of the largest variance over `items`, and the first of these where there are several.
    fn most_varied(&self, items: &[u32]) -> usize {
        let mut moments = vec![(0_u64, 0_u64); self.count];
        for &item in items {
            for ((sum, squares), &value) in moments.iter_mut().zip(self.of(item)) {
                *sum += u64::from(value);
                *squares += u64::from(value) * u64::from(value);
            }
        }
        let n = items.len() as f64;
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
        let found = order_of(pixels.chunks_exact(rows * cols), rows, cols);
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
                let mut found = order_of(vec![7; n * rows * cols].chunks_exact(rows * cols), rows, cols);
                found.sort_unstable();
                assert_eq!(found, (0..n as u32).collect::<Vec<u32>>());
            }
        }
    }
}
