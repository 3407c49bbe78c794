//! The command line of `fast-train sweep`: the options of training, each with one value or several.
//!
//! The options are taken from those of training, so that there is one list of them; their values stay text until each
//! combination is read as the command line of a run.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{TRAIN, TrainArguments};

/// Options of training that a sweep does not take: its runs have directories of their own, and print what runs print.
const OF_ONE_RUN: [&str; 4] = ["out", "resume", "json", "quiet"];

/// The options of training, each with one value or several, and what a sweep needs besides.
pub struct SweepArguments {
    /// The directory of the runs.
    pub out: PathBuf,
    /// How many seeds each combination is trained with.
    pub seeds: u32,
    /// The options that were given, by their long names, with the values of each.
    pub options: Vec<(String, Vec<String>)>,
}

impl SweepArguments {
    /// The options of training that a sweep takes.
    fn of_training() -> impl Iterator<Item = Arg> {
        let all = TrainArguments::augment_args(Command::new(TRAIN));
        let all: Vec<Arg> = all.get_arguments().cloned().collect();
        all.into_iter().filter(|option| option.get_long().is_some_and(|long| !OF_ONE_RUN.contains(&long)))
    }
}

/// What separates the values of an option; nothing where a path is the whole value.
fn separator(long: &str) -> Option<char> {
    match long {
        "layers" => Some('/'),
        "config" | "from" => None,
        _ => Some(','),
    }
}

impl Args for SweepArguments {
    fn augment_args(command: Command) -> Command {
        let own = command
            .after_help(
                "An option takes several values separated by commas, `--layers` by slashes. The runs are those of all\n\
                 combinations; the same command goes on where it was stopped.\n\n\
                 Example:\n  fast-train sweep --lr 0.05,0.1 --layers 500,500/1000,1000 --seeds 3",
            )
            .arg(
                Arg::new("out")
                    .long("out")
                    .value_name("DIR")
                    .default_value("runs/sweep")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Directory of the runs"),
            )
            .arg(
                Arg::new("seeds")
                    .long("seeds")
                    .value_name("N")
                    .default_value("1")
                    .value_parser(clap::value_parser!(u32).range(1..=1000))
                    .help("Seeds of each combination, from --seed on"),
            );
        Self::of_training().fold(own, |command, option| {
            let long = option.get_long().expect("only options with a name are taken").to_owned();
            let mut several = Arg::new(option.get_id().clone())
                .value_name(match separator(&long) {
                    Some('/') => "U,U/U,U..",
                    Some(_) => "V,V..",
                    None => "FILE",
                })
                .long(long)
                .allow_negative_numbers(true);
            several = option.get_help().cloned().map_or(several.clone(), |help| several.help(help));
            command.arg(match option.get_help_heading() {
                Some(heading) => several.help_heading(heading.to_owned()),
                None => several,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SweepArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = |option: Arg| {
            let long = option.get_long()?.to_owned();
            let values = matches.get_one::<String>(option.get_id().as_str())?;
            let values = match separator(&long) {
                Some(separator) => values.split(separator).map(str::to_owned).collect(),
                None => vec![values.clone()],
            };
            Some((long, values))
        };
        Ok(Self {
            out: matches.get_one::<PathBuf>("out").expect("it has a default").clone(),
            seeds: *matches.get_one("seeds").expect("it has a default"),
            options: Self::of_training().filter_map(of).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
