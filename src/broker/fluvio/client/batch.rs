//! Batches of records in the form in which they are stored (`fluvio-protocol`, `record/batch.rs`
//! and `data.rs`): each record is written once, where it will be sent from, and read where it came.

use fluvio::Compression;
use fluvio::dataplane::record::{Batch, ProducerBatchHeader, RawRecords};
use streamgauge_actors::PortError;

/// A batch under construction.
pub(super) struct BatchBuilder {
    /// The number of records (four bytes), then the records.
    raw: Vec<u8>,
    tokens: Vec<u64>,
    /// Keys and payloads.
    bytes: u64,
    first_timestamp_ms: i64,
    last_timestamp_ms: i64,
}

/// A batch to be sent, and the tokens of its records.
pub(super) struct SealedBatch {
    pub(super) batch: Batch<RawRecords>,
    pub(super) tokens: Vec<u64>,
    /// Keys and payloads of its records.
    pub(super) bytes: u64,
    /// What it takes in a request, about.
    pub(super) encoded_bytes: usize,
}

impl BatchBuilder {
    /// An empty batch, whose records' timestamps count from this time.
    pub(super) fn new(now_ms: i64, capacity: usize) -> Self {
        let mut raw = Vec::with_capacity(capacity);
        raw.extend([0; 4]);
        Self {
            raw,
            tokens: Vec::new(),
            bytes: 0,
            first_timestamp_ms: now_ms,
            last_timestamp_ms: now_ms,
        }
    }

    /// The size that the records have so far.
    pub(super) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(super) fn push(&mut self, key: &[u8], payload: &[u8], token: u64, now_ms: i64) {
        let timestamp_delta = now_ms - self.first_timestamp_ms;
        let offset_delta = self.tokens.len() as i64;
        let key_size =
            if key.is_empty() { 1 } else { 1 + varint_size(key.len() as i64) + key.len() };
        let size = 1 // attributes
            + varint_size(timestamp_delta)
            + varint_size(offset_delta)
            + key_size
            + varint_size(payload.len() as i64)
            + payload.len()
            + 1; // headers
        let raw = &mut self.raw;
        varint(raw, size as i64);
        raw.push(0);
        varint(raw, timestamp_delta);
        varint(raw, offset_delta);
        raw.push(u8::from(!key.is_empty()));
        if !key.is_empty() {
            varint(raw, key.len() as i64);
            raw.extend_from_slice(key);
        }
        varint(raw, payload.len() as i64);
        raw.extend_from_slice(payload);
        raw.push(0);
        self.tokens.push(token);
        self.bytes += (key.len() + payload.len()) as u64;
        self.last_timestamp_ms = now_ms;
    }

    /// The tokens of the records, which are given up.
    pub(super) fn into_tokens(self) -> Vec<u64> {
        self.tokens
    }

    /// Closes the batch.
    ///
    /// # Errors
    /// [`PortError`] when it cannot be compressed.
    pub(super) fn seal(mut self, compression: Compression) -> Result<SealedBatch, PortError> {
        let count = self.tokens.len() as u32;
        self.raw[..4].copy_from_slice(&count.to_be_bytes());
        let records = match compression {
            Compression::None => self.raw.into(),
            compression => compression.compress(&self.raw).map_err(|error| {
                PortError::fatal(format!("a batch cannot be compressed: {error}"))
            })?,
        };
        let encoded_bytes = records.len();
        let mut batch = Batch::<RawRecords>::default();
        batch.header.last_offset_delta = count as i32 - 1;
        batch.header.set_first_timestamp(self.first_timestamp_ms);
        batch.header.set_max_time_stamp(self.last_timestamp_ms);
        batch.header.set_compression(compression);
        *batch.mut_records() = RawRecords(records);
        Ok(SealedBatch { batch, tokens: self.tokens, bytes: self.bytes, encoded_bytes })
    }
}

