//! Downloads against a small server on this machine that behaves, and misbehaves, as mirrors do.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ffwd::Error;
use ffwd::data::fetch::{Timeouts, fetch};
use ffwd::data::known::{self, KnownFile, KnownSet};
use ffwd::error::FailedMirror;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Longer than a server on this machine takes, however busy it is.
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(60), stall: Duration::from_secs(60), total: Duration::from_secs(600) };
/// For mirrors that are silent: short enough to wait for in a test, and long enough for the one that works.
const SHORT_TIMEOUTS: Timeouts = Timeouts { stall: Duration::from_secs(4), ..TIMEOUTS };

/// What the server answers when asked for a file.
#[derive(Clone)]
enum Answer {
    /// The whole body.
    Body(Vec<u8>),
    /// A body whose packing is declared to be that of the transfer.
    Encoded(Vec<u8>),
    /// Half of the body, then the end of the connection.
    Half(Vec<u8>),
    /// Half of the body, then nothing for as long as the client waits.
    Stall(Vec<u8>),
    /// Not even a status line.
    Silence,
    /// Another status.
    Status(&'static str),
}

/// A server whose thread ends with the process; it keeps a list of the paths that were asked for.
struct Mirror {
    url: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    /// Serves the four files as they should be, except those given here.
    fn with(exceptions: &[(&str, Answer)]) -> Self {
        let mut answers: HashMap<String, Answer> =
            NAMES.iter().map(|name| (format!("/base/{name}.gz"), Answer::Body(gz(&content(name))))).collect();
        answers.extend(exceptions.iter().map(|(name, answer)| (format!("/base/{name}.gz"), answer.clone())));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap()).leak();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, log) = (answers.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &answers, &log));
            }
        });
        Self { url, asked }
    }

    /// Serves all four files in one way.
    fn always(answer: impl Fn(Vec<u8>) -> Answer) -> Self {
        Self::with(&NAMES.map(|name| (name, answer(gz(&content(name))))))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request; the connection is closed afterwards.
fn serve(mut stream: TcpStream, answers: &HashMap<String, Answer>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(path) = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)) else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    log.lock().unwrap().push(path.clone());
    let head = |length: usize, more: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n").into_bytes()
    };
    // The client may have left already.
    let mut send = |bytes: &[u8]| _ = stream.write_all(bytes);
    let wait = || std::thread::sleep(Duration::from_secs(3600));
    match answers.get(&path).cloned().unwrap_or(Answer::Status("404 Not Found")) {
        Answer::Body(body) => send(&[head(body.len(), ""), body].concat()),
        Answer::Encoded(body) => send(&[head(body.len(), "Content-Encoding: gzip\r\n"), body].concat()),
        Answer::Half(body) => send(&[&head(body.len(), ""), &body[..body.len() / 2]].concat()),
        Answer::Stall(body) => {
            send(&[&head(body.len(), ""), &body[..body.len() / 2]].concat());
            wait();
        }
        Answer::Silence => wait(),
        Answer::Status(status) => {
            send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
        }
    }
}

