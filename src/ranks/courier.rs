//! The thread that carries messages between ranks while others compute.
//!
//! Every call of a [`Transport`] is a job of this thread; the jobs are done in the order in which they were given,
//! which is the same on all ranks.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::Transport;

type Job = Box<dyn FnOnce(&dyn Transport) + Send>;

/// The thread; it ends when this is dropped.
pub struct Courier {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What a job will give.
pub struct Pending<T>(Receiver<T>);

impl Courier {
    /// Begins the thread, which alone uses `transport` from now on.
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let (jobs, of_thread) = mpsc::channel::<Job>();
        let work = move || of_thread.iter().for_each(|job| job(&*transport));
        Self { jobs: Some(jobs), thread: Some(std::thread::spawn(work)) }
    }

    /// Gives the thread a job.
    pub fn begin<T: Send + 'static>(&self, job: impl FnOnce(&dyn Transport) -> T + Send + 'static) -> Pending<T> {
        let (result, pending) = mpsc::channel();
        let job = move |transport: &dyn Transport| _ = result.send(job(transport));
        // A thread that has gone is noticed where the result is waited for.
        let _ = self.jobs.as_ref().expect("the thread is there").send(Box::new(job));
        Pending(pending)
    }
}

impl<T> Pending<T> {
    /// Waits for the job to be done.
    ///
    /// # Panics
    ///
    /// The transport has panicked.
    pub fn wait(self) -> T {
        self.0.recv().expect("the ranks are joined")
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Where this rank has panicked, the others may never do their part of what the thread waits for.
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}
