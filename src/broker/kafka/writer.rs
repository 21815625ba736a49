//! Writes a topic through a client of its own, or one that it shares; acknowledgements come in
//! batches.

mod client;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use streamgauge_actors::{Ack, Delivery, EventWriter, PortError, Sent, WriterRole};

use self::client::{WriterClient, token_of};
use super::errors::is_topic_gone;
use super::native::{DeliveryReport, Persistence};
use super::settings::KafkaSettings;

/// A writer to one topic: see [`EventWriter`].
pub(super) struct KafkaWriter {
    client: Arc<WriterClient>,
    /// Which of the client's writers it is.
    number: u32,
    in_flight: u64,
    in_flight_bytes: u64,
    /// Empty, and kept for its memory.
    spare: Vec<DeliveryReport>,
    failure: Option<PortError>,
}

impl KafkaWriter {
    /// `count` writers to a topic, on as few clients as the settings allow.
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        role: WriterRole,
        idempotent: bool,
        count: u32,
    ) -> Result<Vec<Self>, PortError> {
        let places = WriterClient::open(settings, topic, role, idempotent, count)?;
        let writer = |(client, number)| Self {
            client,
            number,
            in_flight: 0,
            in_flight_bytes: 0,
            spare: Vec::new(),
            failure: None,
        };
        Ok(places.into_iter().map(writer).collect())
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
        let topic = &self.client.topic;
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
        let error = self.client.producer.client().fatal_error();
        let detail = error.map_or_else(String::new, |(code, text)| format!("{code}: {text}"));
        let topic = &self.client.topic;
        PortError::reconnect(format!("the writer of topic `{topic}` failed for good: {detail}"))
    }

    fn topic_gone(&self) -> PortError {
        PortError::fatal(format!(
            "topic `{}` is gone: it was deleted while it was being written",
            self.client.topic
        ))
    }

    /// Visits the acknowledgements that are there, after waiting for the first. Returns their
    /// number.
    fn drain(&mut self, timeout_ms: i32, visit: &mut dyn FnMut(Ack)) -> usize {
        let Self { client, number, spare, in_flight_bytes, .. } = self;
        let mut failed = None;
        let visited = client.take_reports(*number, timeout_ms, spare, &mut |report| {
            if let Some(code) = report.error {
                failed = Some(code);
            }
            *in_flight_bytes -= report.bytes;
            visit(ack(report));
        });
        self.in_flight -= visited as u64;
        if self.failure.is_none() {
            self.failure = match failed {
                _ if self.client.is_topic_gone() => Some(self.topic_gone()),
                Some(code) if is_topic_gone(code) => Some(self.topic_gone()),
                Some(_) => self.client.producer.client().fatal_error().map(|_| self.fatal_error()),
                None => None,
            };
        }
        visited
    }
}

fn ack(report: &DeliveryReport) -> Ack {
    let delivery = match (report.error, report.persistence) {
        (None, _) => Delivery::Acknowledged,
        (Some(code), Persistence::No) => Delivery::Rejected(reason(code)),
        (Some(code), Persistence::Possibly | Persistence::Yes) => Delivery::Unknown(reason(code)),
    };
    Ack { partition: report.partition as u32, token: token_of(report), delivery }
}

fn reason(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::OutOfOrderSequenceNumber => {
            format!("{code}: the log has lost records of this producer that it had acknowledged")
        }
        code => code.to_string(),
    }
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
        let client = &*self.client;
        if partition >= client.partitions {
            return Err(PortError::fatal(format!(
                "topic `{}` has {} partitions, and none of number {partition}",
                client.topic, client.partitions
            )));
        }
        let bytes = key.len() + payload.len();
        if !client.share.has_room(self.in_flight, self.in_flight_bytes + bytes as u64) {
            return Ok(Sent::Full);
        }
        match client.send(self.number, partition, key, payload, token) {
            Ok(()) => {
                self.in_flight += 1;
                self.in_flight_bytes += bytes as u64;
                Ok(Sent::Ok)
            }
            Err(code) => self.refused(partition, bytes, code),
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
        // Nothing of a writer that is gone may be stored later on. (The client cannot tell its
        // writers' records apart: they end together.)
        if self.in_flight > 0 {
            self.client.producer.purge();
        }
    }
}
