//! What stands beside a sample and tells whether the machine was left to it: probes before and behind it, and how long
//! threads waited for a CPU in between.

use std::time::{Duration, Instant};

use super::probe::{Probe, QUIET, QUIET_MEMORY, WAITING};
use crate::machine::Waiting;

/// A probe that is not older than this is the one before the next sample as well.
const FRESH: Duration = Duration::from_micros(500);

/// One probe of so many may be better than the best that counts: clocks rise for a moment, and a copy may find its
/// operands in a cache.
const LUCKY: usize = 20;

/// The probes of a pool, with the best that they got so far. Made and used in a pool of as many threads.
#[derive(Debug)]
pub struct Witness {
    source: Source,
    rates: Rates,
    last: Option<(Instant, Reading)>,
}

/// Where readings come from.
#[derive(Debug)]
enum Source {
    Probe(Probe),
    /// Given ones: the GFLOP/s of each by its number.
    #[cfg(test)]
    Script {
        rate: fn(usize) -> f64,
        read: usize,
    },
}

impl Source {
    fn read(&mut self, uses_memory: bool) -> Reading {
        match self {
            Self::Probe(probe) => {
                let memory = uses_memory.then(|| probe.memory());
                Reading { arithmetic: probe.arithmetic(), memory }
            }
            #[cfg(test)]
            Self::Script { rate, read } => {
                *read += 1;
                Reading { arithmetic: rate(*read - 1), memory: None }
            }
        }
    }

    /// What the threads of this process have waited for CPUs so far.
    fn waited(&self) -> Waiting {
        match self {
            Self::Probe(_) => Waiting::now(),
            #[cfg(test)]
            Self::Script { .. } => Waiting::default(),
        }
    }
}

/// What all probes got.
#[derive(Debug, Default)]
struct Rates {
    arithmetic: Best,
    memory: Best,
}

/// The best of some rates, lucky ones apart.
#[derive(Debug, Default)]
struct Best {
    /// In descending order.
    rates: Vec<f64>,
}

impl Best {
    fn add(&mut self, rate: f64) {
        let place = self.rates.partition_point(|&other| other > rate);
        self.rates.insert(place, rate);
    }

    /// `rate` as a share of the best, at most 1.
    fn share(&self, rate: f64) -> f64 {
        self.rates.get(self.rates.len() / LUCKY).map_or(1.0, |best| (rate / best).min(1.0))
    }
}

/// What probes got.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// In GFLOP/s.
    arithmetic: f64,
    /// In GB/s; `None` where memory was not probed.
    memory: Option<f64>,
}

/// What was seen beside one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The worse of the probes before and behind it.
    worse: Reading,
    /// The share of the time up to the end of the probe behind it that the thread that waited longest waited for a CPU.
    pub waiting: f64,
}

impl Default for Witness {
    fn default() -> Self {
        Self::new()
    }
}

impl Witness {
    /// A witness that has seen nothing, for the current pool.
    pub fn new() -> Self {
        Self { source: Source::Probe(Probe::new()), rates: Rates::default(), last: None }
    }

    /// A witness whose probe of each number gets a given rate, and whose threads never wait.
    #[cfg(test)]
    pub fn scripted(rate: fn(usize) -> f64) -> Self {
        Self { source: Source::Script { rate, read: 0 }, rates: Rates::default(), last: None }
    }

    /// Runs `run` between two probes, of arithmetic and, if it `uses_memory`, of copying. Returns its result, its time,
    /// and what was seen.
    pub fn watch<T>(&mut self, uses_memory: bool, run: impl FnOnce() -> T) -> (T, Duration, Seen) {
        let before = self.before(uses_memory);
        self.watch_behind(before, run)
    }

    /// The probe before a sample: that behind the one before, if it has just been taken.
    pub fn before(&mut self, uses_memory: bool) -> Reading {
        let last = self.last.filter(|(at, last)| at.elapsed() < FRESH && last.memory.is_some() == uses_memory);
        last.map_or_else(|| self.read(uses_memory), |(_, reading)| reading)
    }

    /// [`Witness::watch`] with a probe that has been taken.
    pub fn watch_behind<T>(&mut self, before: Reading, run: impl FnOnce() -> T) -> (T, Duration, Seen) {
        let waited = self.source.waited();
        let start = Instant::now();
        let result = run();
        let time = start.elapsed();
        let behind = self.read(before.memory.is_some());
        // Only now, because a thread that still waits is not counted: in the probe every thread has run again.
        let waited = self.source.waited().longest_since(&waited);
        let waiting = waited.as_secs_f64() / start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        (result, time, Seen { worse: before.worse(behind), waiting: waiting.min(1.0) })
    }

