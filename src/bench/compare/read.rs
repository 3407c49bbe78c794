//! Reading a report that anyone may have written: its size, its JSON, its schema, then its values.
//!
//! Relies on serde_json, which limits nesting, and on serde_path_to_error for the place of an error.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::ReportFile;
use super::check::{Fault, check};
use super::text::quoted;
use crate::bench::report::{Report, SCHEMA};
use crate::error::{Error, Result};

/// A report of a thousand kernels has a fiftieth of this.
const MAX_BYTES: u64 = 16 << 20;

/// What every version of every schema of ours has.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// Reads and checks the report at `path`.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::Report`] when it is no report or a value in it cannot be: the
/// message names the field, what was found and what was expected.
pub fn read(path: &Path) -> Result<ReportFile> {
    let bytes = bytes(path)?;
    let report = parse(&bytes).map_err(|fault| fault.at(path))?;
    Ok(ReportFile { path: path.to_path_buf(), report })
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path, "open the report"))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read the report"))?;
    if bytes.len() as u64 > MAX_BYTES {
        let (found, expected) = ("more than 16 MiB", "a report of at most 16 MiB");
        return Err(Fault::new("content", found, expected).at(path));
    }
    Ok(bytes)
}

/// The report in `bytes`. The schema comes first: in a foreign file, no other field means anything.
fn parse(bytes: &[u8]) -> std::result::Result<Report, Fault> {
    let Head { schema } = json(bytes)?;
    if schema != SCHEMA {
        return Err(Fault::new("schema", quoted(&schema), quoted(SCHEMA)));
    }
    let report = json(bytes)?;
    check(&report)?;
    Ok(report)
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, Fault> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| fault(&error.path().to_string(), error.inner()))?;
    deserializer.end().map_err(|error| fault(".", &error))?;
    Ok(value)
}

/// What serde_json found wrong at `place`.
fn fault(place: &str, error: &serde_json::Error) -> Fault {
    let at = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&at).unwrap_or(&message);
    match error.classify() {
        Category::Eof => Fault::new(place, format!("the end of the file{at}"), "a whole report"),
        Category::Syntax | Category::Io => Fault::new(place, format!("malformed JSON{at} ({message})"), "a report"),
        Category::Data => data_fault(place, message),
    }
}

/// A value of the wrong kind, from serde's words: `invalid type: X, expected Y` or ``missing field `X` ``.
fn data_fault(place: &str, message: &str) -> Fault {
    if let Some(field) = message.strip_prefix("missing field `") {
        let field = field.trim_end_matches('`');
        let place = if place == "." { field.to_owned() } else { format!("{place}.{field}") };
        return Fault::new(place, "nothing", "this field");
    }
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return Fault::new(place, message, "a report");
    };
    let found = found.split_once(": ").map_or(found, |(_, found)| found);
    Fault::new(place, found, in_words(expected))
}

/// A Rust type as a user would call it.
fn in_words(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number, not negative",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "an array of length 3" => "three numbers",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        parse(json.as_bytes()).unwrap_err().at(Path::new("a.json")).to_string()
    }

    #[test]
    fn what_is_no_report_is_named() {
        for (json, expected) in [
            ("", "a.json: content: found the end of the file at line 1 column 0, expected a whole report"),
            (
                "{\"schema\": \"ffwd/rep",
                "a.json: schema: found the end of the file at line 1 column 20, expected a whole report",
            ),
            (
                "{\"schema\": \"ffwd/summary/v1\"}",
                "a.json: schema: found \"ffwd/summary/v1\", expected \"ffwd/report/v1\"",
            ),
            ("{\"name\": 3}", "a.json: schema: found nothing, expected this field"),
            ("{\"schema\": 3}", "a.json: schema: found integer `3`, expected a string"),
            ("[1, 2]", "a.json: [0]: found integer `1`, expected a string"),
            ("7", "a.json: content: found integer `7`, expected an object"),
            ("{\"schema\": \"ffwd/report/v1\"}", "a.json: system: found nothing, expected this field"),
            ("{\"schema\": \"ffwd/report/v1\"} {}", "trailing characters"),
            ("{\"schema\": NaN}", "malformed JSON at line 1 column 12 (expected value)"),
        ] {
            assert!(message(json).contains(expected), "{}", message(json));
        }
    }

    #[test]
    fn nesting_ends_in_an_error_not_in_the_stack() {
        for open in ["[", "{\"schema\":", "{\"x\":["] {
            assert!(message(&open.repeat(100_000)).len() < 400);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(parse(b"{\"schema\": \"\xff\xfe\"}").is_err());
        assert!(parse(&[0; 100]).is_err());
    }
}
