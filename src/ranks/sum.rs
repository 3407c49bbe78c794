//! Sums over a batch that ranks share: each adds up its own nodes of the tree, and what they send is added along it.
//!
//! Relies on [`super::tree`] for the order of additions and on the courier for the way.

use std::ops::Range;
use std::sync::Arc;

use super::courier::Pending;
use super::{Joined, Ranks, Transport, floats_of, to_bytes, tree};

/// Sums of fewer floats, those of all ranks together, are gathered whole by every rank, in one message instead of two:
/// 32 KiB take some 25 us on a network of 10 Gbit/s, less than another message takes to arrive.
pub(super) const SMALL: usize = 8192;

impl Ranks {
    /// Begins to make `sums` those of a whole batch: adds up this rank's nodes of the tree over `parts` parts, of which
    /// `nodes` lists those of each rank, and sends them off. Without other ranks `sums` then holds the result, with
    /// others what [`PendingSum::finish`] writes.
    ///
    /// Each rank adds up a slice and sends the others its sums, so that what a rank sends and receives hardly grows
    /// with their number. A small sum is added up by every rank.
    pub fn begin_sum(&self, parts: usize, nodes: &[Vec<Range<usize>>], sums: &mut dyn Sums) -> PendingSum {
        let Some(joined) = &self.0 else {
            sums.add_up(0..parts);
            return PendingSum::arrived();
        };
        let own = &nodes[self.rank()];
        let length = sums.pieces().iter().map(|piece| piece.len()).sum();
        let slices = Slices { length, count: if length * self.count() < SMALL { 1 } else { self.count() } };
        let mut send = joined.buffer(length.max(own.len() * length));
        for (number, node) in own.iter().enumerate() {
            sums.add_up(node.clone());
            let mut first = 0;
            for piece in sums.pieces() {
                slices.copy_node(piece, first, &mut send, (number, own.len()));
                first += piece.len();
            }
        }
        let room =
            joined.buffer(length.max(nodes.iter().flatten().count() * slices.of(self.rank() % slices.count).len()));
        let message = Message { parts, nodes: nodes.to_vec(), rank: self.rank(), slices, send, room };
        PendingSum(Some((joined.courier.begin(|transport| message.add_up(transport)), Arc::clone(joined))))
    }
}

/// Sums over parts of a batch, in memory of their own.
pub trait Sums {
    /// Becomes the sums of this rank's parts `node`, a node of the tree.
    fn add_up(&mut self, node: Range<usize>);

    /// The sums as floats: what crosses the network.
    fn pieces(&mut self) -> Vec<&mut [f32]>;
}

/// The floats of a sum, and memory that is no longer needed.
pub(super) type Added = [Vec<f32>; 2];

/// Sums that are on their way.
pub struct PendingSum(Option<(Pending<Added>, Arc<Joined>)>);

impl PendingSum {
    /// Sums that are where they belong already, because there are no other ranks.
    pub(super) fn arrived() -> Self {
        Self(None)
    }

    /// Waits for the sums and writes them over the pieces with which they began.
    ///
    /// # Panics
    ///
    /// The pieces hold more floats than were sent.
    pub fn finish<'a>(self, pieces: impl IntoIterator<Item = &'a mut [f32]>) {
        let Some((pending, joined)) = self.0 else { return };
        let [total, room] = joined.wait(pending);
        let mut rest = &total[..];
        for piece in pieces {
            piece.copy_from_slice(rest.split_off(..piece.len()).expect("as many floats as were sent"));
        }
        joined.keep([total, room]);
    }
}

/// How `length` floats are cut into a slice for each of `count` ranks.
#[derive(Clone, Copy)]
struct Slices {
    length: usize,
    count: usize,
}

impl Slices {
    fn of(self, rank: usize) -> Range<usize> {
        rank * self.length / self.count..(rank + 1) * self.length / self.count
    }

    fn lengths(self) -> Vec<usize> {
        (0..self.count).map(|rank| self.of(rank).len()).collect()
    }

    /// Copies a piece of the sums of node `number` of `nodes`, which begins with float `first` of them, to where they
    /// are sent from: slice by slice, and within a slice node by node.
    fn copy_node(self, piece: &[f32], first: usize, send: &mut [f32], (number, nodes): (usize, usize)) {
        for slice in (0..self.count).map(|rank| self.of(rank)) {
            let (start, end) = (slice.start.max(first), slice.end.min(first + piece.len()));
            if start < end {
                let to = nodes * slice.start + number * slice.len() + start - slice.start;
                send[to..][..end - start].copy_from_slice(&piece[start - first..end - first]);
            }
        }
    }
}

/// What one rank has of a sum.
struct Message {
    parts: usize,
    /// Each rank's nodes of the tree.
    nodes: Vec<Vec<Range<usize>>>,
    rank: usize,
    slices: Slices,
    /// The sums of its own nodes, for each rank its slice; there may be more room behind them.
    send: Vec<f32>,
    /// Room for what all ranks send, and for the sum.
    room: Vec<f32>,
}

impl Message {
    /// The sum of all ranks' nodes.
    fn add_up(self, transport: &dyn Transport) -> Added {
        if self.slices.count < self.nodes.len() { self.add_up_small(transport) } else { self.add_up_slices(transport) }
    }

    /// Every rank gets all nodes.
    fn add_up_small(self, transport: &dyn Transport) -> Added {
        let Self { parts, nodes, rank, slices: Slices { length, .. }, send, room: mut total } = self;
        let lengths: Vec<usize> = nodes.iter().map(|nodes| nodes.len() * length * size_of::<f32>()).collect();
        let all = transport.gather(&to_bytes(&send[..nodes[rank].len() * length]), &lengths);
        let floats: Vec<f32> = all.iter().flat_map(|bytes| floats_of(bytes)).collect();
        let of_nodes: Vec<_> = nodes.into_iter().flatten().zip(floats.chunks_exact(length.max(1))).collect();
        tree::sum_of_nodes(parts, &of_nodes, &mut total[..length]);
        [total, send]
    }

    /// Every rank gets its slice of each node, and then the sums of the other slices.
    fn add_up_slices(self, transport: &dyn Transport) -> Added {
        let Self { parts, nodes, rank, slices, mut send, mut room } = self;
        let (lengths, mine) = (slices.lengths(), slices.of(rank).len());
        let sent: Vec<usize> = lengths.iter().map(|length| nodes[rank].len() * length).collect();
        let from: Vec<usize> = nodes.iter().map(|nodes| nodes.len() * mine).collect();
        let received = &mut room[..from.iter().sum()];
        transport.exchange((&send[..sent.iter().sum()], &sent), (&mut *received, &from));
        // Of a slice without floats there is nothing to add up.
        let floats = received.chunks_exact(mine.max(1));
        let of_nodes: Vec<(Range<usize>, &[f32])> = nodes.into_iter().flatten().zip(floats).collect();
        tree::sum_of_nodes(parts, &of_nodes, &mut send[..mine]);
        transport.spread(&send[..mine], (&mut room[..slices.length], &lengths));
        [room, send]
    }
}
