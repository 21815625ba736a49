//! Where a topic's partitions end by now, asked of their leaders: what a client knows by itself is
//! as old as its last fetch, and a connection may have been away since.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rdkafka::client::Client;

use super::super::client::offsets;
use super::super::logs::Logs;
use super::super::question::Question;
use crate::broker::deadline::Deadline;

/// Ends by partition; `None`: a leader did not answer.
type Ends = Option<Vec<(u32, u64)>>;

/// A question that is asked until it is answered.
#[derive(Default)]
pub(super) struct LogEnds(Option<Question<Ends>>);

impl LogEnds {
    /// Asks for the ends of these partitions, if nothing is asked yet; ready once they are known.
    pub(super) fn poll(
        &mut self,
        client: &Arc<Client<Logs>>,
        topic: &str,
        partitions: impl Iterator<Item = u32>,
        patience: Duration,
    ) -> Poll<Vec<(u32, u64)>> {
        let question = self.0.get_or_insert_with(|| {
            let (client, topic) = (Arc::clone(client), topic.to_owned());
            let partitions: Vec<u32> = partitions.collect();
            Question::ask(move || {
                let deadline = Deadline::after(patience);
                let end = |id| Some((id, offsets(&client, &topic, id, &deadline).ok()?.end));
                partitions.into_iter().map(end).collect()
            })
        });
        let Poll::Ready(answer) = question.answer() else { return Poll::Pending };
        self.0 = None;
        // A leader that is away is asked again.
        answer.flatten().map_or(Poll::Pending, Poll::Ready)
    }
}
