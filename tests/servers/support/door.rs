//! A door to a broker that changes what the broker says it answers (`ApiVersions`), and nothing
//! else: to the program's own question. librdkafka, which asks the same, hears the truth.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The key of `ApiVersions`.
const API_VERSIONS: u16 = 18;

/// How librdkafka calls itself in it.
const LIBRDKAFKA: &[u8] = b"librdkafka";

/// The address of a door to the broker at this one. `change` gets the request's version and the
/// answer.
pub(crate) fn to(
    servers: &str,
    change: impl Fn(u16, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> String {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let (servers, change) = (servers.to_owned(), Arc::new(change));
    thread::spawn(move || {
        for client in door.incoming().flatten() {
            let (servers, change) = (servers.clone(), Arc::clone(&change));
            // It ends with either side's connection.
            thread::spawn(move || pass(client, &servers, &*change));
        }
    });
    address
}

/// Passes requests and answers on, one at a time.
fn pass(
    mut client: TcpStream,
    servers: &str,
    change: &dyn Fn(u16, &[u8]) -> Vec<u8>,
) -> Option<()> {
    let mut broker = TcpStream::connect(servers).ok()?;
    loop {
        let request = frame(&mut client)?;
        send(&mut broker, &request)?;
        let mut answer = frame(&mut broker)?;
        let by_librdkafka = request.windows(LIBRDKAFKA.len()).any(|part| part == LIBRDKAFKA);
        if request.get(..2)? == API_VERSIONS.to_be_bytes() && !by_librdkafka {
            answer = change(u16::from_be_bytes([request[2], request[3]]), &answer);
        }
        send(&mut client, &answer)?;
    }
}

fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn send(to: &mut TcpStream, frame: &[u8]) -> Option<()> {
    to.write_all(&[&(frame.len() as u32).to_be_bytes(), frame].concat()).ok()
}

/// An answer to `ApiVersions` without these keys: correlation id, error code, and an array of keys
/// with two versions each; since version 3 compact, with no tags behind each.
pub(crate) fn without(answer: &[u8], version: u16, keys: &BTreeSet<u16>) -> Vec<u8> {
    let (head, rest) = answer.split_at(6);
    if head[4..] != [0, 0] {
        return answer.to_vec(); // a refusal
    }
    let compact = version >= 3;
    let (count, size, rest) = if compact {
        assert!(rest[0] < 0x80, "the count takes one byte");
        (usize::from(rest[0]) - 1, 7, &rest[1..])
    } else {
        (usize::from(rest[3]), 6, &rest[4..])
    };
    let (entries, rest) = rest.split_at(count * size);
    let is_kept = |entry: &&[u8]| !keys.contains(&u16::from_be_bytes([entry[0], entry[1]]));
    let kept: Vec<&[u8]> = entries.chunks(size).filter(is_kept).collect();
    let count = if compact { vec![kept.len() as u8 + 1] } else { vec![0, 0, 0, kept.len() as u8] };
    [head, &count, &kept.concat(), rest].concat()
}

/// Kafka's answer to `ApiVersions`, version 3, in place of a simulated broker's: every request in
/// its first version, and the `metadata.version` of 4.1.
pub(crate) fn as_kafka(version: u16, answer: &[u8]) -> Vec<u8> {
    const KEYS: u8 = 60;
    const FEATURE: &[u8] = b"\x02\x11metadata.version\0\x07\0\x1b\0";
    if version < 3 {
        return answer.to_vec();
    }
    let entries: Vec<u8> = (0..KEYS).flat_map(|key| [0, key, 0, 0, 0, 0, 0]).collect();
    let (throttle, one_tag) = ([0; 4], [1, 0, FEATURE.len() as u8]);
    [&answer[..4], &[0, 0, KEYS + 1], &entries, &throttle, &one_tag, FEATURE].concat()
}