    fn read(&mut self, uses_memory: bool) -> Reading {
        let reading = self.source.read(uses_memory);
        self.rates.add(reading);
        self.last = Some((Instant::now(), reading));
        reading
    }

    /// What the worse multiply-adds beside a sample got, as a share of the best so far.
    pub fn arithmetic(&self, seen: &Seen) -> f64 {
        self.rates.arithmetic(seen)
    }

    /// What the worse copy beside a sample got, as a share of the best so far; 1 where nothing was copied.
    pub fn memory(&self, seen: &Seen) -> f64 {
        self.rates.memory(seen)
    }

    /// Whether a sample is disturbed, as far as can be told by now.
    pub fn is_disturbed(&self, seen: &Seen) -> bool {
        self.rates.is_disturbed(seen)
    }
}

impl Rates {
    fn add(&mut self, Reading { arithmetic, memory }: Reading) {
        self.arithmetic.add(arithmetic);
        memory.into_iter().for_each(|memory| self.memory.add(memory));
    }

    fn arithmetic(&self, seen: &Seen) -> f64 {
        self.arithmetic.share(seen.worse.arithmetic)
    }

    fn memory(&self, seen: &Seen) -> f64 {
        seen.worse.memory.map_or(1.0, |memory| self.memory.share(memory))
    }

    fn is_disturbed(&self, seen: &Seen) -> bool {
        self.arithmetic(seen) < QUIET || self.memory(seen) < QUIET_MEMORY || seen.waiting > WAITING
    }
}

impl Reading {
    fn worse(self, other: Self) -> Self {
        let memory = self.memory.zip(other.memory).map(|(one, another)| one.min(another));
        Self { arithmetic: self.arithmetic.min(other.arithmetic), memory }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(arithmetic: f64, memory: Option<f64>, waiting: f64) -> Seen {
        Seen { worse: Reading { arithmetic, memory }, waiting }
    }

    /// The rates of some probes.
    fn rates(arithmetic: &[f64], memory: &[f64]) -> Rates {
        let mut rates = Rates::default();
        arithmetic.iter().for_each(|&rate| rates.arithmetic.add(rate));
        memory.iter().for_each(|&rate| rates.memory.add(rate));
        rates
    }

    #[test]
    fn a_slow_probe_or_a_waiting_thread_disturbs() {
        let rates = rates(&[150.0, 200.0], &[20.0, 3.0]);
        let disturbed = |seen: Seen| rates.is_disturbed(&seen);
        assert!(!disturbed(seen(199.0, Some(19.0), 0.001)));
        assert!(!disturbed(seen(199.0, None, 0.001)), "memory is no witness where it was not probed");
        assert!(disturbed(seen(110.0, Some(19.0), 0.0)));
        assert!(!disturbed(seen(199.0, Some(11.0), 0.0)), "copies differ more");
        assert!(disturbed(seen(199.0, Some(9.0), 0.0)));
        assert!(disturbed(seen(199.0, Some(19.0), 0.3)));
        let half = seen(100.0, Some(15.0), 0.0);
        assert_eq!((rates.arithmetic(&half), rates.memory(&half)), (0.5, 0.75));
    }

    #[test]
    fn a_better_probe_later_turns_an_earlier_sample_into_a_disturbed_one() {
        let sample = seen(100.0, None, 0.0);
        assert!(!rates(&[100.0], &[]).is_disturbed(&sample));
        assert!(rates(&[100.0, 200.0], &[]).is_disturbed(&sample));
    }

    #[test]
    fn one_lucky_probe_of_twenty_is_not_the_best() {
        let probes: Vec<f64> = (0..LUCKY).map(|number| if number == 7 { 150.0 } else { 100.0 }).collect();
        let sample = seen(99.0, None, 0.0);
        assert_eq!(rates(&probes, &[]).arithmetic(&sample), 0.99);
        assert!(rates(&probes[..LUCKY - 1], &[]).is_disturbed(&sample), "of fewer the best is the best");
    }

    #[test]
    fn a_run_is_timed_and_its_result_kept() {
        let mut witness = Witness::new();
        let pause = Duration::from_millis(3);
        let (result, time, seen) = witness.watch(true, || {
            std::thread::sleep(pause);
            7
        });
        assert!(result == 7 && time >= pause);
        let shares = [witness.arithmetic(&seen), witness.memory(&seen), seen.waiting];
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    }
}
