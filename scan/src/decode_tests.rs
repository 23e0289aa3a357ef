//! What is decoded, where it stands, and what is left alone.
#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::packed::Room;
use super::{Layer, find, trail};
use crate::bounds::Bounds;

/// What `text` says when everything is taken off, one layer after the other.
fn bounds() -> Bounds {
    Bounds::new(1 << 30, 0)
}

fn layers(text: &str) -> Vec<Layer> {
    super::layers(text.as_bytes(), usize::MAX, super::DEFAULT_DEPTH, &bounds()).0
}

fn last(text: &str) -> String {
    layers(text).last().map(|layer| String::from_utf8(layer.text.clone()).unwrap()).unwrap_or_default()
}

#[test]
fn each_notation_is_read() {
    let said = "key=some plain words";
    let escaped = |form: fn(u8) -> String| said.bytes().map(form).collect::<String>();
    for written in [
        STANDARD.encode(said),
        URL_SAFE_NO_PAD.encode(said),
        hex::encode(said),
        format!("0x{}", hex::encode_upper(said)),
        escaped(|byte| format!("%{byte:02X}")),
        escaped(|byte| format!("\\u{byte:04x}")),
        escaped(|byte| format!("\\x{byte:02x}")),
        escaped(|byte| format!("\\u{{{byte:x}}}")),
        escaped(|byte| format!("\\\\u{byte:04x}")),
        STANDARD.encode(STANDARD.encode(said)),
        hex::encode(STANDARD.encode(said)),
        STANDARD.encode(said.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
    ] {
        assert_eq!(last(&format!("first\nx = \"{written}\";\nlast")), format!("x = \"{said}\";"), "{written}");
    }
}

#[test]
fn a_part_of_a_run_is_read_behind_a_name_or_in_a_path() {
    let written = STANDARD.encode("some plain words here");
    for text in [format!("prefix_{written}"), format!("a/b/{written}"), format!("x-{written}-y")] {
        assert!(last(&text).contains("some plain words here"), "{text}");
    }
}

#[test]
fn base64_in_lines_is_read_as_one() {
    let said = "the quick brown fox jumps over the lazy dog ".repeat(6);
    let written = STANDARD.encode(&said);
    for (width, indent, end) in [(76, "", "\n"), (64, "    ", "\n"), (60, "\t", "\r\n")] {
        let lines: Vec<&str> =
            written.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let text = format!("data: |{end}{indent}{}{end}next: 1{end}", lines.join(&format!("{end}{indent}")));
        assert!(last(&text).contains(&said), "{text}");
    }
}

#[test]
fn an_escape_within_base64_is_read_first() {
    let written = STANDARD.encode("some plain words??>");
    let text = written.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert!(text.contains('%'));
    assert!(last(&text).contains("some plain words??>"), "{text}");
}

#[test]
fn words_numbers_and_binary_content_are_left_alone() {
    let noise: Vec<u8> = (0..600_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for text in [
        "fn internationalization_of_everything(argument: SomeVeryLongTypeName)".to_owned(),
        "/usr/lib/python3/dist-packages/something/else/entirely".to_owned(),
        STANDARD.encode(&noise),
        hex::encode(&noise),
        "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
        r"\x89PNG\x0d\x00\xff\xfe 100% \u4e2d\u6587 %d %s \n \\".to_owned(),
    ] {
        assert_eq!(find(text.as_bytes(), usize::MAX, &mut Room::of(b"", &bounds())), [], "{text}");
    }
}

#[test]
fn the_way_back_leads_to_what_was_written() {
    let inner = STANDARD.encode("some plain words");
    let outer = STANDARD.encode(format!("a = {inner}"));
    let text = format!("x\nkey: {outer}\ny %41\n");
    let layers = layers(&text);
    assert_eq!(layers.len(), 2);
    let said = memchr::memmem::find(&layers[1].text, b"some plain").unwrap();
    let (trail, decoding) = trail(&layers, &(said..said + 4)).unwrap();
    let (below, first) = (&trail[0], &trail[1]);
    assert_eq!(&layers[0].text[below.clone()], inner.as_bytes());
    assert_eq!(&text[first.clone()], outer);
    assert_eq!(decoding.tags().collect::<Vec<_>>(), ["decoded:base64", "decode-depth:2"]);
}

#[test]
fn nested_notations_take_no_more_than_the_text() {
    let mut text = "plain words and more".repeat(40);
    for _ in 0..12 {
        text = STANDARD.encode(text);
    }
    let layers = layers(&text);
    assert_eq!(layers.len(), 5);
    assert!(layers.iter().map(|layer| layer.text.len()).sum::<usize>() < 5 * text.len());
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_again(said in "[ -~]{16,200}", before in "[ -~]{0,40}") {
        let mut forms = vec![STANDARD.encode(&said), hex::encode(&said)];
        forms.push(said.bytes().map(|byte| format!("%{byte:02x}")).collect());
        forms.push(said.bytes().map(|byte| format!("\\u{byte:04x}")).collect());
        for form in forms {
            let layer = Layer::of(format!("{before} {form} end").as_bytes(), usize::MAX, &mut Room::of(b"", &bounds())).unwrap();
            prop_assert!(memchr::memmem::find(&layer.text, said.as_bytes()).is_some(), "{form}");
        }
    }

    #[test]
    fn layers_shrink_and_lead_back_into_the_text(bytes in prop::collection::vec(any::<u8>(), 0..400), said in "[ -~]{0,60}") {
        let mut text = bytes;
        text.extend_from_slice(STANDARD.encode(format!("%41{said}")).as_bytes());
        text.extend_from_slice(b"%3D\\u0041");
        let found = find(&text, usize::MAX, &mut Room::of(b"", &bounds()));
        prop_assert!(found.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
        if let Some(layer) = Layer::of(&text, usize::MAX, &mut Room::of(b"", &bounds())) {
            prop_assert!(layer.text.len() <= text.len());
            for at in 0..layer.text.len() {
                if let Some((trail, _)) = trail(std::slice::from_ref(&layer), &(at..at + 1)) {
                    prop_assert!(trail[0].start <= trail[0].end && trail[0].end <= text.len());
                }
            }
        }
    }
}
