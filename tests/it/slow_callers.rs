//! Callers that send a request, or take its answer, a byte at a time do not keep the daemon from
//! others.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use streamgauge_support::wait_for;

use crate::support::daemon::Lab;

/// A connection whose calls wait for a moment only.
fn connect(lab: &Lab) -> TcpStream {
    let stream = TcpStream::connect(lab.daemon().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    stream
}

/// Whether the daemon has closed the connection; reads a byte otherwise.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn callers_that_take_answers_byte_by_byte_are_cut_and_others_get_their_turn() {
    let lab = Lab::new(&[
        ("server.max_connections", "2"),
        ("server.max_event_streams", "1"),
        ("server.answer_timeout", "1s"),
    ]);
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let mut slow: Vec<TcpStream> = (0..2).map(|_| connect(&lab)).collect();
    for stream in &mut slow {
        // More answers than any buffer holds, until nobody takes requests any more.
        while stream.write_all(&request).is_ok() {}
        is_closed(stream);
    }
    // Both connections are taken until the slow callers are cut.
    assert_eq!(lab.get("/livez").status, 200);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_given_up() {
    let lab = Lab::new(&[("server.request_timeout", "3s"), ("server.answer_timeout", "2s")]);
    let body = "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n";
    let unread = body.replace("/api/v1/runs", "/nowhere");
    let forever = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ";
    for head in [body, &unread, forever] {
        let mut stream = connect(&lab);
        stream.write_all(head.as_bytes()).unwrap();
        wait_for("the daemon closes the connection", || {
            stream.write_all(b" ").is_err() || is_closed(&mut stream)
        });
    }
    assert_eq!(lab.get("/livez").status, 200);
}
