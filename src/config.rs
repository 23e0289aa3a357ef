//! The configuration: a file in HCL or JSON with the stanzas and names that operators know, then the environment, then
//! flags. What is not supported is named with its place: as an error, or as a note where the lack harms nobody.

mod field;
mod file;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use turnlock_core::stanza::StanzaError;

use crate::audit::AuditConfig;
use crate::http::limits::Limits;
use crate::http::tls::TlsFiles;
use crate::token::Lifetimes;

/// Everything that a server is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where records are kept.
    pub storage: StorageConfig,
    /// Where connections are accepted; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// What the unseal key comes from.
    pub seal: SealSetting,
    /// The audit device; without one nothing is recorded.
    pub audit: Option<AuditConfig>,
    /// Lifetimes where mount and role say nothing.
    pub lifetimes: Lifetimes,
    /// The address that clients are told.
    pub api_addr: Option<String>,
    /// The name in `sys/health`.
    pub cluster_name: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: LogLevel,
    /// Folders in which the agent inside the server may replace files of targets; absolute.
    pub target_dirs: Vec<PathBuf>,
    /// Whether the server runs without an agent of its own. No file says it: whoever starts the server does.
    pub without_agent: bool,
    /// Lets anybody who holds enough shares make a root token, without a token.
    pub open_generate_root: bool,
    /// Leaves memory unlocked. Without it a server that cannot lock its memory does not start.
    pub disable_mlock: bool,
    /// Settings that have no effect here, to be named at the start.
    pub without_effect: Vec<WithoutEffect>,
}

/// A setting that has no effect here and whose lack harms nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutEffect {
    /// The line, from 1.
    pub line: Option<usize>,
    /// The stanza and name.
    pub place: String,
}

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    /// In memory: all is lost at the end.
    Memory,
    /// In a folder.
    Sled {
        /// The folder.
        path: PathBuf,
        /// Size in bytes from which on the log is rewritten when more than half of it is dead.
        compact_bytes: u64,
    },
}

/// Where connections are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The address.
    pub bind: Bind,
    /// What a client may cost.
    pub limits: Limits,
}

/// An address to accept connections on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// TCP; without files in the clear, which the file must ask for by `tls_disable`.
    Tcp(SocketAddr, Option<TlsFiles>),
    /// A Unix socket with these permissions.
    Unix(PathBuf, u32),
}

/// What the unseal key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealSetting {
    /// Shares that people hold.
    Shares,
    /// 32 bytes in a file: raw, hex or base64.
    KeyFile(NamedFile),
    /// 32 bytes in a variable of the environment: hex or base64.
    KeyVariable(String),
    /// 32 bytes in a credential of systemd (`LoadCredential=`).
    KeyCredential(String),
}

/// A file, and the setting that names it: whoever reads that it is missing has to find that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// The setting's name.
    pub setting: &'static str,
    /// The setting's line in the configuration, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.path.display(), self.setting)?;
        match self.line {
            Some(line) => write!(f, " in line {line} of the configuration)"),
            None => write!(f, " in the configuration)"),
        }
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What someone must act on.
    Error,
    /// And what looks odd.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// The level of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "error" | "err" => Some(Self::Error),
            "warn" | "warning" => Some(Self::Warn),
            "info" | "" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            "trace" => Some(Self::Trace),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Why a configuration is refused. The texts name places and never repeat values.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Something is wrong in the file.
    #[error("{}{}", .path.display(), .error.line().map(|line| format!(":{line}")).unwrap_or_default())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: Box<ConfigError>,
    },
    /// The file is not HCL.
    #[error("{}", .0.reason())]
    Hcl(StanzaError),
    /// The file is not JSON, as which it begins.
    #[error("not valid JSON")]
    Json {
        /// The line, from 1.
        line: usize,
    },
    /// A setting that stands twice.
    #[error("the same name for the second time")]
    Twice {
        /// The line, from 1.
        line: Option<usize>,
    },
    /// A setting that is not supported, or does not exist.
    #[error("{place} is not supported{}", .near.as_ref().map(|near| format!(": is {near} meant?")).unwrap_or_default())]
    Unsupported {
        /// The line, from 1.
        line: Option<usize>,
        /// The stanza and name.
        place: String,
        /// A name of that place that is much like it.
        near: Option<String>,
    },
    /// A stanza of a type that is not supported, or does not exist.
    #[error("{place} is not supported, only {known}")]
    UnknownType {
        /// The line, from 1.
        line: Option<usize>,
        /// The stanza and its type.
        place: String,
        /// The types that there are.
        known: &'static str,
    },
    /// A setting that has to be there.
    #[error("{place} is missing")]
    Missing {
        /// The line of the stanza, from 1.
        line: Option<usize>,
        /// The stanza and name.
        place: String,
    },
    /// A setting whose value makes no sense.
    #[error("{place} must be {expected}")]
    Invalid {
        /// The line, from 1.
        line: Option<usize>,
        /// The stanza and name.
        place: String,
        /// What is expected.
        expected: &'static str,
    },
}

