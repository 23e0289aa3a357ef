//! Finds committed secrets in working trees and git histories. Needs no server, prints nothing, decides no exit code.
//!
//! - [`config`]: what the user configures; `custom`, `ruleset`: the rules of that beside the catalogue's
//! - [`rule`]: the formats of credentials; `catalogue`: how they are written in TOML; [`check`]: what is computed over a match
//! - `keywords`, `prefilter`, [`matcher`]: from a text to hits; `assigned`: values near a provider's name
//! - `setting`: names and values in any language; `name`, `shape`, `letters`, `entropy`, `plausible`: what a credential
//!   looks like, by its name and by its value
//! - `content`, `text`, [`archive`]: what a file holds: text, files in it, or words in something binary
//! - [`decode`]: what a text says in base64, hex, percent or character escapes
//! - [`lookup`]: recognises values of the live store
//! - `walk`, `git`, `packs`, `origin`: where texts come from; whether all are there; who brought them in
//! - `allow`, [`ignore_list`], [`baseline`], `excuses`: what is no leak, or an old one
//! - [`scanner`]: puts these together; [`report`], [`coverage`]: what comes out

mod allow;
pub mod archive;
mod assigned;
pub mod baseline;
#[allow(dead_code, reason = "the samples are for the tests")]
mod catalogue;
pub mod check;
pub mod config;
mod content;
pub mod coverage;
mod custom;
pub mod decode;
mod entropy;
mod excuses;
mod git;
pub mod ignore_list;
mod inspect;
mod keywords;
mod letters;
pub mod lookup;
pub mod matcher;
pub mod name;
mod origin;
mod packs;
mod plausible;
pub mod prefilter;
pub mod report;
pub mod rule;
mod ruleset;
pub mod scanner;
mod setting;
mod shape;
mod text;
mod walk;

pub use coverage::{Coverage, Omission, Why};
pub use git::repository_top;
pub use lookup::StoreLookup;
pub use report::{Outcome, Report};
pub use scanner::{Options, Phase, Progress, ScanError, Scanner};
