//! The program under the name of gitleaks: what is called so keeps working when it is a link to this one.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;

/// The name.
const NAME: &str = "gitleaks";

/// The exit code for a flag that does not exist.
const UNKNOWN_FLAG: u8 = 126;

/// Whether `program`, the first of the arguments, is called so.
pub(crate) fn is_name(program: Option<&OsString>) -> bool {
    program.is_some_and(|program| Path::new(program).file_stem().is_some_and(|name| name == NAME))
}

/// The arguments of a scan for those that gitleaks was called with.
pub(crate) fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let given: Vec<OsString> = given.into_iter().skip(1).collect();
    let first = given.first().and_then(|word| word.to_str());
    let mut arguments = vec![OsString::from("turnlock")];
    match first {
        Some("version" | "--version") => arguments.push("version".into()),
        Some("completion") => {
            arguments.push("completions".into());
            arguments.extend(given.into_iter().skip(1));
        }
        // Without a word there is nothing to scan: what it can do is shown.
        None | Some("help") => arguments.extend(["scan", "--help"].map(OsString::from)),
        Some(_) => {
            arguments.extend(["scan", "--as-gitleaks"].map(OsString::from));
            arguments.extend(given);
        }
    }
    arguments
}

/// The exit code for arguments that were not understood.
pub(crate) fn exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::UnknownArgument { UNKNOWN_FLAG } else { 1 }
}
