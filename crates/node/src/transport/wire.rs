//! Frames on a channel: a little-endian `u32` length, then so many bytes.
//!
//! A frame without bytes is a sign of life and nothing else. Each side sends one when it had nothing to send for a
//! while, and each side gives up on a peer of which nothing came for longer. Neither answers the other's, so signs of
//! life cannot be used to make traffic; and a side that does not read, because the other has used up its budget, is
//! still heard to be alive.
//!
//! **The adversary** announces more than it sends, sends more than it may, or sends a byte a minute. The length is
//! compared with the limit before anything is allocated; what is allocated is charged to the sender's [`Budget`] first;
//! and a slow sender occupies its own budget and no one else's.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::event::Reason;
use super::inbox::{Budget, Charged, EVENT_OVERHEAD};
use super::outbox::{Next, Outbox};

/// What may come in, and at whose cost.
pub(super) struct Intake<'a> {
    /// The largest frame; 0 if nothing but signs of life is expected in this direction.
    pub(super) limit: usize,
    pub(super) budget: &'a Budget,
    pub(super) idle_timeout: Duration,
}

/// Reads frames until the connection ends, and says why it did.
pub(super) async fn read_frames<R: AsyncRead + Unpin>(
    mut stream: R,
    intake: Intake<'_>,
    mut deliver: impl FnMut(&mut dyn Iterator<Item = Bytes>),
) -> Reason {
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    let mut filled = 0;
    loop {
        let whole = match survey(&buffer[..filled], intake.limit) {
            Ok(survey) => survey,
            Err(reason) => return reason,
        };
        if whole.frames > 0 {
            // Waits here, and so stops reading the socket, while the sender's budget is used up.
            let charge = intake.budget.take(whole.bytes + whole.frames * EVENT_OVERHEAD).await;
            let chunk = Charged::share(buffer[..whole.bytes].to_vec(), charge);
            deliver(&mut cut(chunk));
        }
        buffer.copy_within(whole.bytes..filled, 0);
        filled -= whole.bytes;
        if let Some(length) = whole.next.filter(|length| HEAD + length > BUFFER) {
            let charge = intake.budget.take(length + EVENT_OVERHEAD).await;
            let mut bytes = vec![0; length];
            bytes[..filled - HEAD].copy_from_slice(&buffer[HEAD..filled]);
            if let Err(reason) = fill(&mut stream, &mut bytes[filled - HEAD..], intake.idle_timeout).await {
                return reason;
            }
            filled = 0;
            deliver(&mut std::iter::once(Charged::share(bytes, charge)));
        }
        match read(&mut stream, &mut buffer[filled..], intake.idle_timeout).await {
            Ok(0) if filled == 0 => return Reason::Closed,
            Ok(0) => return Reason::Truncated,
            Ok(count) => filled += count,
            Err(reason) => return reason,
        }
    }
}

/// What a buffer begins with: so many bytes of whole frames, signs of life included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Survey {
    bytes: usize,
    /// Those that are not empty.
    frames: usize,
    /// The length of the frame that is not yet whole, if it is known.
    next: Option<usize>,
}

fn survey(buffer: &[u8], limit: usize) -> Result<Survey, Reason> {
    let mut survey = Survey::default();
    let mut rest = buffer;
    while let Some((head, body)) = rest.split_first_chunk::<HEAD>() {
        let found = u32::from_le_bytes(*head) as usize;
        if found > limit {
            return Err(Reason::TooLarge { found, limit });
        }
        let Some(behind) = body.get(found..) else {
            survey.next = Some(found);
            break;
        };
        survey.bytes += HEAD + found;
        survey.frames += usize::from(found > 0);
        rest = behind;
    }
    Ok(survey)
}

/// The frames of a chunk that holds whole ones only, without the empty ones.
fn cut(mut chunk: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        loop {
            let length = u32::from_le_bytes(*chunk.first_chunk::<HEAD>()?) as usize;
            let frame = chunk.slice(HEAD..HEAD + length);
            chunk = chunk.slice(HEAD + length..);
            if !frame.is_empty() {
                return Some(frame);
            }
        }
    })
}

async fn read<R: AsyncRead + Unpin>(stream: &mut R, buffer: &mut [u8], patience: Duration) -> Result<usize, Reason> {
    match timeout(patience, stream.read(buffer)).await {
        Ok(Ok(count)) => Ok(count),
        // TLS reports a socket that ended without a farewell as an unexpected end. Frames say where they end.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
        Ok(Err(error)) => Err(Reason::io(&error)),
        Err(_) => Err(Reason::Silent(patience.as_millis())),
    }
}

