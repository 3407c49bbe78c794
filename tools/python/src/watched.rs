//! Long work without the interpreter's lock, which can be told to end at Ctrl-C.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

/// How long Ctrl-C waits at most before it is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Does `work` on a thread of its own while other threads of Python run, and gives what it returns and, where the user
/// interrupted it meanwhile, the exception to be raised: `KeyboardInterrupt`, or what else a handler of signals raises.
/// `stop` is set then.
pub fn watched<T: Send>(py: Python<'_>, stop: &AtomicBool, work: impl FnOnce() -> T + Send) -> (T, Result<(), PyErr>) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = thread::current();
        let is_done = &is_done;
        let worker = scope.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            is_done.store(true, Ordering::Release);
            watcher.unpark();
            result
        });
        let mut interrupt = Ok(());
        while !is_done.load(Ordering::Acquire) {
            py.detach(|| thread::park_timeout(LOOK_EVERY));
            if let Err(raised) = py.check_signals() {
                stop.store(true, Ordering::Relaxed);
                interrupt = interrupt.and(Err(raised));
            }
        }
        match worker.join() {
            Ok(Ok(result)) => (result, interrupt),
            Ok(Err(panic)) | Err(panic) => resume_unwind(panic),
        }
    })
}
