//! What was stored comes back byte for byte, and what is not one well-formed value is refused with nothing changed.

use serde_json::json;

use super::{done, with_mounts};
use crate::raw;

#[tokio::test]
async fn data_null_is_refused() {
    let instance = with_mounts().await;
    done(instance.as_root().put("secret/data/kept", json!({"data": {"value": "first"}})).await);
    for body in
        [r#"{"data":null}"#, "{}", r#"{"data":[]}"#, r#"{"data":"x"}"#, r#"{"data":1}"#, r#"{"other":{"a":1}}"#, ""]
    {
        let answer = raw::call(&instance, "PUT", "/v1/secret/data/kept", &instance.root, body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    let (_, answer) = instance.as_root().get("secret/data/kept").await;
    assert_eq!(answer["data"]["metadata"]["version"], json!(1), "{answer}");
    assert_eq!(answer["data"]["data"]["value"], json!("first"));
}

#[tokio::test]
async fn two_to_the_53_plus_1_comes_back_exactly() {
    let instance = with_mounts().await;
    let values = r#"{"n":9007199254740993,"big":123456789012345678901234567890,"f":1.10,"e":1E400,"s":"\u0041\/"}"#;
    for (path, body) in [("secret/data/exact", format!(r#"{{"data":{values}}}"#)), ("plain/exact", values.to_owned())] {
        let answer = raw::call(&instance, "PUT", &format!("/v1/{path}"), &instance.root, &body).await;
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
        let answer = raw::call(&instance, "GET", &format!("/v1/{path}"), &instance.root, "").await;
        for part in ["9007199254740993", "123456789012345678901234567890", "1.10", "1E400", r"\u0041\/"] {
            assert!(answer.body.contains(part), "{path}: {part} is not in {}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_second_json_value_is_refused() {
    let instance = with_mounts().await;
    let good = r#"{"data":{"value":1}}"#;
    for tail in [good, "x", "{}", "null", ",", "]", "\u{0}"] {
        let answer =
            raw::call(&instance, "PUT", "/v1/secret/data/second", &instance.root, &format!("{good} {tail}")).await;
        assert_eq!(answer.status, 400, "{tail:?}: {answer:?}");
    }
    assert_eq!(instance.as_root().get("secret/data/second").await.0, 404);
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused() {
    let instance = with_mounts().await;
    for body in [r#"{"data":{"a":1},"data":{"a":2}}"#, r#"{"data":{"a":1},"d\u0061ta":{"a":2}}"#] {
        let answer = raw::call(&instance, "PUT", "/v1/secret/data/twice", &instance.root, body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    assert_eq!(instance.as_root().get("secret/data/twice").await.0, 404);
}

#[tokio::test]
async fn half_a_character_is_refused() {
    let instance = with_mounts().await;
    for (path, body) in [
        ("secret/data/half", r#"{"data":{"a":"\ud800"}}"#),
        ("secret/data/half", r#"{"data":{"\udc00":1}}"#),
        ("plain/half", r#"{"a":"\ud83d\ud83d"}"#),
        ("cubbyhole/half", r#"{"a":"\ud83d"}"#),
    ] {
        let answer = raw::call(&instance, "PUT", &format!("/v1/{path}"), &instance.root, body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
        assert_eq!(instance.as_root().get(path).await.0, 404, "{path}");
    }
    let whole = r#"{"a":"\ud83d\udd11"}"#;
    let answer = raw::call(&instance, "PUT", "/v1/plain/whole", &instance.root, whole).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(instance.as_root().get("plain/whole").await.1["data"]["a"], json!("\u{1f511}"));
}
