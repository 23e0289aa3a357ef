//! Slow hashes of passwords (Argon2id, RFC 9106), one at a time on a thread of the lowest priority.
//!
//! A flood of logins must not slow anybody else: there is one thread, so one core and 19 MiB at most; the queue is
//! short, and who does not fit is told to come back.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use crate::error::Error;

/// Hashes that may wait.
const QUEUE: usize = 8;
/// When a refused client should come back.
const RETRY: Duration = Duration::from_secs(1);
/// Memory of one hash in KiB, passes, lanes: OWASP's recommendation for Argon2id.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// A password as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    #[serde(with = "hex_bytes")]
    salt: Vec<u8>,
    #[serde(with = "hex_bytes")]
    hash: Vec<u8>,
}

/// One hash to be made.
struct Job {
    password: Protected,
    salt: Vec<u8>,
    cost: (u32, u32, u32),
    answer: oneshot::Sender<Option<Protected>>,
}

/// The pool. Its thread ends when it is dropped.
pub struct Hashing {
    jobs: SyncSender<Job>,
    /// What a password of an unknown user is compared to, so that it costs the same.
    decoy: PasswordHash,
}

impl Hashing {
    /// Starts the thread.
    pub fn start() -> Result<Self, Error> {
        let (jobs, queue) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("password-hash".to_owned())
            .spawn(move || work(&queue))
            .map_err(Error::internal)?;
        let decoy = PasswordHash {
            memory_kib: COST.0,
            passes: COST.1,
            lanes: COST.2,
            salt: random::<SALT_BYTES>()?.to_vec(),
            hash: random::<HASH_BYTES>()?.to_vec(),
        };
        Ok(Self { jobs, decoy })
    }

    /// The hash of a new password under a fresh salt. [`Error::Crowded`] when too many wait.
    pub async fn hash(&self, password: Protected) -> Result<PasswordHash, Error> {
        let salt = random::<SALT_BYTES>()?.to_vec();
        let hash = self.run(password, salt.clone(), COST).await?;
        let (memory_kib, passes, lanes) = COST;
        Ok(PasswordHash { memory_kib, passes, lanes, salt, hash: hash.expose().to_vec() })
    }

    /// Whether `password` is the one of `stored`. Without `stored` the answer is no, after the same work.
    pub async fn verify(&self, password: Protected, stored: Option<&PasswordHash>) -> Result<bool, Error> {
        let against = stored.unwrap_or(&self.decoy);
        let cost = (against.memory_kib, against.passes, against.lanes);
        let hash = self.run(password, against.salt.clone(), cost).await?;
        Ok(hash.same_as(&against.hash) & stored.is_some())
    }

    async fn run(&self, password: Protected, salt: Vec<u8>, cost: (u32, u32, u32)) -> Result<Protected, Error> {
        let (answer, answered) = oneshot::channel();
        if self.jobs.try_send(Job { password, salt, cost, answer }).is_err() {
            // At once, so that nothing of the request is held for longer; the edge makes the client wait.
            return Err(Error::Crowded(RETRY));
        }
        let hash = answered.await.map_err(|_| Error::Unavailable("the server is stopping"))?;
        hash.ok_or_else(|| Error::internal("a password could not be hashed"))
    }
}

/// The thread's whole life.
fn work(queue: &Receiver<Job>) {
    // On Linux the priority belongs to the thread. Refused in some containers: then the hashes run as they are.
    if let Err(error) = rustix::process::nice(19) {
        tracing::debug!(%error, "password hashes run at the usual priority");
    }
    while let Ok(job) = queue.recv() {
        // A client that went away is not worth the work.
        if !job.answer.is_closed() {
            let hash = argon2id(&job.password, &job.salt, job.cost);
            drop(job.answer.send(hash));
        }
    }
}

fn argon2id(password: &Protected, salt: &[u8], (memory_kib, passes, lanes): (u32, u32, u32)) -> Option<Protected> {
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).ok()?;
    let mut hash = vec![0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose(), salt, &mut hash)
        .ok()?;
    Some(Protected::new(hash))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| Error::Unavailable("the system gives no random bytes"))?;
    Ok(bytes)
}

mod hex_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use turnlock_core::Protected;

    use super::{Hashing, QUEUE};
    use crate::error::Error;

    fn password(text: &str) -> Protected {
        Protected::copy_of(text.as_bytes())
    }

    #[tokio::test]
    async fn only_the_password_itself_verifies() {
        let hashing = Hashing::start().unwrap();
        let stored = hashing.hash(password("tlk_canary_password")).await.unwrap();
        assert!(hashing.verify(password("tlk_canary_password"), Some(&stored)).await.unwrap());
        assert!(!hashing.verify(password("tlk_canary_Password"), Some(&stored)).await.unwrap());
        assert!(!hashing.verify(password("tlk_canary_password"), None).await.unwrap());
        let again = hashing.hash(password("tlk_canary_password")).await.unwrap();
        assert_ne!(stored.hash, again.hash, "each hash has its own salt");
        let stored: super::PasswordHash = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
        assert!(hashing.verify(password("tlk_canary_password"), Some(&stored)).await.unwrap());
    }

    #[tokio::test]
    async fn of_a_flood_a_queue_is_served_and_the_rest_is_refused() {
        let hashing = Hashing::start().unwrap();
        let (mut waiting, mut refused) = (Vec::new(), 0);
        for _ in 0..4 * QUEUE {
            let mut attempt = Box::pin(hashing.verify(password("x"), None));
            match (&mut attempt).now_or_never() {
                None => waiting.push(attempt),
                Some(Err(Error::Crowded(_))) => refused += 1,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
        assert!(refused >= 2 * QUEUE, "{refused} refused at once, so that none of them holds anything");
        assert!(waiting.len() <= QUEUE + 2, "{} wait", waiting.len());
        for attempt in waiting {
            assert!(matches!(attempt.await, Ok(false)));
        }
    }
}
