//! Logins by user name and password.
//!
//! A name has one form, [`canonical`]: it is the key of the user, of the login and of the lockout, so that no spelling
//! of a name is counted apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use turnlock_core::Protected;

use super::route;
use super::settings::TokenSettings;
use crate::barrier::{BarrierError, Changes};
use crate::engine::Access::{Open, Token};
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::hashing::PasswordHash;
use crate::lockout::{Admission, Outcome};
use crate::request::Fields;
use crate::request::Operation::{Create, Delete, List, Read, Update};
use crate::response::Response;
use crate::store::Revision;
use crate::token::Issued;

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    route(&[Update], "login/{user}", Open, |call| Box::pin(login(call)), "Exchanges name and password for a token."),
    route(&[List], "users", Token, |call| Box::pin(list(call)), "Lists the users."),
    route(&[Read], "users/{user}", Token, |call| Box::pin(read(call)), "Shows a user."),
    route(&[Update, Create], "users/{user}", Token, |call| Box::pin(write(call)), "Writes a user.")
        .with_exists(|call| Box::pin(exists(call))),
    route(&[Delete], "users/{user}", Token, |call| Box::pin(delete(call)), "Removes a user."),
    route(&[Update], "users/{user}/password", Token, |call| Box::pin(write_password(call)), "Sets a user's password."),
    route(&[Update], "users/{user}/policies", Token, |call| Box::pin(write_policies(call)), "Sets a user's policies."),
];

/// Longest password in bytes.
const MAX_PASSWORD_BYTES: usize = 4096;

/// A user as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct User {
    password: PasswordHash,
    #[serde(flatten)]
    token: TokenSettings,
}

/// The one form of a user's name: trimmed and lower-case, by Unicode's rules.
pub fn canonical(name: &str) -> String {
    // Lower case of upper case: characters with several lower forms (ς and σ) become one.
    name.trim().to_uppercase().to_lowercase().trim().to_owned()
}

fn name_of(call: &Call) -> Result<String, Error> {
    let name = canonical(call.parameter("user"));
    if name.is_empty() || name.len() > 512 {
        return Err(Error::invalid("a user's name has 1 to 512 bytes"));
    }
    Ok(name)
}

fn row(name: &str) -> String {
    format!("user/{name}")
}

async fn find(call: &Call, name: &str) -> Result<Option<(User, Revision)>, Error> {
    let Some(record) = call.mount.view.get(&row(name)).await? else { return Ok(None) };
    let user = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
    Ok(Some((user, record.revision)))
}

async fn login(call: &Call) -> Result<Response, Error> {
    let name = name_of(call)?;
    let password = password(&call.request.fields)?.ok_or_else(|| Error::missing("password"))?;
    let (parts, mount) = (&call.parts, &call.mount.entry);
    // Known and unknown names are counted alike: a lock tells nobody who exists.
    match parts.lockout.begin(&mount.uuid, &name, parts.tokens.now()) {
        Admission::Go => {}
        Admission::Wait => return Err(Error::Busy(Duration::from_secs(1))),
        Admission::Locked => return Err(Error::Denied),
    }
    let attempt = Attempt { call, name: &name, outcome: Outcome::NotTried };
    attempt.run(password).await
}

/// One attempt that the lockout let go; it is told the outcome even when the client goes away in the middle.
struct Attempt<'a> {
    call: &'a Call,
    name: &'a str,
    outcome: Outcome,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let parts = &self.call.parts;
        parts.lockout.finish(&self.call.mount.entry.uuid, self.name, self.outcome, parts.tokens.now());
    }
}

impl Attempt<'_> {
    async fn run(mut self, password: Protected) -> Result<Response, Error> {
        let (call, name) = (self.call, self.name);
        let found = find(call, name).await?;
        let stored = found.as_ref().map(|(user, _)| &user.password);
        // From here on the attempt counts: who hangs up before the answer has still made a guess.
        let verified = call.parts.hashing.verify(password, stored);
        self.outcome = Outcome::Failure;
        let verified = match verified.await {
            Err(error) => {
                self.outcome = Outcome::NotTried;
                return Err(error);
            }
            Ok(verified) => verified,
        };
        let Some((user, revision)) = found.filter(|_| verified) else {
            return Err(Error::invalid("invalid username or password"));
        };
        let mount = &call.mount.entry;
        let mut order = user.token.order(mount.config.token_type.as_deref());
        let prefix = mount.path.strip_prefix("auth/").unwrap_or_default().replace('/', "-");
        order.display_name = format!("{prefix}-{name}");
        order.path = call.request.path.as_str().to_owned();
        order.metadata.insert("username".to_owned(), name.to_owned());
        order.role = Some(name.to_owned());
        if !order.bound_cidrs.is_empty()
            && !order.bound_cidrs.iter().any(|network| network.contains(&call.request.peer.ip().to_canonical()))
        {
            return Err(Error::invalid("invalid username or password"));
        }
        // Not before: a right password from elsewhere must count as a guess, or the count would tell that it is right.
        self.outcome = Outcome::Success;
        let mut changes = Changes::new();
        // A user that is removed or changed during the hash gets no token.
        changes.require(&call.mount.view, &row(name), revision);
        match call.parts.tokens.issue(&call.parts, mount, order, changes).await? {
            Issued::Done(response) => Ok(*response),
            Issued::Conflict => Err(Error::Busy(Duration::from_secs(1))),
        }
    }
}

