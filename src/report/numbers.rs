//! How numbers are written for people.

/// A count with thousands separators: `2,400,000`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most seven characters: `999,999`, `1.23M`.
pub fn compact(n: u64) -> String {
    let scaled = |unit: f64, name: &str| format!("{:.2}{name}", n as f64 / unit);
    match n {
        0..1_000_000 => grouped(n),
        1_000_000..1_000_000_000 => scaled(1e6, "M"),
        1_000_000_000..1_000_000_000_000 => scaled(1e9, "G"),
        _ => format!("{:.1e}", n as f64),
    }
}

/// Milliseconds to three digits or the whole millisecond: `0.05`, `1.23`, `12.3`, `1,234`, `1.2e9`;
/// `-` for none.
pub fn millis(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 9.995 => format!("{ms:.2}"),
        Some(ms) if ms < 99.95 => format!("{ms:.1}"),
        Some(ms) if ms < 999_999.5 => grouped(ms.round() as u64),
        Some(ms) => format!("{ms:.1e}"),
    }
}

/// Events per second: `40,000/s`; `-` for none.
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.2}/s"),
        Some(rate) => format!("{}/s", grouped(rate.round() as u64)),
    }
}

/// Bytes in binary units: `123.4 MiB`; `-` for none.
pub fn bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    match bytes {
        0..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// A number as exactly as it is known, whatever its size: `0.05`, `40000`, `1.2e21`.
pub fn exact(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-4..1e15).contains(&size) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// Breaks `text` into lines of at most `width` characters: at spaces where it can. Lines after the
/// first are indented.
pub fn wrap(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    // Characters in `line`; whether it holds a word already.
    let (mut used, mut begun) = (0, false);
    let room = width.saturating_sub(indent.chars().count()).max(1);
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let space = usize::from(begun);
            if used + space + word.len() <= width {
                if begun {
                    line.push(' ');
                }
                line.extend(&word);
                used += space + word.len();
                begun = true;
                break;
            }
            if !begun || word.len() > room {
                // A word longer than a line is cut.
                let cut = width.saturating_sub(used + space).min(word.len());
                if cut > 0 && begun {
                    line.push(' ');
                }
                line.extend(word.drain(..cut));
            }
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            (used, begun) = (indent.chars().count(), false);
        }
    }
    if begun {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        let texts: Vec<_> = [0, 999, 1_000, 999_999, 1_234_567, 2_400_000].map(grouped).into();
        assert_eq!(texts, ["0", "999", "1,000", "999,999", "1,234,567", "2,400,000"]);
        assert_eq!([999_999, 1_230_000, 4_500_000_000].map(compact), ["999,999", "1.23M", "4.50G"]);
    }

    #[test]
    fn milliseconds_keep_three_digits_and_none_is_no_zero() {
        let texts =
            [None, Some(0.0), Some(1.234), Some(12.34), Some(1234.0), Some(2e9)].map(millis);
        assert_eq!(texts, ["-", "0.00", "1.23", "12.3", "1,234", "2.0e9"]);
    }

    #[test]
    fn exact_numbers_stay_short() {
        let texts = [0.0, 0.05, 40_000.0, -3.25, 1.2e21, 1e-9].map(exact);
        assert_eq!(texts, ["0", "0.05", "40000", "-3.25", "1.2e21", "1e-9"]);
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_character_and_the_width(text in "([a-z]{1,30} \
                                                                 ?){0,20}", width in 12_usize..40) {
            let lines = wrap(&text, width, "   ");
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width));
            let kept: String = lines.concat().split_whitespace().collect();
            let whole: String = text.split_whitespace().collect();
            prop_assert_eq!(kept, whole);
        }
    }
}
