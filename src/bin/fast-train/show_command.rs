//! `fast-train show`: pictures of a run (`pictures`), each in a file.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use ffwd::Error;

use crate::arguments::{ShowArguments, What};
use crate::pictures::Shown;
use crate::plots::{self, Grid};
use crate::print;

pub fn run(arguments: &ShowArguments) -> Result<ExitCode> {
    let name = format!("{:?}", arguments.what).to_lowercase();
    let output = arguments.output.clone().unwrap_or_else(|| arguments.run.join(format!("show-{name}.svg")));
    let form = Form::of(&output, arguments.what)?;
    let shown = Shown::open(&arguments.run, arguments.data.as_deref())?;
    let picture = match arguments.what {
        What::Samples => Picture::Grid(shown.samples()),
        What::Negatives => Picture::Grid(shown.negatives()?),
        What::Weights => Picture::Grid(shown.weights()),
        What::Goodness => Picture::Svg(plots::goodness(&shown.goodness()?)),
        What::Mistakes => Picture::Grid(shown.mistakes(&shown.judgements())),
    };
    shown.check_unchanged()?;
    fs::write(&output, picture.bytes(form)).map_err(Error::io(&output, "write"))?;
    print(format!("Written to {}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The form of a picture's file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Svg,
    Png,
}

impl Form {
    /// The form that the file's name asks for.
    fn of(path: &Path, what: What) -> ffwd::Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") if what != What::Goodness => Ok(Self::Png),
            _ if what == What::Goodness => Err(Error::config("--output", path.display(), "a name that ends in .svg")),
            _ => Err(Error::config("--output", path.display(), "a name that ends in .svg or .png")),
        }
    }
}

enum Picture {
    Grid(Grid),
    Svg(String),
}

impl Picture {
    fn bytes(&self, form: Form) -> Vec<u8> {
        match (self, form) {
            (Self::Grid(grid), Form::Png) => grid.png(),
            (Self::Grid(grid), Form::Svg) => grid.svg().into_bytes(),
            (Self::Svg(svg), _) => svg.clone().into_bytes(),
        }
    }
}
