//! How samples are taken: everything in turn, round after round.
//!
//! A shared machine is not equally fast from one minute to the next, and where the operands of a kernel come to lie
//! decides on its speed as well. So no subject gets all its samples in a row: a round visits each of them for a moment,
//! with operands made anew, and rounds are repeated while there is time. Only what works on memory alone may keep its
//! arrays. All samples are kept, and the median is over all rounds.
//!
//! Probes and waiting threads stand witness to each sample ([`crate::bench::witness`]). Samples that they tell to be
//! disturbed are kept, but do not count: a visit takes others until it has enough that do, as far as its patience goes,
//! and a subject that has too few in the end is visited once more.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{Step, Watch, Witnesses};
use crate::bench::witness::{Seen, Witness};
use crate::error::{Error, Result};
use crate::fused::executed;

/// How much time goes where.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds, at least and at most.
    pub rounds: (usize, usize),
    /// No round begins that would end much later than this after the first.
    pub total: Duration,
    /// Samples of a subject are taken for as long as this in each round...
    pub visit: Duration,
    /// ... but at least this many that are not disturbed...
    pub samples: usize,
    /// ... and for that a visit may take so much longer...
    pub patience: Duration,
    /// ... and all visits together so much longer.
    pub retakes: Duration,
}

impl Plan {
    /// How long the rounds of `subjects` will take still, when `done` visits took `elapsed`: the rounds that there is
    /// time for. Nothing before a tenth of a round is done.
    fn left(&self, elapsed: Duration, done: usize, subjects: usize) -> Option<Duration> {
        if done == 0 || done < subjects / 10 {
            return None;
        }
        let visit = elapsed.as_secs_f64() / done as f64;
        let rounds = (self.total.as_secs_f64() / (visit * subjects as f64).max(f64::MIN_POSITIVE)).round();
        let visits = rounds.clamp(self.rounds.0 as f64, self.rounds.1 as f64) * subjects as f64;
        Duration::try_from_secs_f64(visit * (visits - done as f64)).ok()
    }
}

/// A long visit has this many samples; each is then the mean of as many runs as fit.
const SAMPLES_OF_A_VISIT: u32 = 10;

/// A sample of more runs than this begins behind one more run, which takes a sixth of its time at most. With fewer, a
/// run takes 2 ms or more in a full report, and a tenth of that fills L2.
const FEW_RUNS: u32 = 5;

/// A share is held to three decimals: more would be noise.
const DECIMALS: f64 = 1e3;

/// Makes operands and gives what is to be timed to [`Timer::time`].
type Body<'a> = dyn Fn(&mut Timer<'_>) -> Result<()> + Send + Sync + 'a;

/// Something that can be timed.
pub struct Subject<'a> {
    /// What to call it while it is measured.
    pub name: String,
    /// Threads of the pool it runs in.
    pub threads: usize,
    /// Whether it works on more than registers, so that memory is probed beside it.
    pub uses_memory: bool,
    body: Box<Body<'a>>,
}

impl<'a> Subject<'a> {
    /// A subject whose `body` makes operands and gives what is to be timed to [`Timer::time`]; it does so in a pool of
    /// `threads` threads, and again in every round.
    pub fn new(
        name: String,
        (threads, uses_memory): (usize, bool),
        body: impl Fn(&mut Timer<'_>) -> Result<()> + Send + Sync + 'a,
    ) -> Self {
        Self { name, threads, uses_memory, body: Box::new(body) }
    }
}

/// The samples of one subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// In nanoseconds of one run.
    pub samples_ns: Vec<f64>,
    /// What stood beside each.
    pub witnesses: Witnesses,
    /// Multiply-adds that strips executed in one run; 0 where a kernel has none.
    pub executed: u64,
}

/// What has been taken of a subject so far: times in nanoseconds, what was seen beside each, and
/// [`Taken::executed`].
struct Raw {
    samples: Vec<(f64, Seen)>,
    executed: u64,
}

/// Takes the samples of one visit.
pub struct Timer<'a> {
    plan: Plan,
    uses_memory: bool,
    witness: &'a mut Witness,
    /// What is left of [`Plan::retakes`].
    retakes: &'a mut Duration,
    raw: &'a mut Raw,
}

