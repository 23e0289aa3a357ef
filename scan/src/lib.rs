//! Finds committed secrets in working trees and git histories. Needs no server, prints nothing, decides no exit code.
//!
//! - [`config`]: what the user configures; `custom`, `ruleset`: the rules of that beside the catalogue's
//! - [`rule`]: the formats of credentials; `catalogue`: how they are written in TOML; [`check`]: what is computed over a match;
//!   `bech32`: a checksum
//! - `keywords`, `prefilter`, [`matcher`]: from a text to hits; `assigned`: values near a provider's name
//! - `setting`: names and values in any language; `surroundings`: what stands around them; `name`, `shape`, `letters`,
//!   `drawn`, `thing`, `code`, `entropy`, `plausible`: what a credential looks like, by its name and by its value, and what names something else
//! - `content`, `text`, [`archive`], [`sqlite`], `keystore`: what a file holds: text, files in it, rows of a database, private keys, or
//!   words in something binary
//! - [`decode`]: what a text says in base64, hex, percent or character escapes
//! - [`lookup`]: recognises values of the live store; [`verify`]: asks providers whether a credential lives
//! - `walk`, `windows`, `git`: texts of a tree, of any size, and of a history
//! - `objects`, `forest`, `pack`, `delta`, `packs`, `absent`: the objects of a repository, decoded each once; whether all are
//!   there
//! - `changes`, `range`, `log_options`, `staged`, `received`, `sent`: what some commits, the index and a push bring in
//! - `versions`, `seen`: only lines that are new are matched; what was seen in which version
//! - `memory`, `again`: what a scan leaves for the next one, which looks only at what is new
//! - `commits`, `folders`, `origin`: who brought it in; `named`: findings out of that
//! - `allow`, [`ignore_list`], [`baseline`], `excuses`: what is no leak, or an old one
//! - [`scanner`]: puts these together; [`report`], [`coverage`]: what comes out

mod absent;
mod again;
mod allow;
pub mod archive;
mod assigned;
pub mod baseline;
mod bech32;
mod bounds;
mod built_in;
#[allow(dead_code, reason = "the samples are for the tests")]
mod catalogue;
mod changes;
pub mod check;
mod code;
mod commits;
pub mod config;
mod content;
pub mod coverage;
mod custom;
pub mod decode;
mod delta;
mod drawn;
mod entropy;
mod excuses;
mod folders;
mod forest;
mod git;
pub mod ignore_list;
mod inspect;
mod keystore;
mod keywords;
mod letters;
mod log_options;
pub mod lookup;
pub mod matcher;
mod memory;
mod messages;
pub mod name;
mod named;
mod objects;
mod origin;
mod pack;
mod packs;
mod plausible;
pub mod prefilter;
mod range;
mod received;
pub mod report;
pub mod rule;
mod ruleset;
pub mod scanner;
mod seen;
mod sent;
mod setting;
mod shape;
pub mod sqlite;
mod staged;
mod surroundings;
mod text;
mod thing;
mod twins;
pub mod verify;
mod versions;
mod walk;
mod windows;

pub use coverage::{Coverage, Omission, Why};
pub use git::repository_top;
pub use log_options::{BadOption, date};
pub use lookup::StoreLookup;
pub use range::Range;
pub use received::Quarantine;
pub use report::{Outcome, Report};
pub use scanner::{Options, Phase, Progress, ScanError, Scanner};
