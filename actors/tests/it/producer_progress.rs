//! What a producer has promised in a progress record it keeps, whatever orders come late and
//! however full the client is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamgauge_actors::{
    Ack, Campaigns, Delivery, EventWriter, MILLISECOND, PROGRESS_KEY, PortError, Producer,
    ProducerRole, ProgressRecord, Rate, Role, SECOND, Sent, SharedClock, Span, Stage, StageOrder,
    decode_event,
    testing::{SimClock, small_spec},
};

#[derive(Default)]
struct Client {
    full: bool,
    /// Key and payload.
    taken: Vec<(Vec<u8>, Vec<u8>)>,
    to_acknowledge: Vec<Ack>,
}

struct Writer(Arc<Mutex<Client>>);

impl EventWriter for Writer {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        let mut client = self.0.lock().unwrap();
        if client.full {
            return Ok(Sent::Full);
        }
        client.taken.push((key.to_vec(), payload.to_vec()));
        client.to_acknowledge.push(Ack { partition, token, delivery: Delivery::Acknowledged });
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        _budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let acks = std::mem::take(&mut self.0.lock().unwrap().to_acknowledge);
        Ok(acks.into_iter().map(visit).count())
    }

    fn in_flight(&self) -> u64 {
        self.0.lock().unwrap().to_acknowledge.len() as u64
    }
}

#[test]
fn a_rate_set_late_brings_no_event_from_before_the_progress_promised_under_backpressure() {
    let base = 1_790_000_000 * SECOND;
    let spec = Arc::new(small_spec("progress").with(|spec| {
        spec.workload.producers = 1;
        spec.topics.partitions = 1;
        spec.workload.rate = Rate(1.0);
        spec.workload.duration = Span::from_nanos(SECOND);
        spec.workload.progress_interval = Span::from_nanos(10 * MILLISECOND);
    }));
    let clock = Arc::new(SimClock::at(base));
    let client = Arc::new(Mutex::new(Client::default()));
    let campaigns = Arc::new(Campaigns::derive(
        1,
        spec.workload.campaigns,
        spec.workload.ads_per_campaign,
        None,
    ));
    let writer = Box::new(Writer(Arc::clone(&client)));
    let role = ProducerRole {
        index: 0,
        generation: 1,
        spec: Arc::clone(&spec),
        campaigns,
        clock: Arc::clone(&clock) as SharedClock,
        writer,
    };
    let mut producer = role.begin(base);
    let turn = |producer: &mut Producer, after_ms: i64| {
        let now = base + after_ms * MILLISECOND;
        clock.set(now);
        producer.turn(now, &mut Vec::new()).unwrap();
    };
    turn(&mut producer, 0);
    turn(&mut producer, 100);
    client.lock().unwrap().full = true;
    // Past the window's end at 200 ms, with a progress record still waiting for the client.
    turn(&mut producer, 205);
    producer
        .order(StageOrder::SetRate { at_ns: base + 205 * MILLISECOND, events_per_second: 1000.0 });
    client.lock().unwrap().full = false;
    turn(&mut producer, 300);
    let (mut promised, mut events) = (base, 0);
    for (key, payload) in &client.lock().unwrap().taken {
        if key == PROGRESS_KEY {
            promised = ProgressRecord::from_json(payload).unwrap().progress();
            continue;
        }
        let event = decode_event(payload).unwrap();
        events += 1;
        assert!(
            event.event_time_ns >= promised,
            "{} ns before the promise",
            promised - event.event_time_ns
        );
        assert_eq!(
            event.window_id,
            (event.event_time_ns - base).div_euclid(spec.workload.window.as_nanos())
        );
    }
    assert!(events > 50, "the new rate came into force");
}
