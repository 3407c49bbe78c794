//! The order in which the sums of a batch's parts are added: a binary tree that the number of parts decides.
//!
//! ```text
//!               0..6
//!         0..4        4..6       the left half is the largest power of two below the number of parts
//!       0..2  2..4    4   5
//!       0  1  2  3
//! ```
//!
//! A sum of floats depends on its order, so every thread and every rank adds in this one. A node all of whose parts are
//! one rank's is one sum there, and only that crosses the network.

use std::ops::Range;

use rayon::prelude::*;

/// Floats that a thread adds up at a time: 16 KiB of each term stream past, four pages, so that prefetchers get going,
/// and one block for each level of the tree stays in L2.
const BLOCK: usize = 4096;

/// The halves of a node of the tree, which is two parts or more.
///
/// # Panics
///
/// The node is a single part.
pub fn halves(node: Range<usize>) -> [Range<usize>; 2] {
    let middle = node.start + (1 << (node.len() - 1).ilog2());
    [node.start..middle, middle..node.end]
}

/// The fewest nodes of the tree over `count` parts that together are the parts `range`, in their order.
pub fn nodes(count: usize, range: &Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    add_nodes(0..count, range, &mut found);
    found
}

/// Adds the nodes from `node` down that together are the parts of it that are in `range`.
fn add_nodes(node: Range<usize>, range: &Range<usize>, found: &mut Vec<Range<usize>>) {
    if range.start <= node.start && node.end <= range.end {
        found.extend((!node.is_empty()).then_some(node));
    } else if range.start < node.end && node.start < range.end {
        halves(node).into_iter().for_each(|half| add_nodes(half, range, found));
    }
}

/// Writes the sum of the terms of `node`, one for each part or none, over `sum`; zeros where there is no term at all.
///
/// Negative zeros become zeros, so that a term left out and a term of zeros are the same.
///
/// # Panics
///
/// A term is shorter than `sum`.
pub fn sum<'a>(node: Range<usize>, term: impl Fn(usize) -> Option<&'a [f32]> + Sync, sum: &mut [f32]) {
    sum.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sum)| {
        let length = sum.len();
        let term = |part| term(part).map(|floats| &floats[block * BLOCK..][..length]);
        if !sum_block(node.clone(), &term, sum) {
            sum.fill(0.0);
        }
    });
}

/// [`sum`] of at most [`BLOCK`] floats; where there is no term, `sum` stays as it is.
fn sum_block<'a>(node: Range<usize>, term: &impl Fn(usize) -> Option<&'a [f32]>, sum: &mut [f32]) -> bool {
    match node.len() {
        0 => false,
        1 => term(node.start).map(|term| set(sum, term)).is_some(),
        _ => {
            let [left, right] = halves(node);
            if !sum_block(left, term, sum) {
                return sum_block(right, term, sum);
            }
            if right.len() == 1 {
                term(right.start).into_iter().for_each(|term| add(sum, term));
            } else {
                let mut of_right = [0.0; BLOCK];
                let of_right = &mut of_right[..sum.len()];
                if sum_block(right, term, of_right) {
                    add(sum, of_right);
                }
            }
            true
        }
    }
}

/// Writes the sum of the nodes of the tree over `count` parts, with their floats, over `sum`; nodes that are left out
/// count as zeros. The nodes are disjoint and stand in the order of their parts. It is done by the calling thread.
pub fn sum_of_nodes(count: usize, nodes: &[(Range<usize>, &[f32])], sum: &mut [f32]) {
    let whole = 0..count;
    match nodes {
        [] => sum.fill(0.0),
        [(_, floats)] => set(sum, floats),
        _ => sum.chunks_mut(BLOCK).enumerate().for_each(|(block, sum)| {
            sum_block_of_nodes(whole.clone(), nodes, block * BLOCK, sum);
        }),
    }
}

