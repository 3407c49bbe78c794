//! What a configuration may be: each value by itself, values that need each other, and what may change when a run goes
//! on.

use toml::Table;

use super::presets::PRESETS;
use super::{Config, Learning, Negatives, OptimizerName, PrecisionName, Source, one_of};
use crate::error::{Error, Result};

/// The most outer epochs, and the most inner steps: beyond any use, and few enough to keep a report of each.
const MAX_REPEATS: usize = 1_000_000;
/// The most units of a layer: more than any use, and few enough that sizes in bytes fit their types.
const MAX_UNITS: usize = 1 << 16;

impl Config {
    /// Checks that a run of `stored` can go on as this one says: the fields that its result depends on are the same.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first field that is not.
    pub fn check_continues(&self, stored: &Self) -> Result<()> {
        /// Where the data lie, how long the run is, and what changes nothing but what is told of it.
        const FREE: [&str; 8] =
            ["data", "out", "threads", "epochs", "checkpoint_every", "validate_every", "target_accuracy", "test_limit"];
        let table = |config: &Self| Table::try_from(config).expect("plain values serialise");
        let (now, before) = (table(self), table(stored));
        match now.iter().find(|(field, value)| !FREE.contains(&field.as_str()) && before.get(*field) != Some(value)) {
            None => Ok(()),
            Some((field, found)) => {
                let expected = before.get(field).map_or_else(|| "nothing".to_owned(), toml::Value::to_string);
                let expected = format!("{expected}, with which the run began");
                Err(Error::config(Source::Given.name(field), found, expected))
            }
        }
    }

    /// Checks that back-propagation, where it is asked for, reads every option that was `given`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first option of the layers' own learning that was given with back-propagation.
    pub fn check_uses(&self, given: &Table) -> Result<()> {
        const OF_FORWARD_FORWARD: [&str; 9] =
            ["negatives", "hardness", "goodness", "loss", "threshold", "temperature", "peer", "kernel_l2", "bias_l2"];
        let unused = OF_FORWARD_FORWARD.iter().find_map(|&field| Some((field, given.get(field)?)));
        match unused.filter(|_| self.learning == Learning::Backpropagation) {
            None => Ok(()),
            Some((field, found)) => {
                let expected = "nothing, because back-propagation does not use it";
                Err(Error::config(Source::Given.name(field), found, expected))
            }
        }
    }

    /// Checks every value, also as the 32-bit float that the kernels will see.
    pub(super) fn check(&self, source: Source<'_>) -> Result<()> {
        let require = |field: &str, found: String, holds: bool, expected: &str| {
            if holds { Ok(()) } else { Err(Error::config(source.name(field), found, expected)) }
        };
        require("preset", format!("{:?}", self.preset), PRESETS.contains(&&*self.preset), &one_of(&PRESETS))?;
        require("layers", "an empty list".into(), !self.layers.is_empty(), "at least one layer")?;
        for &units in &self.layers {
            require("layers", units.to_string(), (1..=MAX_UNITS).contains(&units), "1 to 65536 units in each layer")?;
        }
        for (field, value) in
            [("epochs", self.epochs), ("inner_steps", self.inner_steps), ("validate_every", self.validate_every)]
        {
            require(field, value.to_string(), (1..=MAX_REPEATS).contains(&value), "1 to 1000000")?;
        }
        let classes = self.classes;
        require("classes", classes.to_string(), (1..=256).contains(&classes), "1 to 256, because labels are bytes")?;
        let (base, most) = (self.label_base, 256_usize.saturating_sub(classes));
        require("label_base", base.to_string(), usize::from(base) <= most, &format!("at most {most}"))?;
        require("threads", self.threads.to_string(), self.threads <= 4096, "at most 4096")?;
        require("out", "nothing".into(), self.out.as_deref() != Some(""), "a directory, or none")?;
        let real = |field, value: f64, holds: fn(f32) -> bool, expected| {
            require(field, format!("{value:?}"), value.is_finite() && holds(value as f32), expected)
        };
        real("threshold", self.threshold, f32::is_finite, "a number within the range of 32-bit floats")?;
        let positive = |value: f32| value.is_finite() && value > 0.0;
        for (field, value) in [
            ("lr", self.lr),
            ("epsilon", self.epsilon),
            ("temperature", self.temperature),
            ("readout_lr", self.readout_lr),
        ] {
            real(field, value, positive, "a positive number within the range of 32-bit floats")?;
        }
        for (field, value) in [
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("momentum", self.momentum),
            ("input_dropout", self.input_dropout),
            ("dropout", self.dropout),
            ("weight_average", self.weight_average),
        ] {
            real(field, value, |value| (0.0..1.0).contains(&value), "at least 0 and below 1")?;
        }
        let share = |value: f32| (0.0..=1.0).contains(&value);
        for (field, value) in
            [("target_accuracy", self.target_accuracy), ("warmup", self.warmup), ("cooldown", self.cooldown)]
        {
            real(field, value, share, "a share, 0 to 1")?;
        }
        let not_negative = |value: f32| value.is_finite() && value >= 0.0;
        for (field, value) in [
            ("kernel_l2", self.kernel_l2),
            ("bias_l2", self.bias_l2),
            ("weight_decay", self.weight_decay),
            ("readout_decay", self.readout_decay),
            ("hardness", self.hardness),
            ("peer", self.peer),
        ] {
            real(field, value, not_negative, "zero or a positive number within the range of 32-bit floats")?;
        }
        Ok(())
    }

