//! Handshakes with a server in this process. The certificates are good for a hundred years, and for
//! nothing else; their authority's key is gone.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use fluvio_future::task::run_block_on;
use futures_rustls::rustls::server::WebPkiClientVerifier;
use futures_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use futures_util::AsyncWriteExt as _;

use super::*;

fn file(name: &str) -> String {
    format!("{}/src/broker/fluvio/client/tls/certificates/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn settings(mode: FluvioTls) -> FluvioTlsSection {
    FluvioTlsSection {
        mode,
        domain: "fluvio.test".to_owned(),
        ca_file: file("authority.pem"),
        cert_file: file("client.pem"),
        key_file: file("client.key.pem"),
    }
}

/// A server that answers one connection's byte with the next one; it may ask for a certificate.
fn server(asks: bool) -> (SocketAddr, JoinHandle<io::Result<()>>) {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(certificates("ca_file", &file("authority.pem")).unwrap().remove(0)).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let chain = certificates("cert_file", &file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("key_file", &file("server.key.pem")).unwrap());
    let config = Arc::new(builder.with_single_cert(chain, key.unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, listener.accept()?.0);
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&[byte[0] + 1])?;
        stream.flush()
    });
    (address, answering)
}

/// Sends a byte to a server, and gives its answer.
fn exchange(connector: &DomainConnector, address: SocketAddr) -> io::Result<u8> {
    run_block_on(async {
        let (mut write, mut read, _) = connector.connect(&address.to_string()).await?;
        write.write_all(&[41]).await?;
        write.flush().await?;
        let mut byte = [0];
        read.read_exact(&mut byte).await?;
        Ok(byte[0])
    })
}

#[test]
fn verified_connections_show_their_certificate_and_look_at_the_servers() {
    let connector = connector(&settings(FluvioTls::Verified)).unwrap();
    for connector in [connector.clone_box(), connector.new_domain("unit-1.fluvio.test".to_owned())]
    {
        let (address, server) = server(true);
        assert_eq!(exchange(&connector, address).unwrap(), 42);
        server.join().unwrap().unwrap();
    }
}

#[test]
fn a_server_of_another_name_or_authority_is_refused() {
    let connector = connector(&settings(FluvioTls::Verified)).unwrap();
    let (address, _server) = server(true);
    let error = exchange(&connector.new_domain("elsewhere.test".to_owned()), address).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // An authority that did not sign the server's certificate: the client's own.
    let strange = FluvioTlsSection { ca_file: file("client.pem"), ..settings(FluvioTls::Verified) };
    let (address, _server) = server(true);
    let error = exchange(&super::connector(&strange).unwrap(), address).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn anonymous_connections_take_any_server() {
    let connector = connector(&settings(FluvioTls::Anonymous)).unwrap();
    for connector in [connector.clone_box(), connector.new_domain("unit-1.localhost".to_owned())] {
        let (address, server) = server(false);
        assert_eq!(exchange(&connector, address).unwrap(), 42);
        server.join().unwrap().unwrap();
    }
    // One that asks for a certificate gets none.
    let (address, server) = server(true);
    assert!(exchange(&connector, address).is_err());
    assert!(server.join().unwrap().is_err());
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let wrong =
        FluvioTlsSection { ca_file: file("client.key.pem"), ..settings(FluvioTls::Verified) };
    let error = connector(&wrong).err().unwrap();
    assert!(error.message.contains("client.key.pem has no certificate"), "{error}");
    let wrong = FluvioTlsSection { key_file: file("client.pem"), ..settings(FluvioTls::Verified) };
    let error = connector(&wrong).err().unwrap();
    assert!(error.message.contains("client.pem: "), "{error}");
}