impl Timer<'_> {
    /// Runs `run` to warm up, then takes samples of it.
    pub fn time(&mut self, mut run: impl FnMut()) {
        let once = warm_up(&mut run, self.plan.visit / SAMPLES_OF_A_VISIT);
        let runs = (self.plan.visit / SAMPLES_OF_A_VISIT).as_nanos() / once.as_nanos().max(1);
        let runs = u32::try_from(runs).unwrap_or(u32::MAX).max(1);
        let start = Instant::now();
        let (mut taken, mut quiet) = (0, 0);
        // When the visit would have been over on a quiet machine: from then on it spends its patience.
        let mut late_since = None;
        loop {
            if taken >= self.plan.samples && start.elapsed() >= self.plan.visit {
                let since = *late_since.get_or_insert_with(Instant::now);
                if quiet >= self.plan.samples || since.elapsed() >= self.plan.patience.min(*self.retakes) {
                    *self.retakes = self.retakes.saturating_sub(since.elapsed());
                    break;
                }
            }
            let before = self.witness.before(self.uses_memory);
            // The copy of the probe has pushed the operands out of the caches, and one run brings them back.
            (0..u32::from(runs > FEW_RUNS)).for_each(|_| run());
            let executed = executed::multiply_adds();
            let ((), time, seen) = self.witness.watch_behind(before, || (0..runs).for_each(|_| run()));
            self.raw.executed = (executed::multiply_adds() - executed) / u64::from(runs);
            self.raw.samples.push((time.as_secs_f64() * 1e9 / f64::from(runs), seen));
            quiet += usize::from(!self.witness.is_disturbed(&seen));
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

/// The samples of every subject, and the witness of a pool of `threads` threads, which one of them at least has had;
/// `watch` hears what is next in which round.
///
/// # Errors
///
/// The system does not start as many threads as a subject asks for, or a subject cannot make its operands.
pub fn take(
    subjects: &[Subject<'_>],
    plan: Plan,
    threads: usize,
    watch: &mut Watch<'_>,
) -> Result<(Vec<Taken>, ThreadPool, Witness)> {
    let mut session = Session::new(subjects, plan)?;
    let (fewest, most) = plan.rounds;
    let start = Instant::now();
    for round in 1..=most {
        let name = format!("round {round} of {fewest} to {most}");
        for subject in 0..subjects.len() {
            let done = (round - 1) * subjects.len() + subject;
            session.visit(subject, (&name, plan.left(start.elapsed(), done, subjects.len())), watch)?;
        }
        let length_of_a_round = start.elapsed() / round as u32;
        if round >= fewest && start.elapsed() + length_of_a_round / 2 > plan.total {
            break;
        }
    }
    session.take_again(watch)?;
    let taken = session.taken();
    let (pool, witness) = session.pools.remove(&threads).expect("a subject with so many threads");
    Ok((taken, pool, witness))
}

/// A measurement that goes on: every subject's samples so far, and a witness for each pool.
struct Session<'a> {
    subjects: &'a [Subject<'a>],
    plan: Plan,
    pools: BTreeMap<usize, (ThreadPool, Witness)>,
    raw: Vec<Raw>,
    retakes: Duration,
}

impl<'a> Session<'a> {
    fn new(subjects: &'a [Subject<'a>], plan: Plan) -> Result<Self> {
        let mut pools = BTreeMap::new();
        for &Subject { threads, .. } in subjects {
            if let Entry::Vacant(place) = pools.entry(threads) {
                let pool = pool(threads)?;
                let witness = pool.install(Witness::new);
                place.insert((pool, witness));
            }
        }
        let raw = subjects.iter().map(|_| Raw { samples: Vec::new(), executed: 0 }).collect();
        Ok(Self { subjects, plan, pools, raw, retakes: plan.retakes })
    }

    /// Takes more samples of a subject.
    ///
    /// `watch` hears to which part of the measurement that belongs, and how long the rounds will take still.
    fn visit(&mut self, subject: usize, (part, left): (&str, Option<Duration>), watch: &mut Watch<'_>) -> Result<()> {
        let Self { subjects, plan, pools, raw, retakes } = self;
        let (Subject { name, threads, uses_memory, body }, raw) = (&subjects[subject], &mut raw[subject]);
        watch(&Step { part, next: name, left });
        let (pool, witness) = pools.get_mut(threads).expect("a pool for every number of threads");
        let (plan, uses_memory) = (*plan, *uses_memory);
        pool.install(|| body(&mut Timer { plan, uses_memory, witness, retakes, raw }))
    }

    /// Visits once more those that have fewer undisturbed samples than the fewest rounds should have given, because
    /// the best probe came late or their visits ran out of patience; once, while there is time.
    fn take_again(&mut self, watch: &mut Watch<'_>) -> Result<()> {
        let enough = self.plan.samples * self.plan.rounds.0;
        for subject in 0..self.subjects.len() {
            let wants_more = |session: &Self| session.quiet(subject) < enough && !session.retakes.is_zero();
            if wants_more(self) {
                self.visit(subject, ("once more", None), watch)?;
            }
        }
        Ok(())
    }

    /// Samples of a subject that are not disturbed, as far as can be told by now.
    fn quiet(&self, subject: usize) -> usize {
        let (_, witness) = &self.pools[&self.subjects[subject].threads];
        self.raw[subject].samples.iter().filter(|(_, seen)| !witness.is_disturbed(seen)).count()
    }

    /// All samples, judged by the best probe of all.
    fn taken(&self) -> Vec<Taken> {
        let Self { subjects, pools, raw, .. } = self;
        let judged = |(subject, &Raw { ref samples, executed }): (&Subject<'_>, &Raw)| {
            let (_, witness) = &pools[&subject.threads];
            let seen = || samples.iter().map(|(_, seen)| seen);
            let witnesses = Witnesses {
                arithmetic: seen().map(|seen| rounded(witness.arithmetic(seen))).collect(),
                memory: seen().map(|seen| rounded(witness.memory(seen))).collect(),
                waiting: seen().map(|seen| rounded(seen.waiting)).collect(),
                disturbed: seen().map(|seen| witness.is_disturbed(seen)).collect(),
            };
            Taken { samples_ns: samples.iter().map(|&(ns, _)| ns).collect(), witnesses, executed }
        };
        subjects.iter().zip(raw).map(judged).collect()
    }
}

