//! What a Rust service does with vaultrs, against the server that `VAULT_ADDR` names.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use vaultrs::api::token::requests::CreateTokenRequest;
use vaultrs::client::{Client as _, VaultClient, VaultClientSettingsBuilder};
use vaultrs::{auth::approle, kv2, sys, token};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Database {
    user: String,
    password: String,
}

fn connect(token: &str) -> VaultClient {
    let settings = VaultClientSettingsBuilder::default()
        .address(std::env::var("VAULT_ADDR").unwrap())
        .token(token)
        .build()
        .unwrap();
    VaultClient::new(settings).unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let vault = connect(&std::env::var("VAULT_TOKEN").unwrap());
    assert!(matches!(vault.status().await.unwrap(), sys::ServerStatus::OK));

    let options = HashMap::from([("version".to_owned(), "2".to_owned())]);
    sys::mount::enable(
        &vault,
        "secret",
        "kv",
        Some(vaultrs::api::sys::requests::EnableEngineRequest::builder().options(options)),
    )
    .await
    .unwrap();
    assert!(sys::mount::list(&vault).await.unwrap().contains_key("secret/"));
    let first = Database { user: "svc".into(), password: "one".into() };
    assert_eq!(kv2::set(&vault, "secret", "app/db", &first).await.unwrap().version, 1);
    assert_eq!(kv2::read::<Database>(&vault, "secret", "app/db").await.unwrap(), first);
    assert_eq!(kv2::list(&vault, "secret", "app").await.unwrap(), ["db"]);
    assert_eq!(kv2::read_metadata(&vault, "secret", "app/db").await.unwrap().current_version, 1);
    assert!(kv2::read::<Database>(&vault, "secret", "app/none").await.is_err());

    sys::policy::set(&vault, "app", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await.unwrap();
    let mut request = CreateTokenRequest::builder();
    let made = token::new(&vault, Some(request.policies(vec!["app".to_owned()]).ttl("1h"))).await.unwrap();
    let workload = connect(&made.client_token);
    assert_eq!(kv2::read::<Database>(&workload, "secret", "app/db").await.unwrap(), first);
    assert!(kv2::set(&workload, "secret", "app/db", &first).await.is_err());
    assert!(token::lookup_self(&workload).await.unwrap().policies.contains(&"app".to_owned()));
    token::renew_self(&workload, Some("2h")).await.unwrap();
    token::revoke_self(&workload).await.unwrap();
    assert!(token::lookup_self(&workload).await.is_err());

    sys::auth::enable(&vault, "approle", "approle", None).await.unwrap();
    approle::role::set(
        &vault,
        "approle",
        "web",
        Some(vaultrs::api::auth::approle::requests::SetAppRoleRequest::builder().token_policies(vec!["app".to_owned()])),
    )
    .await
    .unwrap();
    let role = approle::role::read_id(&vault, "approle", "web").await.unwrap().role_id;
    let secret = approle::role::secret::generate(&vault, "approle", "web", None).await.unwrap().secret_id;
    let login = approle::login(&vault, "approle", &role, &secret).await.unwrap();
    let machine = connect(&login.client_token);
    assert_eq!(kv2::read::<Database>(&machine, "secret", "app/db").await.unwrap(), first);

    let endpoint = vaultrs::api::kv2::requests::ReadSecretRequest::builder().mount("secret").path("app/db").build().unwrap();
    let wrapped = vaultrs::api::wrap(&vault, endpoint).await.unwrap();
    assert_eq!(wrapped.lookup(&vault).await.unwrap().creation_path, "secret/data/app/db");
    assert!(wrapped.unwrap(&vault).await.is_ok());
    assert!(wrapped.unwrap(&vault).await.is_err());
    println!("vaultrs: done");
}
