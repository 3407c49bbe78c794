//! The presets: whole sets of options under a name, each a TOML file of this directory that is laid over `keras.toml`.

use toml::Table;

/// A set of options under a name.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// As `--preset` takes it.
    pub name: &'static str,
    /// The file, whose first line says what it is for.
    text: &'static str,
    /// What a run on 60,000 images has been measured to take: seconds of training times the machine's f32 peak in
    /// GFLOP/s, on the two cores of docs/recipes.md, and for `keras` on those of README.md.
    pub gflop: f64,
}

/// The names `--preset` takes, that of a run that names none first.
pub const PRESETS: [&str; 6] = ["quick", "paper", "paper-4x2000", "best", "backprop", "keras"];

const KERAS: &str = include_str!("presets/keras.toml");

impl Preset {
    /// Mini-batches of the Keras example's network, two layers of 500 units, for 5 epochs: the default.
    pub const QUICK: Self = Self { name: PRESETS[0], text: include_str!("presets/quick.toml"), gflop: 1_390.0 };

    /// The experiment of section 3.3 of Hinton 2022 without augmentation: three layers of 1000 units for 20 epochs.
    pub const PAPER: Self = Self { name: PRESETS[1], text: include_str!("presets/paper.toml"), gflop: 25_500.0 };

    /// The same in the paper's sizes: four layers of 2000 units for 60 epochs.
    pub const PAPER_4X2000: Self =
        Self { name: PRESETS[2], text: include_str!("presets/paper-4x2000.toml"), gflop: 353_000.0 };

    /// The lowest error: images shifted by up to two pixels, with three layers of 1000 units for 100 epochs.
    pub const BEST: Self = Self { name: PRESETS[3], text: include_str!("presets/best.toml"), gflop: 136_000.0 };

    /// Back-propagation through the network of [`Preset::PAPER`], for 20 epochs.
    pub const BACKPROP: Self = Self { name: PRESETS[4], text: include_str!("presets/backprop.toml"), gflop: 32_200.0 };

    /// The Keras example: two layers of 500 units, which each take 50 steps on the whole training set in each of 250
    /// epochs.
    pub const KERAS: Self = Self { name: PRESETS[5], text: KERAS, gflop: 414_000.0 };

    /// All presets, in the order of [`PRESETS`].
    pub const ALL: [Self; PRESETS.len()] =
        [Self::QUICK, Self::PAPER, Self::PAPER_4X2000, Self::BEST, Self::BACKPROP, Self::KERAS];

    /// The preset of this name; `None` where there is none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }

    /// What it is for, in a sentence.
    pub fn purpose(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// All fields of a configuration.
    pub(super) fn table(&self) -> Table {
        let table = |text: &str| -> Table { text.parse().expect("the preset is valid TOML") };
        let mut fields = table(KERAS);
        fields.extend(table(self.text));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_preset_is_whole_consistent_and_says_what_it_is() {
        for (preset, name) in Preset::ALL.into_iter().zip(PRESETS) {
            let given = format!("preset = {name:?}").parse().unwrap();
            let config = Config::resolve(None, given).unwrap();
            assert_eq!((config.preset.as_str(), preset.name), (name, name));
            assert_eq!(config, Config::of_preset(&preset));
            assert!(preset.purpose().ends_with('.') && !preset.purpose().starts_with('#'), "{}", preset.purpose());
        }
        assert!(Preset::named("x").is_none());
    }
}
