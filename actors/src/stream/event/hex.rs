//! Hexadecimal text, eight digits at a time in one register.

const LANES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * LANES;

/// The eight lower-case hexadecimal digits of `value`.
#[inline]
pub(super) fn encode8(value: u32) -> [u8; 8] {
    let mut nibbles = u64::from(value);
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((nibbles + 6 * LANES) >> 4) & LANES;
    (nibbles + u64::from(b'0') * LANES + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// The value of sixteen hexadecimal digits of either case, in two halves; None if one is not a
/// digit.
#[inline]
pub(super) fn decode16(high: [u8; 8], low: [u8; 8]) -> Option<u64> {
    let (high, high_valid) = decode8(high);
    let (low, low_valid) = decode8(low);
    (high_valid & low_valid & HIGH == HIGH).then_some(high << 32 | low)
}

/// The value of eight hexadecimal digits, and marks, in the high bits of the bytes, of those that
/// are digits.
#[inline]
fn decode8(text: [u8; 8]) -> (u64, u64) {
    let text = u64::from_be_bytes(text);
    // Below 0x80, adding 0x80 - n to a byte sets its high bit exactly if the byte is at least n.
    let low = text & !HIGH;
    let at_least = |bytes: u64, n: u8| bytes + (0x80 - u64::from(n)) * LANES;
    let digit = at_least(low, b'0') & !at_least(low, b'9' + 1);
    let lower = low | (0x20 * LANES);
    let letter = at_least(lower, b'a') & !at_least(lower, b'f' + 1);
    let mut value = (low & (0x0f * LANES)) + 9 * ((low >> 6) & LANES);
    value = (value | value >> 4) & 0x00ff_00ff_00ff_00ff;
    value = (value | value >> 8) & 0x0000_ffff_0000_ffff;
    ((value | value >> 16) & 0xffff_ffff, (digit | letter) & !text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_those_of_the_formatter(value: u32) {
            let text = encode8(value);
            prop_assert_eq!(text.to_vec(), format!("{value:08x}").into_bytes());
            let upper = text.map(|byte| byte.to_ascii_uppercase());
            prop_assert_eq!(decode16(text, upper), Some(u64::from(value) << 32 | u64::from(value)));
        }
    }

    #[test]
    fn every_byte_is_judged_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut text = *b"00000000";
                text[place] = byte;
                let expected =
                    char::from(byte).to_digit(16).map(|digit| u64::from(digit) << (28 - 4 * place));
                assert_eq!(decode16(*b"00000000", text), expected, "byte {byte} in place {place}");
                assert_eq!(decode16(text, *b"00000000"), expected.map(|value| value << 32));
            }
        }
    }
}
