//! Why the barrier did not do what it was asked, and what a request's sender learns of it.

use crate::error::Error;
use crate::store::StoreError;

/// Why the barrier did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// It is sealed.
    #[error("the barrier is sealed")]
    Sealed,
    /// There is no keyring yet.
    #[error("the store is not initialized")]
    NotInitialized,
    /// There is a keyring already.
    #[error("the store is initialized already")]
    Initialized,
    /// The unseal key does not open the root key.
    #[error("the unseal key is not the one of this store")]
    WrongKey,
    /// A record does not open: changed, moved or from another store.
    #[error("a record does not open: it was changed, moved or comes from another store")]
    Damaged,
    /// A precondition did not hold; nothing was written.
    #[error("another change came first")]
    Conflict {
        /// Position of the precondition.
        index: usize,
    },
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random,
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for BarrierError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { index } => Self::Conflict { index },
            other => Self::Store(other),
        }
    }
}

impl From<BarrierError> for Error {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::Sealed | BarrierError::NotInitialized => Self::Sealed,
            BarrierError::Conflict { .. } => Self::Unavailable("another change came first, try again"),
            BarrierError::Store(StoreError::Full) => {
                Self::Unavailable("no space is left for the store; nothing was changed")
            }
            BarrierError::Store(StoreError::TooLarge) => Self::TooLarge(crate::store::MAX_VALUE_BYTES),
            other => Self::internal(other),
        }
    }
}