async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(find(call, &name_of(call)?).await?.is_some())
}

async fn list(call: &Call) -> Result<Response, Error> {
    Response::keys(&call.mount.view.list("user/").await?)
}

async fn read(call: &Call) -> Result<Response, Error> {
    let (user, _) = find(call, &name_of(call)?).await?.ok_or(Error::NotFound)?;
    Response::data(&user.token)
}

async fn write(call: &Call) -> Result<Response, Error> {
    let name = name_of(call)?;
    let found = find(call, &name).await?;
    let sent = password(&call.request.fields)?;
    let mut settings = found.as_ref().map(|(user, _)| user.token.clone()).unwrap_or_default();
    settings.update(&call.request.fields)?;
    let hash = match (sent, &found) {
        (Some(password), _) => call.parts.hashing.hash(password).await?,
        (None, Some((user, _))) => user.password.clone(),
        (None, None) => return Err(Error::missing("password")),
    };
    store(call, &name, found.map(|(_, revision)| revision), &User { password: hash, token: settings }).await
}

async fn write_password(call: &Call) -> Result<Response, Error> {
    let name = name_of(call)?;
    let sent = password(&call.request.fields)?.ok_or_else(|| Error::missing("password"))?;
    let (mut user, revision) = find(call, &name).await?.ok_or(Error::NotFound)?;
    user.password = call.parts.hashing.hash(sent).await?;
    store(call, &name, Some(revision), &user).await
}

async fn write_policies(call: &Call) -> Result<Response, Error> {
    let name = name_of(call)?;
    let (mut user, revision) = find(call, &name).await?.ok_or(Error::NotFound)?;
    // A grant on this path is no grant of the user's other settings.
    user.token.update(&call.request.fields.restricted_to(&["token_policies", "policies"])?)?;
    store(call, &name, Some(revision), &user).await
}

async fn store(call: &Call, name: &str, old: Option<Revision>, user: &User) -> Result<Response, Error> {
    let view = &call.mount.view;
    let mut changes = Changes::new();
    match old {
        Some(revision) => changes.require(view, &row(name), revision),
        None => changes.require_absent(view, &row(name)),
    }
    changes.put(view, &row(name), &serde_json::to_vec(user).map_err(Error::internal)?);
    match call.parts.barrier.commit(changes).await {
        Ok(_) => {}
        Err(BarrierError::Conflict { .. }) => return Err(Error::Busy(Duration::from_secs(1))),
        Err(error) => return Err(error.into()),
    }
    call.parts.lockout.unlock(&call.mount.entry.uuid, name);
    Ok(Response::done())
}

async fn delete(call: &Call) -> Result<Response, Error> {
    let mut changes = Changes::new();
    changes.delete(&call.mount.view, &row(&name_of(call)?));
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

/// The password in the body.
fn password(fields: &Fields) -> Result<Option<Protected>, Error> {
    let password = fields.protected("password")?.filter(|password| !password.is_empty());
    if password.as_ref().is_some_and(|password| password.len() > MAX_PASSWORD_BYTES) {
        return Err(Error::invalid("a password has at most 4096 bytes"));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::canonical;

    #[test]
    fn every_spelling_of_a_name_is_one_name() {
        for spelling in ["alice", "Alice", " ALICE ", "aLiCe\u{a0}", "\u{3000}alice"] {
            assert_eq!(canonical(spelling), "alice", "{spelling:?}");
        }
        assert_eq!(canonical("ΣΊΣΥΦΟΣ"), canonical("σίσυφος"));
        assert_eq!(canonical("straße"), canonical("STRASSE"));
    }

    proptest! {
        #[test]
        fn the_one_form_does_not_change_when_it_is_taken_again(name in "\\PC{0,20}") {
            let once = canonical(&name);
            prop_assert_eq!(canonical(&once), once.clone());
            prop_assert_eq!(canonical(&name.to_uppercase()), once.clone());
            prop_assert_eq!(canonical(&format!(" {name}\t")), once);
        }
    }
}
