//! Ranks that are threads of one process: the transport of tests, which needs no MPI.

use std::sync::{Arc, Barrier, Mutex, PoisonError};

use super::{Ranks, Transport};

/// What the ranks have put up for each other.
struct Board {
    posts: Mutex<Vec<Vec<u8>>>,
    barrier: Barrier,
}

/// One of the ranks.
struct Member {
    rank: usize,
    board: Arc<Board>,
}

/// `count` ranks, each for a thread of its own.
pub fn ranks(count: usize) -> Vec<Ranks> {
    let board = Arc::new(Board { posts: Mutex::new(vec![Vec::new(); count]), barrier: Barrier::new(count) });
    let member = |rank| Ranks::new(Box::new(Member { rank, board: Arc::clone(&board) }), Arc::default());
    (0..count).map(member).collect()
}

impl Transport for Member {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.posts().len()
    }

    fn gather(&self, mine: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
        let all = self.post(mine.to_vec());
        assert!(all.iter().map(Vec::len).eq(lengths.iter().copied()), "what is sent is what is expected");
        all
    }

    fn exchange(&self, (send, counts): (&[f32], &[usize]), (receive, from): (&mut [f32], &[usize])) {
        let mut message: Vec<u8> = counts.iter().flat_map(|count| (*count as u64).to_le_bytes()).collect();
        message.extend(super::to_bytes(send));
        let mut filled = 0;
        for (all, &expected) in self.post(message).iter().zip(from) {
            let (head, floats) = all.split_at(counts.len() * size_of::<u64>());
            let counts: Vec<usize> =
                head.as_chunks().0.iter().map(|count| u64::from_le_bytes(*count) as usize).collect();
            assert_eq!(counts[self.rank], expected, "what is sent is what is expected");
            let first = counts[..self.rank].iter().sum();
            let floats = super::floats_of(floats).skip(first).take(expected);
            receive[filled..][..expected].iter_mut().zip(floats).for_each(|(to, float)| *to = float);
            filled += expected;
        }
    }

    fn spread(&self, mine: &[f32], (all, counts): (&mut [f32], &[usize])) {
        assert_eq!(mine.len(), counts[self.rank], "what is sent is what is expected");
        let bytes = self.post(super::to_bytes(mine));
        let floats = bytes.iter().flat_map(|bytes| super::floats_of(bytes));
        all.iter_mut().zip(floats).for_each(|(to, float)| *to = float);
    }
}

impl Member {
    /// Puts up a message and takes down all.
    fn post(&self, mine: Vec<u8>) -> Vec<Vec<u8>> {
        self.posts()[self.rank] = mine;
        self.board.barrier.wait();
        let all = self.posts().clone();
        self.board.barrier.wait();
        all
    }

    fn posts(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.board.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
