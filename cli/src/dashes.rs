//! Vault's flags have one dash (`-format=json`), ours two: one pass over the arguments accepts both.

use std::ffi::OsString;

/// Gives long flags with one dash their second one.
///
/// Left alone: flags of one letter (`-f`, `-f=x`), numbers (`-1`), a lone `-`, and everything from `--` on.
pub(crate) fn doubled(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut passed = false;
    let double = |argument: OsString| {
        passed |= argument == "--";
        match argument.to_str() {
            Some(text) if !passed && is_long_flag_with_one_dash(text) => OsString::from(format!("-{text}")),
            _ => argument,
        }
    };
    arguments.into_iter().map(double).collect()
}

fn is_long_flag_with_one_dash(argument: &str) -> bool {
    let Some(flag) = argument.strip_prefix('-') else { return false };
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.next().is_some()
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(OsString::from);
        doubled(arguments).into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn long_flags_with_one_dash_get_their_second() {
        assert_eq!(
            pass(&["kv", "get", "-mount=secret", "-field", "password", "app/db", "-dev-root-token-id=root"]),
            ["kv", "get", "--mount=secret", "--field", "password", "app/db", "--dev-root-token-id=root"],
        );
    }

    #[test]
    fn short_flags_numbers_and_standard_input_stay() {
        for argument in ["-f", "-f=x", "-n=3", "-1", "-12.5", "-", "--format=json", "key=-value", "-@file", ""] {
            assert_eq!(pass(&[argument]), [argument]);
        }
    }

    #[test]
    fn the_program_behind_two_dashes_keeps_its_arguments() {
        assert_eq!(pass(&["run", "-env=A=b#c", "--", "ls", "-la"]), ["run", "--env=A=b#c", "--", "ls", "-la"]);
    }

    proptest! {
        #[test]
        fn a_second_pass_changes_nothing(arguments in proptest::collection::vec("[-a-z0-9=]{0,6}", 0..6)) {
            let once = doubled(arguments.iter().map(OsString::from));
            prop_assert_eq!(doubled(once.clone()), once);
        }
    }
}
