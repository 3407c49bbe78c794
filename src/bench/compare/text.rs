//! Words and numbers for people.

/// Three digits, more where the whole part has them, thousands apart: `0.0123`, `1.23`, `12.3`, `1,234`.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    // Of the rounded value: 0.9996 has one digit before the point.
    let rounded: f64 = format!("{magnitude:.2e}").parse().unwrap_or(magnitude);
    let whole_digits = rounded.log10().floor() as i32 + 1;
    let text = format!("{value:.0$}", usize::try_from(3 - whole_digits).unwrap_or(0));
    let (whole, fraction) = text.split_once('.').map_or((&*text, None), |(whole, fraction)| (whole, Some(fraction)));
    let whole = with_thousands_apart(whole);
    fraction.map_or_else(|| whole.clone(), |fraction| format!("{whole}.{fraction}"))
}

fn with_thousands_apart(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `text` as a literal, control characters escaped.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// `1 thread`, `2 threads`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (0.1, "0.100"),
            (0.9996, "1.00"),
            (1.0, "1.00"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (6460.4, "6,460"),
            (1_234_567.0, "1,234,567"),
            (1e300, "1.00e300"),
            (1.5e-7, "1.50e-7"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
