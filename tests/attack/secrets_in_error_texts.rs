//! No byte of a request comes back in an error, goes to the log, or stands unhashed in the audit.

use super::{enable_auth, with_mounts};
use crate::raw;

const CANARY: &str = "tlk_canary_in_a_bad_body";

#[tokio::test]
async fn malformed_input_is_never_repeated() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let bodies = [
        CANARY.to_owned(),
        format!("{{\"data\":{{\"{CANARY}\":}}}}"),
        format!("{{\"data\":\"{CANARY}\"}}"),
        format!("{{\"{CANARY}\":1,\"{CANARY}\":2}}"),
        format!("{{\"data\":{{\"a\":1}}}}{CANARY}"),
        format!("{{\"data\":[\"{CANARY}\"],\"options\":\"{CANARY}\",\"versions\":\"{CANARY}\",\"cas\":\"{CANARY}\"}}"),
        format!(
            "{{\"ttl\":\"{CANARY}\",\"period\":\"{CANARY}\",\"num_uses\":\"{CANARY}\",\"policies\":{{\"{CANARY}\":1}},\"renewable\":\"{CANARY}\",\"type\":\"{CANARY}\",\"meta\":\"{CANARY}\"}}"
        ),
        format!(
            "{{\"policy\":\"path {CANARY} {{ capabilities = [\\\"{CANARY}\\\"] }}\",\"password\":[\"{CANARY}\"],\"role_id\":{{\"x\":\"{CANARY}\"}},\"secret_id\":[\"{CANARY}\"]}}"
        ),
        format!(
            "{{\"token\":[\"{CANARY}\"],\"accessor\":[\"{CANARY}\"],\"lease_id\":[\"{CANARY}\"],\"key\":\"{CANARY}\",\"increment\":\"{CANARY}\",\"paths\":{{\"{CANARY}\":1}}}}"
        ),
        format!(
            "{{\"token\":\"{CANARY}\",\"accessor\":\"{CANARY}\",\"lease_id\":\"{CANARY}\",\"role_id\":\"{CANARY}\",\"secret_id\":\"{CANARY}\",\"password\":\"{CANARY}\"}}"
        ),
        format!(
            "{{\"bytes\":\"{CANARY}\",\"format\":\"{CANARY}\",\"algorithm\":\"{CANARY}\",\"input\":\"{CANARY}!\",\"token_bound_cidrs\":[\"{CANARY}\"],\"bound_cidrs\":\"{CANARY}\"}}"
        ),
        format!(
            "{{\"default_lease_ttl\":\"{CANARY}\",\"config\":{{\"max_lease_ttl\":\"{CANARY}\"}},\"from\":\"{CANARY}\",\"to\":\"{CANARY}//\"}}"
        ),
    ];
    for path in [
        "secret/data/x",
        "secret/metadata/x",
        "secret/config",
        "secret/delete/x",
        "plain/x",
        "cubbyhole/x",
        "auth/token/create",
        "auth/token/lookup",
        "auth/token/renew",
        "auth/token/revoke",
        "auth/token/roles/x",
        "auth/token/lookup-accessor",
        "auth/approle/login",
        "auth/approle/role/x",
        "auth/userpass/login/x",
        "auth/userpass/users/x",
        "sys/policies/acl/x",
        "sys/policies/password/x",
        "sys/mounts/x",
        "sys/mounts/secret/tune",
        "sys/auth/x",
        "sys/remount",
        "sys/capabilities",
        "sys/leases/lookup",
        "sys/leases/renew",
        "sys/unseal",
        "sys/init",
        "sys/wrapping/unwrap",
        "sys/wrapping/lookup",
        "sys/wrapping/wrap",
        "sys/tools/hash",
        "sys/tools/random",
        "sys/rekey/init",
        "sys/rotations/x",
    ] {
        for body in &bodies {
            for method in ["POST", "PATCH"] {
                let answer = raw::call(&instance, method, &format!("/v1/{path}"), &instance.root, body).await;
                let repeated =
                    answer.status >= 400 && (answer.body.contains("canary") || answer.head.contains("canary"));
                assert!(!repeated, "{method} {path} repeats its input: {answer:?}");
                assert!(answer.status < 500, "{method} {path} {body}: {answer:?}");
            }
        }
    }
    for header in
        ["X-Vault-Wrap-TTL", "X-Vault-Namespace", "X-Vault-Token", "Authorization", "Content-Length", "Content-Type"]
    {
        let bytes = format!(
            "POST /v1/secret/data/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}: {CANARY}\r\n\r\n"
        );
        let answer = raw::send(&instance, bytes.as_bytes()).await;
        assert!(answer.refused() && !answer.body.contains("canary"), "{header}: {answer:?}");
    }
    for target in [
        format!("{CANARY}//x"),
        format!("{CANARY}/%ff"),
        format!("secret/data/x?list={CANARY}"),
        format!("secret/data/x?version={CANARY}"),
        format!("sys/health?sealedcode={CANARY}"),
    ] {
        let answer = raw::call(&instance, "GET", &format!("/v1/{target}"), &instance.root, "").await;
        assert!(!answer.body.contains("canary"), "{target}: {answer:?}");
    }
    assert!(!instance.log().contains("canary"), "{}", instance.log());
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    let shown = audit.lines().find(|line| line.contains(CANARY));
    assert_eq!(shown, None, "the audit shows a value");
}
