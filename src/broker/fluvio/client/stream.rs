//! A partition's records, as its leader sends them: a chunk, and the next one once that is
//! acknowledged.
//!
//! The client's own streams are not used (0.50.1). A chunk that reaches its byte limit ends inside
//! of a batch; they drop what is left of the batch, acknowledge all that the leader has, and go on
//! behind it. Here the last whole batch is acknowledged, and the next chunk begins behind that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fluvio::Isolation;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{RawRecords, RecordSet};
use fluvio_socket::{AsyncResponse, SocketError, VersionedSerialSocket};
use fluvio_spu_schema::fetch::FetchablePartitionResponse;
use fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchRequest;
use fluvio_spu_schema::server::update_offset::{
    OffsetUpdate, UpdateOffsetsRequest, UpdateOffsetsResponse,
};
use futures_util::Stream;

use super::leaders::Leaders;

/// Chunks that may wait for being taken: one is on its way at most, and an error. (A full queue
/// would block the connection.)
const QUEUE: usize = 2;

/// What came at once.
pub(super) type Chunk = FetchablePartitionResponse<RecordSet<RawRecords>>;

type Answer = Pin<Box<dyn Future<Output = Result<UpdateOffsetsResponse, SocketError>> + Send>>;

/// The stream of one partition; it ends with this value or its connection.
pub(super) struct ChunkStream {
    socket: Arc<VersionedSerialSocket>,
    chunks: AsyncResponse<DefaultStreamFetchRequest>,
    /// As the leader calls it.
    stream_id: u32,
    /// To be acknowledged, once the answer to the last time came.
    due: Option<i64>,
    answer: Option<Answer>,
}

impl ChunkStream {
    /// Asks the partition's leader for all from an offset on.
    pub(super) async fn open(
        leaders: &Leaders,
        partition: u32,
        offset: u64,
        max_bytes: u64,
    ) -> Result<Self, SocketError> {
        let socket = leaders.socket_of(partition).await?;
        let request = DefaultStreamFetchRequest::builder()
            .topic(leaders.topic().to_owned())
            .partition(partition)
            .fetch_offset(offset as i64)
            .max_bytes(i32::try_from(max_bytes).unwrap_or(i32::MAX))
            .isolation(Isolation::ReadCommitted)
            .build()
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let version = socket.lookup_version::<DefaultStreamFetchRequest>();
        let request = socket.new_request(request, version);
        let chunks = socket.new_socket().create_stream(request, QUEUE).await?;
        Ok(Self { socket, chunks, stream_id: 0, due: None, answer: None })
    }

    /// The next chunk; an error is why there will be none.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Chunk, String>> {
        self.tell(context)?;
        match Pin::new(&mut self.chunks).poll_next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Err("its leader closed the connection".to_owned())),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error.to_string())),
            Poll::Ready(Some(Ok(response))) => {
                self.stream_id = response.stream_id;
                Poll::Ready(Ok(response.partition))
            }
        }
    }

    /// What lies before the offset came: the leader may send what lies behind it. An error is why
    /// it will not.
    pub(super) fn acknowledge(
        &mut self,
        offset: u64,
        context: &mut Context<'_>,
    ) -> Result<(), String> {
        self.due = Some(offset as i64);
        self.tell(context)
    }

    fn tell(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        loop {
            match self.answer.as_mut().map(|answer| answer.as_mut().poll(context)) {
                Some(Poll::Pending) => return Ok(()),
                Some(Poll::Ready(answer)) => {
                    self.answer = None;
                    let answer = answer.map_err(|error| error.to_string())?;
                    let refused = answer
                        .status
                        .into_iter()
                        .map(|status| status.error)
                        .find(ErrorCode::is_error);
                    if let Some(code) = refused {
                        return Err(code.to_sentence());
                    }
                }
                None => {
                    let Some(offset) = self.due.take() else { return Ok(()) };
                    let offsets = vec![OffsetUpdate { offset, session_id: self.stream_id }];
                    let socket = Arc::clone(&self.socket);
                    self.answer = Some(Box::pin(async move {
                        socket.send_receive(UpdateOffsetsRequest { offsets }).await
                    }));
                }
            }
        }
    }
}
