//! `sys/tools`: random bytes and hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use zeroize::Zeroizing;

use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{Create, Update};
use crate::response::Response;

/// Most random bytes in one answer.
const MAX_RANDOM_BYTES: u64 = 128 << 10;

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(&[Create, Update], "tools/random", Token, |call| Box::pin(random(call)), "Random bytes, 32 by default."),
    route(&[Create, Update], "tools/random/{bytes}", Token, |call| Box::pin(random(call)), "So many random bytes."),
    route(
        &[Create, Update],
        "tools/random/{source}/{bytes}",
        Token,
        |call| Box::pin(random(call)),
        "So many random bytes of a source.",
    ),
    route(&[Create, Update], "tools/hash", Token, |call| Box::pin(hash(call)), "The SHA-256 of base64 input."),
    route(&[Create, Update], "tools/hash/{algorithm}", Token, |call| Box::pin(hash(call)), "A hash of base64 input."),
];

async fn random(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let source = match call.parameter("source") {
        "" => fields.string("source")?.unwrap_or_default(),
        source => source.to_owned(),
    };
    if !matches!(source.as_str(), "" | "platform" | "all") {
        return Err(Error::invalid("the only source of randomness is the platform"));
    }
    let count = match call.parameter("bytes") {
        "" => fields.number("bytes")?.unwrap_or(32),
        text => text.parse().map_err(|_| Error::invalid("the number of bytes must be a whole number"))?,
    };
    if !(1..=MAX_RANDOM_BYTES).contains(&count) {
        return Err(Error::invalid(format!("the number of bytes must be 1 to {MAX_RANDOM_BYTES}")));
    }
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(count).unwrap_or_default()]);
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("no random bytes"))?;
    Response::data(&json!({"random_bytes": encoded(&bytes, fields.string("format")?, "base64")?}))
}

async fn hash(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let algorithm = match call.parameter("algorithm") {
        "" => fields.string("algorithm")?.unwrap_or_else(|| "sha2-256".to_owned()),
        algorithm => algorithm.to_owned(),
    };
    let algorithm = match algorithm.as_str() {
        "sha2-256" => &digest::SHA256,
        "sha2-384" => &digest::SHA384,
        "sha2-512" => &digest::SHA512,
        _ => return Err(Error::invalid("the algorithm must be sha2-256, sha2-384 or sha2-512")),
    };
    let input = fields.protected("input")?.ok_or_else(|| Error::missing("input"))?;
    let input = STANDARD.decode(input.expose()).map(Zeroizing::new);
    let input = input.map_err(|_| Error::invalid("the input must be base64"))?;
    let sum = digest::digest(algorithm, &input);
    Response::data(&json!({"sum": encoded(sum.as_ref(), fields.string("format")?, "hex")?}))
}

fn encoded(bytes: &[u8], format: Option<String>, standard: &str) -> Result<String, Error> {
    match format.as_deref().unwrap_or(standard) {
        "hex" => Ok(hex::encode(bytes)),
        "base64" => Ok(STANDARD.encode(bytes)),
        _ => Err(Error::invalid("the format must be hex or base64")),
    }
}
