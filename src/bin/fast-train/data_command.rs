//! `fast-train data list` and `data fetch`.

use std::process::ExitCode;

use anyhow::Result;
use ffwd::data::{Places, locate};

use crate::arguments::{DataCommand, PublicSet};
use crate::print;

pub fn run(command: DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::List => list()?,
        DataCommand::Fetch { set, mirror } => fetch(set, mirror.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list() -> Result<()> {
    let mut name = "";
    for row in locate::survey(&Places::from_environment()) {
        if row.name != name {
            name = row.name;
            print(name)?;
        }
        print(format!("  {row}"))?;
    }
    Ok(())
}

#[cfg(feature = "fetch")]
fn fetch(set: PublicSet, mirror: Option<&str>) -> Result<()> {
    use crate::say;
    use ffwd::data::{fetch, known};

    let set = match set {
        PublicSet::Mnist => &known::MNIST,
        PublicSet::FashionMnist => &known::FASHION_MNIST,
    };
    let cache = Places::from_environment().cache;
    let directory = fetch::fetch(set, mirror, &cache, &fetch::Timeouts::PATIENT, &mut |line| say(line))?;
    print(directory.display())
}

#[cfg(not(feature = "fetch"))]
fn fetch(_: PublicSet, _: Option<&str>) -> Result<()> {
    anyhow::bail!("this build cannot download: it was made without the feature `fetch`")
}
