//! The program from outside, command by command.

mod bench;
mod browser;
mod cli;
mod compare;
mod compare_page;
mod faults;
#[cfg(feature = "mpi")]
mod ranks;
mod report_page;
mod reports;
mod resume;
mod shell;
mod show;
mod sweep;

use std::path::Path;
use std::process::Command;

/// The program in `place`, with a cache of its own, no data of the user's and no network.
fn program(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fast-train"));
    let cache = place.join("cache");
    command.current_dir(place);
    // What the user has set, except the instruction set under test.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if (name.starts_with("FFWD_") && name != "FFWD_ISA") || name.eq_ignore_ascii_case("no_proxy") {
            command.env_remove(&variable);
        }
    }
    command.env("XDG_CACHE_HOME", cache);
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(variable, "http://127.0.0.1:9");
    }
    command
}
