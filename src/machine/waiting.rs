//! What kept this process from running: its threads waited for a CPU, or the hypervisor ran another guest on one.
//!
//! Linux counts both: the time that each thread waited on a run queue in `/proc/self/task/*/schedstat`, and the time
//! stolen from the CPUs in `/proc/stat`, in hundredths of a second.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Files;

/// Of the time in `/proc/stat`, as user space sees it on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    /// Nanoseconds that each thread of this process has waited for a CPU.
    threads: BTreeMap<u32, u64>,
    /// Ticks stolen from each CPU of the machine on average.
    stolen: Option<u64>,
}

impl Waiting {
    /// The counts now; without threads and stolen time where the system tells of none.
    pub fn now() -> Self {
        Files::of_this_machine().waiting()
    }

    /// The longest that any thread has waited since `earlier`; zero where the system does not tell.
    pub fn longest_since(&self, earlier: &Self) -> Duration {
        let waited = |(thread, &now): (&u32, &u64)| now.saturating_sub(*earlier.threads.get(thread).unwrap_or(&now));
        Duration::from_nanos(self.threads.iter().map(waited).max().unwrap_or(0))
    }

    /// The time stolen from each CPU of the machine on average since `earlier`; `None` where the system does not tell.
    pub fn stolen_since(&self, earlier: &Self) -> Option<Duration> {
        let ticks = self.stolen?.saturating_sub(earlier.stolen?);
        Some(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

impl Files {
    fn waiting(&self) -> Waiting {
        let tasks = std::fs::read_dir(self.root.join("proc/self/task")).into_iter().flatten().flatten();
        let of_thread = |name: std::ffi::OsString| {
            let thread = name.to_str()?;
            let counts = self.read(&format!("/proc/self/task/{thread}/schedstat"))?;
            Some((thread.parse().ok()?, counts.split_whitespace().nth(1)?.parse().ok()?))
        };
        Waiting { threads: tasks.filter_map(|task| of_thread(task.file_name())).collect(), stolen: self.stolen() }
    }

    /// The eighth number of the line of all CPUs, by the number of lines of single ones.
    fn stolen(&self) -> Option<u64> {
        let text = self.read("/proc/stat")?;
        let all: u64 =
            text.lines().find_map(|line| line.strip_prefix("cpu "))?.split_whitespace().nth(7)?.parse().ok()?;
        let cpus = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count() as u64;
        all.checked_div(cpus)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Imitation;
    use super::*;

    const STAT: &str = "cpu  1 2 3 4 5 6 7 40 0 0\ncpu0 1 2 3 4 5 6 7 20 0 0\ncpu1 1 2 3 4 5 6 7 20 0 0";

    #[test]
    fn the_thread_that_waited_longest_counts() {
        let machine = Imitation::new(&[
            ("/proc/self/task/7/schedstat", "100 2000 3"),
            ("/proc/self/task/8/schedstat", "100 500 3"),
            ("/proc/stat", STAT),
        ]);
        let before = machine.files().waiting();
        machine.write("/proc/self/task/7/schedstat", "100 2500 3");
        machine.write("/proc/self/task/8/schedstat", "100 9500 3");
        machine.write("/proc/self/task/9/schedstat", "100 99999 3");
        machine.write("/proc/stat", &STAT.replace(" 40 ", " 46 "));
        let after = machine.files().waiting();
        assert_eq!(after.longest_since(&before), Duration::from_nanos(9_000), "a new thread is not one that waited");
        assert_eq!(after.stolen_since(&before), Some(3 * TICK), "each of two");
        assert_eq!(before.longest_since(&after), Duration::ZERO);
    }

    #[test]
    fn a_system_that_does_not_tell_is_no_witness() {
        let machine = Imitation::new(&[("/proc/self/task/7/other", ""), ("/proc/stat", "intr 5")]);
        let nothing = machine.files().waiting();
        assert_eq!((nothing.longest_since(&nothing), nothing.stolen_since(&nothing)), (Duration::ZERO, None));
    }
}
