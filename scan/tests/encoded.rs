//! Credentials in other notations: found, in the clear, at the place of what is written.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use turnlock_core::finding::Finding;
use turnlock_scan::{Options, Outcome, Scanner, Why};

use crate::archive::{bz2, gz, xz, zst};
use crate::{RULE, Repository, places, scanner, token};

/// The one finding in `text`.
fn one(text: impl AsRef<[u8]>) -> Finding {
    let mut findings = scanner().scan_bytes("file", text.as_ref()).findings;
    assert_eq!(findings.len(), 1, "{findings:?} in {}", String::from_utf8_lossy(text.as_ref()));
    findings.remove(0)
}

fn wide(text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    [mark, &text.encode_utf16().flat_map(bytes).collect::<Vec<_>>()].concat()
}

#[test]
fn a_token_is_found_in_each_notation_with_its_tags() {
    let token = token(1);
    let each = |form: fn(u8) -> String| token.bytes().map(form).collect::<String>();
    for (written, tags) in [
        (STANDARD.encode(&token), &["decoded:base64", "decode-depth:1"][..]),
        (URL_SAFE_NO_PAD.encode(&token), &["decoded:base64", "decode-depth:1"]),
        (STANDARD.encode(STANDARD.encode(&token)), &["decoded:base64", "decode-depth:2"]),
        (hex::encode(&token), &["decoded:hex", "decode-depth:1"]),
        (each(|byte| format!("%{byte:02x}")), &["decoded:percent", "decode-depth:1"]),
        (each(|byte| format!("\\u{byte:04x}")), &["decoded:unicode", "decode-depth:1"]),
        (each(|byte| format!("\\x{byte:02x}")), &["decoded:unicode", "decode-depth:1"]),
        (token.replace('_', "%5F"), &["decoded:percent", "decode-depth:1"]),
        (hex::encode(STANDARD.encode(&token)), &["decoded:base64", "decoded:hex", "decode-depth:2"]),
        (STANDARD.encode(wide(&token, &[], u16::to_le_bytes)), &["decoded:base64", "decode-depth:1"]),
    ] {
        let finding = one(format!("first line\nvalue: {written}\nlast line\n"));
        assert_eq!(finding.rule, RULE);
        assert!(finding.secret.same_as(token.as_bytes()), "{written}");
        assert_eq!(finding.tags[finding.tags.len() - tags.len()..], *tags, "{written}");
        let place = finding.place;
        let (start, end) = (place.start_column as usize, place.end_column as usize);
        // Columns count from two in later lines; the encoded text is what is pointed at.
        assert_eq!((place.start_line, place.end_line, start, end), (2, 2, 9, 8 + written.len()), "{written}");
    }
}

