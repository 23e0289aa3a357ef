//! Deleting, undeleting and destroying versions.

use serde::Deserialize;

use super::config::Config;
use super::{path_of, secrets};
use crate::engine::Call;
use crate::error::Error;
use crate::request::Fields;
use crate::response::Response;

/// Most versions named by one request.
const MAX_NUMBERS: usize = 10_000;

pub(super) async fn delete_current(call: &Call) -> Result<Response, Error> {
    secrets(call)
        .change(path_of(call)?, |draft| {
            let current = draft.secret.current();
            draft.delete(&[current]);
            Ok(Response::done())
        })
        .await
}

pub(super) async fn delete(call: &Call) -> Result<Response, Error> {
    let numbers = numbers_of(&call.request.fields)?;
    secrets(call)
        .change(path_of(call)?, |draft| {
            draft.delete(&numbers);
            Ok(Response::done())
        })
        .await
}

pub(super) async fn undelete(call: &Call) -> Result<Response, Error> {
    let numbers = numbers_of(&call.request.fields)?;
    let config = Config::read(&call.mount.view).await?;
    secrets(call)
        .change(path_of(call)?, |draft| {
            draft.undelete(&numbers, &config);
            Ok(Response::done())
        })
        .await
}

pub(super) async fn destroy(call: &Call) -> Result<Response, Error> {
    let numbers = numbers_of(&call.request.fields)?;
    secrets(call)
        .change(path_of(call)?, |draft| {
            draft.destroy(&numbers);
            Ok(Response::done())
        })
        .await
}

/// The field `versions`: numbers, or texts of numbers, in an array or with commas.
fn numbers_of(fields: &Fields) -> Result<Vec<u32>, Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item {
        Number(u32),
        Text(String),
    }
    let wrong = || Error::invalid("field \"versions\" must be a list of version numbers");
    let items = match fields.raw("versions") {
        Some(text) if text.starts_with('[') => serde_json::from_str::<Vec<Item>>(text).map_err(|_| wrong())?,
        _ => fields.list("versions")?.unwrap_or_default().into_iter().map(Item::Text).collect(),
    };
    let number = |item| match item {
        Item::Number(number) => Ok(number),
        Item::Text(text) => text.trim().parse().map_err(|_| wrong()),
    };
    let numbers: Vec<u32> = items.into_iter().map(number).collect::<Result<_, Error>>()?;
    match numbers.len() {
        0 => Err(Error::invalid("no version number provided")),
        1..=MAX_NUMBERS => Ok(numbers),
        _ => Err(Error::invalid(format!("at most {MAX_NUMBERS} versions can be named at once"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use turnlock_core::Protected;

    use super::numbers_of;
    use crate::error::Error;
    use crate::request::Fields;

    fn numbers(body: &str) -> Result<Vec<u32>, Error> {
        numbers_of(&Fields::parse(Protected::copy_of(body.as_bytes())).unwrap())
    }

    #[test]
    fn version_numbers_come_as_numbers_or_texts() {
        for body in [r#"{"versions":[1,2]}"#, r#"{"versions":["1",2]}"#, r#"{"versions":"1, 2"}"#] {
            assert_eq!(numbers(body).unwrap(), [1, 2], "{body}");
        }
        for body in ["{}", r#"{"versions":[]}"#, r#"{"versions":[-1]}"#, r#"{"versions":["x"]}"#, r#"{"versions":{}}"#]
        {
            assert_eq!(numbers(body).unwrap_err().status(), 400, "{body}");
        }
    }
}
