//! Connections that can be severed for good: what the client still tries in the background then reaches nobody.
//!
//! A producer that was dropped while its leader was away goes on connecting, and would store what it had queued once the
//! leader is back: behind what was sent since. Severed, it waits for ever instead, with what it had queued in memory.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fluvio_future::net::{BoxReadConnection, BoxWriteConnection, ConnectionFd, DomainConnector, TcpDomainConnector};

/// Severs all connections that were not made yet.
#[derive(Clone, Default)]
pub(super) struct Sever(Arc<AtomicBool>);

impl Sever {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connector until it is severed.
pub(super) struct Severable {
    inner: DomainConnector,
    sever: Sever,
}

impl Severable {
    pub(super) fn boxed(inner: DomainConnector, sever: Sever) -> DomainConnector {
        Box::new(Self { inner, sever })
    }
}

type Connected = io::Result<(BoxWriteConnection, BoxReadConnection, ConnectionFd)>;

impl TcpDomainConnector for Severable {
    fn connect<'life0, 'life1, 'async_trait>(
        &'life0 self,
        domain: &'life1 str,
    ) -> Pin<Box<dyn Future<Output = Connected> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        if self.sever.0.load(Ordering::Relaxed) {
            return Box::pin(pending());
        }
        self.inner.connect(domain)
    }

    fn new_domain(&self, domain: String) -> DomainConnector {
        Self::boxed(self.inner.new_domain(domain), self.sever.clone())
    }

    fn domain(&self) -> &str {
        self.inner.domain()
    }

    fn clone_box(&self) -> DomainConnector {
        Self::boxed(self.inner.clone_box(), self.sever.clone())
    }
}