/// What a file of the little set must hold once unpacked: bytes that do not pack well.
fn content(name: &str) -> Vec<u8> {
    (0..50u32).flat_map(|i| Sha256::digest([name.as_bytes(), &i.to_le_bytes()].concat()).to_vec()).collect()
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn little_set(mirrors: &[&'static str]) -> KnownSet {
    let files = NAMES.map(|name| {
        let content = content(name);
        let sha256: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        KnownFile { name, bytes: content.len() as u64, sha256: sha256.leak() }
    });
    KnownSet { name: "little", torchvision: "Little", mirrors: mirrors.to_vec().leak(), files }
}

/// Downloads the little set; returns the lines of progress as well.
fn run(mirrors: &[&'static str], only: Option<&str>, cache: &Path) -> (ffwd::Result<PathBuf>, Vec<String>) {
    run_within(&TIMEOUTS, mirrors, only, cache)
}

/// The same with other time limits.
fn run_within(
    timeouts: &Timeouts,
    mirrors: &[&'static str],
    only: Option<&str>,
    cache: &Path,
) -> (ffwd::Result<PathBuf>, Vec<String>) {
    let mut lines = Vec::new();
    let result = fetch(&little_set(mirrors), only, cache, timeouts, &mut |line| lines.push(line.to_owned()));
    (result, lines)
}

#[track_caller]
fn assert_complete(directory: &Path) {
    for name in NAMES {
        assert!(fs::read(directory.join(name)).unwrap() == content(name), "{name}");
    }
    assert_eq!(fs::read_dir(directory).unwrap().count(), NAMES.len(), "something was left behind");
}

/// The reasons in the error that all mirrors failed.
#[track_caller]
fn attempts(result: ffwd::Result<PathBuf>) -> Vec<FailedMirror> {
    match result.unwrap_err() {
        Error::Fetch { attempts, .. } => attempts,
        other => panic!("{other:?}"),
    }
}

/// A mirror that fails in this way, at the file `a`, with a reason that says so, gives way to one that works.
#[track_caller]
fn gives_way(bad: &Mirror, reason: &str) {
    gives_way_within(&TIMEOUTS, bad, reason);
}

/// The same with other time limits.
#[track_caller]
fn gives_way_within(timeouts: &Timeouts, bad: &Mirror, reason: &str) {
    let cache = tempfile::tempdir().unwrap();
    let good = Mirror::with(&[]);
    let (result, lines) = run_within(timeouts, &[bad.url, good.url], None, cache.path());
    assert_complete(&result.unwrap());
    let failures: Vec<_> = lines.iter().filter(|line| !line.starts_with("downloading ")).collect();
    assert_eq!(failures.len(), 1, "{lines:?}");
    assert!(failures[0].starts_with(bad.url) && failures[0].contains("a.gz: "), "{failures:?}");
    assert!(failures[0].contains(reason), "{failures:?} does not say {reason:?}");
}

#[test]
fn a_good_mirror_delivers_unpacked_files() {
    let cache = tempfile::tempdir().unwrap();
    let (first, second) = (Mirror::with(&[]), Mirror::with(&[]));
    let (result, lines) = run(&[first.url, second.url], None, &cache.path().join("not/yet/there"));
    let directory = result.unwrap();
    assert_eq!(directory, cache.path().join("not/yet/there/little"));
    assert_complete(&directory);
    assert_eq!(lines, NAMES.map(|name| format!("downloading {}{name}.gz", first.url)));
    assert_eq!(second.asked().len(), 0);
}

#[test]
fn files_that_are_there_are_not_downloaded_again() {
    let cache = tempfile::tempdir().unwrap();
    let mirror = Mirror::with(&[]);
    let directory = run(&[mirror.url], None, cache.path()).0.unwrap();
    assert_eq!(mirror.asked().len(), 4);
    run(&[mirror.url], None, cache.path()).0.unwrap();
    run(&[], None, cache.path()).0.unwrap();
    assert_eq!(mirror.asked().len(), 4);

    // A file that has been damaged since is.
    fs::write(directory.join("c"), b"damaged").unwrap();
    run(&[mirror.url], None, cache.path()).0.unwrap();
    assert_eq!(mirror.asked()[4..], ["/base/c.gz"]);
    assert_complete(&directory);
}

#[test]
fn a_mirror_named_by_the_user_replaces_the_list() {
    let cache = tempfile::tempdir().unwrap();
    let (listed, named) = (Mirror::with(&[]), Mirror::with(&[]));
    let without_slash = named.url.trim_end_matches('/');
    assert_complete(&run(&[listed.url], Some(without_slash), cache.path()).0.unwrap());
    assert_eq!((listed.asked().len(), named.asked().len()), (0, 4));
}

#[test]
fn a_missing_file_gives_way() {
    gives_way(&Mirror::always(|_| Answer::Status("404 Not Found")), "404");
}

#[test]
fn a_server_error_gives_way() {
    gives_way(&Mirror::always(|_| Answer::Status("503 Service Unavailable")), "503");
}

#[test]
fn a_refused_connection_gives_way() {
    // A port on which nobody listens, and which no other test is given.
    gives_way(&Mirror { url: "http://127.0.0.1:1/", asked: Arc::default() }, "refused");
}

#[test]
fn a_truncated_transfer_gives_way() {
    gives_way(&Mirror::always(Answer::Half), "");
}

#[test]
fn a_truncated_archive_gives_way() {
    gives_way(&Mirror::always(|mut body| Answer::Body(body.drain(..body.len() / 2).collect())), "stream");
}

#[test]
fn a_corrupt_archive_gives_way() {
    let corrupt = |mut body: Vec<u8>| {
        let middle = body.len() / 2;
        body[middle] ^= 0x55;
        Answer::Body(body)
    };
    gives_way(&Mirror::always(corrupt), "stream");
}

#[test]
fn a_page_instead_of_a_file_gives_way() {
    gives_way(&Mirror::always(|_| Answer::Body(b"<html>Please log in</html>".to_vec())), "found 26 bytes");
}

#[test]
fn a_file_of_another_set_gives_way() {
    let other = || {
        let mut other = content("a");
        other[0] ^= 1;
        other
    };
    gives_way(&Mirror::always(|_| Answer::Body(gz(&other()))), "found SHA-256 ");
}

#[test]
fn an_archive_that_unpacks_to_too_much_gives_way() {
    let bomb = gz(&vec![0; 30 << 20]);
    gives_way(&Mirror::always(|_| Answer::Body(bomb.clone())), "more than the 1600 bytes");
}

#[test]
fn a_stalled_transfer_gives_way() {
    gives_way_within(&SHORT_TIMEOUTS, &Mirror::always(Answer::Stall), "timeout");
}

#[test]
fn a_server_that_says_nothing_gives_way() {
    gives_way_within(&SHORT_TIMEOUTS, &Mirror::always(|_| Answer::Silence), "timeout");
}

#[test]
fn an_address_that_is_none_gives_way() {
    gives_way(&Mirror { url: "nonsense", asked: Arc::default() }, "");
}

#[test]
fn a_transfer_that_the_client_has_already_unpacked_is_accepted() {
    let cache = tempfile::tempdir().unwrap();
    let mirror = Mirror::always(Answer::Encoded);
    assert_complete(&run(&[mirror.url], None, cache.path()).0.unwrap());
}

#[test]
fn the_next_mirror_continues_where_the_last_one_failed() {
    let cache = tempfile::tempdir().unwrap();
    let first = Mirror::with(&[("c", Answer::Status("404 Not Found"))]);
    let second = Mirror::with(&[]);
    assert_complete(&run(&[first.url, second.url], None, cache.path()).0.unwrap());
    assert_eq!(first.asked(), ["/base/a.gz", "/base/b.gz", "/base/c.gz"]);
    assert_eq!(second.asked(), ["/base/c.gz", "/base/d.gz"]);
}

#[test]
fn when_all_fail_the_error_names_each_with_its_reason() {
    let cache = tempfile::tempdir().unwrap();
    let first = Mirror::always(|_| Answer::Status("404 Not Found"));
    let second = Mirror::with(&[("b", Answer::Body(gz(b"short")))]);
    let (result, lines) = run(&[first.url, second.url], None, cache.path());
    let message = result.as_ref().unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    let attempts = attempts(result);
    assert_eq!(attempts.iter().map(|failed| failed.mirror.as_str()).collect::<Vec<_>>(), [first.url, second.url]);
    assert!(attempts[0].reason.contains("a.gz: ") && attempts[0].reason.contains("404"), "{attempts:?}");
    assert_eq!(attempts[1].reason, "b.gz: found 5 bytes once unpacked, expected 1600");
    for failed in &attempts {
        assert!(message.contains(&failed.to_string()), "{message}");
        assert!(lines.contains(&failed.to_string()), "{lines:?}");
    }
    // What was sound is kept; of the rest there is no trace.
    let left: Vec<_> = fs::read_dir(cache.path().join("little")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["a"]);
}

#[test]
fn the_time_for_everything_is_shared_by_all_mirrors() {
    let cache = tempfile::tempdir().unwrap();
    let mirrors = [Mirror::always(|_| Answer::Silence), Mirror::always(|_| Answer::Silence)];
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { connect: second, stall: 1000 * second, total: second / 2 };
    let start = Instant::now();
    let set = little_set(&[mirrors[0].url, mirrors[1].url]);
    let result = fetch(&set, None, cache.path(), &timeouts, &mut |_| ());
    assert!(start.elapsed() < 500 * second);
    assert_eq!(attempts(result).len(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_is_not_the_mirrors_fault() {
    let cache = tempfile::NamedTempFile::new().unwrap();
    let mirror = Mirror::with(&[]);
    let (result, _) = run(&[mirror.url, mirror.url], None, cache.path());
    assert!(matches!(result, Err(Error::Io { .. })));
    assert_eq!(mirror.asked().len(), 1);
}

#[test]
fn the_public_sets_have_mirrors_and_sums() {
    for set in &known::SETS {
        assert!(set.mirrors.iter().all(|mirror| mirror.starts_with("http") && mirror.ends_with('/')));
        assert!(set.files.iter().all(|file| file.sha256.len() == 64 && file.bytes > 0));
    }
}
