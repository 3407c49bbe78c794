//! Files packed by gzip, whatever their names: unpacked once into the cache, by streaming, and never beyond the size
//! their IDX header announces.
//!
//! Relies on `flate2` for the decoder and on `sha2` for a name that changes when the archive does.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::idx::{Header, Kind, MAX_HEADER};
use crate::error::{Error, IdxProblem, Result};
use crate::files::write_atomically;
use crate::hex::hex;

/// What every gzip member begins with.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether the file begins as gzip does.
///
/// # Errors
///
/// [`Error::Io`] when it cannot be read.
pub(super) fn is_packed(path: &Path) -> Result<bool> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut start = [0; 2];
    let read = fill(&mut file, &mut start).map_err(Error::io(path, "read"))?;
    Ok(start[..read] == MAGIC)
}

/// What is packed in the members of an archive, one after the other. Zeros behind a member, which tapes and object
/// stores leave, are no part of it.
struct Members<R: BufRead> {
    /// Absent behind the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The member that follows, or `None` where nothing does but zeros.
fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = rest.fill_buf()?;
        match bytes.iter().position(|&byte| byte != 0) {
            None if bytes.is_empty() => return Ok(None),
            None => {
                let count = bytes.len();
                rest.consume(count);
            }
            Some(zeros) if bytes[zeros] == MAGIC[0] => {
                rest.consume(zeros);
                return Ok(Some(GzDecoder::new(rest)));
            }
            Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, "trailing bytes after the gzip stream")),
        }
    }
}

/// A reader of what is packed in the archive.
///
/// # Errors
///
/// [`Error::Io`] when it cannot be opened.
pub(super) fn reader(gz: &Path) -> Result<impl Read> {
    let file = File::open(gz).map_err(Error::io(gz, "open"))?;
    Ok(Members { member: Some(GzDecoder::new(BufReader::new(file))) })
}

/// The unpacked form of an archive, made in `cache` unless it is there already.
///
/// # Errors
///
/// [`Error::Idx`], naming the archive, when it is damaged or what it holds is not an IDX file of this kind and of the
/// length its header announces; [`Error::Io`] when the cache cannot be written.
pub(super) fn unpack_once(gz: &Path, kind: Kind, cache: &Path) -> Result<PathBuf> {
    let target = target(gz, cache)?;
    if target.exists() { Ok(target) } else { unpack_again(gz, kind, cache) }
}

/// The unpacked form of an archive, made anew in `cache`.
///
/// # Errors
///
/// Those of [`unpack_once`].
pub(super) fn unpack_again(gz: &Path, kind: Kind, cache: &Path) -> Result<PathBuf> {
    let target = target(gz, cache)?;
    let mut packed = reader(gz)?;
    write_atomically(&target, |file| unpack(gz, &mut packed, kind, &target, file))?;
    Ok(target)
}

/// Where in `cache` the unpacked form of an archive lies.
fn target(gz: &Path, cache: &Path) -> Result<PathBuf> {
    Ok(cache.join("unpacked").join(cached_name(gz)?))
}

/// A name that stands for this state of this archive: a hash of its full path, its length and its time of change, then
/// its own name.
fn cached_name(gz: &Path) -> Result<String> {
    let failed = "look at";
    let full = fs::canonicalize(gz).map_err(Error::io(gz, failed))?;
    let metadata = fs::metadata(gz).map_err(Error::io(gz, failed))?;
    let modified = metadata.modified().map_err(Error::io(gz, failed))?;
    let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let hash = Sha256::new()
        .chain_update(full.as_os_str().as_encoded_bytes())
        .chain_update(metadata.len().to_le_bytes())
        .chain_update(modified.to_le_bytes())
        .finalize();
    let stem = full.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(format!("{}-{stem}", &hex(&hash)[..16]))
}

/// Copies the unpacked stream into `file`, stopping at the first sign that it is not what its header says.
fn unpack(gz: &Path, packed: &mut impl Read, kind: Kind, target: &Path, file: &mut File) -> Result<()> {
    let fail = |problem| Error::Idx { path: gz.to_path_buf(), problem };
    let damaged = |error: std::io::Error| fail(IdxProblem::Gzip { reason: error.to_string() });
    let mut buffer = vec![0; 1 << 16];
    let start = fill(packed, &mut buffer[..MAX_HEADER]).map_err(damaged)?;
    let header = Header::parse(&buffer[..start], kind).map_err(fail)?;
    let (mut total, mut read) = (0, start);
    while read > 0 && total <= header.file_bytes {
        file.write_all(&buffer[..read]).map_err(Error::io(target, "write"))?;
        total += read as u64;
        read = packed.read(&mut buffer).map_err(damaged)?;
    }
    header.check_length(total + read as u64).map_err(fail)
}

/// Reads until `buffer` is full or the stream ends; returns the bytes read.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
