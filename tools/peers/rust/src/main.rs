//! The Rust workers of `tools/peers`: ffwd, `matrixmultiply` and `gemm`, one in each process, the first argument.
//!
//! They answer the lines that `tools/peers/workers/serve.py` lists, each with one line of JSON.

mod product;
mod training;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use product::{Library, Product};

/// What `run` runs once.
type Task = Box<dyn FnMut() -> Result<Sample>>;

/// One run of a task.
struct Sample {
    elapsed: Duration,
    /// What an epoch is answered with besides, and its name.
    outcome: Option<(&'static str, f64)>,
}

/// A library and what it was told to do.
struct Worker {
    name: String,
    task: Option<Task>,
}

impl Worker {
    fn answer(&mut self, line: &str) -> Result<Value> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "hello" => hello(&self.name),
            "data" => training::locate(rest),
            "preset" => training::preset(rest),
            "product" => self.product(rest),
            "epochs" => {
                self.task = None;
                self.task = Some(training::epochs(rest)?);
                Ok(json!({}))
            }
            "accuracy" => {
                self.task = None;
                let (task, precision) = training::accuracy(rest)?;
                self.task = Some(task);
                Ok(json!({ "precision": precision }))
            }
            "run" => self.run(),
            _ => bail!("{line:?}: not a command"),
        }
    }

    /// Makes the operands of `OPERATION M K N` and multiplies them once, unmeasured, to check the result.
    fn product(&mut self, words: &str) -> Result<Value> {
        self.task = None;
        let mut library = Library::named(&self.name)?;
        let mut product = Product::parse(words)?;
        library.multiply(&mut product);
        let deviation = product.deviation();
        self.task = Some(Box::new(move || Ok(Sample { elapsed: library.multiply(&mut product), outcome: None })));
        Ok(json!({ "deviation": deviation }))
    }

    fn run(&mut self) -> Result<Value> {
        let task = self.task.as_mut().context("run: nothing is prepared")?;
        let Sample { elapsed, outcome } = task()?;
        let mut reply = json!({ "ns": elapsed.as_nanos() as u64 });
        if let Some((name, value)) = outcome {
            reply[name] = json!(value);
        }
        Ok(reply)
    }
}

/// The version of the library, and what else tells how it works here.
fn hello(name: &str) -> Result<Value> {
    let version = locked_version(name).with_context(|| format!("{name}: not in Cargo.lock"))?;
    let detail = match Library::named(name)? {
        Library::Ffwd { isa, .. } => isa.name(),
        Library::Matrixmultiply | Library::Gemm => "",
    };
    Ok(json!({ "version": version, "detail": detail }))
}

/// The version of a package in the lock file this was built with.
fn locked_version(name: &str) -> Option<&'static str> {
    let (_, package) = include_str!("../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""))?;
    package.split('"').next()
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).context("expected the name of a library")?;
    Library::named(&name)?;
    let mut worker = Worker { name, task: None };
    for line in std::io::stdin().lines() {
        let line = line?;
        if line == "quit" {
            break;
        }
        let reply = worker.answer(&line).unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        println!("{reply}");
    }
    Ok(())
}
