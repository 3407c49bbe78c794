//! How samples are taken: everything in turn, round after round.
//!
//! A shared machine is not equally fast from one minute to the next, and where the operands of a kernel come to lie
//! decides on its speed as well. So no subject gets all its samples in a row: a round visits each of them for a moment,
//! with operands made anew, and rounds are repeated while there is time. All samples are kept, and the median is over
//! all rounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Watch;
use crate::error::{Error, Result};

/// How much time goes where.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds, at least and at most.
    pub rounds: (usize, usize),
    /// No round begins that would end much later than this after the first.
    pub total: Duration,
    /// Samples of a subject are taken for as long as this in each round...
    pub visit: Duration,
    /// ... but at least this many.
    pub samples: usize,
}

/// A long visit has this many samples; each is then the mean of as many runs as fit.
const SAMPLES_OF_A_VISIT: u32 = 10;

/// Makes operands and gives what is to be timed to [`Timer::time`].
type Body<'a> = dyn Fn(&mut Timer<'_>) -> Result<()> + Send + Sync + 'a;

/// Something that can be timed.
pub struct Subject<'a> {
    /// What to call it while it is measured.
    pub name: String,
    /// Threads of the pool it runs in.
    pub threads: usize,
    body: Box<Body<'a>>,
}

impl<'a> Subject<'a> {
    /// A subject whose `body` makes operands and gives what is to be timed to [`Timer::time`]; it does so in a pool of
    /// `threads` threads, and again in every round.
    pub fn new(name: String, threads: usize, body: impl Fn(&mut Timer<'_>) -> Result<()> + Send + Sync + 'a) -> Self {
        Self { name, threads, body: Box::new(body) }
    }
}

/// Takes the samples of one visit.
pub struct Timer<'a> {
    plan: Plan,
    samples: &'a mut Vec<f64>,
}

impl Timer<'_> {
    /// Runs `run` to warm up, then takes samples of it.
    pub fn time(&mut self, mut run: impl FnMut()) {
        let once = warm_up(&mut run, self.plan.visit / SAMPLES_OF_A_VISIT);
        let runs = (self.plan.visit / SAMPLES_OF_A_VISIT).as_nanos() / once.as_nanos().max(1);
        let runs = u32::try_from(runs).unwrap_or(u32::MAX).max(1);
        let start = Instant::now();
        let mut taken = 0;
        while taken < self.plan.samples || start.elapsed() < self.plan.visit {
            let sample = Instant::now();
            (0..runs).for_each(|_| run());
            self.samples.push(sample.elapsed().as_secs_f64() * 1e9 / f64::from(runs));
            taken += 1;
        }
    }
}

/// Runs `run` at least once and for at least this long; returns the time of the fastest run.
fn warm_up(run: &mut impl FnMut(), at_least: Duration) -> Duration {
    let start = Instant::now();
    let mut fastest = Duration::MAX;
    while fastest == Duration::MAX || start.elapsed() < at_least {
        let one = Instant::now();
        run();
        fastest = fastest.min(one.elapsed());
    }
    fastest
}

/// The samples of every subject, in nanoseconds of one run; `watch` hears what is next in which round.
///
/// # Errors
///
/// The system does not start as many threads as a subject asks for, or a subject cannot make its operands.
pub fn take(subjects: &[Subject<'_>], plan: Plan, watch: &mut Watch<'_>) -> Result<Vec<Vec<f64>>> {
    let pools = pools(subjects)?;
    let mut samples = vec![Vec::new(); subjects.len()];
    let (fewest, most) = plan.rounds;
    let start = Instant::now();
    for round in 1..=most {
        let name = format!("round {round} of {fewest} to {most}");
        for (subject, samples) in subjects.iter().zip(&mut samples) {
            watch(&name, &subject.name);
            pools[&subject.threads].install(|| (subject.body)(&mut Timer { plan, samples }))?;
        }
        let length_of_a_round = start.elapsed() / round as u32;
        if round >= fewest && start.elapsed() + length_of_a_round / 2 > plan.total {
            break;
        }
    }
    Ok(samples)
}

/// A pool for every number of threads.
fn pools(subjects: &[Subject<'_>]) -> Result<BTreeMap<usize, ThreadPool>> {
    subjects.iter().map(|subject| Ok((subject.threads, pool(subject.threads)?))).collect()
}

/// A pool of `threads` threads.
///
/// # Errors
///
/// The system does not start as many.
pub fn pool(threads: usize) -> Result<ThreadPool> {
    let refused = |error| Error::config("--threads", format!("{threads} ({error})"), "as many as the system starts");
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NO_TIME: Plan = Plan { rounds: (2, 5), total: Duration::ZERO, visit: Duration::ZERO, samples: 3 };

    #[test]
    fn subjects_are_visited_in_turn_and_each_in_its_pool() {
        let visits = Mutex::new(Vec::new());
        let subject = |threads| {
            let visits = &visits;
            Subject::new(format!("on {threads}"), threads, move |timer: &mut Timer<'_>| {
                visits.lock().unwrap().push(rayon::current_num_threads());
                timer.time(|| ());
                Ok(())
            })
        };
        let mut heard = Vec::new();
        let subjects = [subject(1), subject(3)];
        let samples = take(&subjects, NO_TIME, &mut |round, name| heard.push(format!("{round}: {name}"))).unwrap();
        assert_eq!(*visits.lock().unwrap(), [1, 3, 1, 3]);
        assert_eq!(heard[2], "round 2 of 2 to 5: on 1");
        assert_eq!(samples.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6], "three of each round are kept");
        assert!(samples.iter().flatten().all(|sample| sample.is_finite() && *sample >= 0.0));
    }

    #[test]
    fn rounds_go_on_while_there_is_time() {
        let subject = Subject::new(String::new(), 1, |timer: &mut Timer<'_>| {
            timer.time(|| ());
            Ok(())
        });
        let plan = Plan { total: Duration::from_secs(3600), ..NO_TIME };
        assert_eq!(take(&[subject], plan, &mut |_, _| ()).unwrap()[0].len(), 5 * 3);
    }

    #[test]
    fn short_runs_share_a_sample_and_the_first_does_not_count() {
        let count = AtomicUsize::new(0);
        let plan = Plan { rounds: (1, 1), visit: Duration::from_millis(20), samples: 1, ..NO_TIME };
        let subject = Subject::new(String::new(), 1, |timer: &mut Timer<'_>| {
            timer.time(|| _ = count.fetch_add(1, Ordering::Relaxed));
            Ok(())
        });
        let samples = take(&[subject], plan, &mut |_, _| ()).unwrap();
        assert!(count.load(Ordering::Relaxed) > 4 * samples[0].len(), "{count:?} runs, {samples:?}");
    }
}