async fn fill<R: AsyncRead + Unpin>(stream: &mut R, buffer: &mut [u8], patience: Duration) -> Result<(), Reason> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(stream, &mut buffer[filled..], patience).await? {
            0 => return Err(Reason::Truncated),
            count => filled += count,
        }
    }
    Ok(())
}

/// Writes what is queued until the connection ends, and says why it did. Everything that was queued in one turn goes
/// out together: small frames are gathered, and the stream is flushed once.
pub(super) async fn write_frames<W: AsyncWrite + Unpin>(mut stream: W, outbox: &Outbox, keepalive: Duration) -> Reason {
    let mut batch = Vec::new();
    let mut gathered = Vec::new();
    loop {
        let written = match timeout(keepalive, outbox.next(&mut batch, BATCH)).await {
            Ok(Next::Send) => write_batch(&mut stream, &mut batch, &mut gathered).await,
            Ok(Next::Close) => {
                let _ = stream.shutdown().await;
                return Reason::ShutDown;
            }
            Err(_) => stream.write_all(&[0; HEAD]).await,
        };
        let flushed = match written {
            Ok(()) => stream.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = flushed {
            let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
            return if gone { Reason::Closed } else { Reason::io(&error) };
        }
    }
}

async fn write_batch<W: AsyncWrite + Unpin>(
    stream: &mut W,
    batch: &mut Vec<Bytes>,
    gathered: &mut Vec<u8>,
) -> std::io::Result<()> {
    gathered.clear();
    for frame in batch.drain(..) {
        let length = u32::try_from(frame.len()).expect("an outbox takes no frame of 4 GiB");
        gathered.extend_from_slice(&length.to_le_bytes());
        if frame.len() < LARGE {
            gathered.extend_from_slice(&frame);
        } else {
            // Not copied, and encrypted piece by piece, so that a large frame does not exist twice.
            stream.write_all(gathered).await?;
            gathered.clear();
            for piece in frame.chunks(LARGE) {
                stream.write_all(piece).await?;
                stream.flush().await?;
            }
        }
    }
    stream.write_all(gathered).await?;
    gathered.shrink_to(LARGE);
    Ok(())
}

/// The length prefix.
const HEAD: usize = 4;
/// What is read at once: a TLS record.
const BUFFER: usize = 16 << 10;
/// From here on a frame is written from where it is.
const LARGE: usize = 64 << 10;
/// What is taken from an outbox at once.
const BATCH: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn frame(length: usize, tag: u8) -> Vec<u8> {
        let mut bytes = (length as u32).to_le_bytes().to_vec();
        bytes.extend(std::iter::repeat_n(tag, length));
        bytes
    }

    async fn read_all(input: &[u8], limit: usize, budget: &Budget) -> (Vec<Vec<u8>>, Reason) {
        let mut frames = Vec::new();
        let intake = Intake { limit, budget, idle_timeout: Duration::from_secs(10) };
        let reason = read_frames(input, intake, |some| frames.extend(some.map(|one| one.to_vec()))).await;
        (frames, reason)
    }

    #[tokio::test]
    async fn frames_of_every_size_come_out_as_they_went_in() {
        let sizes = [1, 0, 5, BUFFER - HEAD - 1, BUFFER - HEAD, BUFFER - HEAD + 1, BUFFER, 0, 3 * BUFFER + 7, 2, LIMIT];
        let input: Vec<u8> = sizes.iter().enumerate().flat_map(|(tag, size)| frame(*size, tag as u8)).collect();
        let (frames, reason) = read_all(&input, LIMIT, &Budget::new(LIMIT * 2, None)).await;
        let expected: Vec<Vec<u8>> =
            sizes.iter().enumerate().filter(|(_, size)| **size > 0).map(|(tag, size)| vec![tag as u8; *size]).collect();
        assert!(frames == expected, "sizes {:?}", frames.iter().map(Vec::len).collect::<Vec<_>>());
        assert_eq!(reason, Reason::Closed);
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_ends_the_connection_before_anything_is_allocated() {
        for found in [LIMIT as u32 + 1, u32::MAX] {
            let input = [frame(3, 1), found.to_le_bytes().to_vec()].concat();
            let budget = Budget::new(LIMIT, None);
            let (_, reason) = read_all(&input, LIMIT, &budget).await;
            assert_eq!(reason, Reason::TooLarge { found: found as usize, limit: LIMIT });
            assert_eq!(budget.free(), LIMIT);
        }
    }

    #[tokio::test]
    async fn where_nothing_is_expected_only_signs_of_life_pass() {
        let budget = Budget::new(LIMIT, None);
        let silence = read_all(&[0; 400], 0, &budget).await;
        assert_eq!(silence, (vec![], Reason::Closed));
        let (frames, reason) = read_all(&frame(1, 1), 0, &budget).await;
        assert_eq!((frames, reason), (vec![], Reason::TooLarge { found: 1, limit: 0 }));
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_noticed() {
        let whole = frame(BUFFER * 2, 1);
        for length in [1, HEAD, HEAD + 1, BUFFER + 1, whole.len() - 1] {
            let (frames, reason) = read_all(&whole[..length], LIMIT, &Budget::new(LIMIT, None)).await;
            assert_eq!((frames.len(), reason), (0, Reason::Truncated), "cut at {length}");
        }
    }

    #[tokio::test]
    async fn what_is_written_is_what_is_read() {
        let outbox = Outbox::new(LIMIT, 64 * LIMIT, 64 * LIMIT);
        let frames: Vec<Bytes> =
            (1..200).map(|tag: usize| Bytes::from(vec![tag as u8; tag * tag * (1 + tag % 7)])).collect();
        frames.iter().for_each(|frame| _ = outbox.push(frame.clone()));
        outbox.close();
        let mut wire = Vec::new();
        let reason = write_frames(&mut wire, &outbox, Duration::from_secs(10)).await;
        assert_eq!(reason, Reason::ShutDown);
        let (read, _) = read_all(&wire, LIMIT, &Budget::new(64 * LIMIT, None)).await;
        assert!(read == frames);
    }

    #[tokio::test]
    async fn small_frames_of_a_turn_leave_in_one_write() {
        let outbox = Outbox::new(LIMIT, LIMIT, LIMIT);
        (0..100).for_each(|_| _ = outbox.push(Bytes::from_static(b"vote")));
        outbox.close();
        let mut writes = CountWrites(0);
        write_frames(&mut writes, &outbox, Duration::from_secs(10)).await;
        assert_eq!(writes.0, 1);
    }

    proptest::proptest! {
        #[test]
        fn however_the_network_cuts_them_frames_come_out_the_same(
            sizes in proptest::collection::vec(0usize..40_000, 0..12),
            cuts in proptest::collection::vec(1usize..9_000, 1..40),
        ) {
            let frames: Vec<_> = sizes.iter().enumerate().map(|(tag, size)| vec![tag as u8; *size]).collect();
            let input = sizes.iter().enumerate().flat_map(|(tag, size)| frame(*size, tag as u8)).collect();
            let expected: Vec<_> = frames.into_iter().filter(|one| !one.is_empty()).collect();
            let (found, reason) = read_cut(input, &cuts);
            proptest::prop_assert!(found == expected);
            proptest::prop_assert_eq!(reason, Reason::Closed);
        }

        #[test]
        fn no_bytes_of_a_peer_make_a_panic(
            input in proptest::collection::vec(0u8..8, 0..3_000),
            cuts in proptest::collection::vec(1usize..900, 1..10),
        ) {
            read_cut(input, &cuts);
        }
    }

    /// Reads what arrives in pieces of these sizes, over and over.
    fn read_cut(input: Vec<u8>, cuts: &[usize]) -> (Vec<Vec<u8>>, Reason) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(10_000);
            let writing = async move {
                let (mut rest, mut cuts) = (&input[..], cuts.iter().cycle());
                while let Some(cut) = cuts.next().filter(|_| !rest.is_empty()) {
                    let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                    // The reader may have left.
                    if far.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                    rest = behind;
                }
            };
            let budget = Budget::new(4 * LIMIT, None);
            let mut frames = Vec::new();
            let intake = Intake { limit: LIMIT, budget: &budget, idle_timeout: Duration::from_secs(10) };
            let reading = read_frames(near, intake, |some| frames.extend(some.map(|one| one.to_vec())));
            let (reason, ()) = tokio::join!(reading, writing);
            (frames, reason)
        })
    }

    struct CountWrites(usize);

    impl AsyncWrite for CountWrites {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.0 += 1;
            std::task::Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }
}
