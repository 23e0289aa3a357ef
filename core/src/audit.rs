//! The audit chain: records as JSON lines, each bound to the one before, with signed checkpoints; and its proof.
//!
//! | part of a line | content |
//! |---|---|
//! | `{"seq":12,"kind":"answer",` | position in the chain, from 1; what kind of record |
//! | members of the record | see [`AuditRecord`] |
//! | `,"hash":"…"}` and a line feed | SHA-256 over the hash of the line before (32 bytes) and this line up to here, in hex |
//!
//! Each file starts with a `header` record that names the hash it follows. A `checkpoint` record carries an Ed25519
//! signature over its position and the hash before it: who rewrites the chain without the key is found there. What
//! follows the last checkpoint is bound by hashes only.

mod proof;

use std::io::Write as _;

use ring::digest;
use serde::Serialize;

pub use proof::{Flaw, FlawKind, Notice, Proof, verify};

/// What precedes the hash in every line.
const HASH_MEMBER: &[u8] = b",\"hash\":\"";
/// Bytes of the hash member, its closing brace included.
const SUFFIX_BYTES: usize = HASH_MEMBER.len() + 64 + 2;

/// One event as it is written. Members that are `None` or empty are left out.
///
/// Nothing in it is secret: what could be is a [`Digest`], keyed with a key that never leaves the barrier.
#[derive(Debug, Default, Serialize)]
pub struct AuditRecord<'a> {
    /// When, RFC 3339.
    pub time: &'a str,
    /// The request's id; the same in the request's record and its answer's.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub id: &'a str,
    /// The operation's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'a str>,
    /// The canonical path; segments that look like a token are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    /// Where the mount is that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<&'a str>,
    /// The mount's handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_accessor: Option<&'a str>,
    /// Address of the client, `unix` or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<&'a str>,
    /// The token that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Digest>,
    /// The token's accessor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessor: Option<Digest>,
    /// Whom the token belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<&'a str>,
    /// Who logged in to get the token: `role_name` or `username`, and the name. Written as an object. Of other metadata,
    /// which whoever makes a token or a secret id chooses, nothing is recorded.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_member")]
    pub metadata: Option<(&'a str, &'a str)>,
    /// The token's policies.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub policies: &'a [String],
    /// The request's fields by name.
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "as_map")]
    pub fields: &'a [(String, Digest)],
    /// How many fields are not listed, because there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub fields_omitted: usize,
    /// The request's query parameters by name.
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "as_map")]
    pub query: &'a [(String, Digest)],
    /// Seconds for which the answer shall be wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrap_ttl: Option<u64>,
    /// The answer's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The public text of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// The answer's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Digest>,
    /// The token that was issued or renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued: Option<Digest>,
    /// The accessor of that token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_accessor: Option<Digest>,
    /// The wrapping token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapping: Option<Digest>,
    /// The wrapping token's accessor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapping_accessor: Option<Digest>,
}

/// A keyed hash, written as `hmac-sha256:` and hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What precedes the hex text.
    pub const PREFIX: &'static str = "hmac-sha256:";

    /// The text form.
    pub fn text(self) -> String {
        format!("{}{}", Self::PREFIX, hex::encode(self.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const PREFIX: &[u8] = Digest::PREFIX.as_bytes();
        let mut text = [0; PREFIX.len() + 64];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        hex::encode_to_slice(self.0, digits).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request that was answered or refused.
    Answer,
    /// A signature over all lines before.
    Checkpoint,
    /// The first line of a file.
    Header,
    /// Something that happened to the audit itself: a torn line was cut off, the file was replaced.
    Notice,
    /// A write that is about to happen.
    Request,
}

impl Kind {
    /// The word in the line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Checkpoint => "checkpoint",
            Self::Header => "header",
            Self::Notice => "notice",
            Self::Request => "request",
        }
    }
}

/// The end of a chain: where the next line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain {
    /// Position of the last line; 0 before the first.
    pub seq: u64,
    /// Its hash; zeros before the first.
    pub hash: [u8; 32],
}

impl Chain {
    /// Writes the next line into `out`. `members`: a JSON object, as [`AuditRecord`] serializes to; without members
    /// of the names `seq`, `kind` and `hash`.
    pub fn append(&mut self, kind: Kind, members: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.seq += 1;
        out.extend_from_slice(b"{\"seq\":");
        // Writing to a vector cannot fail.
        let _ = write!(out, "{}", self.seq);
        out.extend_from_slice(b",\"kind\":\"");
        out.extend_from_slice(kind.as_str().as_bytes());
        out.push(b'"');
        let inner = members.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default();
        if !inner.is_empty() {
            out.push(b',');
            out.extend_from_slice(inner);
        }
        self.hash = link(&self.hash, out.get(start..).unwrap_or_default());
        out.extend_from_slice(HASH_MEMBER);
        let mut digits = [0; 64];
        // The room is right, so this cannot fail either.
        let _ = hex::encode_to_slice(self.hash, &mut digits);
        out.extend_from_slice(&digits);
        out.extend_from_slice(b"\"}\n");
    }

    /// The chain's end as `line` (without its line feed) states it, if it is a well-formed line.
    pub fn after(line: &[u8]) -> Option<Self> {
        let (head, hash) = proof::parts(line)?;
        Some(Self { seq: head.seq, hash })
    }

    /// What a checkpoint that follows signs.
    pub fn checkpoint_message(&self) -> Vec<u8> {
        let mut message = b"turnlock audit checkpoint 1\0".to_vec();
        message.extend_from_slice(&(self.seq + 1).to_be_bytes());
        message.extend_from_slice(&self.hash);
        message
    }
}

fn link(before: &[u8; 32], line: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before);
    context.update(line);
    context.finish().as_ref().try_into().unwrap_or_default()
}

fn as_map<S: serde::Serializer>(pairs: &[(String, Digest)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn as_member<S: serde::Serializer>(pair: &Option<(&str, &str)>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(*pair)
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
