//! What a shell knows of the program: completions of its words, and manual pages.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use ffwd::Error;

use crate::arguments::Arguments;
use crate::{print, write_out};

/// Prints the completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    write_out(&String::from_utf8(script).context("completions are text")?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a manual page for the program and one for each command.
pub fn manual(directory: &Path) -> Result<ExitCode> {
    fs::create_dir_all(directory).map_err(Error::io(directory, "create the directory"))?;
    clap_mangen::generate_to(Arguments::command(), directory).map_err(Error::io(directory, "write manual pages in"))?;
    print(format!("Written to {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
