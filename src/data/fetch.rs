//! Downloads of the public data sets: from the first mirror that works, checked by SHA-256 before a file gets its name.
//!
//! `ureq` talks to the mirrors (it heeds the proxy variables of the environment), `flate2` unpacks while the data comes
//! in, and the sums come from `known`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use ureq::{Agent, Proxy};

use super::known::{KnownFile, KnownSet};
use crate::error::{Error, FailedMirror, Result};
use crate::files::write_atomically;
use crate::hex::hex;

/// The most bytes that are taken from a mirror for one packed file.
const MAX_DOWNLOAD: u64 = 64 << 20;
/// How every gzip stream starts.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How long to wait for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to be made, the look-up of the host included.
    pub connect: Duration,
    /// For the next bytes of a transfer.
    pub stall: Duration,
    /// For everything, all files and mirrors together.
    pub total: Duration,
}

impl Timeouts {
    /// For a download the user asked for: 10 s to connect, 20 s for the next bytes, 10 minutes in all.
    pub const PATIENT: Self =
        Self { connect: Duration::from_secs(10), stall: Duration::from_secs(20), total: Duration::from_secs(600) };
    /// For an attempt the user did not ask for: 3 s to connect, 5 s for the next bytes, 15 s in all.
    pub const BRIEF: Self =
        Self { connect: Duration::from_secs(3), stall: Duration::from_secs(5), total: Duration::from_secs(15) };
}

/// Why a file did not come from a mirror.
enum Failure {
    /// The mirror's fault: another may do better.
    Mirror(String),
    /// The fault is here, so another mirror would not help.
    Local(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Local(error)
    }
}

/// Downloads a data set into the directory `cache/NAME`, unpacked, and returns that directory.
///
/// Files that are there and have the right sum are kept. The others are taken from the set's mirrors in order, or from
/// `mirror` alone if it is given; a mirror that fails in any way gives way to the next, which continues with the file
/// at fault. `progress` is told in one line each about a file that is downloaded and a mirror that failed.
///
/// # Errors
///
/// [`Error::Fetch`] with the reason of every mirror when none delivers, [`Error::Io`] when the cache cannot be written.
pub fn fetch(
    set: &KnownSet,
    mirror: Option<&str>,
    cache: &Path,
    timeouts: &Timeouts,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let directory = cache.join(set.name);
    let start = Instant::now();
    let mut missing: Vec<_> = set.files.iter().filter(|file| !is_sound(&directory.join(file.name), file)).collect();
    if missing.is_empty() {
        return Ok(directory);
    }
    let mut attempts = Vec::new();
    let mirrors = mirror.as_ref().map_or(set.mirrors, std::slice::from_ref);
    for mirror in mirrors {
        let mut next = |file: &KnownFile| {
            let url = format!("{}/{}.gz", mirror.trim_end_matches('/'), file.name);
            progress(&format!("downloading {url}"));
            let agent = agent(&url, timeouts, timeouts.total.saturating_sub(start.elapsed()));
            download(&agent, &url, file, &directory.join(file.name))
        };
        let Some(failed) = deliver(mirror, &mut missing, &mut next)? else { return Ok(directory) };
        progress(&failed.to_string());
        attempts.push(failed);
    }
    Err(Error::Fetch { name: set.name.to_owned(), attempts })
}

/// Takes the missing files from one mirror until none is missing (`None`) or the mirror fails.
fn deliver(
    mirror: &str,
    missing: &mut Vec<&KnownFile>,
    download: &mut dyn FnMut(&KnownFile) -> std::result::Result<(), Failure>,
) -> Result<Option<FailedMirror>> {
    while let Some(file) = missing.first() {
        match download(file) {
            Ok(()) => missing.remove(0),
            Err(Failure::Local(error)) => return Err(error),
            Err(Failure::Mirror(reason)) => {
                let reason = format!("{}.gz: {reason}", file.name);
                return Ok(Some(FailedMirror { mirror: mirror.to_owned(), reason }));
            }
        };
    }
    Ok(None)
}

/// Whether a file is there with the right length and sum.
fn is_sound(path: &Path, file: &KnownFile) -> bool {
    let Ok(mut stream) = File::open(path) else { return false };
    let Ok((sum, bytes)) = copy(&mut stream, file.bytes, |_| Ok(())) else { return false };
    check(file, &sum, bytes).is_ok()
}

/// A client for one request, which ends after `left`.
fn agent(url: &str, timeouts: &Timeouts, left: Duration) -> Agent {
    // A server on this machine is not behind a proxy.
    let proxy = if is_local(url) { None } else { Proxy::try_from_env() };
    let config = Agent::config_builder()
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.stall))
        .timeout_per_read(Some(timeouts.stall))
        .timeout_global(Some(left))
        .accept_encoding("identity")
        .proxy(proxy);
    config.build().into()
}

fn is_local(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default().split(['/', ':']).next();
    host.is_some_and(|host| host == "localhost" || host.starts_with("127."))
}

/// Downloads, unpacks and checks one file, which gets its name only when its sum is right.
fn download(agent: &Agent, url: &str, file: &KnownFile, path: &Path) -> std::result::Result<(), Failure> {
    let response = agent.get(url).call().map_err(|error| Failure::Mirror(error.to_string()))?;
    let mut body = BufReader::new(response.into_body().into_with_config().limit(MAX_DOWNLOAD).reader());
    // Some servers declare the packing to be that of the transfer, and then the client has already undone it.
    let packed = body.fill_buf().map_err(damaged)?.starts_with(&GZIP_MAGIC);
    let mut unpacked: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) };
    write_atomically(path, |out| {
        let (sum, bytes) =
            copy(&mut unpacked, file.bytes, |bytes| out.write_all(bytes).map_err(Error::io(path, "write")))?;
        check(file, &sum, bytes)
    })
}

/// Passes a stream on in pieces, up to the first piece that goes beyond `limit` bytes; returns the SHA-256 (in
/// hexadecimal) and the number of bytes passed on.
fn copy(
    stream: &mut dyn Read,
    limit: u64,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> std::result::Result<(String, u64), Failure> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    while bytes <= limit {
        let read = stream.read(&mut buffer).map_err(damaged)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        write(&buffer[..read])?;
        bytes += read as u64;
    }
    Ok((hex(&hash.finalize()), bytes))
}

fn check(file: &KnownFile, sum: &str, bytes: u64) -> std::result::Result<(), Failure> {
    if bytes > file.bytes {
        return Err(Failure::Mirror(format!("found more than the {} bytes expected once unpacked", file.bytes)));
    }
    if bytes < file.bytes {
        return Err(Failure::Mirror(format!("found {bytes} bytes once unpacked, expected {}", file.bytes)));
    }
    if sum != file.sha256 {
        return Err(Failure::Mirror(format!("found SHA-256 {sum} once unpacked, expected {}", file.sha256)));
    }
    Ok(())
}

/// A transfer or an archive that broke off.
fn damaged(error: io::Error) -> Failure {
    Failure::Mirror(error.to_string())
}
