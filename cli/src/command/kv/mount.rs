//! Where a secret is: its mount, the path in it, and whether it has versions. The server knows; it is asked first.

use turnlock_agent::{Client, ClientError};

use crate::command::trimmed;
use crate::failure::Failure;

/// A path in a mount of secrets.
#[derive(Debug)]
pub(super) struct Place {
    mount: String,
    path: String,
    /// Whether the mount is of version 2.
    pub(super) versioned: bool,
}

impl Place {
    /// Like [`Place::find`], for what needs a secret and not only its mount.
    pub(super) async fn of_secret(client: &Client, mount: Option<&str>, path: &str) -> Result<Self, Failure> {
        let place = Self::find(client, mount, path).await?;
        if place.path.is_empty() {
            let mount = &place.mount;
            return Err(Failure::local(format!("{mount} is a mount, and which secret in it is not said")).hint(
                format!("write it behind the mount, as in {mount}/app/db; `turnlock kv list {mount}` shows them"),
            ));
        }
        Ok(place)
    }

    /// Whether this is a mount with versions and the path names a secret as `turnlock kv` takes it, not as the API does.
    pub(super) fn needs_kv(&self) -> bool {
        let known = ["data", "metadata", "config", "delete", "undelete", "destroy", "subkeys", "labels"];
        self.versioned && !self.path.is_empty() && !known.contains(&first_segment(&self.path))
    }

    /// Asks the server for the mount of `path`, or for `mount` where it is given.
    pub(super) async fn find(client: &Client, mount: Option<&str>, path: &str) -> Result<Self, Failure> {
        let (mount, path) = (mount.map(trimmed), trimmed(path));
        let asked = mount.unwrap_or(path);
        if asked.is_empty() {
            return Err(
                Failure::local("the path is empty").hint("write the mount and what is in it, as in secret/app/db")
            );
        }
        #[derive(serde::Deserialize)]
        struct Answer {
            path: String,
            #[serde(default)]
            options: Option<std::collections::BTreeMap<String, String>>,
        }
        let answer: Answer = match client.read(&format!("sys/internal/ui/mounts/{asked}")).await {
            Ok(reply) => reply.data_as()?,
            // Servers older than this question have no versions.
            Err(ClientError::NotFound { .. }) => Answer { path: first_segment(asked).to_owned(), options: None },
            Err(ClientError::Denied { anonymous: false, .. }) => {
                return Err(Failure::remote(format!("no mount at {asked}, or no right to anything in it"))
                    .hint(
                        "`turnlock secrets list` shows the mounts, `turnlock secrets enable -path=secret -version=2 kv` makes \
                         one, `turnlock token lookup` shows the token's policies",
                    )
                    .refused());
            }
            Err(error) => return Err(error.into()),
        };
        let versioned = answer.options.is_some_and(|options| options.get("version").is_some_and(|text| text == "2"));
        let found = trimmed(&answer.path).to_owned();
        let inner = match mount {
            Some(_) => path,
            None => path.strip_prefix(found.as_str()).map_or(path, trimmed),
        };
        Ok(Self { path: inner.to_owned(), mount: found, versioned })
    }

    /// The path of the API that holds the secret's fields.
    pub(super) fn data(&self) -> String {
        if self.versioned { self.at("data") } else { joined([self.mount.as_str(), &self.path]) }
    }

    /// The path of the API for `what` of a secret with versions.
    pub(super) fn at(&self, what: &str) -> String {
        joined([self.mount.as_str(), what, &self.path])
    }

    /// The path as people write it.
    pub(super) fn shown(&self) -> String {
        joined([self.mount.as_str(), &self.path])
    }

    /// Refuses what needs versions on a mount without them.
    pub(super) fn need_versions(&self, what: &str) -> Result<(), Failure> {
        if self.versioned {
            return Ok(());
        }
        Err(Failure::local(format!("{what} needs versions, and the mount {} has none", self.mount))
            .hint("a mount with versions is made by `turnlock secrets enable -version=2 -path=PATH kv`"))
    }
}

fn joined<const N: usize>(parts: [&str; N]) -> String {
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

fn first_segment(path: &str) -> &str {
    path.split_once('/').map_or(path, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, versioned: bool) -> Place {
        Place { mount: "team/secret".to_owned(), path: path.to_owned(), versioned }
    }

    #[test]
    fn only_mounts_with_versions_have_the_data_segment() {
        assert_eq!(place("app/db", true).data(), "team/secret/data/app/db");
        assert_eq!(place("app/db", false).data(), "team/secret/app/db");
    }

    #[test]
    fn paths_of_the_api_are_told_from_those_of_secrets() {
        assert!(place("app/db", true).needs_kv());
        assert!(!place("data/app/db", true).needs_kv());
        assert!(!place("app/db", false).needs_kv());
    }

    #[test]
    fn the_top_of_a_mount_has_no_trailing_slash() {
        assert_eq!(place("", true).at("metadata"), "team/secret/metadata");
        assert_eq!(place("", false).data(), "team/secret");
    }
}
