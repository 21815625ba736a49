//! Writes a topic through one producer (idempotent where the broker can), whose acknowledgements
//! come in batches.

use std::thread;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use streamgauge_actors::{Ack, Delivery, EventWriter, PortError, Sent, WriterRole};

use super::client::{Disposable, partitions_of};
use super::errors::is_topic_gone;
use super::logs::Logs;
use super::native::{DeliveryReport, NativeProducer, Persistence};
use super::settings::{KafkaSettings, config_error};
use crate::broker::deadline::Deadline;

/// A writer to one topic: see [`EventWriter`].
pub(super) struct KafkaWriter {
    producer: Disposable<NativeProducer>,
    topic: String,
    partitions: u32,
    in_flight: u64,
    failure: Option<PortError>,
}

impl KafkaWriter {
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        role: WriterRole,
        idempotent: bool,
    ) -> Result<Self, PortError> {
        let deadline = Deadline::after(settings.connect_timeout());
        let producer =
            NativeProducer::new(&settings.producer(role, idempotent), topic, Logs::new())
                .map(Disposable::new)
                .map_err(|error| config_error(&error))?;
        let partitions = partitions_of(settings, producer.client(), topic, &deadline)?;
        Ok(Self { producer, topic: topic.to_owned(), partitions, in_flight: 0, failure: None })
    }

    #[cold]
    fn refused(
        &mut self,
        partition: u32,
        bytes: usize,
        code: RDKafkaErrorCode,
    ) -> Result<Sent, PortError> {
        if code == RDKafkaErrorCode::QueueFull {
            return Ok(Sent::Full);
        }
        let topic = &self.topic;
        let error = match code {
            RDKafkaErrorCode::MessageSizeTooLarge => {
                return Err(PortError::fatal(format!(
                    "a record of {bytes} bytes is too large for topic `{topic}`: raise the Kafka \
                     property \
                     `message.max.bytes`, and the topic's own `max.message.bytes`"
                )));
            }
            RDKafkaErrorCode::Fatal => self.fatal_error(),
            code if is_topic_gone(code) => self.topic_gone(),
            code => PortError::fatal(format!(
                "cannot write to partition {partition} of topic `{topic}`: {code}"
            )),
        };
        self.failure = Some(error.clone());
        Err(error)
    }

    fn fatal_error(&self) -> PortError {
        let detail = self
            .producer
            .client()
            .fatal_error()
            .map_or_else(String::new, |(code, text)| format!("{code}: {text}"));
        PortError::reconnect(format!(
            "the writer of topic `{}` failed for good: {detail}",
            self.topic
        ))
    }

    fn topic_gone(&self) -> PortError {
        PortError::fatal(format!(
            "topic `{}` is gone: it was deleted while it was being written",
            self.topic
        ))
    }

    /// Visits the acknowledgements of every event that is there, after waiting for the first.
    /// Returns their number.
    fn drain(&mut self, timeout_ms: i32, visit: &mut dyn FnMut(Ack)) -> usize {
        let mut visited = 0;
        let mut failed = None;
        let mut report = |report: &DeliveryReport| {
            if let Some(code) = report.error {
                failed = Some(code);
            }
            visit(ack(report));
        };
        let mut timeout_ms = timeout_ms;
        while let Some(reports) = self.producer.poll(timeout_ms, &mut report) {
            visited += reports;
            timeout_ms = 0;
        }
        self.in_flight -= visited as u64;
        if let Some(code) = failed
            && self.failure.is_none()
        {
            self.failure = if is_topic_gone(code) {
                Some(self.topic_gone())
            } else {
                self.producer.client().fatal_error().map(|_| self.fatal_error())
            };
        }
        visited
    }
}

fn ack(report: &DeliveryReport) -> Ack {
    let delivery = match (report.error, report.persistence) {
        (None, _) => Delivery::Acknowledged,
        (Some(code), Persistence::No) => Delivery::Rejected(code.to_string()),
        (Some(code), Persistence::Possibly | Persistence::Yes) => {
            Delivery::Unknown(code.to_string())
        }
    };
    Ack { partition: report.partition as u32, token: report.token, delivery }
}

impl EventWriter for KafkaWriter {
    #[inline]
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if partition >= self.partitions {
            return Err(PortError::fatal(format!(
                "topic `{}` has {} partitions, and none of number {partition}",
                self.topic, self.partitions
            )));
        }
        match self.producer.send(partition as i32, key, payload, token) {
            Ok(()) => {
                self.in_flight += 1;
                Ok(Sent::Ok)
            }
            Err(code) => self.refused(partition, key.len() + payload.len(), code),
        }
    }

    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let mut visited = self.drain(0, visit);
        if visited == 0 && self.in_flight > 0 && !budget.is_zero() && self.failure.is_none() {
            // librdkafka waits in whole milliseconds.
            let whole_ms = i32::try_from(budget.as_millis()).unwrap_or(i32::MAX);
            if whole_ms == 0 {
                thread::sleep(budget);
            }
            visited = self.drain(whole_ms, visit);
        }
        match &self.failure {
            // What became of the records comes first; the error is told once there is nothing more
            // to visit.
            Some(failure) if visited == 0 => Err(failure.clone()),
            _ => Ok(visited),
        }
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        // Nothing of a writer that is gone may be stored later on.
        self.producer.purge();
    }
}
