//! Which version a broker is, from its answer to `ApiVersions` (Kafka protocol guide; KIP-584 for the features).
//!
//! librdkafka asks for the same, and keeps the answer to itself.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use rdkafka::metadata::Metadata;

use super::Deadline;
use super::settings::KafkaSettings;

/// The version of the first broker that tells; `None` where none does, or where the listener is not plain text.
pub(super) fn of_any_broker(settings: &KafkaSettings, metadata: &Metadata, deadline: &Deadline) -> Option<String> {
    let protocol = settings.properties.get("security.protocol").map_or("plaintext", String::as_str);
    if !protocol.eq_ignore_ascii_case("plaintext") {
        return None;
    }
    metadata.brokers().iter().find_map(|broker| of(broker.host(), u16::try_from(broker.port()).ok()?, deadline))
}

fn of(host: &str, port: u16, deadline: &Deadline) -> Option<String> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, deadline.left()).ok()?;
    stream.set_read_timeout(Some(deadline.left())).ok()?;
    stream.set_write_timeout(Some(deadline.left())).ok()?;
    stream.write_all(REQUEST).ok()?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let size = u32::from_be_bytes(size) as usize;
    if size > LONGEST_ANSWER {
        return None;
    }
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer).ok()?;
    metadata_version(&answer).map(name)
}

const LONGEST_ANSWER: usize = 1 << 20;

/// `ApiVersions`, version 3, with its length in front.
const REQUEST: &[u8] = b"\0\0\0\x25\
    \0\x12\0\x03\0\0\0\x01\0\x0bstreamgauge\0\
    \x0cstreamgauge\x021\0";

/// The greatest `metadata.version` that a broker supports, from its answer: a number that goes up with each release.
fn metadata_version(answer: &[u8]) -> Option<u16> {
    let mut rest = Cursor(answer);
    rest.skip(4)?; // correlation id
    if rest.number()? != 0 {
        return None; // an error: the broker does not know this version of the request
    }
    for _ in 1..rest.varint()? {
        rest.skip(6)?; // an API's key, least and greatest version
        rest.skip_tags()?;
    }
    rest.skip(4)?; // throttle time
    for _ in 0..rest.varint()? {
        let (tag, length) = (rest.varint()?, rest.varint()?);
        let mut field = Cursor(rest.take(length)?);
        if tag != 0 {
            continue;
        }
        for _ in 1..field.varint()? {
            let length = field.varint()?.checked_sub(1)?;
            let feature = field.take(length)?;
            let (_least, greatest) = (field.number()?, field.number()?);
            field.skip_tags()?;
            if feature == b"metadata.version" {
                return Some(greatest);
            }
        }
    }
    None
}

/// The release that brought a `metadata.version`.
fn name(level: u16) -> String {
    let release = match level {
        1 => "3.0",
        2 => "3.1",
        3 => "3.2",
        4..=7 => "3.3",
        8 => "3.4",
        9..=11 => "3.5",
        12..=14 => "3.6",
        15..=19 => "3.7",
        20 => "3.8",
        21 => "3.9",
        22..=25 => "4.0",
        26..=27 => "4.1",
        level => return format!("metadata version {level}"),
    };
    release.to_owned()
}

/// What is left to read of an answer.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..28).step_by(7) {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip_tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Vec<u8> {
        let mut answer = b"\0\0\0\x01\0\0\x03\0\x00\0\0\0\x0b\0\0\x01\0\x04\0\x11\0\0\0\0\0\x02\x01\x08".to_vec();
        answer.extend([0; 8]);
        let feature = b"\x02\x11metadata.version\0\x07\0\x1b\0";
        answer.extend([0, feature.len() as u8]);
        answer.extend(feature);
        answer
    }

    #[test]
    fn the_request_says_its_length() {
        assert_eq!(REQUEST.len() - 4, usize::from(REQUEST[3]));
    }

    #[test]
    fn the_features_tell_the_release() {
        assert_eq!(metadata_version(&answer()).map(name).as_deref(), Some("4.1"));
    }

    #[test]
    fn an_answer_cut_anywhere_is_no_panic() {
        let answer = answer();
        for length in 0..answer.len() {
            assert_eq!(metadata_version(&answer[..length]), None);
        }
    }
}
