//! `sys/health` and `sys/leader`: what load balancers and probes ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::VERSION;
use crate::engine::rotation::stuck::STUCK;
use crate::error::Error;
use crate::request::Request;
use crate::response::Response;
use crate::server::Server;

#[derive(Serialize)]
struct Health<'a> {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'static str,
    replication_dr_mode: &'static str,
    server_time_utc: i64,
    version: &'static str,
    enterprise: bool,
    cluster_name: &'a str,
    cluster_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotations: Option<&'static str>,
}

pub(super) async fn read(server: &Arc<Server>, request: &Request) -> Result<Response, Error> {
    // Each code that a client may choose is checked, also those of states that this server does not have.
    let mut codes = [("uninitcode", 501), ("sealedcode", 503), ("activecode", 200)];
    for (name, code) in &mut codes {
        *code = chosen(request, name)?.unwrap_or(*code);
    }
    for name in ["standbycode", "drsecondarycode", "performancestandbycode", "haunhealthycode"] {
        chosen(request, name)?;
    }
    let config = server.barrier.seal_config().await?;
    let sealed = server.parts().is_err();
    let [(_, uninitialized), (_, sealed_code), (_, active)] = codes;
    let status = match (&config, sealed) {
        (None, _) => uninitialized,
        (_, true) => sealed_code,
        _ => active,
    };
    let health = Health {
        initialized: config.is_some(),
        sealed,
        standby: false,
        performance_standby: false,
        replication_performance_mode: "disabled",
        replication_dr_mode: "disabled",
        server_time_utc: server.clock.now().timestamp(),
        version: VERSION,
        enterprise: false,
        cluster_name: &server.settings.cluster_name,
        cluster_id: config.map(|config| server.cluster_id(&config)).unwrap_or_default(),
        audit: server.audit.trouble(),
        rotations: (!sealed && server.stuck_rotations.load(Ordering::Relaxed)).then_some(STUCK),
    };
    Response::plain(status, &health)
}

fn chosen(request: &Request, name: &str) -> Result<Option<u16>, Error> {
    let Some(text) = request.query.value(name) else { return Ok(None) };
    match text.parse() {
        Ok(code @ 200..=599) => Ok(Some(code)),
        _ => Err(Error::invalid(format!("query parameter {name:?} must be a status code from 200 to 599"))),
    }
}

pub(super) fn leader() -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Leader {
        ha_enabled: bool,
        is_self: bool,
        active_time: &'static str,
        leader_address: &'static str,
        leader_cluster_address: &'static str,
        performance_standby: bool,
        performance_standby_last_remote_wal: u64,
    }
    let leader = Leader {
        ha_enabled: false,
        is_self: false,
        active_time: "0001-01-01T00:00:00Z",
        leader_address: "",
        leader_cluster_address: "",
        performance_standby: false,
        performance_standby_last_remote_wal: 0,
    };
    Response::plain(200, &leader)
}
