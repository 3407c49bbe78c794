//! Which kernels became slower, beyond the noise of both reports.

use super::rows::Cell;
use super::text::{count, number};
use super::{Comparison, Heading};

/// The kernels whose whole interval lies more than `percent` above the whole interval of the first report's.
pub fn kernels(comparison: &Comparison, percent: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &comparison.kernels {
        let Some((Some(first), others)) = row.cells.split_first() else { continue };
        for (cell, heading) in others.iter().zip(&comparison.reports[1..]) {
            let slower = |cell: &&Cell| cell.ratio.is_some() && cell.low_ns > first.high_ns * (1.0 + percent / 100.0);
            if let Some(cell) = cell.as_ref().filter(slower) {
                let isa = cell.isa.as_deref().unwrap_or_default();
                let kernel =
                    format!("{}, {}, {}, {isa}, {}", row.op, row.shape, row.dtype, count(cell.threads, "thread"));
                lines.push(format!(
                    "{kernel}: {} {} than A {}",
                    heading.letter,
                    beyond(cell, first),
                    times(cell, first)
                ));
            }
        }
    }
    lines
}

/// How much slower at least.
fn beyond(cell: &Cell, first: &Cell) -> String {
    format!("is more than {}% slower", number(100.0 * (cell.low_ns / first.high_ns - 1.0)))
}

fn times(cell: &Cell, first: &Cell) -> String {
    let ms = |cell: &Cell| format!("{} to {} ms", number(cell.low_ns / 1e6), number(cell.high_ns / 1e6));
    format!("({}; A {})", ms(cell), ms(first))
}

/// The reports after the first that have no ratio in any kernel.
pub fn unjudged(comparison: &Comparison) -> Vec<&Heading> {
    let judged = |index: usize| {
        let mut cells = comparison.kernels.iter().filter_map(|row| row.cells[index].as_ref());
        cells.any(|cell| cell.ratio.is_some())
    };
    let others = comparison.reports.iter().enumerate().skip(1);
    others.filter(|&(index, _)| !judged(index)).map(|(_, heading)| heading).collect()
}