impl ConfigError {
    /// Where in the file it is, counted from 1.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Unreadable { .. } => None,
            Self::In { error, .. } => error.line(),
            Self::Hcl(error) => Some(error.line()),
            Self::Json { line } => Some(*line),
            Self::Twice { line }
            | Self::Unsupported { line, .. }
            | Self::UnknownType { line, .. }
            | Self::Missing { line, .. }
            | Self::Invalid { line, .. } => *line,
        }
    }
}

/// What the environment and the flags say besides the file; flags are laid over the environment by the caller.
#[derive(Debug, Default, Clone)]
pub struct Overrides {
    /// `TURNLOCK_LOG_LEVEL`, `VAULT_LOG_LEVEL`, `--log-level`.
    pub log_level: Option<LogLevel>,
    /// `TURNLOCK_API_ADDR`, `VAULT_API_ADDR`.
    pub api_addr: Option<String>,
    /// `TURNLOCK_DISABLE_MLOCK`, `VAULT_DISABLE_MLOCK`.
    pub disable_mlock: Option<bool>,
}

impl Overrides {
    /// What the environment says; a variable of turnlock's own name wins over the one that operators know. `variable`
    /// reads the environment.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let either = |name: &str| variable(&format!("TURNLOCK_{name}")).or_else(|| variable(&format!("VAULT_{name}")));
        let level = either("LOG_LEVEL").map(|text| {
            let place = "the variable TURNLOCK_LOG_LEVEL".to_owned();
            LogLevel::parse(&text).ok_or(ConfigError::Invalid { line: None, place, expected: field::LEVELS })
        });
        let mlock = either("DISABLE_MLOCK").map(|text| match text.as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" | "" => Ok(false),
            _ => {
                let place = "the variable TURNLOCK_DISABLE_MLOCK".to_owned();
                Err(ConfigError::Invalid { line: None, place, expected: "true or false" })
            }
        });
        Ok(Self { log_level: level.transpose()?, api_addr: either("API_ADDR"), disable_mlock: mlock.transpose()? })
    }

    /// These, and those of `under` where these say nothing.
    pub fn over(self, under: Self) -> Self {
        Self {
            log_level: self.log_level.or(under.log_level),
            api_addr: self.api_addr.or(under.api_addr),
            disable_mlock: self.disable_mlock.or(under.disable_mlock),
        }
    }
}

impl Config {
    /// Reads a file and lays `overrides` over it.
    pub fn read(path: &std::path::Path, overrides: Overrides) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let config = Self::parse(&text);
        let config = config.map_err(|error| ConfigError::In { path: path.to_owned(), error: Box::new(error) })?;
        Ok(config.with(overrides))
    }

    /// Parses the text of a file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        file::parse(text)
    }

    /// In memory, in the clear on the loopback address, nothing recorded: for trying things out.
    pub fn dangerous_development(address: SocketAddr) -> Self {
        Self {
            storage: StorageConfig::Memory,
            listeners: vec![ListenerConfig { bind: Bind::Tcp(address, None), limits: Limits::default() }],
            seal: SealSetting::Shares,
            audit: None,
            lifetimes: Lifetimes::default(),
            api_addr: None,
            cluster_name: "turnlock-dev".to_owned(),
            log_level: LogLevel::Info,
            target_dirs: Vec::new(),
            without_agent: false,
            open_generate_root: false,
            disable_mlock: true,
            without_effect: Vec::new(),
        }
    }

    /// With what environment and flags say.
    pub fn with(mut self, overrides: Overrides) -> Self {
        self.log_level = overrides.log_level.unwrap_or(self.log_level);
        self.api_addr = overrides.api_addr.or(self.api_addr);
        self.disable_mlock = overrides.disable_mlock.unwrap_or(self.disable_mlock);
        self
    }
}