#[test]
fn what_was_compressed_before_it_was_encoded_is_found() {
    let file = format!("apiVersion: v1\nkey: {}\n", token(1));
    let zlib = {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(file.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    for packed in [gz(file.as_bytes()), xz(file.as_bytes()), bz2(file.as_bytes()), zst(file.as_bytes()), zlib] {
        let base64 = STANDARD.encode(&packed);
        let wrapped = base64.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
        for written in [&base64, &STANDARD.encode(&base64), &hex::encode(&packed), &wrapped] {
            let finding = one(format!("first line\ndata: {written}\nlast line\n"));
            assert!(finding.secret.same_as(token(1).as_bytes()), "{written}");
            assert!(finding.tags.iter().any(|tag| tag == "decoded:packed"), "{:?}", finding.tags);
            assert_eq!(finding.place.start_line, 2);
        }
    }
}

#[test]
fn of_compressed_data_that_is_cut_off_the_beginning_is_read() {
    let lines: String = (0..2000_u32).map(|number| format!("line {}\n", number.wrapping_mul(2_654_435_761))).collect();
    let packed = gz(format!("key: {}\n{lines}", token(3)).as_bytes());
    assert!(one(STANDARD.encode(&packed[..packed.len() / 2])).secret.same_as(token(3).as_bytes()));
}

#[test]
fn a_few_letters_that_would_expand_without_end_are_soon_done_with() {
    let bomb = STANDARD.encode(gz(&vec![b' '; 64 << 20]));
    let text = format!("{}\n{}\n", format!("x: {bomb}\n").repeat(50), token(2));
    let report = scanner().scan_bytes("file", text.as_bytes());
    assert_eq!(places(&report), [(RULE, "file", 52, "")]);
    assert!(report.coverage.omissions.iter().any(|omission| omission.why == Why::ExpandsWithin), "{report:?}");
}

#[test]
fn what_is_compressed_behind_more_than_is_read_is_named_as_not_covered() {
    let lines: String = (0..3_u32 << 20).map(|number| if number % 64 == 0 { '\n' } else { 'a' }).collect();
    let (large, small) = (STANDARD.encode(gz(lines.as_bytes())), STANDARD.encode(gz(token(2).as_bytes())));
    let report = scanner().scan_bytes("file", format!("a: {large}\nb: {small}\n").as_bytes());
    assert_ne!(report.outcome(), Outcome::Clean, "{report:?}");
    assert!(report.coverage.omissions.iter().any(|omission| omission.why == Why::ExpandsWithin), "{report:?}");
    let report = scanner().scan_bytes("file", format!("b: {small}\n").as_bytes());
    assert!(report.coverage.omissions.is_empty() && report.findings.len() == 1, "{report:?}");
}

#[test]
fn a_name_before_what_is_encoded_counts() {
    let value = "q8Zr4Lk0Pw2VxN7b";
    let finding =
        one(format!("db_password = \"{}\"", value.bytes().map(|b| format!("\\x{b:02x}")).collect::<String>()));
    assert!(finding.secret.same_as(value.as_bytes()));
    assert_eq!(finding.place.start_column, 1);
}

#[test]
fn whole_files_in_base64_give_all_that_they_hold() {
    let file = format!("a: {}\nsome words between the two\nb: {}\n", token(1), token(2));
    for written in [STANDARD.encode(&file), STANDARD.encode(STANDARD.encode(&file))] {
        let lines: Vec<&str> = written.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let report = scanner().scan_bytes("f", format!("x\n{}\n", lines.join("\n")).as_bytes());
        assert_eq!(places(&report), [(RULE, "f", 2, ""), (RULE, "f", 2, "")], "{written}");
    }
}

#[test]
fn wide_text_is_read_with_and_without_a_mark() {
    let text = format!("one\r\nkey {}\r\n", token(3));
    let plain = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for bytes in [
        wide(&text, b"\xff\xfe", u16::to_le_bytes),
        wide(&text, b"\xfe\xff", u16::to_be_bytes),
        wide(&text, b"", u16::to_le_bytes),
        wide(&text, b"", u16::to_be_bytes),
        plain,
    ] {
        assert_eq!(one(&bytes).place.start_line, 2);
    }
    assert_eq!(one([b"\xef\xbb\xbf", token(3).as_bytes()].concat()).rule, RULE, "right behind the mark");
}

#[test]
fn lines_may_end_in_any_way_and_be_of_megabytes() {
    assert_eq!(one(format!("a\r\nkey {}\r\nb", token(4))).place.start_line, 2);
    let long =
        format!("var a=1;{};x=\"{}\";{}", "f(b);".repeat(100_000), STANDARD.encode(token(4)), "g(c);".repeat(100_000));
    assert_eq!(one(long).place.start_line, 1);
}

#[test]
fn one_credential_is_one_finding_however_it_is_written() {
    let encoded = STANDARD.encode(token(5));
    let manifest = format!("apiVersion: v1\nkind: Sec{}\ndata:\n  password: {encoded}\n", "ret");
    let finding = one(manifest);
    assert_eq!((finding.rule.as_str(), finding.place.start_line), (RULE, 4), "the more certain rule names it");
    let manifest =
        format!("apiVersion: v1\nkind: Sec{}\ndata:\n  password: {}\n", "ret", STANDARD.encode("q8Zr4Lk0Pw2V"));
    assert_eq!(one(manifest).rule, "kubernetes-secret");
    one(format!("https://host/?token={}&next=%2Fpath%3Fa%20b", token(5)));
}

#[test]
fn comments_allow_what_is_encoded_in_their_line() {
    let line = format!("key: {} # turnlock:allow\n", STANDARD.encode(token(6)));
    assert!(scanner().scan_bytes("f", line.as_bytes()).findings.is_empty());
}

#[test]
fn the_depth_is_what_was_asked_for() {
    let mut text = token(7);
    for depth in 1..=6 {
        text = STANDARD.encode(text);
        let found = |decode_depth| {
            let mut options = Options::usual();
            options.decode_depth = decode_depth;
            Scanner::new(options).unwrap().scan_bytes("f", text.as_bytes()).findings.len()
        };
        assert_eq!((found(depth), found(depth - 1), found(5)), (1, 0, usize::from(depth <= 5)), "{depth}");
    }
}

#[test]
fn a_history_is_decoded_too() {
    let repository = Repository::new();
    repository.write("f", &STANDARD.encode(token(8)));
    let commit = repository.commit("one", "2026-01-01T00:00:00Z");
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "f", 1, commit.as_str())]);
}
