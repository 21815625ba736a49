//! What a broker offers, from its own answer to `ApiVersions` (Kafka protocol guide; KIP-35,
//! KIP-511, and KIP-584 for the features).
//!
//! librdkafka asks for the same, and keeps the answer to itself.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::broker::deadline::Deadline;

/// The requests that a broker answers, by their keys, and the features that it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ApiVersions {
    /// The keys of all requests that it answers.
    pub(super) keys: BTreeSet<u16>,
    /// The greatest `metadata.version` that it supports: a number that goes up with each release of
    /// Apache Kafka.
    pub(super) metadata_version: Option<u16>,
}

/// The answer of the first broker that gives one.
pub(super) fn of_any(
    addresses: impl IntoIterator<Item = (String, u16)>,
    deadline: &Deadline,
) -> Option<ApiVersions> {
    addresses.into_iter().find_map(|(host, port)| of(&host, port, deadline))
}

fn of(host: &str, port: u16, deadline: &Deadline) -> Option<ApiVersions> {
    let found = ask(REQUEST, host, port, deadline).as_deref().and_then(flexible);
    // Brokers that do not know the request's version refuse it, or close the connection.
    found.or_else(|| plain(&ask(OLD_REQUEST, host, port, deadline)?))
}

fn ask(request: &[u8], host: &str, port: u16, deadline: &Deadline) -> Option<Vec<u8>> {
    if deadline.passed() {
        return None;
    }
    // A name may stand for several addresses, of which some answer nobody.
    let connect =
        |address| TcpStream::connect_timeout(&address, deadline.left().min(CONNECT_PATIENCE)).ok();
    let mut stream = (host, port).to_socket_addrs().ok()?.find_map(connect)?;
    stream.set_write_timeout(Some(deadline.left())).ok()?;
    stream.write_all(request).ok()?;
    let mut size = [0; 4];
    read(&mut stream, &mut size, deadline)?;
    let size = u32::from_be_bytes(size) as usize;
    if size > LONGEST_ANSWER {
        return None;
    }
    let mut answer = vec![0; size];
    read(&mut stream, &mut answer, deadline)?;
    Some(answer)
}

/// Fills the buffer before the deadline, however small the pieces are that come; `None`: it cannot.
fn read(stream: &mut TcpStream, buffer: &mut [u8], deadline: &Deadline) -> Option<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        if deadline.passed() {
            return None;
        }
        stream.set_read_timeout(Some(deadline.left())).ok()?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(())
}

/// How long one address is tried.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

const LONGEST_ANSWER: usize = 1 << 20;

/// `ApiVersions`, version 3, with its length in front.
const REQUEST: &[u8] = b"\0\0\0\x25\
    \0\x12\0\x03\0\0\0\x01\0\x0bstreamgauge\0\
    \x0cstreamgauge\x021\0";

/// `ApiVersions`, version 0, with its length in front.
const OLD_REQUEST: &[u8] = b"\0\0\0\x15\
    \0\x12\0\0\0\0\0\x01\0\x0bstreamgauge";

/// The answer to [`REQUEST`]; `None`: a refusal, or unreadable.
fn flexible(answer: &[u8]) -> Option<ApiVersions> {
    let mut rest = Cursor(answer);
    rest.skip(4)?; // correlation id
    if rest.number()? != 0 {
        return None;
    }
    let mut found = ApiVersions::default();
    for _ in 1..rest.varint()? {
        found.keys.insert(rest.number()?);
        rest.skip(4)?; // least and greatest version
        rest.skip_tags()?;
    }
    rest.skip(4)?; // throttle time
    for _ in 0..rest.varint()? {
        let (tag, length) = (rest.varint()?, rest.varint()?);
        let field = rest.take(length)?;
        if tag == 0 {
            read_features(field, &mut found)?;
        }
    }
    Some(found)
}

/// Reads the list of supported features.
fn read_features(features: &[u8], found: &mut ApiVersions) -> Option<()> {
    let mut rest = Cursor(features);
    for _ in 1..rest.varint()? {
        let length = rest.varint()?.checked_sub(1)?;
        let feature = rest.take(length)?;
        let (_least, greatest) = (rest.number()?, rest.number()?);
        rest.skip_tags()?;
        if feature == b"metadata.version" {
            found.metadata_version = Some(greatest);
        }
    }
    Some(())
}

