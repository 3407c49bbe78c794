//! The buffers of each thread: what one strip needs while it is packed and between its products.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dense::DenseProducts;
use super::epilogue::rows_of_h;
use super::packing::ColumnPanels;
use super::sparse::Scratch;
use super::z_to_d::ZBlocks;

/// One set of buffers for each thread; never contended, because a thread works on one part at a time.
pub struct Buffers<P: DenseProducts> {
    threads: Vec<Mutex<ThreadBuffers<P>>>,
    u: usize,
    nr: usize,
}

/// The buffers of one thread.
pub struct ThreadBuffers<P: DenseProducts> {
    /// The rows of a strip, row-major.
    pub room: Vec<f32>,
    /// Room for Z and D of a strip.
    pub z: ZBlocks,
    /// D of a strip, where that is not Z's own memory.
    pub d: P::D,
    /// Activations: [`rows_of_h`] x u.
    pub h: ColumnPanels,
    /// Each unit's largest `z` in the strip, minus infinity where it was not computed: 1 x u.
    pub largest: ColumnPanels,
    /// dW of some column panels, for mini-batches, one for each level of the tree of parts: k (rounded up to whole
    /// tiles) x NR for each panel.
    pub gradient: Vec<ColumnPanels>,
    pub sparse: Scratch,
}

impl<P: DenseProducts> Buffers<P> {
    /// For a layer of `u` units in column panels of `nr`, before there is a strip.
    pub fn new(u: usize, nr: usize) -> Self {
        let thread = || ThreadBuffers {
            room: Vec::new(),
            z: ZBlocks::new(u, nr),
            d: P::D::default(),
            h: ColumnPanels::zeros(1, u, nr),
            largest: ColumnPanels::zeros(1, u, nr),
            gradient: Vec::new(),
            sparse: Scratch::new(u, 1),
        };
        Self { threads: (0..rayon::current_num_threads()).map(|_| Mutex::new(thread())).collect(), u, nr }
    }

    /// Makes room for strips of `rows` base rows, rounded up to whole tiles, of `k` inputs, each with `variants`
    /// variants. Every thread has it from now on, whichever gets the first strip.
    pub fn fit(&mut self, (rows, k): (usize, usize), variants: usize) {
        for thread in &mut self.threads {
            let ThreadBuffers { room, z, h, sparse, .. } = thread.get_mut().unwrap_or_else(PoisonError::into_inner);
            room.clear();
            room.reserve(rows * k);
            z.fit::<P>(rows);
            h.reshape(rows_of_h(variants));
            sparse.fit(self.u, variants);
        }
    }

    /// Makes room for `panels` column panels of a gradient of `rows` rows, `depth` times; what there is serves again.
    pub fn fit_gradient(&mut self, rows: usize, panels: usize, depth: usize) {
        let nr = self.nr;
        for thread in &mut self.threads {
            let gradient = &mut thread.get_mut().unwrap_or_else(PoisonError::into_inner).gradient;
            while gradient.len() < depth {
                gradient.push(ColumnPanels::zeros(rows, panels * nr, nr));
            }
        }
    }

    /// Those of the running thread.
    pub fn of_this_thread(&self) -> MutexGuard<'_, ThreadBuffers<P>> {
        let thread = rayon::current_thread_index().unwrap_or(0);
        self.threads[thread % self.threads.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
