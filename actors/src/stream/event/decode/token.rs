//! The tokens of plain JSON, eight bytes at a time in one register. Each function takes what is
//! left of a text, and gives None for what only `serde_json` should judge.

#![expect(
    clippy::inline_always,
    reason = "out of line, results go through memory: measured, a fifth slower"
)]

const LANES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * LANES;

/// The powers of ten.
const POWERS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The next eight bytes, the first one lowest; zeros past the end.
#[inline]
fn word(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk() {
        return u64::from_le_bytes(*bytes);
    }
    let (mut word, mut rest, mut bits) = (0, text, 0);
    if let Some((bytes, more)) = rest.split_first_chunk() {
        (word, rest, bits) = (u64::from(u32::from_le_bytes(*bytes)), more, 32);
    }
    for &byte in rest {
        word |= u64::from(byte) << bits;
        bits += 8;
    }
    word
}

/// Marks, by its high bit, the lowest byte that is zero (and perhaps others above it).
#[inline]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(LANES) & !word
}

/// Marks, by its high bit, the lowest byte that cannot stand for itself inside a string: a quote, a
/// backslash, a control character, or one that is not ASCII (and perhaps others above it).
#[inline]
fn special(word: u64) -> u64 {
    let quote = zero(word ^ (u64::from(b'"') * LANES));
    let backslash = zero(word ^ (u64::from(b'\\') * LANES));
    let control = word.wrapping_sub(0x20 * LANES) & !word;
    (quote | backslash | control | word) & HIGH
}

/// Whether every byte stands for itself inside a string.
#[inline]
pub(super) fn is_plain(text: &[u8; 36]) -> bool {
    let at = |index: usize| {
        special(u64::from_le_bytes(*text[index..].first_chunk().expect("eight bytes are left")))
    };
    at(0) | at(8) | at(16) | at(24) | at(28) == 0
}

/// Splits off a string of plain ASCII, whose opening quote was read, and its closing quote.
#[inline(always)]
pub(super) fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        // Two words at once: most strings end in one of them, and which one is hard to predict.
        let first = special(word(&text[at..]));
        let second = special(word(text.get(at + 8..).unwrap_or_default()));
        let marks = u128::from(second) << 64 | u128::from(first);
        if marks != 0 {
            at += marks.trailing_zeros() as usize / 8;
            let (string, rest) = text.split_at_checked(at)?;
            return Some((string, rest.strip_prefix(b"\"")?));
        }
        at += 16;
    }
}

/// Splits off digits: no leading zero, and at most 19 of them, so that no value overflows. Whatever
/// follows, such as a fraction, is the caller's to judge.
#[inline(always)]
pub(super) fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut rest = text;
    loop {
        let figures = word(rest) ^ (u64::from(b'0') * LANES);
        let count = not_digits(figures).trailing_zeros() as usize / 8;
        let read = text.len() - rest.len() + count;
        if read > 19 {
            return None;
        }
        if count > 0 {
            value = value * POWERS[count] + decimal8(figures << (64 - 8 * count));
            rest = &rest[count..];
        }
        if count < 8 {
            let leading_zero = text.first() == Some(&b'0') && read > 1;
            return (read > 0 && !leading_zero).then_some((value, rest));
        }
    }
}

/// Like [`integer`], and faster for those of exactly `N` digits (9 to 19): what follows then has a
/// fixed place.
#[inline(always)]
pub(super) fn integer_of<const N: usize>(text: &[u8]) -> Option<(i64, &[u8])> {
    match fixed::<N>(text) {
        Some((value, rest)) => Some((i64::try_from(value).ok()?, rest)),
        None => integer(text),
    }
}

/// Splits off exactly `N` digits, from 9 to 19, the first of them not zero.
#[inline(always)]
fn fixed<const N: usize>(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<N>()?;
    let figures = |at: usize| word(&digits[at..]) ^ (u64::from(b'0') * LANES);
    let words = || (0..N / 8).map(|index| figures(8 * index));
    let last = figures(N - 8);
    let others = words().fold(not_digits(last), |others, word| others | not_digits(word));
    if others != 0 || digits[0] == b'0' || rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let value = words().fold(0, |value, word| value * POWERS[8] + decimal8(word));
    // The last word overlaps the one before it: figures read already become leading zeros.
    let unread = last & !(u64::MAX >> (8 * (N % 8)));
    Some((value * POWERS[N % 8] + decimal8(unread), rest))
}

/// Marks, by its high bit, the lowest byte that is more than 9 (and perhaps others above it: a
/// carry goes upwards).
#[inline]
fn not_digits(figures: u64) -> u64 {
    (figures.wrapping_add(0x76 * LANES) | figures) & HIGH
}

/// The value of eight decimal figures, the most significant one lowest.
#[inline]
fn decimal8(figures: u64) -> u64 {
    let twos = figures.wrapping_mul(10).wrapping_add(figures >> 8);
    let first = (twos & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let second = (twos >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    first.wrapping_add(second) >> 32
}

/// Splits off an integer; `-0` is none.
#[inline(always)]
pub(super) fn integer(text: &[u8]) -> Option<(i64, &[u8])> {
    if let Some(text) = text.strip_prefix(b"-") {
        let (value, rest) = digits(text)?;
        let value = i64::try_from(value).ok().filter(|&value| value > 0)?;
        return Some((-value, rest));
    }
    let (value, rest) = digits(text)?;
    Some((i64::try_from(value).ok()?, rest))
}
