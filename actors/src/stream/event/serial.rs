//! The serial number that every event carries inside its schema.

use uuid::Uuid;

use super::hex;

/// Where an event stands in its producer's output, carried as `page_id`: a UUID version 8 (RFC
/// 9562, section 5.8). It is one per event, and the same in every record of it: whoever takes the
/// id for one may drop what comes again.
///
/// | bits | holds |
/// |---|---|
/// | 0..48 | `run_tag` |
/// | 48..52 | the version, 8 |
/// | 52..64 | `producer` |
/// | 64..66 | the variant, binary 10 |
/// | 66..82 | `partition` |
/// | 82..128 | `n` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial {
    /// Tells this run's events from strangers; 48 bits.
    pub run_tag: u64,
    /// The producer, from 0; 12 bits.
    pub producer: u16,
    /// The partition that the producer chose; 16 bits.
    pub partition: u16,
    /// Counted from 0 per (producer, partition) over the whole run; 46 bits.
    pub n: u64,
}

impl Serial {
    /// Greatest value of [`Serial::run_tag`].
    pub const MAX_RUN_TAG: u64 = (1 << 48) - 1;
    /// Greatest value of [`Serial::producer`].
    pub const MAX_PRODUCER: u16 = (1 << 12) - 1;
    /// Greatest value of [`Serial::n`].
    pub const MAX_N: u64 = (1 << 46) - 1;

    /// The UUID that carries this serial. Bits past a part's width are cut off.
    pub fn to_uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.high(), self.low())
    }

    /// The serial in a UUID; None unless it is of version 8 and of the RFC 9562 variant.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        let (high, low) = uuid.as_u64_pair();
        Self::from_halves(high, low)
    }

    /// The serial in a UUID's hyphenated text, of either case; None if it is not such a text, or
    /// not a serial.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let text: &[u8; 36] = text.try_into().ok()?;
        // Version 4, as other programs write it, is told apart by this one byte.
        if text[14] != b'8' || [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
            return None;
        }
        let [a, b, c, d] = [
            [text[0], text[1], text[2], text[3], text[4], text[5], text[6], text[7]],
            [text[9], text[10], text[11], text[12], text[14], text[15], text[16], text[17]],
            [text[19], text[20], text[21], text[22], text[24], text[25], text[26], text[27]],
            [text[28], text[29], text[30], text[31], text[32], text[33], text[34], text[35]],
        ];
        Self::from_halves(hex::decode16(a, b)?, hex::decode16(c, d)?)
    }

    fn from_halves(high: u64, low: u64) -> Option<Self> {
        (high >> 12 & 0xf == 8 && low >> 62 == 0b10).then_some(Self {
            run_tag: high >> 16,
            producer: high as u16 & Self::MAX_PRODUCER,
            partition: (low >> 46) as u16,
            n: low & Self::MAX_N,
        })
    }

    pub(super) fn high(self) -> u64 {
        self.run_tag << 16 | 8 << 12 | u64::from(self.producer & Self::MAX_PRODUCER)
    }

    pub(super) fn low(self) -> u64 {
        0b10 << 62 | u64::from(self.partition) << 46 | self.n & Self::MAX_N
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::{Variant, Version};

    use super::*;

    fn serials() -> impl Strategy<Value = Serial> {
        (0..=Serial::MAX_RUN_TAG, 0..=Serial::MAX_PRODUCER, 0..=u16::MAX, 0..=Serial::MAX_N)
            .prop_map(|(run_tag, producer, partition, n)| Serial {
                run_tag,
                producer,
                partition,
                n,
            })
    }

    proptest! {
        #[test]
        fn a_serial_survives_its_uuid_and_its_text(serial in serials()) {
            let uuid = serial.to_uuid();
            prop_assert_eq!(uuid.get_version(), Some(Version::Custom));
            prop_assert_eq!(uuid.get_variant(), Variant::RFC4122);
            prop_assert_eq!(Serial::from_uuid(uuid), Some(serial));
            prop_assert_eq!(Serial::from_text(uuid.to_string().as_bytes()), Some(serial));
            let upper = uuid.to_string().to_uppercase();
            prop_assert_eq!(Serial::from_text(upper.as_bytes()), Some(serial));
        }

        #[test]
        fn text_and_uuid_are_judged_alike(bits: u128, eight: bool) {
            let version = if eight { 8 << 76 } else { bits & 0xf << 76 };
            let uuid = Uuid::from_u128(bits & !(0xf << 76) | version);
            let text = uuid.to_string();
            prop_assert_eq!(Serial::from_text(text.as_bytes()), Serial::from_uuid(uuid));
        }

        #[test]
        fn no_text_but_hyphenated_hexadecimal_is_a_serial(
            serial in serials(),
            place in 0..36_usize,
            byte: u8,
        ) {
            let mut text = serial.to_uuid().to_string().into_bytes();
            text[place] = byte;
            let uuid = std::str::from_utf8(&text).ok().and_then(|text| Uuid::try_parse(text).ok());
            prop_assert_eq!(Serial::from_text(&text), uuid.and_then(Serial::from_uuid));
        }
    }

    #[test]
    fn a_serial_lies_where_the_table_says() {
        let serial = Serial {
            run_tag: 0x0123_4567_89ab,
            producer: 0xcde,
            partition: 0x48d3,
            n: 0x3edc_ba98_7654,
        };
        assert_eq!(serial.to_uuid().to_string(), "01234567-89ab-8cde-9234-fedcba987654");
    }

    #[test]
    fn other_versions_and_lengths_are_no_serials() {
        assert_eq!(Serial::from_uuid(Uuid::nil()), None);
        assert_eq!(Serial::from_text(b"01234567-89ab-4cde-9234-fedcba987654"), None);
        assert_eq!(
            Serial::from_text(b"01234567-89ab-8cde-1234-fedcba987654"),
            None,
            "another variant"
        );
        assert_eq!(Serial::from_text(b"0123456789ab8cde9234fedcba987654"), None);
        assert_eq!(Serial::from_text(b""), None);
    }
}
