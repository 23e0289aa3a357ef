//! A server as a process: opens what the configuration names, listens, and ends in order.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::audit::Audit;
use crate::barrier::Barrier;
use crate::barrier::seal::static_key;
use crate::clock::SharedClock;
use crate::config::{Bind, Config, SealSetting, StorageConfig};
use crate::engine::rotation::stuck;
use crate::error::Error;
use crate::hardening::allow_open_files;
use crate::http::Api;
use crate::http::limits::Limits;
use crate::http::listener::{self, Listener};
use crate::http::tls::{Tls, TlsError};
use crate::server::{SealSource, Server, Settings};
use crate::store::{LogStore, MemoryStore, Store, StoreError};

/// How long requests under way may take once the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// Files that are open besides connections, with room to spare: connections that make room for others close a moment later.
const OTHER_FILES: usize = 256;
/// How often the store is told how far the audit goes, while there are new records.
const AUDIT_END_INTERVAL: Duration = Duration::from_secs(15);

/// How often it is looked whether a rotation needs somebody.
const ROTATIONS_INTERVAL: Duration = Duration::from_secs(60);

/// Why a server does not start. Each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not open.
    #[error("the store does not open")]
    Store(#[source] StoreError),
    /// The audit device does not open.
    #[error("the audit device does not open")]
    Audit(#[source] crate::audit::OpenError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// As configured.
        address: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("the certificate of a listener cannot be used")]
    Tls(#[source] TlsError),
    /// The file with the static unseal key cannot be read.
    #[error("the unseal key cannot be read from {place}")]
    Key {
        /// The file.
        place: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A variable that the static unseal key comes from is not set.
    #[error("the unseal key is missing: {0} is not set")]
    NoKey(String),
    /// The static unseal key is not 32 bytes.
    #[error("the unseal key in {place} is not 32 bytes, raw, in hex or in base64")]
    KeyForm {
        /// File, variable or credential.
        place: String,
    },
    /// The key does not open the store, or what is behind it is damaged.
    #[error("the store does not unseal")]
    Unseal(#[source] Error),
}

/// A started server.
pub struct Process {
    server: Arc<Server>,
    /// What the API of each listener is made of.
    api: Api,
    listeners: Vec<Bound>,
    /// Addresses that are listened on, for people.
    pub addresses: Vec<String>,
}

impl Process {
    /// Opens everything. Nothing is served before all of it is there, and nothing is made on the disk before everything
    /// else is known to be in order: a first start that fails leaves nothing behind. `variable` reads the environment.
    pub async fn start(
        config: &Config,
        clock: SharedClock,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, StartError> {
        let seal = seal_source(&config.seal, variable)?;
        let mut listeners = Vec::new();
        let most = most_connections(config.listeners.len());
        for listener in &config.listeners {
            let mut limits = listener.limits.clone();
            if most < limits.max_connections {
                tracing::warn!(
                    "there is room for {most} connections only and not for {}, as so few files may be open at a time: set \
                     LimitNOFILE= of the service, or `ulimit -n`, to a greater number",
                    limits.max_connections
                );
                limits.max_connections = most;
            }
            listeners.push(Bound::bind(&listener.bind, limits).await?);
        }
        let audit = match &config.audit {
            Some(device) => Audit::open(device.clone(), clock.clone()).map_err(StartError::Audit)?,
            None => Audit::dangerous_without_device(),
        };
        let store: Arc<dyn Store> = match &config.storage {
            StorageConfig::Memory => Arc::new(MemoryStore::new()),
            StorageConfig::Sled { path, compact_bytes } => match LogStore::open_compacting(path, *compact_bytes) {
                Ok(store) => Arc::new(store),
                Err(error) => {
                    audit.take_back();
                    return Err(StartError::Store(error));
                }
            },
        };
        let settings = Settings {
            seal,
            lifetimes: config.lifetimes,
            cluster_name: config.cluster_name.clone(),
            open_generate_root: config.open_generate_root,
            agent_folders: (!config.without_agent).then(|| config.target_dirs.clone()),
        };
        let server = Server::new(Barrier::new(store, clock.clone()), audit, clock, settings);
        server.unseal_itself().await.map_err(StartError::Unseal)?;
        tokio::spawn(keep_end_of_audit(Arc::downgrade(&server)));
        tokio::spawn(tell_of_stuck_rotations(Arc::downgrade(&server)));
        let addresses = listeners.iter().map(|bound| bound.address.clone()).collect();
        Ok(Self { api: Api::new(server.clone(), Limits::default()), server, listeners, addresses })
    }

    /// The server behind the listeners.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The API for callers in the same process: the same door, without a socket.
    pub fn local(&self) -> Router {
        self.api.clone().router()
    }

    /// Reads certificates and reopens the audit file again; what cannot be read stays as it was.
    pub fn reloader(&self) -> impl Fn() + Send + Sync + 'static {
        let certificates: Vec<_> = self.listeners.iter().filter_map(|bound| bound.tls.clone()).collect();
        let server = self.server.clone();
        move || {
            for tls in &certificates {
                if let Err(error) = tls.reload() {
                    tracing::error!(error = &error as &dyn std::error::Error, "a certificate stays as it was");
                }
            }
            server.audit.reopen();
        }
    }

    /// Serves until `stop` is done, then lets requests under way end, seals, and closes audit and store.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let (ending, ended) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        for Bound { listener, limits, .. } in self.listeners {
            let api = self.api.within(limits.clone());
            tasks.spawn(listener.run(api, limits, ended.clone(), DRAIN));
        }
        stop.await;
        let _ = ending.send(true);
        while tasks.join_next().await.is_some() {}
        // The signer of the last checkpoint goes with the keys, so the audit is closed before them.
        self.server.audit.close_and_keep_end(&self.server.barrier).await;
        self.server.seal();
        Ok(self.server.barrier.close().await?)
    }
}

/// A listener that has its address.
struct Bound {
    listener: Listener,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    /// For people.
    address: String,
}

impl Bound {
    async fn bind(bind: &Bind, limits: Limits) -> Result<Self, StartError> {
        let failed = |address: String| move |source| StartError::Listen { address, source };
        match bind {
            Bind::Tcp(address, tls) => {
                let tcp = listener::tcp(*address, limits.max_connections).map_err(failed(address.to_string()))?;
                let bound = tcp.local_addr().map_err(failed(address.to_string()))?;
                let tls = tls.clone().map(Tls::open).transpose().map_err(StartError::Tls)?.map(Arc::new);
                let address = format!("{}://{bound}", if tls.is_some() { "https" } else { "http" });
                Ok(Self { listener: Listener::Tcp(tcp, tls.clone()), limits, tls, address })
            }
            Bind::Unix(path, mode) => {
                let address = format!("unix://{}", path.display());
                let listener = Listener::unix(path.clone(), *mode).map_err(failed(path.display().to_string()))?;
                Ok(Self { listener, limits, tls: None, address })
            }
        }
    }
}

/// How many connections each of so many listeners may have, so that there are files left for the store and the audit.
fn most_connections(listeners: usize) -> usize {
    let files = usize::try_from(allow_open_files()).unwrap_or(usize::MAX);
    (files.saturating_sub(OTHER_FILES) / listeners.max(1)).max(1)
}

/// Lets the store know every while how far the audit goes.
async fn keep_end_of_audit(server: Weak<Server>) {
    loop {
        tokio::time::sleep(AUDIT_END_INTERVAL).await;
        let Some(server) = server.upgrade() else { return };
        if !server.barrier.is_sealed() {
            server.audit.keep_end(&server.barrier).await;
        }
    }
}

/// Looks whether a rotation needs somebody, until the server is gone: an agent that never comes tells nobody of itself.
async fn tell_of_stuck_rotations(server: Weak<Server>) {
    let mut told = false;
    loop {
        tokio::time::sleep(ROTATIONS_INTERVAL).await;
        let Some(server) = server.upgrade() else { return };
        match stuck::look(&server).await {
            Ok(stuck) => {
                if stuck && !told {
                    tracing::warn!(
                        "a rotation needs somebody to look at it: `turnlock rotate list` shows which and why"
                    );
                }
                told = stuck;
            }
            Err(Error::Sealed) => {}
            Err(error) => tracing::warn!(%error, "it could not be looked whether a rotation needs somebody"),
        }
    }
}

fn seal_source(setting: &SealSetting, variable: impl Fn(&str) -> Option<String>) -> Result<SealSource, StartError> {
    let read = |path: PathBuf, place: String| -> Result<(String, Protected), StartError> {
        let bytes = std::fs::read(path).map_err(|source| StartError::Key { place: place.clone(), source })?;
        Ok((place, Protected::new(bytes)))
    };
    let (place, bytes) = match setting {
        SealSetting::Shares => return Ok(SealSource::Shares),
        SealSetting::KeyFile(file) => read(file.path.clone(), file.to_string())?,
        SealSetting::KeyVariable(name) => {
            let place = format!("the variable {name}");
            let text = variable(name).ok_or_else(|| StartError::NoKey(place.clone()))?;
            (place, Protected::from(text))
        }
        SealSetting::KeyCredential(name) => {
            let missing = || StartError::NoKey("CREDENTIALS_DIRECTORY (systemd's LoadCredential=)".to_owned());
            let folder = variable("CREDENTIALS_DIRECTORY").ok_or_else(missing)?;
            let path = PathBuf::from(folder).join(name);
            let place = path.display().to_string();
            read(path, place)?
        }
    };
    let key: Option<Zeroizing<[u8; 32]>> = static_key(bytes.expose());
    key.map(SealSource::Static).ok_or(StartError::KeyForm { place })
}
