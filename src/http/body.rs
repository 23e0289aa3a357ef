//! Reads the body of a request. Memory is taken as bytes arrive, never for what is only announced, and out of the pool
//! that the sender belongs to.

use ::http::request::Parts as Head;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use super::limits::{Held, Limits, Sender};
use super::{Edge, parse};
use crate::error::Error;
use crate::request::Peer;

/// The whole body within its limits: small ones of anybody, larger ones only of live tokens.
pub(super) async fn read<B>(
    edge: &Edge,
    head: &Head,
    token: Option<&Protected>,
    peer: Peer,
    mut body: B,
) -> Result<(Protected, Option<Held>), Error>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let limits = &edge.limits;
    let announced = parse::content_length(head)?;
    if announced == Some(0) || body.is_end_stream() {
        return Ok((Protected::new(Vec::new()), None));
    }
    // Whoever holds a live token must not depend on what others leave of the pool of unknown senders, however little he
    // sends.
    let mut unknown = known(edge, token, peer).await.err();
    let mut held = edge.budget.held(if unknown.is_some() { Sender::Unknown(peer) } else { Sender::Known });
    judge(announced.unwrap_or(0), limits, &mut unknown)?;
    let mut text = Zeroizing::new(Vec::new());
    let deadline = tokio::time::Instant::now() + limits.body_timeout;
    loop {
        let until = deadline.min(tokio::time::Instant::now() + limits.stall_timeout);
        let frame = tokio::select! {
            frame = tokio::time::timeout_at(until, body.frame()) => frame,
            given_up = held.given_up() => return Err(given_up),
        };
        let Some(frame) = frame.map_err(|_| Error::invalid("request body came too slowly"))? else { break };
        let frame = frame.map_err(|_| Error::invalid("request body could not be read"))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let length = text.len() + bytes.len();
        judge(length, limits, &mut unknown)?;
        grow(&mut text, length, announced.unwrap_or(limits.max_request_bytes), &mut held)?;
        text.extend_from_slice(&bytes);
    }
    held.keep()?;
    Ok((Protected::new(std::mem::take(&mut *text)), Some(held)))
}

/// Whether the sender holds a live token and may use it from where he is; why not, if not.
async fn known(edge: &Edge, token: Option<&Protected>, peer: Peer) -> Result<(), Error> {
    let token = token.ok_or(Error::Denied)?;
    let parts = edge.server.parts()?;
    let live = parts.tokens.find_text(&parts, token).await?;
    live.filter(|live| live.entry.admits(peer.ip())).map(drop).ok_or(Error::Denied)
}

/// Whether a body of `length` bytes may be read; `unknown` is why its sender is not known, if he is not.
fn judge(length: usize, limits: &Limits, unknown: &mut Option<Error>) -> Result<(), Error> {
    if length > limits.max_request_bytes {
        return Err(Error::TooLarge(limits.max_request_bytes));
    }
    unknown.take_if(|_| length > limits.max_anonymous_bytes).map_or(Ok(()), Err)
}

/// Room for `length` bytes, of `most` that will come. At most twice as much as has arrived, because wiping touches all of
/// it. The old buffer is wiped, which growing in place would not do.
fn grow(text: &mut Zeroizing<Vec<u8>>, length: usize, most: usize, held: &mut Held) -> Result<(), Error> {
    if length <= text.capacity() {
        return Ok(());
    }
    let capacity = length.max(most.min(2 * text.capacity()));
    held.cover(capacity)?;
    let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
    larger.extend_from_slice(text);
    *text = larger;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::super::limits::{Budget, Limits, Sender};
    use super::grow;

    proptest! {
        #[test]
        fn a_buffer_is_never_more_than_twice_what_arrived(
            frames in proptest::collection::vec(1_usize..20_000, 1..40),
            to_come in 0_usize..32 << 20,
        ) {
            let mut held = Budget::new(&Limits::default()).held(Sender::Known);
            let most = frames.iter().sum::<usize>() + to_come;
            let mut text = Zeroizing::new(Vec::new());
            for frame in frames {
                let length = text.len() + frame;
                grow(&mut text, length, most, &mut held).unwrap();
                text.resize(length, b'x');
                prop_assert!(text.capacity() <= 2 * length && text.capacity() <= most);
            }
        }
    }
}
