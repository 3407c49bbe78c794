//! What is read from outside, one function for each form: whatever the bytes are, reading them ends in a value that is
//! sound or in an error of one line, takes memory in proportion to the file, and never panics.
//!
//! The property tests beside this file and the fuzz targets of `tools/fuzz` call these functions.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ffwd::bench::compare::{Comparison, html, markdown, read};
use ffwd::checkpoint::{self, Model};
use ffwd::config::Config;
use ffwd::data::{IdxImages, IdxLabels};
use ffwd::internals::with_right_sum;
use ffwd::train::stored::StoredState;
use ffwd::{Error, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::meter::metered;

/// A form of input: its name, which is that of its corpus, and what reads it.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 6] =
    [("idx", idx), ("gzip", gzip), ("config", config), ("model", model), ("state", state), ("report", report)];

/// The most that reading takes whatever the file is: messages, paths, buffers of decoders.
const BASE_BYTES: usize = 256 << 10;

thread_local! {
    static DESK: TempDir = tempfile::tempdir().expect("a temporary directory");
}

/// A place for files that this thread has to itself.
fn desk(name: &str) -> PathBuf {
    DESK.with(|desk| desk.path().join(name))
}

fn written(name: &str, content: &[u8]) -> PathBuf {
    let path = desk(name);
    fs::write(&path, content).expect("a temporary file");
    path
}

/// Reads within a base and `factor` times the length of the file; the error, if there is one, is a sound one.
fn measured<T>(length: usize, factor: usize, read: impl FnOnce() -> Result<T>) -> Option<T> {
    let (result, bytes) = metered(read);
    assert!(bytes <= BASE_BYTES + factor * length, "{bytes} bytes of memory for a file of {length}");
    result.map_err(check_error).ok()
}

fn check_error(error: Error) {
    let message = error.to_string();
    assert!(!message.is_empty() && message.chars().count() < 5_000, "{message:?}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(message.contains("expected") || matches!(error, Error::Io { .. }), "{message:?}");
}

fn images(path: &Path, length: usize) -> Option<IdxImages> {
    let images = measured(length, 1, || IdxImages::open_with(path, &desk("cache")))?;
    assert_eq!(all(&images).len(), images.count() * images.rows() * images.cols());
    assert!(images.pixels_per_image() > 0 && images.check_unchanged().is_ok());
    Some(images)
}

fn labels(path: &Path, length: usize) -> Option<IdxLabels> {
    let labels = measured(length, 2, || IdxLabels::open_with(path, &desk("cache")))?;
    assert_eq!(labels.values().len(), labels.len());
    Some(labels)
}

/// A file of images or labels, as it is.
pub fn idx(data: &[u8]) {
    let path = written("idx", data);
    if let Some(images) = images(&path, data.len()) {
        let pixels = all(&images);
        if let Ok(transposed) = images.transposed() {
            assert_eq!(all(&transposed).len(), pixels.len());
            assert_eq!(all(&transposed.transposed().expect("it has been transposed")), pixels);
        }
    }
    labels(&path, data.len());
}

/// A packed file. The first byte says how it is made of the others: as they are behind the mark of gzip, or packed in
/// two members with zeros or something else behind them.
pub fn gzip(data: &[u8]) {
    let [form, content @ ..] = data else { return };
    let most_unpacked = 1_100;
    if form & 0x80 != 0 {
        let path = written("gz", &[&[0x1f, 0x8b], content].concat());
        images(&path, most_unpacked * content.len());
        labels(&path, most_unpacked * content.len());
    } else {
        let first = content.len() * usize::from(form & 7) / 7;
        let tail: &[u8] = match form >> 3 & 3 {
            0 => &[],
            1 => &[0; 512],
            2 => &[0, 0, 7],
            _ => b"trailing",
        };
        let packed = [member(&content[..first]), member(&content[first..]), tail.to_vec()].concat();
        let (packed, plain) = (written("gz", &packed), written("plain", content));
        let is_whole = tail.iter().all(|&byte| byte == 0);
        let (found, expected) = (images(&packed, content.len()), images(&plain, content.len()));
        let pixels = all;
        assert_eq!(found.as_ref().map(pixels), expected.as_ref().map(pixels).filter(|_| is_whole));
        let (found, expected) = (labels(&packed, content.len()), labels(&plain, content.len()));
        let values = |labels: &IdxLabels| labels.values().to_vec();
        assert_eq!(found.as_ref().map(values), expected.as_ref().map(values).filter(|_| is_whole));
    }
    let _ = fs::remove_dir_all(desk("cache"));
}

fn member(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("a vector takes everything")
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let path = written("config.toml", data);
    let Some(config) = measured(data.len(), 500, || Config::resolve(Some(&path), toml::Table::new())) else { return };
    let again = written("again.toml", config.to_toml().as_bytes());
    assert_eq!(Config::resolve(Some(&again), toml::Table::new()).expect("a stored configuration"), config);
}

/// A model.
pub fn model(data: &[u8]) {
    let path = written("model.safetensors", data);
    let Some(Model { network, origin, .. }) = measured(data.len(), 50, || checkpoint::load(&path)) else { return };
    let again = desk("again.safetensors");
    checkpoint::save(&network, &origin, &again).expect("what could be read can be written");
    let found = checkpoint::load(&again).expect("what was written can be read");
    assert_eq!((found.network, found.origin, found.is_checked), (network, origin, true));
}

/// A checkpoint, of a run on images of 8 x 7 pixels, as it is and with the sum of what it holds.
pub fn state(data: &[u8]) {
    checkpoint_file(data);
    if let Some(summed) = with_right_sum(data) {
        checkpoint_file(&summed);
    }
}

fn checkpoint_file(data: &[u8]) {
    let directory = desk("run");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("a temporary directory");
    written("run/checkpoint.safetensors", data);
    let Some(config) = measured(data.len(), 500, || StoredState::config_in(&directory)) else { return };
    let read = || StoredState::load_from(&directory, &config, (8, 7));
    let Some((mut stored, damage)) = measured(data.len(), 50, read) else { return };
    assert!(damage.is_none());
    stored.save_in(&directory).expect("what could be read can be written");
    let (again, _) = StoredState::load_from(&directory, &config, (8, 7)).expect("what was written can be read");
    assert_eq!(again, stored);
}

/// A benchmark report, and its comparison with itself.
pub fn report(data: &[u8]) {
    let path = written("report.json", data);
    let Some(file) = measured(data.len(), 100, || read::read(&path)) else { return };
    let comparison = Comparison::new(&[file.clone(), file]);
    assert!(markdown::page(&comparison).contains("report"));
    assert!(html::page(&comparison).contains("</html>"));
}

/// The pixels of all images.
fn all(images: &IdxImages) -> Vec<u8> {
    images.bytes_of(0..images.count()).into_owned()
}
