//! The known name that somebody may have meant who typed another.

/// How alike two names must be for one to be offered for the other, from 0 to 1.
const ALIKE: f64 = 0.6;

/// Of `known` the one that is most like `typed`. One that only has more in front is taken for meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| match name.strip_suffix(typed) {
        Some(before) if before.ends_with('/') => 1.0,
        _ => strsim::normalized_damerau_levenshtein(typed, name),
    };
    let rated = known.into_iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness >= ALIKE);
    rated.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_most_alike_is_offered_and_a_stranger_is_not() {
        let known = ["secret/app/db", "secret/app/api-key", "kv/other"];
        assert_eq!(nearest("secret/app/bd", known), Some("secret/app/db"));
        assert_eq!(nearest("app/api-key", known), Some("secret/app/api-key"));
        assert_eq!(nearest("totally/different", known), None);
    }
}
