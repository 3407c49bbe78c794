//! Line panels, with their zero lines left out: the operand of products in which few elements of the result are wanted.
//!
//! A matrix of `rows` x `depth` is cut into panels of [`MR`] rows and lines of [`LINE`] inputs, a cache line each. A
//! panel lists the lines in which any of its rows has a non-zero input, and the `MR` lines of each. The order of the
//! inputs is the caller's: those that are non-zero together belong in one line.
//!
//! Relies on row panels for the matrix: its panels are of the same rows.

use super::{Index, MR, RowPanels};
use crate::simd::LINE;

/// The floats of one line, in one cache line: a vector that straddles two costs two loads, and a store more.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub [f32; LINE]);

impl Line {
    /// Sixteen zeros.
    pub const ZERO: Self = Self([0.0; LINE]);
}

/// The floats of some lines.
pub fn floats(lines: &[Line]) -> &[f32] {
    // SAFETY: a line is sixteen floats and nothing else, `repr(C)`, and a float may lie wherever a line does.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

/// The floats of some lines.
pub fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as `floats`; every float is a valid part of a line, and the lines are borrowed as long as the floats.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

/// A matrix packed into panels of lines.
pub struct LinePanels {
    /// Where each panel's entries begin; one more than there are panels.
    starts: Vec<usize>,
    /// The number of each entry's line, ascending within a panel.
    numbers: Vec<u32>,
    /// The lines of each entry; rows beyond the matrix are zero.
    lines: Vec<[Line; MR]>,
}

/// One panel: `MR` rows, zero lines left out.
#[derive(Clone, Copy)]
pub struct LinePanel<'a> {
    /// Line numbers, ascending.
    pub numbers: &'a [u32],
    /// The panel's `MR` lines at each number.
    pub lines: &'a [[Line; MR]],
}

impl LinePanel<'_> {
    /// Multiply-adds of its product with the weights of `units` units.
    pub fn multiply_adds(&self, units: usize) -> usize {
        units * self.lines.len() * MR * LINE
    }
}

impl LinePanels {
    /// Packs a matrix that is already in panels: input `i` becomes packed column `positions[i]`.
    pub fn pack<I: Index>(matrix: &RowPanels<I>, positions: &[usize]) -> Self {
        assert_eq!(matrix.depth(), positions.len(), "a position for each input");
        let mut panels = Self { starts: vec![0], numbers: Vec::new(), lines: Vec::new() };
        let mut all = vec![[Line::ZERO; MR]; positions.len().div_ceil(LINE)];
        let mut touched = vec![false; all.len()];
        for panel in matrix.iter() {
            for (index, values) in panel.indices.iter().zip(panel.values) {
                let position = positions[index.get()];
                touched[position / LINE] = true;
                all[position / LINE].iter_mut().zip(values).for_each(|(line, &value)| line.0[position % LINE] = value);
            }
            for (number, (lines, touched)) in all.iter_mut().zip(&mut touched).enumerate() {
                if std::mem::take(touched) {
                    panels.numbers.push(number as u32);
                    panels.lines.push(std::mem::replace(lines, [Line::ZERO; MR]));
                }
            }
            panels.starts.push(panels.lines.len());
        }
        // In memory of their size: the room they grew in can be had again, while shrinking would leave a hole behind.
        Self { numbers: panels.numbers.to_vec(), lines: panels.lines.to_vec(), ..panels }
    }

    /// The panels in the order of their rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LinePanel<'_>> {
        self.starts.windows(2).map(|w| LinePanel { numbers: &self.numbers[w[0]..w[1]], lines: &self.lines[w[0]..w[1]] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_keep_the_lines_that_are_not_zero_in_the_given_order() {
        let depth = 2 * LINE + 3;
        let positions: Vec<usize> = (0..depth).rev().collect();
        let mut dense = vec![0.0; (MR + 1) * depth];
        dense[0] = 5.0;
        dense[depth + 3] = 7.0;
        dense[2 * depth + 2 + LINE] = 8.0;
        let mut rows = RowPanels::<u32>::default();
        rows.pack(&dense, depth);
        let panels = LinePanels::pack(&rows, &positions);
        let [first, second] = panels.iter().collect::<Vec<_>>().try_into().ok().unwrap();
        assert_eq!(first.numbers, [1, 2], "the first input comes last");
        assert_eq!(first.lines[1][0].0[2], 5.0);
        assert_eq!((first.lines[0][1].0[LINE - 1], first.lines[0][2].0[0]), (7.0, 8.0));
        assert_eq!(first.lines[0][0], Line::ZERO);
        assert!(second.numbers.is_empty(), "a panel of zeros has no line");
    }
}
