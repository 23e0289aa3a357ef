//! Names below a folder: one level, or all levels within what the caller's policies show.

use turnlock_core::Path;
use turnlock_core::policy::{Acl, Capability, Question};

use super::secrets;
use crate::engine::Call;
use crate::error::Error;
use crate::request::Query;
use crate::response::Response;

/// Most names in one answer to a scan; the rest follows with `after`.
const MAX_NAMES: usize = 10_000;
/// Most folders that one scan reads.
const MAX_FOLDERS: usize = 10_000;

pub(super) async fn list(call: &Call) -> Result<Response, Error> {
    let page = Page::of(&call.request.query)?;
    let mut names = secrets(call).list(call.parameter("path")).await?;
    if let Some(after) = page.after {
        names.retain(|name| name.as_str() > after);
    }
    names.truncate(page.limit.unwrap_or(usize::MAX));
    Response::keys(&names)
}

/// All names below a folder in order. A folder is entered only if the caller may list or scan it, and a name is shown
/// only if the caller may list or read it: a deny below the folder holds here too.
pub(super) async fn scan(call: &Call) -> Result<Response, Error> {
    let page = Page::of(&call.request.query)?;
    let limit = page.limit.unwrap_or(MAX_NAMES).min(MAX_NAMES);
    let base = call.parameter("path");
    let shown = Shown { acl: &call.caller()?.acl, mount: &call.mount.entry.path, base };
    let secrets = secrets(call);
    let mut found = Vec::new();
    let mut folders = 0;
    // Entries still to be looked at, the next one last.
    let mut left = secrets.list(base).await?;
    left.reverse();
    while let Some(name) = left.pop() {
        if name.ends_with('/') {
            // All names of a folder start with its own, so what lies wholly before `after` is not even read.
            let before = page.after.is_some_and(|after| after > name.as_str() && !after.starts_with(&name));
            if before || !shown.folder(&name) {
                continue;
            }
            folders += 1;
            if folders > MAX_FOLDERS {
                return Err(Error::invalid("too many folders for one scan; scan a deeper folder"));
            }
            let path = name.trim_end_matches('/');
            let folder = if base.is_empty() { path.to_owned() } else { format!("{base}/{path}") };
            let names = secrets.list(&folder).await?;
            left.extend(names.into_iter().rev().map(|below| format!("{name}{below}")));
        } else if page.after.is_none_or(|after| name.as_str() > after) && shown.name(&name) {
            if found.len() == limit {
                let more = "there are more names: ask again with after set to the last one";
                return Ok(Response::keys(&found)?.with_warning(more));
            }
            found.push(name);
        }
    }
    Response::keys(&found)
}

/// `after` and `limit`.
struct Page<'a> {
    after: Option<&'a str>,
    limit: Option<usize>,
}

impl<'a> Page<'a> {
    fn of(query: &'a Query) -> Result<Self, Error> {
        let limit = match query.number("limit")? {
            Some(0) => return Err(Error::invalid("query parameter \"limit\" must be at least 1")),
            Some(limit) => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
            None => None,
        };
        Ok(Self { after: query.value("after").filter(|after| !after.is_empty()), limit })
    }
}

/// What the caller may see.
struct Shown<'a> {
    acl: &'a Acl,
    mount: &'a str,
    base: &'a str,
}

impl Shown<'_> {
    fn folder(&self, name: &str) -> bool {
        let path = self.path("metadata", name);
        self.may(&path, Capability::List) || self.may(&path, Capability::Scan)
    }

    fn name(&self, name: &str) -> bool {
        let metadata = self.path("metadata", name);
        self.may(&metadata, Capability::List)
            || self.may(&metadata, Capability::Read)
            || self.may(&self.path("data", name), Capability::Read)
    }

    fn path(&self, kind: &str, name: &str) -> Option<Path> {
        let slash = if self.base.is_empty() { "" } else { "/" };
        Path::parse(&format!("{}/{kind}/{}{slash}{name}", self.mount, self.base)).ok()
    }

    fn may(&self, path: &Option<Path>, operation: Capability) -> bool {
        let question = |path| Question { path, operation, parameters: &[], wrap_ttl: None };
        path.as_ref().is_some_and(|path| self.acl.evaluate(&question(path)).allowed)
    }
}
