//! Axes: where a value stands, and which values are named.

/// A logarithmic axis from `low` to `high`, both above zero, drawn from `start` to `end`.
pub struct LogScale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl LogScale {
    /// The axis that holds all finite `values` above zero, widened by the factor `margin` at either end.
    pub fn holding(values: impl Iterator<Item = f64>, margin: f64, (start, end): (f64, f64)) -> Self {
        let sound = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) =
            sound.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        Self { low: low / margin, high: high * margin, start, end }
    }

    /// The lowest value.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The highest value.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// Where `value` stands.
    pub fn at(&self, value: f64) -> f64 {
        let span = (self.high / self.low).ln();
        let share = if span > 0.0 { (value / self.low).ln() / span } else { 0.5 };
        self.start + share * (self.end - self.start)
    }

    /// Up to eight round values: 1, 2 and 5 times powers of ten where few of these fit, otherwise powers of ten alone.
    pub fn ticks(&self) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let step = usize::try_from((last - first) / 8 + 1).unwrap_or(1);
        let ticks = |digits: &'static [u8]| -> Vec<f64> {
            let values = (first..=last).step_by(step).flat_map(|power| digits.iter().map(move |digit| (power, digit)));
            let values = values.filter_map(|(power, digit)| format!("{digit}e{power}").parse().ok());
            values.filter(|value| (self.low..=self.high).contains(value)).collect()
        };
        let fine = ticks(&[1, 2, 5]);
        if fine.len() <= 6 { fine } else { ticks(&[1]) }
    }

    /// The powers of two.
    pub fn powers_of_two(&self) -> Vec<f64> {
        let powers = (0..64).map(|power| f64::from(power).exp2());
        let powers: Vec<f64> = powers.filter(|value| (self.low..=self.high).contains(value)).collect();
        let step = powers.len() / 8 + 1;
        powers.into_iter().step_by(step).collect()
    }
}

/// An axis from `low` to `high`, drawn from `start` to `end`.
pub struct LinearScale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl LinearScale {
    /// The axis that holds all finite `values`, and zero where that is near them.
    pub fn holding(values: impl Iterator<Item = f64>, (start, end): (f64, f64)) -> Self {
        // Far beyond 32-bit floats an axis could not be divided.
        let far = f64::from(f32::MAX);
        let sound = values.filter(|value| value.is_finite()).map(|value| value.clamp(-far, far));
        let (low, high) = sound.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (f64::min(low, value), f64::max(high, value))
        });
        // A span that no step divides is none.
        let (low, high) = match (high - low > f64::from(f32::MIN_POSITIVE), low.is_finite()) {
            (true, _) => (low, high),
            (false, true) => (low - 0.5 * low.abs().max(0.1), low + 0.5 * low.abs().max(0.1)),
            (false, false) => (0.0, 1.0),
        };
        let low = if low > 0.0 && low < 0.5 * high { 0.0 } else { low };
        Self { low, high, start, end }
    }

    /// The axis from the first value to the second, greater one.
    pub fn exactly((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        Self { low, high, start, end }
    }

    /// Where `value` stands.
    pub fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Three to six round values: multiples of 1, 2 or 5 times a power of ten.
    pub fn ticks(&self) -> Vec<f64> {
        let span = self.high - self.low;
        let power = span.log10().floor() as i32 - 1;
        let steps = [(power, 1), (power, 2), (power, 5), (power + 1, 1), (power + 1, 2), (power + 1, 5)];
        let multiples = |(power, digit): (i32, i64)| -> Vec<f64> {
            let step = f64::from(10).powi(power) * digit as f64;
            let (first, last) = ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
            let values =
                (first..=last).filter_map(|count| format!("{}e{power}", count.checked_mul(digit)?).parse().ok());
            values.collect()
        };
        steps.into_iter().map(multiples).find(|ticks| ticks.len() <= 6).unwrap_or_default()
    }
}

/// A tick in figures, thousands as k and so on: `0.5`, `200`, `5k`.
pub fn tick(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1e12.. => format!("{value:e}"),
        1e9.. => format!("{}G", value / 1e9),
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        1e-3.. => format!("{value}"),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_stand_at_the_ends() {
        let scale = LogScale::holding([2.0, 50.0, f64::NAN, 0.0].into_iter(), 2.0, (10.0, 110.0));
        assert_eq!((scale.low(), scale.high()), (1.0, 100.0));
        assert_eq!((scale.at(1.0), scale.at(10.0).round(), scale.at(100.0)), (10.0, 60.0, 110.0));
    }

    #[test]
    fn ticks_are_few_and_round() {
        let ticks = |low, high| LogScale::holding([low, high].into_iter(), 1.0, (0.0, 1.0)).ticks();
        assert_eq!(ticks(0.15, 3.0), [0.2, 0.5, 1.0, 2.0]);
        assert_eq!(ticks(0.15, 3000.0), [1.0, 10.0, 100.0, 1000.0]);
        assert!(ticks(1e-20, 1e25).len() <= 8);
    }

    #[test]
    fn without_values_there_is_an_axis_all_the_same() {
        let scale = LogScale::holding(std::iter::empty(), 1.0, (0.0, 10.0));
        assert_eq!(scale.at(1.0), 5.0);
        let scale = LinearScale::holding(std::iter::empty(), (0.0, 10.0));
        assert_eq!(scale.at(0.5), 5.0);
    }

    #[test]
    fn ticks_of_a_linear_axis_are_few_and_round() {
        let ticks = |low, high| LinearScale::holding([low, high].into_iter(), (0.0, 1.0)).ticks();
        assert_eq!(ticks(0.1, 0.7), [0.0, 0.2, 0.4, 0.6]);
        assert_eq!(ticks(0.93, 0.99), [0.94, 0.96, 0.98]);
        assert_eq!(ticks(-1.0, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(ticks(1.0, 250.0), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
        for (low, high) in
            [(3.0, 3.0), (0.0, 0.0), (-7e30, 4e38), (f64::NAN, f64::INFINITY), (1e-30, 2e-30), (0.0, 1e-320)]
        {
            assert!((1..=6).contains(&ticks(low, high).len()), "{low} to {high}: {:?}", ticks(low, high));
        }
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0, -0.5, 200.0, -5e3, 2e-4].map(tick), ["0", "-0.5", "200", "-5k", "2e-4"]);
    }
}
