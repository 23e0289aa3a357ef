//! The live store for `turnlock scan --store`: fetches its filter and asks it to confirm what passed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use turnlock_agent::{Client, ClientError};
use turnlock_core::finding::{ConfirmReply, ConfirmRequest, Filter, FilterReply, Fingerprint, LiveSecret};
use turnlock_scan::StoreLookup;

use crate::failure::Failure;

/// The server that a scan asks. A scan is not asynchronous and runs on threads of its own; they take turns here.
#[derive(Clone)]
pub(crate) struct LiveStore {
    client: Client,
    runtime: Arc<Mutex<Runtime>>,
}

impl LiveStore {
    /// The server behind `client`; nothing is asked yet.
    pub(crate) fn new(client: Client) -> Result<Self, Failure> {
        // Its thread looks at the connections while the scan reads: what the server closes meanwhile is used no more.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::file("the runtime cannot start", &error))?;
        Ok(Self { client, runtime: Arc::new(Mutex::new(runtime)) })
    }

    /// Fetches the filter: what the scanner needs to tell which strings to ask about.
    pub(super) fn lookup(&self) -> Result<StoreLookup, Failure> {
        let reply = self.wait(|client| async move { client.read("sys/fingerprints/filter").await })?;
        let filter =
            Filter::open(&reply.data_as::<FilterReply>()?).map_err(|reason| Failure::remote(reason.to_string()))?;
        let (store, key_id) = (self.clone(), filter.key_id().to_owned());
        let confirm = move |fingerprints: &[Fingerprint]| {
            let question = ConfirmRequest {
                key_id: key_id.clone(),
                fingerprints: fingerprints.iter().map(Fingerprint::to_hex).collect(),
            };
            store.wait(|client| confirm(client, question)).map_err(|error| error.to_string())
        };
        Ok(StoreLookup::new(filter, Box::new(confirm)))
    }

    /// Waits for what `ask` asks.
    pub(super) fn wait<Asked: Future>(&self, ask: impl FnOnce(Client) -> Asked) -> Asked::Output {
        self.runtime.blocking_lock().block_on(ask(self.client.clone()))
    }
}

async fn confirm(client: Client, question: ConfirmRequest) -> Result<HashMap<Fingerprint, LiveSecret>, ClientError> {
    let reply = client.write("sys/fingerprints/confirm", &question).await?;
    let ConfirmReply { matches } = reply.data_as()?;
    Ok(matches.into_iter().filter_map(|(text, secret)| Some((Fingerprint::from_hex(&text)?, secret))).collect())
}
