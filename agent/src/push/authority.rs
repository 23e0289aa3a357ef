//! The certificates that an endpoint's has to be signed by: a file that a definition names, and which may therefore be anything.

use std::fs::OpenOptions;
use std::io::Read as _;

use reqwest::Certificate;
use rustix::fs::OFlags;

use super::PushError;
use super::blocking::{blocking, open};
use super::webhook::TIMEOUT;

/// Most bytes of such a file: some times what a system trusts altogether.
const LIMIT: usize = 1024 * 1024;

/// The certificates in the file at `path`, of which there is one at least.
pub(super) async fn authorities(path: &str) -> Result<Vec<Certificate>, PushError> {
    let file = path.to_owned();
    let pem = blocking(path, TIMEOUT, move |_| read(&file)).await.map_err(|_| PushError::Authority)?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| PushError::Authority)?;
    if authorities.is_empty() { Err(PushError::Authority) } else { Ok(authorities) }
}

/// The whole file, if that is what it is: a pipe has no end before somebody writes, and a device may have none at all.
fn read(path: &str) -> Result<Vec<u8>, PushError> {
    let file = open(OpenOptions::new().read(true), OFlags::empty(), path.as_ref()).map_err(PushError::File)?;
    if !file.metadata().map_err(PushError::File)?.is_file() {
        return Err(PushError::Authority);
    }
    let mut pem = Vec::new();
    file.take(LIMIT as u64 + 1).read_to_end(&mut pem).map_err(PushError::File)?;
    if pem.len() > LIMIT { Err(PushError::Authority) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::super::PushError;
    use super::{LIMIT, authorities};

    /// Cause: the file was read on a thread of the runtime, whatever it was and to its end. Loss: a definition that named a pipe
    /// stopped the whole server, one that named a device filled its memory. Fix: another thread, files only, a bound.
    #[tokio::test]
    async fn what_is_no_file_of_certificates_is_refused_and_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let certificate = rcgen::generate_simple_self_signed(["app.test".to_owned()]).unwrap().cert.pem();
        std::fs::write(path("fine"), &certificate).unwrap();
        std::fs::write(path("huge"), certificate + &"\n".repeat(LIMIT)).unwrap();
        std::fs::write(path("empty"), "").unwrap();
        for other in [path("pipe"), path("huge"), path("empty"), path("none"), path(""), "/dev/zero".to_owned()] {
            // One thread runs this test: were it held up, the other branch would never be done.
            let (refused, ()) = tokio::join!(authorities(&other), tokio::task::yield_now());
            assert!(matches!(refused, Err(PushError::Authority)), "{other}");
        }
        // Several webhooks that share a file wait for each other.
        let fine = path("fine");
        let (one, other) = tokio::join!(authorities(&fine), authorities(&fine));
        assert_eq!((one.unwrap().len(), other.unwrap().len()), (1, 1));
    }
}
