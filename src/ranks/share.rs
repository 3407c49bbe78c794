//! Which samples of a batch are whose, and which parts of its sums.

use std::ops::Range;

use super::{PendingSum, Ranks, Sums, floats_of, to_bytes, tree};

/// The samples of a batch that a rank works on.
#[derive(Clone)]
pub struct Share {
    ranks: Ranks,
    /// Samples of the whole batch.
    samples: usize,
    /// A share is so many samples, or a multiple of that; the last one ends with the batch.
    unit: usize,
}

impl Share {
    /// A share of a batch of `samples`, which is cut between every `unit` of them.
    pub fn new(ranks: &Ranks, samples: usize, unit: usize) -> Self {
        Self { ranks: ranks.clone(), samples, unit }
    }

    /// A batch of `samples` that is all this process's.
    pub fn whole(samples: usize) -> Self {
        Self::new(&Ranks::alone(), samples, samples.max(1))
    }

    /// The ranks that share the batch.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Samples of the whole batch.
    pub fn of(&self) -> usize {
        self.samples
    }

    /// This rank's samples.
    pub fn own(&self) -> Range<usize> {
        let Range { start, end } = self.parts(self.unit).own();
        start * self.unit..self.samples.min(end * self.unit)
    }

    /// Writes `width` floats of each sample of the batch over `all`; `mine` are those of this rank's.
    pub fn gather(&self, mine: &[f32], width: usize, all: &mut Vec<f32>) {
        all.clear();
        if self.ranks.0.is_none() {
            return all.extend_from_slice(mine);
        }
        let units = self.parts(self.unit);
        let samples = |rank| {
            let Range { start, end } = units.of(rank);
            self.samples.min(end * self.unit) - self.samples.min(start * self.unit)
        };
        let gathered = self.ranks.gather_known(to_bytes(mine), |rank| samples(rank) * width * size_of::<f32>());
        gathered.iter().for_each(|bytes| all.extend(floats_of(bytes)));
    }

    /// This rank's samples unit by unit, counted from the first of them.
    pub fn units(&self) -> impl Iterator<Item = Range<usize>> {
        let (own, unit) = (self.own(), self.unit);
        (0..own.len()).step_by(unit).map(move |first| first..own.len().min(first + unit))
    }

    /// The batch cut into parts of `part` samples each, of which a unit has whole ones.
    pub fn parts(&self, part: usize) -> Parts {
        debug_assert!(self.unit.is_multiple_of(part) || self.ranks.count() == 1, "a unit has whole parts");
        Parts {
            count: self.samples.div_ceil(part),
            of_unit: (self.unit / part).max(1),
            units: self.samples.div_ceil(self.unit),
            ranks: self.ranks.count(),
            rank: self.ranks.rank(),
        }
    }

    /// Writes the sum over the batch over `sums`: `write` writes what some of this rank's own samples, a part, have for
    /// each of the sums.
    pub fn sum<const N: usize>(&self, mut sums: [&mut [f32]; N], write: impl FnMut(Range<usize>, [&mut [f32]; N])) {
        self.begin_sum(sums.each_mut().map(|sum| &mut **sum), write).finish(sums);
    }

    /// Begins what [`Share::sum`] does; [`PendingSum::finish`] takes the same `sums`.
    pub fn begin_sum<const N: usize>(
        &self,
        sums: [&mut [f32]; N],
        mut write: impl FnMut(Range<usize>, [&mut [f32]; N]),
    ) -> PendingSum {
        let parts = self.parts(self.unit);
        if parts.count == 1 && self.ranks.count() == 1 {
            write(0..self.samples, sums);
            return PendingSum::arrived();
        }
        let length = sums.iter().map(|sum| sum.len()).sum();
        let of_part = |samples| {
            let mut floats = vec![0.0; length];
            let mut rest = &mut floats[..];
            write(samples, sums.each_ref().map(|sum| rest.split_off_mut(..sum.len()).expect("room for each")));
            floats
        };
        let (first, of_parts) = (parts.own().start, self.units().map(of_part).collect());
        self.ranks.begin_sum(parts.count, &parts.nodes_of_ranks(), &mut SumsOfParts { first, of_parts, sums })
    }
}

/// Sums of parts, each of them in one piece.
struct SumsOfParts<'a, const N: usize> {
    /// The number of the first part.
    first: usize,
    of_parts: Vec<Vec<f32>>,
    sums: [&'a mut [f32]; N],
}

impl<const N: usize> Sums for SumsOfParts<'_, N> {
    fn add_up(&mut self, node: Range<usize>) {
        let mut before = 0;
        for sum in &mut self.sums {
            let place = before..before + sum.len();
            before = place.end;
            tree::sum(node.clone(), |part| Some(&self.of_parts[part - self.first][place.clone()]), sum);
        }
    }

    fn pieces(&mut self) -> Vec<&mut [f32]> {
        self.sums.iter_mut().map(|sum| &mut **sum).collect()
    }
}

/// The parts of a batch, and which of them are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Parts of the whole batch.
    pub count: usize,
    /// Parts of a unit, between which the batch is cut among ranks.
    of_unit: usize,
    units: usize,
    ranks: usize,
    rank: usize,
}

impl Parts {
    /// The parts of rank `rank`.
    pub fn of(&self, rank: usize) -> Range<usize> {
        let bound = |rank: usize| match rank == self.ranks {
            true => self.count,
            false => self.units * rank / self.ranks * self.of_unit,
        };
        bound(rank)..bound(rank + 1)
    }

    /// This rank's parts.
    pub fn own(&self) -> Range<usize> {
        self.of(self.rank)
    }

    /// The nodes of the tree that this rank's parts are.
    pub fn nodes(&self) -> Vec<Range<usize>> {
        self.nodes_of(self.rank)
    }

    /// The nodes of the tree that the parts of each rank are.
    pub fn nodes_of_ranks(&self) -> Vec<Vec<Range<usize>>> {
        (0..self.ranks).map(|rank| self.nodes_of(rank)).collect()
    }

    /// The nodes of the tree that the parts of rank `rank` are.
    pub fn nodes_of(&self, rank: usize) -> Vec<Range<usize>> {
        tree::nodes(self.count, &self.of(rank))
    }
}
