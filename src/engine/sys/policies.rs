//! `sys/policies/acl` and the older `sys/policy`.

use serde_json::json;
use turnlock_core::policy::PolicyName;

use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{Create, Delete, List, Read, Update};
use crate::response::Response;

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(&[List], "policies/acl", Token, |call| Box::pin(list(call)), "Names of the policies."),
    route(&[Read], "policies/acl/{name*}", Token, |call| Box::pin(read(call, "policy")), "A policy's text."),
    route(
        &[Create, Update],
        "policies/acl/{name*}",
        Token,
        |call| Box::pin(write(call)),
        "Stores a policy and puts it into force.",
    ),
    route(&[Delete], "policies/acl/{name*}", Token, |call| Box::pin(delete(call)), "Removes a policy."),
    route(
        &[Read, List],
        "policy",
        Token,
        |call| Box::pin(list_at_top(call)),
        "Names of the policies, as older clients read them.",
    ),
    route(
        &[Read],
        "policy/{name*}",
        Token,
        |call| Box::pin(read(call, "rules")),
        "A policy's text, as older clients read it.",
    ),
    route(
        &[Create, Update],
        "policy/{name*}",
        Token,
        |call| Box::pin(write(call)),
        "Stores a policy, as older clients do.",
    ),
    route(&[Delete], "policy/{name*}", Token, |call| Box::pin(delete(call)), "Removes a policy, as older clients do."),
];

fn names(call: &Call) -> Vec<String> {
    let mut names = call.parts.policies.names();
    names.push("root".to_owned());
    names.sort();
    names
}

async fn list(call: &Call) -> Result<Response, Error> {
    Response::keys(&names(call))
}

async fn list_at_top(call: &Call) -> Result<Response, Error> {
    let names = names(call);
    Response::data_at_top(&json!({"keys": names, "policies": names}))
}

/// `member`: what the text is called in the answer.
async fn read(call: &Call, member: &'static str) -> Result<Response, Error> {
    let name = name(call)?;
    let (text, version) = match call.parts.policies.read(&name) {
        Some(stored) => (stored.policy.text().to_owned(), stored.version),
        None if name.is_root() => (String::new(), 1),
        None => return Err(Error::NotFound),
    };
    let data = json!({"name": name.as_str(), member: text, "version": version, "cas_required": false});
    if member == "rules" { Response::data_at_top(&data) } else { Response::data(&data) }
}

async fn write(call: &Call) -> Result<Response, Error> {
    let name = name(call)?;
    let fields = &call.request.fields;
    let text = match fields.string("policy")? {
        Some(text) => Some(text),
        None => fields.string("rules")?,
    };
    call.parts.policies.write(&name, &text.ok_or_else(|| Error::missing("policy"))?).await?;
    Ok(Response::done())
}

async fn delete(call: &Call) -> Result<Response, Error> {
    call.parts.policies.delete(&name(call)?).await?;
    Ok(Response::done())
}

fn name(call: &Call) -> Result<PolicyName, Error> {
    PolicyName::parse(call.parameter("name")).map_err(|reason| Error::invalid(reason.to_string()))
}