/// A share with three decimals.
pub fn rounded(share: f64) -> f64 {
    (share * DECIMALS).round() / DECIMALS
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

    const NO_TIME: Plan = Plan {
        rounds: (2, 5),
        total: Duration::ZERO,
        visit: Duration::ZERO,
        samples: 3,
        patience: Duration::ZERO,
        retakes: Duration::ZERO,
    };

    #[test]
    fn subjects_are_visited_in_turn_and_each_in_its_pool() {
        let visits = Mutex::new(Vec::new());
        let subject = |threads| {
            let visits = &visits;
            Subject::new(format!("on {threads}"), (threads, false), move |timer: &mut Timer<'_>| {
                visits.lock().unwrap().push(rayon::current_num_threads());
                timer.time(|| ());
                Ok(())
            })
        };
        let mut heard = Vec::new();
        let subjects = [subject(1), subject(3)];
        let (samples, ..) =
            take(&subjects, NO_TIME, 3, &mut |step| heard.push(format!("{}: {}", step.part, step.next))).unwrap();
        assert_eq!(*visits.lock().unwrap(), [1, 3, 1, 3]);
        assert_eq!(heard[2], "round 2 of 2 to 5: on 1");
        for Taken { samples_ns, witnesses, .. } in samples {
            let Witnesses { arithmetic, memory, waiting, disturbed } = witnesses;
            assert_eq!(samples_ns.len(), 6, "three of each round are kept");
            let lengths = [arithmetic.len(), memory.len(), waiting.len(), disturbed.len()];
            assert_eq!(lengths, [6; 4], "with what stood beside them");
            assert!(samples_ns.iter().all(|sample| sample.is_finite() && *sample >= 0.0));
            assert!(arithmetic.iter().chain(&memory).chain(&waiting).all(|share| (0.0..=1.0).contains(share)));
        }
    }

    #[test]
    fn the_time_left_is_that_of_the_rounds_there_is_time_for() {
        let seconds = Duration::from_secs;
        let plan = Plan { rounds: (4, 12), total: seconds(150), ..NO_TIME };
        assert_eq!(plan.left(seconds(2), 9, 100), None, "too early to tell");
        // 25 s for a round: six of them.
        assert_eq!(plan.left(seconds(25), 100, 100), Some(seconds(125)));
        assert_eq!(plan.left(seconds(60), 100, 100), Some(seconds(180)), "four rounds at least");
        assert_eq!(plan.left(seconds(1), 100, 100), Some(seconds(11)), "twelve at most");
        assert_eq!(plan.left(seconds(250), 401, 100), None, "longer than expected");
    }

    const LONG: Duration = Duration::from_secs(3600);

    /// The samples that one visit takes beside a witness, and whether each is disturbed.
    fn visit(plan: Plan, witness: &mut Witness, retakes: &mut Duration) -> Vec<bool> {
        let mut raw = Raw { samples: Vec::new(), executed: 0 };
        let mut timer = Timer { plan, uses_memory: false, witness, retakes, raw: &mut raw };
        timer.time(|| ());
        raw.samples.iter().map(|(_, seen)| witness.is_disturbed(seen)).collect()
    }

    fn quiet(disturbed: &[bool]) -> usize {
        disturbed.iter().filter(|&&disturbed| !disturbed).count()
    }

    /// Good probes, so that the others are known to be bad, but never two in a row: one of them disturbs a sample.
    fn always_disturbed(read: usize) -> f64 {
        if read.is_multiple_of(4) { 100.0 } else { 50.0 }
    }

    #[test]
    fn a_visit_waits_until_a_disturbance_is_over_and_keeps_what_it_took_meanwhile() {
        // Good ones first: nothing tells the first of all probes to be bad.
        let mut witness = Witness::scripted(|read| if (2..12).contains(&read) { 50.0 } else { 100.0 });
        let plan = Plan { patience: LONG, ..NO_TIME };
        let mut retakes = LONG;
        let disturbed = visit(plan, &mut witness, &mut retakes);
        assert_eq!((quiet(&disturbed), disturbed.last()), (plan.samples, Some(&false)), "{disturbed:?}");
        assert!(disturbed.len() > plan.samples && retakes < LONG, "{disturbed:?}, {retakes:?} left");
    }

    #[test]
    fn a_visit_ends_with_its_patience_and_with_that_of_all_visits() {
        let patience = Duration::from_millis(50);
        for (own, all) in [(patience, LONG), (LONG, patience)] {
            let mut witness = Witness::scripted(always_disturbed);
            let (start, mut retakes) = (Instant::now(), all);
            let disturbed = visit(Plan { patience: own, ..NO_TIME }, &mut witness, &mut retakes);
            assert!(start.elapsed() >= patience && quiet(&disturbed) == 0, "{disturbed:?}");
            assert!(disturbed.len() > NO_TIME.samples && retakes <= all - patience, "{retakes:?} left");
        }
    }

    #[test]
    fn a_visit_without_patience_takes_no_sample_again() {
        let mut witness = Witness::scripted(always_disturbed);
        let disturbed = visit(NO_TIME, &mut witness, &mut LONG.clone());
        assert_eq!(disturbed, [true; NO_TIME.samples]);
    }

    #[test]
    fn a_subject_that_a_better_probe_leaves_without_enough_is_visited_once_more() {
        let subject = Subject::new(String::new(), (1, false), |timer: &mut Timer<'_>| {
            timer.time(|| ());
            Ok(())
        });
        let subjects = [subject];
        let plan = Plan { rounds: (1, 1), patience: LONG, retakes: LONG, ..NO_TIME };
        let mut session = Session::new(&subjects, plan).unwrap();
        // Of fewer than twenty probes the best is the best. The fourth shows the first three to be bad.
        let rate = |read| if read < NO_TIME.samples { 50.0 } else { 100.0 };
        session.pools.get_mut(&1).unwrap().1 = Witness::scripted(rate);
        let mut heard = Vec::new();
        session.visit(0, ("round", None), &mut |step| heard.push(step.part.to_owned())).unwrap();
        session.take_again(&mut |step| heard.push(step.part.to_owned())).unwrap();
        session.take_again(&mut |step| heard.push(step.part.to_owned())).unwrap();
        assert_eq!(heard, ["round", "once more"]);
        let taken = &session.taken()[0];
        assert!(quiet(&taken.witnesses.disturbed) >= plan.samples, "{:?}", taken.witnesses.disturbed);
        assert!(taken.witnesses.disturbed[0] && taken.witnesses.arithmetic[0] == 0.5);
        assert_eq!(taken.samples_ns.len(), taken.witnesses.disturbed.len(), "all samples are kept");
    }

    #[test]
    fn rounds_go_on_while_there_is_time() {
        let subject = Subject::new(String::new(), (1, false), |timer: &mut Timer<'_>| {
            timer.time(|| ());
            Ok(())
        });
        let plan = Plan { total: Duration::from_secs(3600), ..NO_TIME };
        assert_eq!(take(&[subject], plan, 1, &mut |_| ()).unwrap().0[0].samples_ns.len(), 5 * 3);
    }

    #[test]
    fn short_runs_share_a_sample_and_the_first_does_not_count() {
        let count = AtomicUsize::new(0);
        let plan = Plan { rounds: (1, 1), visit: Duration::from_millis(20), samples: 1, ..NO_TIME };
        let subject = Subject::new(String::new(), (1, false), |timer: &mut Timer<'_>| {
            timer.time(|| _ = count.fetch_add(1, Ordering::Relaxed));
            Ok(())
        });
        let (samples, ..) = take(&[subject], plan, 1, &mut |_| ()).unwrap();
        let taken = samples[0].samples_ns.len();
        assert!(count.load(Ordering::Relaxed) > 4 * taken, "{count:?} runs, {samples:?}");
    }
}
