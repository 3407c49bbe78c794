//! The threads that engines and products compute on.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Pools by the number of their process and that of their threads.
type Pools = HashMap<(u32, usize), Arc<ThreadPool>>;

/// The pools of each process. A process that was forked from this one starts pools
/// of its own, because threads do not survive a fork. A pool is never ended: that takes locks which a thread of the
/// parent may have held.
static POOLS: LazyLock<Mutex<Pools>> = LazyLock::new(Mutex::default);

/// A pool of `threads` threads; 0 is one for every CPU that the process may use.
///
/// # Errors
///
/// `RuntimeError` where the system starts no threads.
pub fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    let mut pools = POOLS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let key = (std::process::id(), threads);
    if let Some(pool) = pools.get(&key) {
        return Ok(Arc::clone(pool));
    }
    let started = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = Arc::new(started.map_err(|error| PyRuntimeError::new_err(format!("n_jobs: {error}")))?);
    pools.insert(key, Arc::clone(&pool));
    Ok(pool)
}
