//! TLS for the client's connections, by the one TLS library and cryptography of the program:
//! rustls on ring.
//!
//! The client can bring a connector of its own, which builds a second cryptography from C for
//! minutes. Its anonymous one takes host and port for the server's name, and refuses it (0.50.1).

use std::fmt::Display;
use std::fs;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use fluvio_future::net::tcp_stream::stream;
use fluvio_future::net::{
    AsConnectionFd as _, BoxReadConnection, BoxWriteConnection, ConnectionFd,
    DefaultDomainConnector, DomainConnector, TcpDomainConnector,
};
use futures_rustls::TlsConnector;
use futures_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use futures_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use futures_rustls::rustls::pki_types::pem::PemObject as _;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use futures_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use futures_util::AsyncReadExt as _;
use streamgauge_actors::PortError;

use crate::broker::fluvio::section::{FluvioTls, FluvioTlsSection};

/// What a server is called whose certificate nobody looks at.
const ANY_NAME: &str = "localhost";

/// What makes connections as the settings ask.
pub(super) fn connector(tls: &FluvioTlsSection) -> Result<DomainConnector, PortError> {
    let provider = Arc::new(ring::default_provider());
    let (config, domain) = match tls.mode {
        FluvioTls::Disabled => return Ok(Box::new(DefaultDomainConnector::new())),
        FluvioTls::Anonymous => (anonymous(provider)?, ANY_NAME),
        FluvioTls::Verified => (verified(provider, tls)?, tls.domain.as_str()),
    };
    Ok(Box::new(TlsDomain { tls: Arc::new(config).into(), domain: domain.to_owned() }))
}

fn anonymous(provider: Arc<CryptoProvider>) -> Result<ClientConfig, PortError> {
    let verifier = Arc::new(AnyServer(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn verified(
    provider: Arc<CryptoProvider>,
    tls: &FluvioTlsSection,
) -> Result<ClientConfig, PortError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_file", &tls.ca_file)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let chain = certificates("cert_file", &tls.cert_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read("key_file", &tls.key_file)?)
        .map_err(|error| unusable(&format!("{}: {error}", tls.key_file)))?;
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_root_certificates(roots).with_client_auth_cert(chain, key))
        .map_err(|error| unusable(&error))
}

fn unusable(error: &dyn Display) -> PortError {
    PortError::fatal(format!("the files of `broker.fluvio.tls` cannot be used: {error}"))
}

fn read(key: &str, path: &str) -> Result<Vec<u8>, PortError> {
    fs::read(path).map_err(|error| {
        PortError::fatal(format!(
            "`broker.fluvio.tls.{key}` names a file that cannot be read: {path}: {error}"
        ))
    })
}

fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, PortError> {
    let found = CertificateDer::pem_slice_iter(&read(key, path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&format!("{path}: {error}")))?;
    if found.is_empty() {
        return Err(unusable(&format!("{path} has no certificate (PEM)")));
    }
    Ok(found)
}

/// Connections to servers of one name.
#[derive(Clone)]
struct TlsDomain {
    tls: TlsConnector,
    domain: String,
}

#[async_trait]
impl TcpDomainConnector for TlsDomain {
    async fn connect(
        &self,
        address: &str,
    ) -> Result<(BoxWriteConnection, BoxReadConnection, ConnectionFd), io::Error> {
        let name = ServerName::try_from(self.domain.clone()).map_err(|error| {
            let what = format!("`{}` is no server's name: {error}", self.domain);
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        let tcp = stream(address).await?;
        let descriptor = tcp.as_connection_fd();
        let (read, write) = self.tls.connect(name, tcp).await?.split();
        Ok((Box::new(write), Box::new(read), descriptor))
    }

    fn new_domain(&self, domain: String) -> DomainConnector {
        Box::new(Self { tls: self.tls.clone(), domain })
    }

    fn domain(&self) -> &str {
        &self.domain
    }

    fn clone_box(&self) -> DomainConnector {
        Box::new(self.clone())
    }
}

/// Takes whatever certificate a server shows, and still has it prove that it holds the key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
