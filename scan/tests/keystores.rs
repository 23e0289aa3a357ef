//! Files that are a private key or hold one, by themselves, in base64 and in a database.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::scanner;

fn rules(bytes: &[u8]) -> Vec<String> {
    scanner().scan_bytes("file", bytes).findings.into_iter().map(|finding| finding.rule).collect()
}

/// An element in DER or BER, of less than 65,536 bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, short @ ..0x80] => [&[tag, short], content].concat(),
        [high, low] => [&[tag, 0x82, high, low], content].concat(),
    }
}

/// An element whose end is told by what follows it.
fn open_element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const VERSION_3: &[u8] = b"\x02\x01\x03";

/// The outer parts of RFC 7292 around a bag of this kind.
fn pkcs12(bag: u8) -> Vec<u8> {
    let bag = [b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01".as_slice(), &[bag]].concat();
    let bags = element(0x30, &element(0x30, &[bag, element(0xa0, &[0x5a; 200])].concat()));
    let content = element(0x30, &[DATA, &element(0xa0, &element(4, &bags))].concat());
    element(0x30, &[VERSION_3, &content].concat())
}

/// The same with lengths left open, and the string of bytes cut through the kind of the bag.
fn pkcs12_in_ber() -> Vec<u8> {
    let bags = open_element(0x30, &open_element(0x30, b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02"));
    let (first, second) = bags.split_at(12);
    let string = open_element(0x24, &[element(4, first), element(4, second)].concat());
    let content = open_element(0x30, &[DATA, &open_element(0xa0, &string)].concat());
    open_element(0x30, &[VERSION_3, &content, &element(0x30, &[0x5a; 60])].concat())
}

fn private_key() -> Vec<u8> {
    let algorithm = element(0x30, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
    element(0x30, &[b"\x02\x01\x00", algorithm.as_slice(), &element(4, &[0x5a; 300])].concat())
}

fn java(magic: u32, entry: &[u8]) -> Vec<u8> {
    [&magic.to_be_bytes()[..], b"\0\0\0\x02\0\0\0\x01", entry, &[0x5a; 20]].concat()
}

const JAVA_KEY: &[u8] = b"\0\0\0\x01\0\x01k\0\0\0\0\0\0\0\0\0\0\0\x03key\0\0\0\0";
const JAVA_CERTIFICATE: &[u8] = b"\0\0\0\x02\0\x01c\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x04cert";

#[test]
fn a_key_store_is_found_by_what_it_holds_and_one_of_certificates_is_passed_over() {
    for bytes in [pkcs12(1), pkcs12(2), pkcs12_in_ber()] {
        assert_eq!(rules(&bytes), ["pkcs12-key"]);
    }
    assert!(rules(&pkcs12(3)).is_empty(), "a bag of certificates");
    for magic in [0xfeed_feed, 0xcece_cece] {
        assert_eq!(rules(&java(magic, JAVA_KEY)), ["java-key-store"]);
        assert!(rules(&java(magic, JAVA_CERTIFICATE)).is_empty());
    }
}

#[test]
fn a_private_key_in_der_is_found_and_one_that_is_encrypted_is_less_certain() {
    assert_eq!(rules(&private_key()), ["der-private-key"]);
    let scheme = element(0x30, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d\x05\x00");
    let encrypted = element(0x30, &[scheme, element(4, &[0x5a; 300])].concat());
    let report = scanner().scan_bytes("file", &encrypted);
    assert_eq!(report.findings[0].rule, "der-encrypted-private-key");
    assert!(report.findings[0].certainty <= 0.5);
}

#[test]
fn keys_and_stores_are_found_in_base64_of_one_line_and_of_several() {
    for (bytes, rule) in [
        (pkcs12(2), "pkcs12-key-base64"),
        (pkcs12_in_ber(), "pkcs12-key-base64"),
        (java(0xfeed_feed, JAVA_KEY), "java-key-store-base64"),
        (private_key(), "der-private-key-base64"),
    ] {
        let line = STANDARD.encode(&bytes);
        let lines = line.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
        for text in [
            format!("keystore = \"{line}\"\n"),
            format!("-----BEGIN PKCS12-----\n{}\n-----END PKCS12-----\n", lines.join("\n")),
            format!("store: |\n  {}\nother: words\n", lines.join("\n  ")),
            format!("\"{}\\n\"", lines.join("\\n")),
        ] {
            assert_eq!(rules(text.as_bytes()), [rule], "{text}");
        }
    }
    for bytes in [pkcs12(3), java(0xfeed_feed, JAVA_CERTIFICATE), private_key()[..200].to_vec()] {
        assert!(rules(format!("store = \"{}\"\n", STANDARD.encode(bytes)).as_bytes()).is_empty());
    }
}

#[test]
fn a_key_store_in_a_database_is_found() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store"), pkcs12(2)).unwrap();
    let script = "import os, sqlite3\nd = sqlite3.connect('app.db')\nd.execute('CREATE TABLE files (content BLOB)')\n\
                  d.execute('INSERT INTO files VALUES (?)', (open('store', 'rb').read(),))\nd.commit()\nos.remove('store')";
    let made = Command::new("python3").args(["-c", script]).current_dir(folder.path()).status();
    assert!(made.unwrap().success());
    let report = scanner().scan_tree(folder.path()).unwrap();
    assert_eq!(report.findings.iter().map(|finding| finding.rule.as_str()).collect::<Vec<_>>(), ["pkcs12-key"]);
}

#[test]
fn who_quotes_what_the_scanner_says_of_a_key_is_no_finding() {
    for words in ["PKCS#12 private key", "Java key store with a private key", "encrypted private key in DER"] {
        let quote = format!("{words}, SHA-256 {}\n", "8f3c1e77ab0d4c55".repeat(4));
        assert!(rules(quote.as_bytes()).is_empty(), "{quote}");
        assert!(rules(format!("a\0{quote}").as_bytes()).is_empty(), "{quote}");
    }
}
