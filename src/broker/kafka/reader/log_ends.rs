//! Where a topic's partitions end by now, asked of their leaders: what a client knows by itself is
//! as old as its last fetch, and a connection may have been away since.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rdkafka::client::Client;

use super::super::client::offsets_of;
use super::super::logs::Logs;
use super::super::question::Question;
use crate::broker::deadline::Deadline;

/// What leaders say of a topic.
pub(super) struct TopicEnds {
    /// Partitions that the topic has by now; 0: not known.
    pub(super) partitions: usize,
    /// Where those end that were asked for.
    pub(super) by_partition: Vec<(u32, u64)>,
}

/// A question that is asked until it is answered.
#[derive(Default)]
pub(super) struct LogEnds(Option<Question<Option<TopicEnds>>>);

impl LogEnds {
    /// Asks for the ends of these partitions, if nothing is asked yet; ready once they are known.
    pub(super) fn poll(
        &mut self,
        client: &Arc<Client<Logs>>,
        topic: &str,
        partitions: impl Iterator<Item = u32>,
        patience: Duration,
    ) -> Poll<TopicEnds> {
        let question = self.0.get_or_insert_with(|| {
            let (client, topic) = (Arc::clone(client), topic.to_owned());
            let partitions: Vec<u32> = partitions.collect();
            Question::ask(move || {
                let deadline = Deadline::after(patience);
                let ranges = offsets_of(&client, &topic, partitions, &deadline).ok()?;
                let metadata = client.fetch_metadata(None, deadline.left()).ok()?;
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                let by_partition = ranges.into_iter().map(|(id, range)| (id, range.end)).collect();
                let partitions = found.map_or(0, |found| found.partitions().len());
                Some(TopicEnds { partitions, by_partition })
            })
        });
        let Poll::Ready(answer) = question.answer() else { return Poll::Pending };
        self.0 = None;
        // A leader that is away is asked again.
        answer.flatten().map_or(Poll::Pending, Poll::Ready)
    }
}
