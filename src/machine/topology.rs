//! CPUs and caches, as Linux describes them under `/sys/devices/system/cpu`.

use super::{Cache, Files};

/// Where the CPUs are described.
pub(super) const CPUS: &str = "/sys/devices/system/cpu";

/// More CPUs or nodes than any machine has: a list with a larger number is malformed.
const MOST: usize = 1 << 16;

/// More caches than any CPU has.
const MOST_CACHES: usize = 16;

impl Files {
    /// The logical CPUs that are switched on and that this process's affinity allows.
    pub(super) fn cpus(&self) -> Option<Vec<usize>> {
        let online = self.list(&format!("{CPUS}/online"));
        let allowed = self.field("/proc/self/status", "Cpus_allowed_list").and_then(|list| parse_list(&list));
        match (online, allowed) {
            // A mask of what is allowed may name CPUs that are not there.
            (Some(online), Some(allowed)) => Some(online.into_iter().filter(|cpu| allowed.contains(cpu)).collect()),
            (online, allowed) => online.or(allowed),
        }
    }

    /// The first of [`Files::cpus`], which stands for all where they are alike.
    pub(super) fn first_cpu(&self) -> usize {
        self.cpus().and_then(|cpus| cpus.first().copied()).unwrap_or(0)
    }

    /// The caches of `cpu`, those closest to the core first.
    pub(super) fn caches(&self, cpu: usize) -> Vec<Cache> {
        let cache = |index| self.cache(&format!("{CPUS}/cpu{cpu}/cache/index{index}"));
        let mut caches: Vec<Cache> = (0..MOST_CACHES).filter_map(cache).collect();
        caches.sort_by(|a, b| (a.level, &a.kind).cmp(&(b.level, &b.kind)));
        caches
    }

    /// The cache that the files in `directory` describe.
    fn cache(&self, directory: &str) -> Option<Cache> {
        let field = |name| self.read(&format!("{directory}/{name}"));
        Some(Cache {
            level: field("level")?.parse().ok()?,
            kind: field("type")?,
            bytes: parse_size(&field("size")?)?,
            shared_by: field("shared_cpu_list").and_then(|list| parse_list(&list)).map(|cpus| cpus.len()),
        })
    }

    /// The numbers that a file lists.
    pub(super) fn list(&self, path: &str) -> Option<Vec<usize>> {
        parse_list(&self.read(path)?)
    }
}

/// Numbers as `/sys` lists them: `0-3,8,10-11`.
fn parse_list(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last >= MOST || first > last {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// A size in bytes as `/sys` writes it: `32K`, `1M`.
fn parse_size(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(['K', 'M']);
    let unit = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|&number| number > 0)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Imitation;
    use super::*;

    #[test]
    fn lists_and_sizes_are_read_as_they_are_written() {
        assert_eq!(parse_list("0-2,8,10-11"), Some(vec![0, 1, 2, 8, 10, 11]));
        assert_eq!(parse_list("5"), Some(vec![5]));
        assert_eq!(["", "3-1", "x", "1-", "0-99999999999"].map(parse_list), [const { None }; 5]);
        assert_eq!(
            [parse_size("32K"), parse_size("2M"), parse_size("512")],
            [Some(32 << 10), Some(2 << 20), Some(512)]
        );
        assert_eq!(["", "K", "0K", "3KM", "many", "99999999999999999M"].map(parse_size), [None; 6]);
    }

    #[test]
    fn affinity_is_respected() {
        let imitation = Imitation::new(&[
            ("/sys/devices/system/cpu/online", "0-3"),
            ("/proc/self/status", "Name:\tx\nCpus_allowed:\tfffe\nCpus_allowed_list:\t3-127"),
        ]);
        assert_eq!(imitation.files().cpus(), Some(vec![3]));
    }

    #[test]
    fn caches_are_those_of_the_first_allowed_cpu_and_in_order() {
        let imitation = Imitation::new(&[("/proc/self/status", "Cpus_allowed_list:\t1-3")]);
        let describe = |index: usize, fields: [&str; 4]| {
            for (name, value) in ["level", "type", "size", "shared_cpu_list"].iter().zip(fields) {
                imitation.write(&format!("{CPUS}/cpu1/cache/index{index}/{name}"), value);
            }
        };
        describe(0, ["3", "Unified", "32M", "0-3"]);
        describe(1, ["1", "Data", "48K", "1,3"]);
        describe(2, ["2", "Unified", "no size", "1"]);
        let expected = [(1, "Data", 48 << 10, Some(2)), (3, "Unified", 32 << 20, Some(4))];
        let expected =
            expected.map(|(level, kind, bytes, shared_by)| Cache { level, kind: kind.into(), bytes, shared_by });
        let files = imitation.files();
        assert_eq!(files.caches(files.first_cpu()), expected);
    }
}
