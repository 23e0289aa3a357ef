//! `sys/policies/password`: rules for generated passwords.

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use turnlock_core::password_policy::PasswordPolicy;

use crate::barrier::{Changes, View};
use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{Create, Delete, List, Read, Update};
use crate::response::{Json, Response};

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(&[List], "policies/password", Token, |call| Box::pin(list(call)), "Names of the password policies."),
    route(&[Read], "policies/password/{name}/generate", Token, |call| Box::pin(generate(call)), "A new password."),
    route(&[Read], "policies/password/{name}", Token, |call| Box::pin(read(call)), "A password policy's text."),
    route(
        &[Create, Update],
        "policies/password/{name}",
        Token,
        |call| Box::pin(write(call)),
        "Stores a password policy.",
    ),
    route(&[Delete], "policies/password/{name}", Token, |call| Box::pin(delete(call)), "Removes a password policy."),
];

fn view(call: &Call) -> View {
    call.parts.barrier.view("password-policy")
}

async fn stored(call: &Call) -> Result<String, Error> {
    let record = view(call).get(call.parameter("name")).await?.ok_or(Error::NotFound)?;
    record.value.expose_str().map(str::to_owned).ok_or_else(|| Error::internal("a password policy is not text"))
}

async fn list(call: &Call) -> Result<Response, Error> {
    Response::keys(&view(call).list("").await?)
}

async fn read(call: &Call) -> Result<Response, Error> {
    Response::data(&json!({"policy": stored(call).await?}))
}

async fn write(call: &Call) -> Result<Response, Error> {
    let text = call.request.fields.required_string("policy")?;
    let policy = PasswordPolicy::parse(&text).map_err(|reason| Error::invalid(reason.to_string()))?;
    // Tried once: rules that practically never come true are the writer's to hear of, not the next reader's.
    policy.generate(&mut random).map_err(|reason| Error::invalid(reason.to_string()))?;
    let mut changes = Changes::new();
    changes.put(&view(call), call.parameter("name"), text.as_bytes());
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

async fn delete(call: &Call) -> Result<Response, Error> {
    let mut changes = Changes::new();
    changes.delete(&view(call), call.parameter("name"));
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

async fn generate(call: &Call) -> Result<Response, Error> {
    let policy = PasswordPolicy::parse(&stored(call).await?).map_err(Error::internal)?;
    let password = policy.generate(&mut random).map_err(Error::internal)?;
    let password = password.expose_str().ok_or_else(|| Error::internal("a password is not text"))?;
    Ok(Response::json(Json::of(&std::collections::BTreeMap::from([("password", password)]))?))
}

/// Fills `bytes`. The generator of the operating system fails only where nothing works any more; zeros would be a
/// password that everybody knows, so then the process ends.
fn random(bytes: &mut [u8]) {
    if SystemRandom::new().fill(bytes).is_err() {
        std::process::abort();
    }
}