/// A batch that came, and how far it was read.
#[derive(Default)]
pub(super) struct StoredBatch {
    raw: RawRecords,
    /// Where the next record begins, and how many are left.
    place: usize,
    left: u32,
    next_offset: u64,
    base_timestamp_ms: i64,
}

/// A record of a batch that came.
pub(super) struct StoredRecord<'a> {
    pub(super) offset: u64,
    pub(super) timestamp_ms: i64,
    pub(super) key: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// Whether a batch came as it was stored: whole, and with the bytes of its checksum.
pub(super) fn is_intact(batch: &Batch<RawRecords>) -> bool {
    let header = &batch.header;
    // A schema's id would follow: nobody writes one here.
    let mut head = [0; 36];
    let mut place = 0;
    let mut put = |bytes: &[u8]| {
        head[place..place + bytes.len()].copy_from_slice(bytes);
        place += bytes.len();
    };
    put(&header.attributes.to_be_bytes());
    put(&header.last_offset_delta.to_be_bytes());
    put(&header.first_timestamp.to_be_bytes());
    put(&header.max_time_stamp.to_be_bytes());
    put(&header.producer_id.to_be_bytes());
    put(&header.producer_epoch.to_be_bytes());
    put(&header.first_sequence.to_be_bytes());
    header.has_schema()
        || crc32c::crc32c_append(crc32c::crc32c(&head), &batch.records().0) == header.crc
}

impl StoredBatch {
    /// Uncompresses the batch; `None`: it cannot be read.
    pub(super) fn open(batch: Batch<RawRecords>) -> Option<Self> {
        let (next_offset, base_timestamp_ms) =
            (batch.base_offset as u64, batch.header.first_timestamp);
        let compression = batch.get_compression().ok()?;
        let raw = match compression {
            Compression::None => batch.own_records(),
            compression => RawRecords(compression.uncompress(&batch.records().0).ok()??.into()),
        };
        let mut stored = Self { raw, place: 0, left: 0, next_offset, base_timestamp_ms };
        stored.left = u32::from_be_bytes(stored.take(4)?.try_into().ok()?);
        Some(stored)
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The next record; `None`: it cannot be read. Of a batch that is not done.
    pub(super) fn next_record(&mut self) -> Option<StoredRecord<'_>> {
        let size = self.take_size()?;
        let end = self.place.checked_add(size).filter(|&end| end <= self.raw.0.len())?;
        self.place += 1; // attributes
        let timestamp_delta = self.take_varint()?;
        self.take_varint()?; // the offset's delta, which is its place
        let has_key = *self.take(1)?.first()? != 0;
        let key_size = if has_key { self.take_size()? } else { 0 };
        let key = self.place..self.place.checked_add(key_size)?;
        self.place = key.end;
        let payload_size = self.take_size()?;
        let payload = self.place..self.place.checked_add(payload_size)?;
        // (Headers follow, which nobody uses.)
        self.place = end;
        self.left -= 1;
        self.next_offset += 1;
        Some(StoredRecord {
            offset: self.next_offset - 1,
            timestamp_ms: self.base_timestamp_ms.saturating_add(timestamp_delta),
            key: self.raw.0.get(key)?,
            payload: self.raw.0.get(payload)?,
        })
    }

    fn take(&mut self, size: usize) -> Option<&[u8]> {
        let place = self.place;
        self.place = place.checked_add(size)?;
        self.raw.0.get(place..self.place)
    }

    fn take_size(&mut self) -> Option<usize> {
        usize::try_from(self.take_varint()?).ok()
    }

    fn take_varint(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = *self.raw.0.get(self.place)?;
            self.place += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
            if shift >= 64 {
                return None;
            }
        }
    }
}

/// Zigzag, seven bits a byte, least first.
fn varint(raw: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        raw.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    raw.push(rest as u8);
}

