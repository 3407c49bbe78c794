//! How often the state of a run is stored: after so many epochs, or so much time.

use serde::{Deserialize, Serialize};

/// The units of time by their names, in seconds.
const UNITS: [(&str, f64); 3] = [("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// How often the state of a run is stored.
///
/// In TOML it is a number of epochs, 0 being never, or a time in seconds, minutes or hours: `"90s"`, `"5m"`, `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "String")]
pub enum CheckpointEvery {
    /// Never, not even at its end.
    Never,
    /// After so many epochs, and at the end.
    Epochs(usize),
    /// After the first epoch that ends so many seconds after the last time, and at the end.
    Seconds(f64),
}

impl CheckpointEvery {
    /// Whether it is time, so many seconds after the last time and after epoch `epoch`, counted from 1.
    pub fn is_due(self, epoch: usize, seconds: f64) -> bool {
        match self {
            Self::Never => false,
            Self::Epochs(every) => epoch.is_multiple_of(every),
            Self::Seconds(every) => seconds >= every,
        }
    }
}

impl TryFrom<toml::Value> for CheckpointEvery {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let text = match &value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let seconds = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.trim().parse::<f64>().ok()? * seconds));
        match (text.parse(), seconds) {
            (Ok(0_usize), _) => Ok(Self::Never),
            (Ok(epochs), _) => Ok(Self::Epochs(epochs)),
            (_, Some(seconds)) if seconds >= 0.0 && seconds.is_finite() => Ok(Self::Seconds(seconds)),
            _ => Err(format!("{text:?}, expected a number of epochs, or of seconds, minutes or hours: 90s, 5m, 1h")),
        }
    }
}

impl From<CheckpointEvery> for String {
    fn from(every: CheckpointEvery) -> Self {
        match every {
            CheckpointEvery::Never => "0".to_owned(),
            CheckpointEvery::Epochs(epochs) => epochs.to_string(),
            CheckpointEvery::Seconds(seconds) => {
                let is_whole = |unit: &&(&str, f64)| seconds > 0.0 && seconds % unit.1 == 0.0;
                let (unit, size) = UNITS.iter().rev().find(is_whole).unwrap_or(&UNITS[0]);
                format!("{}{unit}", seconds / size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_were_meant() {
        let of = |text: &str| CheckpointEvery::try_from(toml::Value::from(text));
        for (text, every) in [
            ("0", CheckpointEvery::Never),
            ("7", CheckpointEvery::Epochs(7)),
            ("90s", CheckpointEvery::Seconds(90.0)),
            ("0.5 m", CheckpointEvery::Seconds(30.0)),
            ("0s", CheckpointEvery::Seconds(0.0)),
            ("0.25s", CheckpointEvery::Seconds(0.25)),
            ("2h", CheckpointEvery::Seconds(7200.0)),
        ] {
            assert_eq!(of(text).unwrap(), every);
            assert_eq!(of(&String::from(every)).unwrap(), every);
        }
        assert_eq!(CheckpointEvery::try_from(toml::Value::from(3)).unwrap(), CheckpointEvery::Epochs(3));
        for text in ["", "s", "-1", "-1s", "infs", "soon", "5 minutes"] {
            assert!(of(text).unwrap_err().contains("90s"), "{text}");
        }
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (seconds, text) in [(300.0, "5m"), (7_200.0, "2h"), (90.0, "90s"), (0.0, "0s")] {
            assert_eq!(String::from(CheckpointEvery::Seconds(seconds)), text);
        }
    }

    #[test]
    fn it_is_time_after_epochs_or_seconds() {
        assert!(!CheckpointEvery::Never.is_due(1, 1e9));
        assert!(CheckpointEvery::Epochs(2).is_due(4, 0.0) && !CheckpointEvery::Epochs(2).is_due(3, 1e9));
        assert!(CheckpointEvery::Seconds(5.0).is_due(1, 5.0) && !CheckpointEvery::Seconds(5.0).is_due(1, 4.9));
    }
}