/// The answer to [`OLD_REQUEST`].
fn plain(answer: &[u8]) -> Option<ApiVersions> {
    let mut rest = Cursor(answer);
    rest.skip(4)?; // correlation id
    if rest.number()? != 0 {
        return None;
    }
    let mut found = ApiVersions::default();
    let (high, low) = (rest.number()?, rest.number()?);
    for _ in 0..(u32::from(high) << 16 | u32::from(low)) {
        found.keys.insert(rest.number()?);
        rest.skip(4)?; // least and greatest version
    }
    Some(found)
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
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves an answer, byte by byte, to everyone who asks; gives its port.
    fn slow_broker(answer: Vec<u8>, pause: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut stream), answer) = (stream, answer.clone()) else { return };
                thread::spawn(move || {
                    for byte in answer {
                        // Whoever asked may have given up.
                        if stream.write_all(&[byte]).is_err() {
                            return;
                        }
                        thread::sleep(pause);
                    }
                });
            }
        });
        port
    }

    fn whole(answer: &[u8]) -> Vec<u8> {
        [&(answer.len() as u32).to_be_bytes(), answer].concat()
    }

    #[test]
    fn a_broker_that_dribbles_is_given_up_at_the_deadline_and_a_slow_one_is_not() {
        let address = |port| [("127.0.0.1".to_owned(), port)];
        let port = slow_broker(whole(&answer()), Duration::from_millis(1));
        let found = of_any(address(port), &Deadline::after(Duration::from_mins(1)));
        assert_eq!(found.and_then(|found| found.metadata_version), Some(27));
        // An hour of bytes, each in time.
        let dribble = whole(&vec![0; 36_000]);
        let port = slow_broker(dribble, Duration::from_millis(100));
        assert_eq!(of_any(address(port), &Deadline::after(Duration::from_millis(300))), None);
    }

    /// Produce and `ApiVersions`, and two features.
    fn answer() -> Vec<u8> {
        let mut answer =
            b"\0\0\0\x01\0\0\x03\0\x00\0\0\0\x0b\0\0\x12\0\0\0\x04\0\0\0\0\0\x02\x01\x08".to_vec();
        answer.extend([0; 8]);
        let features = b"\x03\x0egroup.version\0\0\0\x01\0\x11metadata.version\0\x07\0\x1b\0";
        answer.extend([0, features.len() as u8]);
        answer.extend(features);
        answer
    }

    #[test]
    fn the_requests_say_their_length() {
        for request in [REQUEST, OLD_REQUEST] {
            assert_eq!(request.len() - 4, usize::from(request[3]));
        }
    }

    #[test]
    fn keys_and_features_are_read() {
        let expected = ApiVersions { keys: [0, 18].into(), metadata_version: Some(27) };
        assert_eq!(flexible(&answer()), Some(expected));
    }

    #[test]
    fn an_answer_without_features_has_keys() {
        let found = flexible(b"\0\0\0\x01\0\0\x02\0\x16\0\0\0\x04\0\0\0\0\0\0");
        assert_eq!(found, Some(ApiVersions { keys: [22].into(), metadata_version: None }));
    }

    #[test]
    fn an_old_broker_is_told_from_an_answer() {
        let refusal = b"\0\0\0\x01\0\x23\0\0\0\x01\0\x12\0\0\0\x02";
        assert_eq!(flexible(refusal), None);
        let found = plain(b"\0\0\0\x01\0\0\0\0\0\x02\0\0\0\0\0\x05\0\x12\0\0\0\x02");
        assert_eq!(found, Some(ApiVersions { keys: [0, 18].into(), metadata_version: None }));
    }

    #[test]
    fn an_answer_cut_anywhere_is_no_panic() {
        let answer = answer();
        for length in 0..answer.len() {
            assert_eq!(flexible(&answer[..length]), None);
        }
        let plain_answer = b"\0\0\0\x01\0\0\0\0\0\x01\0\0\0\0\0\x05";
        for length in 0..plain_answer.len() {
            assert_eq!(plain(&plain_answer[..length]), None);
        }
        assert_eq!(plain(b"\0\0\0\x01\0\0\xff\xff\xff\xff\0"), None);
    }
}