    /// Checks options that need each other, whichever source each of them came from.
    pub(super) fn check_together(&self) -> Result<()> {
        let require = |holds: bool, field: &str, found: String, expected: &str| {
            if holds { Ok(()) } else { Err(Error::config(field, found, expected)) }
        };
        let alone = !self.together;
        let word = |value: bool| value.to_string();
        let negatives = match self.negatives {
            Negatives::Permuted => "permuted",
            Negatives::Wrong => "wrong",
            Negatives::Hard => "hard",
        };
        let is_permuted = self.negatives == Negatives::Permuted;
        let expected = "permuted, or together = true";
        require(is_permuted || self.together, "negatives", negatives.into(), expected)?;
        let expected = "permuted, because with one class there is no wrong one";
        require(is_permuted || self.classes > 1, "negatives", negatives.into(), expected)?;
        let is_hard = self.negatives == Negatives::Hard;
        require(!is_hard || self.readout, "negatives", negatives.into(), "permuted or wrong, or readout = true")?;
        let expected = "false, or together = true";
        require(!(alone && self.shuffle), "shuffle", word(self.shuffle), expected)?;
        require(!(alone && self.shift > 0), "shift", self.shift.to_string(), "0, or together = true")?;
        for (field, value) in
            [("input_dropout", self.input_dropout), ("dropout", self.dropout), ("weight_average", self.weight_average)]
        {
            require(!(alone && value > 0.0), field, format!("{value:?}"), "0, or together = true")?;
        }
        require(!(alone && self.readout), "readout", word(self.readout), expected)?;
        require(!(alone && self.peer > 0.0), "peer", format!("{:?}", self.peer), "0, or together = true")?;
        let expected = "1, because layers that are trained together take one step on a batch";
        require(alone || self.inner_steps == 1, "inner_steps", self.inner_steps.to_string(), expected)?;
        let learns = self.learning == Learning::ForwardForward || self.readout;
        let expected = "forward_forward, or readout = true";
        require(learns, "learning", "backpropagation".into(), expected)?;
        let of_layers = self.learning == Learning::ForwardForward || self.dropout == 0.0;
        require(of_layers, "dropout", format!("{:?}", self.dropout), "0, or learning = \"forward_forward\"")?;
        let in_f32 = self.learning == Learning::ForwardForward || self.precision == PrecisionName::F32;
        let expected = "f32, in which back-propagation computes";
        require(in_f32, "precision", "not f32".into(), expected)?;
        let decays = self.weight_decay == 0.0 || self.optimizer != OptimizerName::Sgd;
        let expected = "0, or optimizer = \"averaged\" or \"adam\"";
        require(decays, "weight_decay", format!("{:?}", self.weight_decay), expected)?;
        let measured = self.target_accuracy == 0.0 || self.validation > 0;
        let expected = "0, or validation images to measure it on";
        require(measured, "target_accuracy", format!("{:?}", self.target_accuracy), expected)
    }
}
