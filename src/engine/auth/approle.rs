//! Logins by AppRole: a role id that names a machine's role and a secret id that proves it.
//!
//! | name in the mount | value |
//! |---|---|
//! | `role/NAME` | the role, with a uuid of its own |
//! | `role-id/KEYED HASH` | name of the role |
//! | `secret/UUID/KEYED HASH` | a secret id, without its text |
//! | `accessor/UUID/ACCESSOR` | which secret id it belongs to |
//! | `dead/UUID` | a removed role, whose secret ids are still to be removed |
//!
//! Secret ids hang on the role's uuid: those of a removed role mean nothing to a new one of the same name, and an
//! accessor is only ever looked for below the role in the path.

mod login;
mod role;
mod secret;

use super::route;
use crate::engine::Access::{Open, Token};
use crate::engine::{Call, Route};
use crate::request::Operation::{self, Create, Delete, List, Read, Update};

/// What a write reaches.
const WRITE: &[Operation] = &[Update, Create];
/// Those who destroy by a body or by a DELETE.
const DESTROY: &[Operation] = &[Update, Delete];

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    route(
        &[Update],
        "login",
        Open,
        |call| Box::pin(login::login(call)),
        "Exchanges role id and secret id for a token.",
    ),
    route(&[List], "role", Token, |call| Box::pin(role::list(call)), "Lists the roles."),
    route(&[Read], "role/{role}", Token, |call| Box::pin(role::read(call)), "Shows a role."),
    route(WRITE, "role/{role}", Token, |call| Box::pin(role::write(call)), "Writes a role.")
        .with_exists(|call| Box::pin(role::exists(call))),
    route(&[Delete], "role/{role}", Token, |call| Box::pin(role::delete(call)), "Removes a role and its secret ids."),
    route(&[Read], "role/{role}/role-id", Token, |call| Box::pin(role::read_role_id(call)), "Shows the role id."),
    route(&[Update], "role/{role}/role-id", Token, |call| Box::pin(role::write_role_id(call)), "Sets the role id."),
    route(&[Update], "role/{role}/secret-id", Token, |call| Box::pin(secret::draw(call)), "Creates a secret id."),
    route(&[List], "role/{role}/secret-id", Token, |call| Box::pin(secret::list(call)), "Lists secret id accessors."),
    route(
        &[Update],
        "role/{role}/custom-secret-id",
        Token,
        |call| Box::pin(secret::custom(call)),
        "Stores a secret id that the client chose.",
    ),
    route(
        &[Update],
        "role/{role}/secret-id/lookup",
        Token,
        |call| Box::pin(secret::lookup(call)),
        "Shows a secret id.",
    ),
    route(
        DESTROY,
        "role/{role}/secret-id/destroy",
        Token,
        |call| Box::pin(secret::destroy(call)),
        "Removes a secret id.",
    ),
    route(
        &[Update],
        "role/{role}/secret-id-accessor/lookup",
        Token,
        |call| Box::pin(secret::lookup_accessor(call)),
        "Shows the secret id of an accessor.",
    ),
    route(
        DESTROY,
        "role/{role}/secret-id-accessor/destroy",
        Token,
        |call| Box::pin(secret::destroy_accessor(call)),
        "Removes the secret id of an accessor.",
    ),
    route(&[Read], "role/{role}/{field}", Token, |call| Box::pin(role::read_field(call)), "Shows one field of a role."),
    route(WRITE, "role/{role}/{field}", Token, |call| Box::pin(role::write_field(call)), "Sets one field of a role."),
    route(&[Delete], "role/{role}/{field}", Token, |call| Box::pin(role::clear_field(call)), "Resets one field."),
    route(&[Update], "tidy/secret-id", Token, |call| Box::pin(secret::tidy(call)), "Removes secret ids that are over."),
];

/// Longest role id and secret id in bytes.
const MAX_ID_BYTES: usize = 4096;

/// The keyed hash of a role id or secret id of this mount.
fn keyed_hash(call: &Call, id: &[u8]) -> Result<String, crate::error::Error> {
    let key = call.parts.barrier.hmac_key("approle/id")?;
    let mut context = ring::hmac::Context::with_key(&key);
    context.update(call.mount.entry.uuid.as_bytes());
    context.update(id);
    Ok(hex::encode(context.sign()))
}
