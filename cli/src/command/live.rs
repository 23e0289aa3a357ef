//! The live store for `turnlock scan --store`: fetches its filter and asks it to confirm what passed.

use std::collections::HashMap;

use turnlock_agent::Client;
use turnlock_core::finding::{ConfirmReply, ConfirmRequest, Filter, FilterReply, Fingerprint, LiveSecret};
use turnlock_scan::StoreLookup;

use crate::failure::Failure;

/// The store behind `client`, ready to be asked by a scan that runs on threads of its own.
pub(crate) async fn store(client: Client) -> Result<StoreLookup, Failure> {
    let reply = client.read("sys/fingerprints/filter").await?;
    let filter =
        Filter::open(&reply.data_as::<FilterReply>()?).map_err(|reason| Failure::remote(reason.to_string()))?;
    let key_id = filter.key_id().to_owned();
    Ok(StoreLookup::new(
        filter,
        Box::new(move |fingerprints| {
            // The scan is not asynchronous, so each question gets a runtime of its own; there are few.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(confirm(&client, &key_id, fingerprints)).map_err(|error| error.to_string())
        }),
    ))
}

async fn confirm(
    client: &Client,
    key_id: &str,
    fingerprints: &[Fingerprint],
) -> Result<HashMap<Fingerprint, LiveSecret>, turnlock_agent::ClientError> {
    let question = ConfirmRequest {
        key_id: key_id.to_owned(),
        fingerprints: fingerprints.iter().map(Fingerprint::to_hex).collect(),
    };
    let reply = client.write("sys/fingerprints/confirm", &question).await?;
    let ConfirmReply { matches } = reply.data_as()?;
    Ok(matches.into_iter().filter_map(|(text, secret)| Some((Fingerprint::from_hex(&text)?, secret))).collect())
}
