//! What the tests' own proxy does to what passes through it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use streamgauge_actors::{Clock as _, MILLISECOND, Nanos, RunClock};
use streamgauge_support::proxy::{LinkFault, Proxy};
use streamgauge_support::wait_for;

/// Sends back whatever comes.
fn echo() -> String {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in door.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut client));
        }
    });
    address
}

/// A client whose patience is short.
fn client(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    client
}

/// Sends bytes and reads as many; gives what came, and how long it took.
fn ask(client: &mut TcpStream, bytes: usize) -> (std::io::Result<()>, Nanos) {
    let clock = RunClock::start();
    let start = clock.now();
    let question = vec![7; bytes];
    let answered = client.write_all(&question).and_then(|()| {
        let mut answer = vec![0; bytes];
        client.read_exact(&mut answer)?;
        assert_eq!(answer, question);
        Ok(())
    });
    (answered, clock.now() - start)
}

#[test]
fn bytes_pass_late_or_slowly_and_are_counted() {
    let proxy = Proxy::to(&echo());
    let mut client = client(&proxy);
    ask(&mut client, 100_000).0.unwrap();
    // What has come may not be counted yet.
    wait_for("the count", || proxy.passed() == (100_000, 100_000));
    proxy.set(LinkFault::Latency(Duration::from_millis(30)));
    let (answered, took) = ask(&mut client, 1);
    answered.unwrap();
    assert!(took >= 60 * MILLISECOND, "{took}");
    // The first 16 KiB may arrive once they have taken their time.
    proxy.set(LinkFault::Throttle(200_000));
    let (answered, took) = ask(&mut client, 40_000);
    answered.unwrap();
    assert!(took >= 200 * MILLISECOND, "{took}");
    proxy.set(LinkFault::None);
    ask(&mut client, 1_000_000).0.unwrap();
    wait_for("the count", || proxy.passed() == (1_140_001, 1_140_001));
}

#[test]
fn what_is_stalled_comes_later_and_what_is_swallowed_never() {
    let proxy = Proxy::to(&echo());
    let mut stalled = client(&proxy);
    ask(&mut stalled, 10).0.unwrap();
    proxy.set(LinkFault::Stall);
    assert_eq!(ask(&mut stalled, 1).0.unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.set(LinkFault::None);
    stalled.read_exact(&mut [0]).unwrap();
    let mut deaf = client(&proxy);
    proxy.set(LinkFault::HalfOpen);
    assert_eq!(ask(&mut deaf, 1).0.unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.set(LinkFault::None);
    assert_eq!(ask(&mut deaf, 1).0.unwrap_err().kind(), ErrorKind::WouldBlock);
    ask(&mut stalled, 1).0.unwrap();
    drop(deaf);
    wait_for("the deaf connection's end", || proxy.connections() == 1);
}

#[test]
fn who_is_cut_off_connects_again_when_that_is_over() {
    let proxy = Proxy::to(&echo());
    let mut before = client(&proxy);
    ask(&mut before, 10).0.unwrap();
    proxy.set(LinkFault::Cut);
    assert!(ask(&mut before, 1).0.is_err());
    assert!(ask(&mut client(&proxy), 1).0.is_err());
    proxy.set(LinkFault::None);
    ask(&mut client(&proxy), 1).0.unwrap();
    let address = proxy.address();
    drop(proxy);
    assert!(TcpStream::connect(address).is_err(), "nobody listens there any more");
}
