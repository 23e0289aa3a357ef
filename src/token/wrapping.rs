//! Wrapped answers: kept sealed under a single-use token, so that whoever unwraps knows that nobody did before.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use turnlock_core::Protected;
use turnlock_core::token::TokenKind;
use zeroize::Zeroizing;

use super::row::{self, AccessorRow};
use super::{TokenHash, Tokens, life};
use crate::barrier::{BarrierError, Changes, Record};
use crate::error::Error;
use crate::request::Request;
use crate::response::{Content, Envelope, Response, WrapInfo};
use crate::server::Parts;

/// What is known of a wrapped answer without opening it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wrapping {
    /// Handle that can revoke.
    pub accessor: String,
    /// Path of the request that was answered.
    pub creation_path: String,
    /// When.
    pub created: DateTime<Utc>,
    /// Seconds to live.
    pub ttl: u64,
    /// Accessor of the token in the answer, if there is one.
    pub wrapped_accessor: Option<String>,
}

impl Wrapping {
    fn ends(&self) -> DateTime<Utc> {
        life::after(self.created, self.ttl)
    }
}

impl Tokens {
    /// Keeps `response` for `ttl` and answers with the token that opens it. A zero `ttl`, and an answer that is wrapped
    /// already, pass through.
    pub async fn wrap(
        &self,
        _parts: &Parts,
        response: Response,
        ttl: Duration,
        request: &Request,
    ) -> Result<Response, Error> {
        let Content::Envelope(envelope) = &response.content else { return Ok(response) };
        if ttl.is_zero() || envelope.wrap_info.is_some() {
            return Ok(response);
        }
        let wrapping = Wrapping {
            accessor: self.draw_accessor()?,
            creation_path: request.path.as_str().to_owned(),
            created: self.now(),
            ttl: ttl.as_secs().max(1),
            wrapped_accessor: envelope.auth.as_ref().map(|auth| auth.accessor.clone()),
        };
        let body = response.encode(request.id)?;
        self.keep_wrapped(wrapping, &body, Changes::new()).await
    }

    /// What is known of the answer that `token` opens, without opening it; `None` when there is none.
    pub async fn wrapping(&self, token: &Protected) -> Result<Option<Wrapping>, Error> {
        let found = self.wrapped(&self.hash(token)).await?;
        Ok(found.map(|(wrapping, _)| wrapping))
    }

    /// Opens the answer and removes it in one commit; the second of two gets `None`.
    pub async fn unwrap(&self, token: &Protected) -> Result<Option<Protected>, Error> {
        let hash = self.hash(token);
        let Some((wrapping, record)) = self.wrapped(&hash).await? else { return Ok(None) };
        let mut changes = Changes::new();
        self.remove_wrapped(&mut changes, &hash, &wrapping, &record);
        match self.barrier.commit(changes).await {
            Ok(_) => split(&record).map(|(_, body)| Some(Protected::copy_of(body))),
            Err(BarrierError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the answer under a fresh token, with its path and its time to live begun anew, in one commit.
    pub async fn rewrap(&self, token: &Protected) -> Result<Option<Response>, Error> {
        let hash = self.hash(token);
        let Some((old, record)) = self.wrapped(&hash).await? else { return Ok(None) };
        let mut changes = Changes::new();
        self.remove_wrapped(&mut changes, &hash, &old, &record);
        let fresh = Wrapping { accessor: self.draw_accessor()?, created: self.now(), ..old };
        match self.keep_wrapped(fresh, split(&record)?.1, changes).await {
            Err(Error::Unavailable(_)) if self.view.get(&row_name(&hash)).await?.is_none() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Removes a wrapped answer by its hash. Answers whether there was one.
    pub(super) async fn forget_wrapped(&self, hash: &TokenHash) -> Result<bool, Error> {
        let Some(record) = self.view.get(&row_name(hash)).await? else { return Ok(false) };
        let (wrapping, _) = split(&record)?;
        let mut changes = Changes::new();
        self.remove_wrapped(&mut changes, hash, &wrapping, &record);
        match self.barrier.commit(changes).await {
            Ok(_) => Ok(true),
            Err(BarrierError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn wrapped(&self, hash: &TokenHash) -> Result<Option<(Wrapping, Record)>, Error> {
        let Some(record) = self.view.get(&row_name(hash)).await? else { return Ok(None) };
        let (wrapping, _) = split(&record)?;
        Ok((self.now() < wrapping.ends()).then_some((wrapping, record)))
    }

    async fn keep_wrapped(&self, wrapping: Wrapping, body: &[u8], mut changes: Changes) -> Result<Response, Error> {
        let token = self.draw(TokenKind::Wrapping)?;
        let hash = self.hash(&token);
        let mut value = Zeroizing::new(row::json(&wrapping)?);
        // Reserved once: growing would leave a copy of the answer behind in freed memory.
        let mut whole = Zeroizing::new(Vec::with_capacity(value.len() + 1 + body.len()));
        whole.append(&mut value);
        whole.push(b'\n');
        whole.extend_from_slice(body);
        changes.put(&self.view, &row_name(&hash), &whole);
        let accessor = AccessorRow { hash: hash.clone(), wrapping: true };
        changes.put(&self.view, &row::accessor(&wrapping.accessor), &row::json(&accessor)?);
        changes.put(&self.view, &row::expiry(wrapping.ends(), &expiry_name(&hash)), &[]);
        self.barrier.commit(changes).await?;
        Ok(Response::envelope(Envelope {
            wrap_info: Some(WrapInfo {
                token,
                accessor: wrapping.accessor,
                ttl_seconds: wrapping.ttl,
                creation_time: wrapping.created,
                creation_path: wrapping.creation_path,
                wrapped_accessor: wrapping.wrapped_accessor,
            }),
            ..Envelope::default()
        }))
    }

    fn remove_wrapped(&self, changes: &mut Changes, hash: &TokenHash, wrapping: &Wrapping, record: &Record) {
        changes.require(&self.view, &row_name(hash), record.revision);
        changes.delete(&self.view, &row_name(hash));
        changes.delete(&self.view, &row::accessor(&wrapping.accessor));
        changes.delete(&self.view, &row::expiry(wrapping.ends(), &expiry_name(hash)));
    }
}

fn row_name(hash: &TokenHash) -> String {
    format!("wrap/{}", hash.0)
}

/// In the calendar of expiries, beside the plain hashes of tokens.
fn expiry_name(hash: &TokenHash) -> String {
    format!("w{}", hash.0)
}

/// One line of JSON, then the answer's body.
fn split(record: &Record) -> Result<(Wrapping, &[u8]), Error> {
    let bytes = record.value.expose();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = bytes.split_at_checked(end).unwrap_or_default();
    let wrapping = serde_json::from_slice(head).map_err(Error::internal)?;
    Ok((wrapping, body.get(1..).unwrap_or_default()))
}
