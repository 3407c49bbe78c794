//! The Rust workers of `tools/peers`, one library in each process, which the arguments name: `ffwd`, `matrixmultiply`,
//! `gemm`, or `cblas PATH SYMBOL VERSION DETAIL`, the BLAS in the shared library at PATH. `probe` is the process that
//! tells how fast the machine is just now.
//!
//! They answer the lines that `tools/peers/workers/serve.py` lists, each with one line of JSON.

mod cblas;
mod library;
mod probes;
mod product;
mod states;
mod training;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use library::Library;
use probes::Probes;
use product::Product;

/// What `run` runs once.
enum Task {
    /// A product, so many times that they fill a sample.
    Product {
        product: Product,
        runs: u32,
    },
    Epoch(EpochTask),
}

/// An epoch of a network.
type EpochTask = Box<dyn FnMut() -> Result<Epoch>>;

/// An epoch that was trained.
struct Epoch {
    elapsed: Duration,
    /// What it is answered with besides, and its name.
    outcome: (&'static str, f64),
}

/// A library and what it was told to do.
struct Worker {
    library: Library,
    /// The version of the library, and what else tells how it works here.
    hello: Value,
    task: Option<Task>,
}

impl Worker {
    /// The library that the arguments name.
    fn new(arguments: &[&str]) -> Result<Self> {
        let library = Library::named(arguments)?;
        let (version, detail) = match (&library, arguments) {
            (Library::Cblas(_), [.., version, detail]) => (*version, *detail),
            (Library::Ffwd { isa, .. }, [name]) => (locked_version(name)?, isa.name()),
            (_, [name, ..]) => (locked_version(name)?, ""),
            (_, []) => bail!("expected the name of a library"),
        };
        Ok(Self { library, hello: json!({ "version": version, "detail": detail }), task: None })
    }

    fn answer(&mut self, line: &str) -> Result<Value> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "hello" => Ok(self.hello.clone()),
            "data" => training::locate(rest),
            "preset" => training::preset(rest),
            "states" => states::make(rest),
            "product" => self.product(rest),
            "epochs" => {
                self.task = None;
                self.task = Some(Task::Epoch(states::epochs(rest)?));
                Ok(json!({}))
            }
            "accuracy" => {
                self.task = None;
                let (task, precision) = training::accuracy(rest)?;
                self.task = Some(Task::Epoch(task));
                Ok(json!({ "precision": precision }))
            }
            "run" => self.run(),
            _ => bail!("{line:?}: not a command"),
        }
    }

    /// Makes the operands of `OPERATION M K N` and multiplies them, unmeasured, to check the result and to see how many
    /// runs fill a sample.
    fn product(&mut self, words: &str) -> Result<Value> {
        self.task = None;
        let mut product = Product::parse(words)?;
        self.library.multiply(&mut product, 1);
        let deviation = product.deviation();
        let runs = self.library.runs_of_a_sample(&mut product);
        self.task = Some(Task::Product { product, runs });
        Ok(json!({ "deviation": deviation }))
    }

    fn run(&mut self) -> Result<Value> {
        match self.task.as_mut().context("run: nothing is prepared")? {
            Task::Product { product, runs } => {
                // Threads that have slept are woken on whichever CPU, two of them on one; it takes the system some
                // milliseconds to part them.
                if *runs > 1 {
                    self.library.multiply(product, *runs);
                }
                let elapsed = self.library.multiply(product, *runs) / *runs;
                Ok(json!({ "ns": elapsed.as_nanos() as u64 }))
            }
            Task::Epoch(train) => {
                let Epoch { elapsed, outcome: (name, value) } = train()?;
                Ok(json!({ "ns": elapsed.as_nanos() as u64, name: value }))
            }
        }
    }
}

/// The version of a package in the lock file this was built with.
fn locked_version(name: &str) -> Result<&'static str> {
    let lock = include_str!("../../../../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""));
    let (_, package) = lock.with_context(|| format!("{name}: not in Cargo.lock"))?;
    Ok(package.split('"').next().unwrap_or_default())
}

/// Answers until the driver says `quit` or is gone.
fn serve(mut answer: impl FnMut(&str) -> Result<Value>) -> Result<()> {
    for line in std::io::stdin().lines() {
        let line = line?;
        if line == "quit" {
            break;
        }
        let reply = answer(&line).unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        println!("{reply}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["probe"] => {
            let mut probes = Probes::new();
            serve(|line| probes.answer(line))
        }
        arguments => {
            // The caller is a thread of the pool, as the main thread is one of OpenMP's.
            rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
            let mut worker = Worker::new(arguments)?;
            serve(|line| worker.answer(line))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_worker_says_its_version_and_multiplies_what_it_was_given() {
        let mut worker = Worker::new(&["matrixmultiply"]).unwrap();
        assert!(worker.answer("hello").unwrap()["version"].as_str().unwrap().starts_with("0.3."));
        assert!(worker.answer("run").is_err(), "nothing is prepared");
        worker.answer("product NN 20 30 40").unwrap();
        let Some(&Task::Product { runs, .. }) = worker.task.as_ref() else { panic!("no product is prepared") };
        for _ in 0..2 {
            let start = Instant::now();
            let ns = worker.answer("run").unwrap()["ns"].as_u64().unwrap();
            let all = u128::from(ns) * u128::from(runs);
            assert!((1..=start.elapsed().as_nanos()).contains(&all), "{ns} ns are those of one of {runs} runs");
        }
        assert!(worker.answer("product NN 20 30").is_err());
        assert!(worker.answer("run").is_err(), "what was prepared is gone");
    }

    #[test]
    fn arguments_that_are_no_library_are_errors() {
        for arguments in [&[][..], &["blas"], &["cblas", "no such file"], &["cblas", "no such file", "f", "1", "x"]] {
            assert!(Worker::new(arguments).is_err(), "{arguments:?}");
        }
    }
}
