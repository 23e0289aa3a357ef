//! Errors as Vault's protocol has them, with line breaks and bullets in the text, for a log and for a person.

/// A server's list of errors, made for several lines, as one: without the count before and the bullets between.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for part in text.split('\n').map(str::trim).filter(|part| !part.is_empty()) {
        let counted = part.strip_suffix(" error occurred:").or_else(|| part.strip_suffix(" errors occurred:"));
        let part = match counted {
            Some(before) => before.trim_end_matches(|digit: char| digit.is_ascii_digit()).trim_end(),
            None => part.trim_start_matches("* "),
        };
        let told = line.trim_end_matches(':');
        if part.is_empty() || told == part || told.strip_suffix(part).is_some_and(|before| before.ends_with(": ")) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    line.trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_list_of_errors_becomes_one_line() {
        let denied = "permission denied: 1 error occurred:\n\t* permission denied\n\n";
        assert_eq!(one_line(denied), "permission denied");
        let inner = format!("secret/a cannot be read: {denied}");
        assert_eq!(one_line(&inner), "secret/a cannot be read: permission denied");
        let two = "server answered 400: 2 errors occurred:\n\t* no policy\n\t* no name\n\n";
        assert_eq!(one_line(two), "server answered 400: no policy; no name");
        assert_eq!(one_line("server answered 400: invalid lease"), "server answered 400: invalid lease");
    }
}
