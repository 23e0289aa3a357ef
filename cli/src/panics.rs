//! What a panic says: where it happened, and nothing of what it was about, because that may be a secret.

use std::io::Write as _;

/// From here on the message of a panic, which often quotes the value that surprised it, is not written anywhere.
pub(crate) fn withhold_messages() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        // Nothing is left to do when standard error cannot be written either.
        let _ = writeln!(
            anstream::stderr().lock(),
            "turnlock: error: a defect in turnlock, at {place}; please report this line\n\
             turnlock: hint: the message is withheld, because it could quote a secret"
        );
    }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::process::Command;

    use super::withhold_messages;

    /// Set for the process that panics: the hook belongs to a whole process, so the test starts itself again.
    const PANICS: &str = "TURNLOCK_TEST_PANICS";

    #[test]
    fn a_panic_tells_its_place_and_not_its_message() {
        if std::env::var_os(PANICS).is_some() {
            withhold_messages();
            panic!("tlk_canary_panic");
        }
        let test = "panics::tests::a_panic_tells_its_place_and_not_its_message";
        let arguments = ["--exact", test, "--nocapture"];
        let child = Command::new(std::env::current_exe().unwrap()).args(arguments).env(PANICS, "1").output().unwrap();
        let told = String::from_utf8(child.stderr).unwrap();
        assert!(!child.status.success());
        assert!(told.contains("a defect in turnlock, at cli/src/panics.rs:"), "{told}");
        assert!(!told.contains("canary") && !String::from_utf8(child.stdout).unwrap().contains("canary"), "{told}");
    }
}