fn varint_size(value: i64) -> usize {
    let bits = 64 - zigzag(value).leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use fluvio::dataplane::core::{Decoder as _, Encoder as _};
    use fluvio::dataplane::record::{Record, RecordData};
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, i64)>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..300);
        prop::collection::vec((bytes(), bytes(), 0..100_i64), 1..50)
    }

    proptest! {
        #[test]
        fn the_clients_own_decoder_reads_what_was_written(
            records in records(), compressed in any::<bool>(),
        ) {
            let start = 1_700_000_000_000;
            let mut builder = BatchBuilder::new(start, 0);
            let mut now = start;
            let mut times = Vec::new();
            for (n, (key, payload, pause)) in records.iter().enumerate() {
                now += pause;
                times.push(now);
                builder.push(key, payload, n as u64, now);
            }
            let compression = if compressed { Compression::Zstd } else { Compression::None };
            let sealed = builder.seal(compression).unwrap();
            prop_assert_eq!(sealed.tokens, (0..records.len() as u64).collect::<Vec<_>>());
            let batch: Batch = sealed.batch.try_into().unwrap();
            prop_assert_eq!(batch.records_len(), records.len());
            prop_assert_eq!(batch.header.max_time_stamp, now);
            let both = batch.records().iter().zip(&records);
            for (n, (found, (key, payload, _))) in both.enumerate() {
                prop_assert_eq!(found.key().map_or(&[][..], |key| key.as_ref()), &key[..]);
                prop_assert_eq!(found.value().as_ref(), &payload[..]);
                prop_assert_eq!(found.offset_delta(), n as i64);
                prop_assert_eq!(batch.header.first_timestamp + found.timestamp_delta(), times[n]);
            }
        }

        #[test]
        fn what_the_client_wrote_is_read(records in records(), compressed in any::<bool>()) {
            let mut batch = Batch::default();
            batch.base_offset = 70;
            batch.header.set_first_timestamp(1000);
            for (n, (key, payload, pause)) in records.iter().enumerate() {
                let mut record = Record::new(payload.clone());
                record.key = (!key.is_empty() || n % 2 == 0).then(|| RecordData::from(key.clone()));
                record.preamble.set_timestamp_delta(*pause);
                batch.add_record(record);
            }
            let compression = if compressed { Compression::Lz4 } else { Compression::None };
            batch.header.set_compression(compression);
            let mut stored = StoredBatch::open(batch.try_into().unwrap()).unwrap();
            for (offset, (key, payload, pause)) in (70..).zip(&records) {
                prop_assert!(!stored.is_done());
                let found = stored.next_record().unwrap();
                prop_assert_eq!((found.offset, found.timestamp_ms), (offset, 1000 + pause));
                prop_assert_eq!((found.key, found.payload), (&key[..], &payload[..]));
            }
            prop_assert!(stored.is_done());
        }

        #[test]
        fn a_changed_byte_is_found(records in records(), at in any::<prop::sample::Index>()) {
            let mut builder = BatchBuilder::new(1000, 0);
            for (key, payload, _) in &records {
                builder.push(key, payload, 0, 1000);
            }
            let mut written = Vec::new();
            builder.seal(Compression::None).unwrap().batch.encode(&mut written, 0).unwrap();
            let read = |bytes: &[u8]| Batch::<RawRecords>::decode_from(&mut Cursor::new(bytes), 0);
            prop_assert!(is_intact(&read(&written).unwrap()));
            // Behind the offset, the length, the epoch and the magic number.
            let at = 17 + at.index(written.len() - 17);
            written[at] ^= 1;
            let accepted = |batch| is_intact(&batch) && batch.validate_decoding();
            prop_assert!(!read(&written).is_ok_and(accepted));
        }

        #[test]
        fn garbage_is_no_record(raw in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut batch = Batch::<RawRecords>::default();
            *batch.mut_records() = RawRecords(raw.into());
            if let Some(mut stored) = StoredBatch::open(batch) {
                while !stored.is_done() && stored.next_record().is_some() {}
            }
        }

        #[test]
        fn sizes_are_those_of_what_is_written(value in any::<i64>()) {
            let mut raw = Vec::new();
            varint(&mut raw, value);
            prop_assert_eq!(raw.len(), varint_size(value));
        }
    }
}
