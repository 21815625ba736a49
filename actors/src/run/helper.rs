//! Threads for what may block.

use actix::prelude::*;

use crate::failure::caught;

/// Runs what may block on a thread of its own, and sends an actor what it gives; where there
/// is no thread to be had, or it panics, what `broken` makes of the reason. Whoever
/// waits for an answer gets one.
pub(crate) fn helper<M, A>(
    name: &str,
    actor: Addr<A>,
    work: impl FnOnce() -> M + Send + 'static,
    broken: impl Fn(String) -> M + Clone + Send + 'static,
) where
    M: Message<Result = ()> + Send + 'static,
    A: Actor<Context = Context<A>> + Handler<M>,
{
    let (address, of_thread) = (actor.clone(), broken.clone());
    let spawned =
        std::thread::Builder::new().name(format!("streamgauge-{name}")).spawn(move || {
            actor.do_send(caught(work).unwrap_or_else(|error| of_thread(error.cause)));
        });
    if let Err(error) = spawned {
        address.do_send(broken(format!("no thread could be started: {error}")));
    }
}
