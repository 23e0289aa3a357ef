//! What is said of a call that the command line does not take, with the one word that was probably meant.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};
use turnlock_core::nearest;

use crate::args::Arguments;

/// The text for standard error. `given`: the call.
pub(crate) fn text(mut error: clap::Error, given: &[OsString]) -> String {
    match error.kind() {
        // Not a mistake, only not yet enough: the words to go on with.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return error.render().ansi().to_string(),
        ErrorKind::UnknownArgument => {
            // It is as good as never a value that begins with a dash.
            error.remove(ContextKind::Suggested);
            if is_of(given, "run") && invalid(&error).is_some_and(|word| !word.starts_with('-')) {
                tip(&mut error, "put `--` before the program: turnlock run --env-file .env -- PROGRAM");
                error.remove(ContextKind::SuggestedArg);
            } else {
                suggest(&mut error, ContextKind::InvalidArg, ContextKind::SuggestedArg, flags, given);
            }
        }
        ErrorKind::InvalidSubcommand => {
            suggest(&mut error, ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand, words, given);
        }
        ErrorKind::MissingRequiredArgument if is_of(given, "server") => tip(
            &mut error,
            "-config names the configuration; `turnlock server -dev` starts a throw-away server without one",
        ),
        _ => {}
    }
    format!("turnlock: {}", error.render().ansi())
}

/// `turnlock help WORD…` as `turnlock WORD… --help`, as people who are new here type it.
pub(crate) fn help_last(mut given: Vec<OsString>) -> Vec<OsString> {
    if given.get(1).is_some_and(|word| word == "help") {
        given.remove(1);
        given.push("--help".into());
    }
    given
}

/// Whether `given` calls `command`, a word of the first rank.
fn is_of(given: &[OsString], command: &str) -> bool {
    given.iter().skip(1).find(|word| !word.to_string_lossy().starts_with('-')).is_some_and(|word| word == command)
}

/// The argument that is none.
fn invalid(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => Some(word),
        _ => None,
    }
}

/// Says what to do instead.
fn tip(error: &mut clap::Error, text: &str) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![text.to_owned().into()]));
}

/// Puts what is most like the text of `kind` among `known` in the place of whatever was suggested.
fn suggest(
    error: &mut clap::Error,
    kind: ContextKind,
    suggestion: ContextKind,
    known: fn(&Command) -> Vec<String>,
    given: &[OsString],
) {
    error.remove(suggestion);
    let Some(ContextValue::String(typed)) = error.get(kind) else { return };
    let typed = name_of(typed);
    let mut top = Arguments::command();
    top.build();
    let known = known(called(&top, typed, given));
    if let Some(near) = nearest(typed, known.iter().map(String::as_str)) {
        error.insert(suggestion, ContextValue::String(near.to_owned()));
    }
}

/// The command whose word or flag `typed` was to be.
fn called<'a>(top: &'a Command, typed: &str, given: &[OsString]) -> &'a Command {
    let before = given.iter().skip(1).map_while(|word| word.to_str().filter(|word| name_of(word) != typed));
    before.fold(top, |at, word| at.find_subcommand(word).unwrap_or(at))
}

/// A flag without its value.
fn name_of(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

fn flags(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let names = shown.flat_map(|argument| argument.get_long_and_visible_aliases().unwrap_or_default());
    names.map(|name| format!("--{name}")).collect()
}

fn words(command: &Command) -> Vec<String> {
    let shown = command.get_subcommands().filter(|word| !word.is_hide_set());
    shown.flat_map(Command::get_name_and_visible_aliases).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;

    fn said(words: &[&str]) -> String {
        let given: Vec<OsString> = std::iter::once(&"turnlock").chain(words).map(OsString::from).collect();
        let error = Arguments::try_parse_from(&given).unwrap_err();
        anstream::adapter::strip_str(&text(error, &given)).to_string()
    }

    #[test]
    fn the_nearest_word_or_flag_is_offered_and_no_other() {
        for (words, near) in [
            (&["rotat", "list"][..], "'rotate'"),
            (&["kv", "gett", "secret/a"], "'get'"),
            (&["operator", "generateroot"], "'generate-root'"),
            (&["kv", "get", "--feild=k", "secret/a"], "'--field'"),
            (&["run", "--evn", "A=secret/a#k", "--", "env"], "'--env'"),
            (&["status", "--adress=http://127.0.0.1:1"], "'--address'"),
            (&["scan", "--reprot-path", "x"], "'--report-path'"),
        ] {
            let text = said(words);
            assert!(text.contains(&format!("exists: {near}\n")), "{text}");
        }
        // Nothing is like it, or only what is hidden.
        for words in [&["foo"][..], &["rotate", "set", "secret/a", "--rotator=x"], &["operator", "init", "--pgp=x"]] {
            let text = said(words);
            assert!(!text.contains("tip:"), "{text}");
        }
    }

    #[test]
    fn what_a_call_lacks_is_said() {
        for words in [&["run", "--env-file", ".env", "env"][..], &["run", "env", "-i"]] {
            let text = said(words);
            assert!(text.contains("tip: put `--` before the program") && !text.contains("exists:"), "{text}");
        }
        assert!(
            said(&["server"]).contains("`turnlock server -dev` starts a throw-away server"),
            "{}",
            said(&["server"])
        );
    }

    #[test]
    fn help_before_a_word_is_the_help_of_the_word() {
        let pass = |words: &[&str]| help_last(words.iter().map(OsString::from).collect());
        assert_eq!(pass(&["turnlock", "help", "rotate", "set"]), ["turnlock", "rotate", "set", "--help"]);
        assert_eq!(pass(&["turnlock", "help"]), ["turnlock", "--help"]);
        assert_eq!(pass(&["turnlock", "kv", "get", "help"]), ["turnlock", "kv", "get", "help"]);
    }

    #[test]
    fn a_word_that_has_others_shows_them_without_an_error() {
        assert!(said(&["kv"]).starts_with("Read and write versioned secrets\n"));
    }
}
