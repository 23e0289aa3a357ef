//! Where the client gets address, token, namespace and certificate authority from.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::fstat;
use turnlock_core::{Protected, ttl};
use zeroize::Zeroizing;

use super::ClientError;

pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const RETRIES: u32 = 2;

/// Longest token that is read from a file; Vault's clients accept as much.
const TOKEN_LIMIT: u64 = 8 * 1024;

/// What a [`super::Client`] needs to know.
#[derive(Debug)]
pub struct ClientConfig {
    /// `https://host:port`, `http://host:port` or `unix:///path/to/socket`.
    pub address: String,
    /// Sent with every request.
    pub token: Option<Protected>,
    /// Sent with every request.
    pub namespace: Option<String>,
    /// PEM file with the authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// For a whole request, answer included.
    pub timeout: Duration,
    /// Repetitions of a request that was certainly not carried out.
    pub retries: u32,
}

impl ClientConfig {
    /// Configuration for `address`, without token.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            namespace: None,
            ca_file: None,
            timeout: TIMEOUT,
            retries: RETRIES,
        }
    }

    /// Reads `TURNLOCK_ADDR`, `TURNLOCK_TOKEN`, `TURNLOCK_CACERT`, `TURNLOCK_NAMESPACE` and
    /// `TURNLOCK_CLIENT_TIMEOUT` (seconds, or with a unit) through `lookup`, each with the `VAULT_` name after it. Without
    /// a token there, takes it from `~/.turnlock-token`, else `~/.vault-token`.
    ///
    /// Errors: [`ClientError::Timeout`]; [`ClientError::TokenFile`] for a token file that others can read or that is not ours.
    pub fn from_env_like(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let either = |name: &str| {
            let own = lookup(&format!("TURNLOCK_{name}")).filter(|value| !value.is_empty());
            own.or_else(|| lookup(&format!("VAULT_{name}")).filter(|value| !value.is_empty()))
        };
        let mut config = Self::new(either("ADDR").unwrap_or_else(|| "https://127.0.0.1:8200".to_owned()));
        config.namespace = either("NAMESPACE");
        config.ca_file = either("CACERT").map(PathBuf::from);
        if let Some(text) = either("CLIENT_TIMEOUT") {
            let timeout = ttl::parse(&text).ok().filter(|timeout| *timeout >= Duration::from_secs(1));
            config.timeout = timeout.ok_or(ClientError::Timeout)?;
        }
        config.token = match either("TOKEN") {
            Some(token) => Some(Protected::from(token)),
            None => match lookup("HOME") {
                Some(home) => token_of_home(Path::new(&home))?,
                None => None,
            },
        };
        Ok(config)
    }
}

fn token_of_home(home: &Path) -> Result<Option<Protected>, ClientError> {
    for name in [".turnlock-token", ".vault-token"] {
        if let Some(token) = token_of_file(&home.join(name))? {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

/// The token in `path`, or `None` where there is no such file or it is empty.
pub(super) fn token_of_file(path: &Path) -> Result<Option<Protected>, ClientError> {
    let refused = |reason| ClientError::TokenFile { path: path.to_owned(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(refused("cannot be opened")),
    };
    let facts = fstat(&file).map_err(|_| refused("cannot be examined"))?;
    if facts.st_uid != rustix::process::geteuid().as_raw() {
        return Err(refused("belongs to another user"));
    }
    if facts.st_mode & 0o077 != 0 {
        return Err(refused("is open to other users"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_LIMIT as usize + 1));
    file.take(TOKEN_LIMIT + 1).read_to_end(&mut bytes).map_err(|_| refused("cannot be read"))?;
    if bytes.len() as u64 > TOKEN_LIMIT {
        return Err(refused("is longer than any token"));
    }
    let token = bytes.trim_ascii();
    Ok((!token.is_empty()).then(|| Protected::copy_of(token)))
}
