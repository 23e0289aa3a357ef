//! Key and value, version 2: secrets with numbered versions, staging labels and metadata.

mod answer;
pub mod config;
mod draft;
mod json;
pub mod labels;
mod list;
mod metadata;
mod read;
pub mod record;
pub mod secrets;
#[cfg(test)]
mod tests;
mod versions;
mod write;

use futures_util::future::BoxFuture;

use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{self, Create, Delete, List, Patch, Read, Scan, Update};
pub use secrets::{Secrets, Which};

/// Largest data of one version in bytes.
pub const MAX_DATA_BYTES: usize = 1 << 20;

const WRITE: &[Operation] = &[Create, Update];

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    route(WRITE, "data/{path*}", Token, |call| Box::pin(write::write(call)), "Stores a new version of a secret.")
        .with_exists(exists),
    route(&[Read], "data/{path*}", Token, |call| Box::pin(read::read(call)), "Reads a version of a secret."),
    route(
        &[Patch],
        "data/{path*}",
        Token,
        |call| Box::pin(write::patch(call)),
        "Stores the current version with a merge patch applied.",
    ),
    route(
        &[Delete],
        "data/{path*}",
        Token,
        |call| Box::pin(versions::delete_current(call)),
        "Deletes the current version; it can be undeleted.",
    ),
    route(
        WRITE,
        "delete/{path*}",
        Token,
        |call| Box::pin(versions::delete(call)),
        "Deletes versions; they can be undeleted.",
    ),
    route(WRITE, "undelete/{path*}", Token, |call| Box::pin(versions::undelete(call)), "Brings deleted versions back."),
    route(
        WRITE,
        "destroy/{path*}",
        Token,
        |call| Box::pin(versions::destroy(call)),
        "Removes the data of versions for good.",
    ),
    route(
        WRITE,
        "metadata/{path*}",
        Token,
        |call| Box::pin(metadata::write(call)),
        "Sets a secret's settings and custom metadata.",
    )
    .with_exists(exists),
    route(
        &[Read],
        "metadata/{path*}",
        Token,
        |call| Box::pin(metadata::read(call)),
        "Reads a secret's metadata and versions.",
    ),
    route(
        &[Patch],
        "metadata/{path*}",
        Token,
        |call| Box::pin(metadata::patch(call)),
        "Merges into a secret's settings and custom metadata.",
    ),
    route(
        &[Delete],
        "metadata/{path*}",
        Token,
        |call| Box::pin(metadata::delete(call)),
        "Removes a secret with all its versions.",
    ),
    route(
        &[List],
        "metadata/{path*}",
        Token,
        |call| Box::pin(list::list(call)),
        "Lists the names directly below a folder.",
    ),
    route(
        &[Scan],
        "metadata/{path*}",
        Token,
        |call| Box::pin(list::scan(call)),
        "Lists all names below a folder that the caller may see.",
    ),
    route(
        &[Read],
        "subkeys/{path*}",
        Token,
        |call| Box::pin(read::subkeys(call)),
        "Reads a version with its values left out.",
    ),
    route(
        &[Read],
        "labels/{path*}",
        Token,
        |call| Box::pin(metadata::read_labels(call)),
        "Reads which version each staging label points at.",
    ),
    route(
        WRITE,
        "labels/{path*}",
        Token,
        |call| Box::pin(metadata::set_label(call)),
        "Points a staging label at a version.",
    ),
    route(
        &[Delete],
        "labels/{path*}",
        Token,
        |call| Box::pin(metadata::remove_label(call)),
        "Takes a staging label off.",
    ),
    route(&[Read], "config", Token, |call| Box::pin(config::read(call)), "Reads the mount's defaults."),
    route(WRITE, "config", Token, |call| Box::pin(config::write(call)), "Sets the mount's defaults."),
];

fn exists(call: &Call) -> BoxFuture<'_, Result<bool, Error>> {
    Box::pin(async move { secrets(call).exists(call.parameter("path")).await })
}

fn secrets(call: &Call) -> Secrets<'_> {
    Secrets::new(&call.parts.barrier, &call.mount.view, call.parts.clock.now()).beginning_with(&call.seen)
}

/// The secret's path, which must name one.
fn path_of(call: &Call) -> Result<&str, Error> {
    match call.parameter("path") {
        "" => Err(Error::Unsupported),
        path => Ok(path),
    }
}
