//! JSON as the server wrote it, only indented: order, numbers and escapes stay; control characters are escaped.

/// `json` with two spaces of indentation. `json` must be valid; what is not comes out as it went in, line by line.
pub(crate) fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        if in_string {
            push_escaped(&mut text, character);
            match character {
                '\\' => text.extend(characters.next()),
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match character {
            '"' => {
                in_string = true;
                text.push('"');
            }
            '{' | '[' => {
                text.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                let close = if character == '{' { '}' } else { ']' };
                if characters.next_if_eq(&close).is_some() {
                    text.push(close);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(',');
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ if character.is_whitespace() => {}
            _ => push_escaped(&mut text, character),
        }
    }
    text
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

fn push_escaped(text: &mut String, character: char) {
    if super::is_unprintable(character) {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    } else {
        text.push(character);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn order_and_digits_stay_as_the_server_wrote_them() {
        let json = r#"{"z":12345678901234567890123,"a":[1.0,{}],"e":[ ],"s":"a,\"{b}"}"#;
        let expected = "{\n  \"z\": 12345678901234567890123,\n  \"a\": [\n    1.0,\n    {}\n  ],\n  \"e\": [],\n  \"s\": \"a,\\\"{b}\"\n}";
        assert_eq!(indented(json), expected);
    }

    #[test]
    fn control_characters_that_json_allows_raw_are_escaped() {
        assert_eq!(indented("\"\u{9b}2J\u{202e}\""), "\"\\u009b2J\\u202e\"");
    }

    proptest! {
        #[test]
        fn the_value_does_not_change(text in "\\PC{0,20}", other in "[\\u{0}-\\u{ff}]{0,20}", number in any::<i64>()) {
            let value = serde_json::json!({text.clone(): [number, {"a": other}, null], "b": text});
            let back: Value = serde_json::from_str(&indented(&value.to_string())).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
