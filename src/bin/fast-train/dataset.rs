//! The data a command works on: what the user named, or MNIST if it can be had, or the built-in digits.

use ffwd::data::{Dataset, Located, Places, digits, known};
use ffwd::{Error, Result};

/// Opens the data set called `spec`; with no name given, finds one and says in one line on stderr what was done.
pub fn open(spec: Option<&str>, classes: usize) -> Result<Dataset> {
    let places = Places::from_environment();
    let located = match spec {
        Some(spec) => places.locate(spec)?,
        None => default(&places)?,
    };
    Dataset::open_with(&located.directory, &located.name, classes, &places.cache)
}

/// MNIST if it is found or can be downloaded, else the built-in digits.
fn default(places: &Places) -> Result<Located> {
    match places.locate(known::MNIST.name) {
        Err(Error::NotFound { .. }) => {}
        found_or_failed => return found_or_failed,
    }
    match download(places) {
        Ok(located) => Ok(located),
        Err(reason) => {
            eprintln!("MNIST was not found here and {reason}: using the built-in synthetic digits");
            places.locate(digits::NAME)
        }
    }
}

#[cfg(feature = "fetch")]
fn download(places: &Places) -> std::result::Result<Located, String> {
    use ffwd::data::fetch::{Timeouts, fetch};

    eprintln!("MNIST was not found here: trying to download it");
    fetch(&known::MNIST, None, &places.cache, &Timeouts::BRIEF, &mut |_| ())
        .and_then(|_| places.locate(known::MNIST.name))
        .map_err(|_| "could not be downloaded".to_owned())
}

#[cfg(not(feature = "fetch"))]
fn download(_: &Places) -> std::result::Result<Located, String> {
    Err("this build cannot download".to_owned())
}