fn sum_block_of_nodes(node: Range<usize>, nodes: &[(Range<usize>, &[f32])], from: usize, sum: &mut [f32]) {
    if let [(_, floats)] = nodes {
        return set(sum, &floats[from..][..sum.len()]);
    }
    let [left, right] = halves(node);
    let (of_left, of_right) = nodes.split_at(nodes.partition_point(|(node, _)| node.start < right.start));
    if of_left.is_empty() || of_right.is_empty() {
        let half = if of_left.is_empty() { right } else { left };
        return sum_block_of_nodes(half, nodes, from, sum);
    }
    sum_block_of_nodes(left, of_left, from, sum);
    let mut added = [0.0; BLOCK];
    let added = &mut added[..sum.len()];
    sum_block_of_nodes(right, of_right, from, added);
    add(sum, added);
}

/// Copies `term`, the negative zero as zero.
fn set(sum: &mut [f32], term: &[f32]) {
    sum.iter_mut().zip(term).for_each(|(sum, term)| *sum = term + 0.0);
}

fn add(sum: &mut [f32], term: &[f32]) {
    sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose sum depends on the order, some of them missing.
    fn terms(count: usize, length: usize) -> Vec<Option<Vec<f32>>> {
        let float = |part: usize, i: usize| ((part * 7_919 + i * 104_729) % 10_007) as f32 / 3.0 - 1_500.0;
        let term = |part| (part % 5 != 3).then(|| (0..length).map(|i| float(part, i)).collect());
        (0..count).map(term).collect()
    }

    #[test]
    fn the_left_half_is_a_power_of_two() {
        assert_eq!(halves(0..6), [0..4, 4..6]);
        assert_eq!(halves(4..6), [4..5, 5..6]);
        assert_eq!(halves(8..16), [8..12, 12..16]);
    }

    #[test]
    fn any_range_is_nodes_in_their_order() {
        assert_eq!(nodes(32, &(0..32)), vec![0..32; 1]);
        assert_eq!(nodes(32, &(10..21)), [10..12, 12..16, 16..20, 20..21]);
        assert_eq!(nodes(6, &(4..6)), vec![4..6; 1]);
        assert_eq!(nodes(6, &(6..6)), []);
        assert_eq!(nodes(0, &(0..0)), []);
        for count in 1..40 {
            for start in 0..=count {
                for end in start..=count {
                    let found = nodes(count, &(start..end));
                    let parts: Vec<usize> = found.into_iter().flatten().collect();
                    assert_eq!(parts, (start..end).collect::<Vec<usize>>());
                }
            }
        }
    }

    #[test]
    fn the_sum_of_nodes_is_the_sum_of_their_parts_bit_for_bit() {
        let length = 2 * BLOCK + 77;
        for count in [1, 2, 3, 7, 16, 31, 32, 33] {
            let terms = terms(count, length);
            let term = |part: usize| terms[part].as_deref();
            let mut whole = vec![0.0; length];
            sum(0..count, term, &mut whole);
            for ranks in 1..=5 {
                let ranges = (0..ranks).map(|rank| rank * count / ranks..(rank + 1) * count / ranks);
                let of_ranks: Vec<(Range<usize>, Vec<f32>)> = ranges
                    .flat_map(|range| nodes(count, &range))
                    .filter_map(|node| {
                        let mut floats = vec![0.0; length];
                        sum(node.clone(), term, &mut floats);
                        node.clone().any(|part| term(part).is_some()).then_some((node, floats))
                    })
                    .collect();
                let borrowed: Vec<_> = of_ranks.iter().map(|(node, floats)| (node.clone(), &floats[..])).collect();
                let mut total = vec![9.0; length];
                sum_of_nodes(count, &borrowed, &mut total);
                assert_eq!(total, whole, "{count} parts, {ranks} ranks");
            }
        }
    }

    #[test]
    fn nothing_adds_up_to_zeros_and_no_zero_is_negative() {
        let mut total = [9.0; 3];
        sum(0..4, |_| None, &mut total);
        assert_eq!(total, [0.0; 3]);
        sum(0..1, |_| Some(&[-0.0; 3]), &mut total);
        assert!(total.iter().all(|zero| zero.is_sign_positive()));
        sum_of_nodes(4, &[], &mut total);
        assert_eq!(total, [0.0; 3]);
    }
}
