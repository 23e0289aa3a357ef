//! The words of turnlock, without IO, clock or randomness: `now` and random bytes are arguments.
//!
//! - [`audit`]: the hash-chained audit records and their offline proof
//! - [`counted()`]: numbers in sentences
//! - [`nearest()`]: the name that somebody may have meant
//! - [`finding`]: what a scan finds; keyed fingerprints that name a value of the store
//! - [`recognisable`]: what of a stored secret can be recognised in a text
//! - [`protected`]: bytes that are wiped, do not print and compare in constant time
//! - [`password_policy`]: of what and how long generated passwords are
//! - [`path`]: the one canonical form of a request's path
//! - [`policy`]: what a token may do to which path; evaluating and explaining are one function
//! - [`schedule`]: when something is due, in a time zone
//! - [`stanza`]: the literal form of HCL and JSON in which policies are written
//! - [`ttl`]: durations as people and clients write them
//! - [`token`]: the text form of tokens: prefix, body, checksum
//! - [`rotation`], [`consumer`]: standing orders, their attempts, and who is pushed to

pub mod audit;
pub mod consumer;
mod counted;
pub mod finding;
mod nearest;
pub mod password_policy;
pub mod path;
pub mod policy;
pub mod protected;
pub mod recognisable;
pub mod rotation;
pub mod schedule;
pub mod stanza;
pub mod token;
pub mod ttl;

pub use counted::counted;
pub use nearest::nearest;
pub use path::Path;
pub use protected::Protected;
