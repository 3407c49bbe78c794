//! Text from outside, made fit for a message: free of control characters, and of moderate length.

/// `text` on one line: in the place of each control character stands U+FFFD.
pub fn one_line(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// The same over several lines.
pub fn lines(text: &str) -> String {
    text.chars().map(|character| if character == '\n' { character } else { printable(character) }).collect()
}

/// At most `limit` characters of `text`, on one line, an ellipsis for what is left out.
pub fn shortened(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).map(printable).collect();
    if text.chars().nth(limit).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// Whether a character moves what stands around it instead of being seen: control characters, and marks of direction.
pub fn is_control(character: char) -> bool {
    let is_mark =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_mark
}

fn printable(character: char) -> char {
    if is_control(character) { '\u{fffd}' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays_and_a_long_one_ends_in_an_ellipsis() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "ab…");
        assert_eq!(shortened("a\nb\u{202e}", 4), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn control_characters_and_marks_of_direction_are_replaced() {
        assert_eq!(one_line("a\u{1b}[2J\r\n\u{200f}é\u{61c}"), "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}é\u{fffd}");
        assert_eq!(lines("a\nb\u{7}"), "a\nb\u{fffd}");
    }
}
