//! What `fast-train bench` reports of the build: the commit, whether files differ from it, the compiler's version.
//!
//! Relies on git and the compiler, and does without either: a variable is empty where it is not known. Nothing else of
//! the build depends on this.

use std::process::Command;

/// What the program is made of: a change of anything else does not make it differ from its commit.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "src", "tools/build.rs"];

fn main() {
    // Sources that belong to another repository, as a vendored crate's do, have no commit of their own.
    let in_repository = git(&["rev-parse", "--show-cdup"]).is_some_and(|up| up.is_empty());
    let commit = in_repository.then(|| git(&["rev-parse", "HEAD"])).flatten();
    let status = [["status", "--porcelain", "--untracked-files=no", "--"].as_slice(), &SOURCES].concat();
    let dirty = commit.as_ref().and_then(|_| git(&status)).map(|changes| (!changes.is_empty()).to_string());
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());

    for (name, value) in [("COMMIT", &commit), ("DIRTY", &dirty), ("RUSTC", &output(&compiler, &["--version"]))] {
        println!("cargo::rustc-env=FFWD_BUILD_{name}={}", value.as_deref().unwrap_or_default());
    }
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    if in_repository {
        watch_head();
    }
}

/// Runs again when another commit is checked out or made.
fn watch_head() {
    for name in ["HEAD", "refs/heads", "packed-refs"] {
        // A path that does not exist would make cargo run this every time.
        if let Some(path) =
            git(&["rev-parse", "--git-path", name]).filter(|path| std::fs::exists(path).unwrap_or(false))
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    output("git", arguments)
}

/// What a program prints, without white space around it; `None` where it cannot be run or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
