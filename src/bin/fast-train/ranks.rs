//! The ranks of a command: one process, or those that `mpirun` has started, which do everything together.
//!
//! Rank 0 alone writes and prints. What goes wrong on one rank ends all: at the points where they agree with one
//! message, and elsewhere through MPI.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use ffwd::Error;
use ffwd::ranks::Ranks;

use crate::{USAGE, threads_or_available};

/// The variables that tell how many processes were started together: of Open MPI, of MPICH, and of Slurm.
#[cfg(not(feature = "mpi"))]
const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// The variables of which a process that MPI can join has one: of Open MPI, of MPICH, and of launchers with PMIx.
#[cfg(feature = "mpi")]
const STARTED_BY_MPI: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];

/// This process among those that were started together.
pub struct Crew {
    pub ranks: Ranks,
    /// MPI, where there are others; it ends when this is dropped.
    #[cfg(feature = "mpi")]
    session: Option<ffwd::ranks::mpi::Session>,
}

/// Why all ranks end; [`Crew::end`] has rank 0 say it.
#[derive(Debug)]
pub struct Refused {
    /// What is wrong; nothing on the other ranks.
    message: String,
    /// Whether the user asked for something that cannot be had.
    is_usage: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// The exit code of all ranks.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    }
}

impl Crew {
    /// A process by itself, or one of those that MPI has started, which sets `is_asked_to_stop` when it is to stop.
    ///
    /// # Errors
    ///
    /// The MPI that is installed takes no calls from different threads.
    #[cfg(feature = "mpi")]
    pub fn join(is_asked_to_stop: &Arc<AtomicBool>) -> Result<Self> {
        use anyhow::Context;
        use ffwd::ranks::mpi::Session;

        if STARTED_BY_MPI.iter().all(|variable| std::env::var_os(variable).is_none()) {
            return Ok(Self { ranks: Ranks::alone(), session: None });
        }
        let begun = Session::begin().context("starting MPI: it takes no calls from one thread after another")?;
        let (session, transport) = begun;
        let ranks = Ranks::new(transport, Arc::clone(is_asked_to_stop));
        Ok(Self { ranks, session: Some(session) })
    }

    /// A process by itself.
    ///
    /// # Errors
    ///
    /// There are several, and this build has no MPI.
    #[cfg(not(feature = "mpi"))]
    pub fn join(_: &Arc<AtomicBool>) -> Result<Self> {
        let of_variable = |variable: &&str| std::env::var(variable).ok()?.parse::<u32>().ok();
        match COUNTS.iter().filter_map(of_variable).max() {
            Some(count) if count > 1 => {
                let found = format!("{count} processes started together");
                let expected = "a build that joins them (cargo build --release --features mpi), or one process";
                Err(Error::config("mpirun", found, expected).into())
            }
            _ => Ok(Self { ranks: Ranks::alone() }),
        }
    }

    /// Whether this is the rank that writes and prints.
    pub fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// `asked` threads, or, for none, this rank's share of the cores: of those on which the system lets it run, and on
    /// which other ranks of this machine run as well.
    pub fn threads(&self, asked: usize) -> usize {
        let place = format!("{}\n{}", machine(), cores());
        let sharing =
            self.ranks.gather(place.clone().into_bytes()).iter().filter(|other| **other == place.as_bytes()).count();
        if asked > 0 { asked } else { (threads_or_available(0) / sharing).max(1) }
    }

    /// What this rank has come to, if all have come to something; else the same error on all of them.
    pub fn agree<T>(&self, outcome: Result<T>) -> Result<T> {
        if self.ranks.count() == 1 {
            return outcome;
        }
        let said = match &outcome {
            Ok(_) => String::new(),
            Err(error) => format!("{}{error:#}", u8::from(matches!(error.downcast_ref(), Some(Error::Config { .. })))),
        };
        let all = self.ranks.gather(said.into_bytes());
        let all: Vec<String> = all.iter().map(|said| String::from_utf8_lossy(said).into_owned()).collect();
        let Some((rank, first)) = all.iter().enumerate().find(|(_, said)| !said.is_empty()) else { return outcome };
        let (is_usage, message) = (first.starts_with('1'), &first[1..]);
        let is_everywhere = all.iter().all(|said| said == first);
        let message = if is_everywhere { message.to_owned() } else { format!("rank {rank}: {message}") };
        let message = if self.is_first() { message } else { String::new() };
        Err(Refused { message, is_usage }.into())
    }

    /// What `work` comes to on this rank, on rank 0 before the others: it may fill a cache that they share.
    pub fn first_then_others<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        let of_first = self.agree(if self.is_first() { work().map(Some) } else { Ok(None) })?;
        let done = of_first.map_or_else(work, Ok);
        self.agree(done)
    }

    /// Checks that all ranks have the same fields with the same values.
    ///
    /// # Errors
    ///
    /// Some rank's is not rank 0's.
    pub fn check_alike(&self, fields: &BTreeMap<String, String>) -> Result<()> {
        if self.ranks.count() == 1 {
            return Ok(());
        }
        let text = serde_json::to_vec(fields).expect("texts serialise");
        let all = self.ranks.gather(text);
        let parsed = |text: &Vec<u8>| serde_json::from_slice(text).unwrap_or_default();
        let all: Vec<BTreeMap<String, String>> = all.iter().map(parsed).collect();
        for (rank, other) in all.iter().enumerate() {
            for field in all[0].keys().chain(other.keys()) {
                let of = |fields: &BTreeMap<String, String>| fields.get(field).cloned().unwrap_or("nothing".into());
                let (found, expected) = (of(other), of(&all[0]));
                if found != expected {
                    let expected = format!("{expected}, as on rank 0");
                    let error = Error::config(format!("rank {rank}: {field}"), found, expected);
                    return self.agree(Err(error.into()));
                }
            }
        }
        Ok(())
    }

    /// The outcome of all ranks: where they have failed together, rank 0 says why before any of them ends, because the
    /// launcher ends the others as soon as one has failed. Where this one has failed without their knowing, it says so
    /// and ends all.
    #[cfg(feature = "mpi")]
    pub fn end<T>(&self, outcome: Result<T>) -> Result<T> {
        let (Some(session), Err(error)) = (&self.session, &outcome) else { return outcome };
        match error.downcast_ref::<Refused>() {
            _ if self.ranks.count() == 1 => {}
            None => {
                crate::say(format!("error: rank {}: {error:#}", self.ranks.rank()));
                session.abort(1)
            }
            Some(refused) => {
                if self.is_first() {
                    crate::say(format!("error: {refused}"));
                }
                self.ranks.gather_numbers(Vec::new(), |_| 0);
            }
        }
        outcome
    }

    /// The outcome: there are no others.
    #[cfg(not(feature = "mpi"))]
    pub fn end<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome
    }
}

/// What tells this machine from others.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // Containers of one machine may share the one and have names of their own.
    format!("{}{}", read("/proc/sys/kernel/random/boot_id"), read("/proc/sys/kernel/hostname"))
}

/// The cores on which the system lets this process run, in its words.
fn cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap_or_default().to_owned()
}
