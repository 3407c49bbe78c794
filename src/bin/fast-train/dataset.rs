//! The data a command works on: what the user named, or MNIST if it can be had, or the built-in digits.

use ffwd::data::locate::IN_VARIABLE;
use ffwd::data::{Dataset, Located, Places, Reading, digits, known};
use ffwd::{Error, Result};

use crate::{cut_off, say};

/// Opens the data set called `spec`; with no name given, finds one and says in one line on stderr what was done, unless
/// it is to be `quiet`. Returns also how it was found.
pub fn open(spec: Option<&str>, reading: Reading, quiet: bool) -> Result<(Dataset, Located)> {
    cut_off::name_files();
    let places = Places::from_environment();
    let located = match spec {
        Some(spec) => places.locate(spec)?,
        None => default(&places, quiet)?,
    };
    let dataset = Dataset::open_with(&located.directory, &located.name, reading, &places.cache)?;
    cut_off::know(&dataset);
    Ok((dataset, located))
}

/// MNIST if it is found or can be downloaded, else the built-in digits.
fn default(places: &Places, quiet: bool) -> Result<Located> {
    match places.locate(known::MNIST.name) {
        Err(Error::NotFound { .. }) => {}
        found_or_failed => return found_or_failed,
    }
    let (located, done) = match download(places) {
        Ok(located) => (located, "downloaded it".to_owned()),
        Err(reason) => {
            let located = places.locate(digits::NAME)?;
            (located, format!("{reason}: using the built-in synthetic digits"))
        }
    };
    if !quiet {
        say(format!("MNIST was not found here{}, {done}", unused_variable(places, &located)));
    }
    Ok(located)
}

/// Words about `FFWD_DATA` where it is set and what was found came from elsewhere.
fn unused_variable(places: &Places, located: &Located) -> String {
    match &places.data {
        Some(directory) if located.found_in != IN_VARIABLE => {
            format!(", nor in FFWD_DATA ({})", directory.display())
        }
        _ => String::new(),
    }
}

#[cfg(feature = "fetch")]
fn download(places: &Places) -> std::result::Result<Located, String> {
    use ffwd::data::fetch::{Timeouts, fetch};

    fetch(&known::MNIST, None, &places.cache, &Timeouts::BRIEF, &mut |_| ())
        .and_then(|_| places.locate(known::MNIST.name))
        .map_err(|error| format!("could not be downloaded ({})", brief(&error)))
}

/// The reason of the first mirror, which the others mostly share.
#[cfg(feature = "fetch")]
fn brief(error: &Error) -> String {
    match error {
        Error::Fetch { attempts, .. } if !attempts.is_empty() => attempts[0].reason.clone(),
        error => error.to_string(),
    }
}

#[cfg(not(feature = "fetch"))]
fn download(_: &Places) -> std::result::Result<Located, String> {
    Err("this build cannot download".to_owned())
}
