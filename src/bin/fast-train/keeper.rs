//! What a run can go on from: kept in memory after each epoch, and from time to time in the run's directory.

use std::time::Instant;

use ffwd::config::CheckpointEvery;
use ffwd::train::stored::StoredState;
use ffwd::train::{EpochReport, TrainingState};

use crate::interrupt;
use crate::progress::Progress;
use crate::run_directory::RunDirectory;

/// Keeps what a run can go on from: its state after the last whole epoch, in memory, and from time to time in its
/// directory.
pub struct Keeper<'a> {
    pub directory: Option<&'a mut RunDirectory>,
    every: CheckpointEvery,
    /// Absent where no checkpoint is ever written.
    stored: Option<StoredState>,
    /// When it was last written.
    written: Instant,
    /// Whether it has been written.
    is_written: bool,
    /// Whether an interrupt is to tell which state was written last: MPI may then leave no time to write another.
    tells_last: bool,
}

impl<'a> Keeper<'a> {
    /// What keeps the state of a run that begins with `stored`, which is written already or not.
    pub fn new(
        directory: Option<&'a mut RunDirectory>,
        every: CheckpointEvery,
        (stored, is_written): (StoredState, bool),
        tells_last: bool,
    ) -> Self {
        let is_kept = directory.is_some() && every != CheckpointEvery::Never;
        let stored = is_kept.then_some(stored);
        let keeper = Self { directory, every, stored, written: Instant::now(), is_written, tells_last };
        keeper.tell_last();
        keeper
    }

    /// Tells which state was written last, should a signal come.
    fn tell_last(&self) {
        if let (true, true, Some(stored), Some(directory)) =
            (self.tells_last, self.is_written, &self.stored, &self.directory)
        {
            let (path, epoch) = (directory.path().display(), stored.state.epoch);
            let words = format!("all ranks end; the last checkpoint so far is after epoch {epoch}");
            interrupt::say_when_interrupted(format!("{words}, and --resume {path} goes on from the last"));
        }
    }

    /// Takes in the state after an epoch.
    pub fn take(&mut self, state: &TrainingState, train_seconds: f64) {
        if let Some(stored) = &mut self.stored {
            (stored.state, stored.train_seconds) = (state.clone(), train_seconds);
            self.is_written = false;
        }
    }

    /// Whether the state is to be written now.
    pub fn is_due(&self) -> bool {
        let epoch = self.stored.as_ref().map_or(0, |stored| stored.state.epoch);
        self.every.is_due(epoch, self.written.elapsed().as_secs_f64())
    }

    /// Writes the state after `epochs`, unless it is written. Where that fails the run goes on: it may succeed the next
    /// time.
    pub fn keep(&mut self, epochs: &[EpochReport], progress: &Progress) {
        let (Some(stored), Some(directory), false) = (&mut self.stored, &mut self.directory, self.is_written) else {
            return;
        };
        let failure = directory.checkpoint(stored, epochs);
        (self.is_written, self.written) = (failure.is_none(), Instant::now());
        if let Some(error) = failure {
            progress.note(&format!("warning: no checkpoint after epoch {}: {error}", stored.state.epoch));
        }
        self.tell_last();
    }
}
