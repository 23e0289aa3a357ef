//! What turns one kind of credential into its next: the seam where code for real systems goes. Here is the kind that
//! needs no other system, a random value.

use std::future::Future;

use ring::rand::{SecureRandom as _, SystemRandom};
use turnlock_core::Protected;
use turnlock_core::rotation::{Failure, Rotator as Kind};
use zeroize::Zeroizing;

/// Letters and digits: nothing that a shell, a URL or a configuration file would read differently.
const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Bounds of a value's random part.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=512;

/// Code for one kind of credential. Each step may be repeated after a crash and must then find its work done.
pub trait Rotator: Send + Sync {
    /// A new value, known to nobody else yet.
    fn create(&self) -> impl Future<Output = Result<Protected, Failure>> + Send;

    /// Makes the system accept `new`, with the rights of `current`.
    fn set(&self, current: Option<&Protected>, new: &Protected) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Uses `new` once.
    fn test(&self, new: &Protected) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes the system refuse `old`.
    fn retire(&self, old: &Protected) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Uses `old` once and demands that it is refused.
    fn prove(&self, old: &Protected) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A random value that the store is the source of: there is no other system to tell, so only `create` does anything.
#[derive(Debug)]
pub struct Generate {
    length: usize,
    prefix: String,
}

impl Generate {
    /// The rotator that `kind` defines.
    pub fn of(kind: &Kind) -> Result<Self, Failure> {
        let Kind::Generate { length, prefix } = kind;
        if !LENGTHS.contains(length) {
            return Err(Failure::Misconfigured);
        }
        Ok(Self { length: *length, prefix: prefix.clone() })
    }

    fn value(&self) -> Result<Protected, Failure> {
        let random = SystemRandom::new();
        let total = self.prefix.len() + self.length;
        let mut value = Vec::with_capacity(total);
        value.extend_from_slice(self.prefix.as_bytes());
        let mut bytes = Zeroizing::new([0_u8; 64]);
        while value.len() < total {
            random.fill(&mut *bytes).map_err(|_| Failure::Local)?;
            // Six bits each; the two numbers without a character are dropped, so that all are equally likely.
            let characters = bytes.iter().filter_map(|byte| CHARACTERS.get(usize::from(byte & 63)));
            value.extend(characters.take(total - value.len()));
        }
        Ok(Protected::new(value))
    }
}

impl Rotator for Generate {
    async fn create(&self) -> Result<Protected, Failure> {
        self.value()
    }

    async fn set(&self, _current: Option<&Protected>, _new: &Protected) -> Result<(), Failure> {
        Ok(())
    }

    async fn test(&self, _new: &Protected) -> Result<(), Failure> {
        Ok(())
    }

    async fn retire(&self, _old: &Protected) -> Result<(), Failure> {
        Ok(())
    }

    async fn prove(&self, _old: &Protected) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Generate, Kind, Rotator as _};

    #[tokio::test]
    async fn values_have_the_prefix_the_length_and_nothing_in_common() {
        let rotator = Generate::of(&Kind::Generate { length: 500, prefix: "app_".to_owned() }).unwrap();
        let (one, other) = (rotator.create().await.unwrap(), rotator.create().await.unwrap());
        for value in [&one, &other] {
            let random = value.expose_str().unwrap().strip_prefix("app_").unwrap();
            assert!(random.len() == 500 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert!(!one.same_as(other.expose()));
    }

    #[test]
    fn lengths_that_can_be_guessed_are_refused() {
        assert!(Generate::of(&Kind::Generate { length: 15, prefix: String::new() }).is_err());
        assert!(Generate::of(&Kind::Generate { length: 513, prefix: String::new() }).is_err());
    }
}
