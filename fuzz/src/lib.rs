//! What holds for any input to turnlock's parsers: each function takes arbitrary bytes and panics when a law is broken.
//!
//! The fuzz targets call them with what the fuzzer makes up, the tests with the seeds. An input of several parts has one
//! on each line.

mod pack;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest;
use turnlock::clock::ManualClock;
use turnlock::request::Fields;
use turnlock_agent::mask::{MASK, Masker, Patterns};
use turnlock_agent::push::webhook;
use turnlock_agent::reference::Reference;
use turnlock_core::audit::{self, Chain, Kind};
use turnlock_core::password_policy::PasswordPolicy;
use turnlock_core::path::{MAX_PATH_BYTES, MAX_SEGMENTS, Path};
use turnlock_core::policy::{Acl, Capability, Policy, Question, Reason, TemplateValues};
use turnlock_core::schedule::Schedule;
use turnlock_core::stanza::{self, Value};
use turnlock_core::token::{self, TokenKind};
use turnlock_core::{Protected, ttl};
use turnlock_scan::baseline::Baseline;
use turnlock_scan::config::Config;
use turnlock_scan::ignore_list::IgnoreList;
use turnlock_scan::report::{Redaction, write_json, write_text};
use turnlock_scan::{Options, Scanner, sqlite as tables};

/// Panics where `bytes` break the law.
pub type Law = fn(&[u8]);

/// A law, by the name of its target and of its folder of seeds.
pub const LAWS: &[(&str, Law)] = &[
    ("archive", archive),
    ("audit_verify", audit_verify),
    ("decode", decode),
    ("fields", fields),
    ("mask", mask),
    ("objects", objects),
    ("password_policy", password_policy),
    ("path", path),
    ("policy", policy),
    ("reference", reference),
    ("scan", scan),
    ("scan_config", scan_config),
    ("scan_ignores", scan_ignores),
    ("schedule", schedule),
    ("snapshot", snapshot),
    ("sqlite", sqlite),
    ("stanza", stanza),
    ("token", token),
    ("ttl", ttl),
    ("webhook", webhook),
];

/// What a scan must find wherever it stands.
const TOKEN: &str = concat!("dop_", "v1_", "4f81c9e07ab25d364f81c9e07ab25d364f81c9e07ab25d364f81c9e07ab25d36");

/// What must not be repeated in an error.
const CANARY: &str = "tlk_canary";

/// No accepted path can leave its place, and every encoding of it is the same path.
pub fn path(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(path) = Path::from_encoded(text) else { return };
    let canonical = path.as_str();
    assert!(canonical.len() <= MAX_PATH_BYTES && path.segments().count() <= MAX_SEGMENTS);
    assert!(!canonical.starts_with('/') && !canonical.ends_with('/'));
    assert!(path.segments().all(|segment| !matches!(segment, "" | "." | "..")));
    assert!(!canonical.chars().any(char::is_control));
    assert_eq!(path.segments().collect::<Vec<_>>().join("/"), canonical);
    let again = Path::parse(canonical).expect("a canonical text is a path");
    assert_eq!(again.as_str(), canonical);
    let encoded = utf8_percent_encode(canonical, NON_ALPHANUMERIC).to_string();
    if encoded.len() <= MAX_PATH_BYTES {
        assert_eq!(Path::from_encoded(&encoded).expect("encoding changes nothing").as_str(), canonical);
    }
}

/// First line: a path; then a policy. Deny wins wherever it is added, the order of policies and the path's encoding make
/// no difference, and `capabilities` names all that is granted.
pub fn policy(input: &[u8]) {
    let Some((path, text)) = std::str::from_utf8(input).ok().and_then(|text| text.split_once('\n')) else { return };
    let written = match Policy::parse("written", text) {
        Ok(policy) => Arc::new(policy),
        Err(error) => return silent(text, &error.to_string()),
    };
    let Ok(path) = Path::from_encoded(path) else { return };
    let acl = Acl::new(std::slice::from_ref(&written), &TemplateValues::default());
    let twice = Path::from_encoded(&utf8_percent_encode(path.as_str(), NON_ALPHANUMERIC).to_string());
    let named = acl.capabilities(&path, None);
    for operation in Capability::ALL {
        let ask = |acl: &Acl, path: &Path| {
            let question = Question { path, operation, parameters: &[], wrap_ttl: None };
            let verdict = acl.evaluate(&question);
            let pattern = match verdict.reason {
                Reason::Granted(rule) => Some(rule.pattern.to_owned()),
                _ => None,
            };
            (verdict.allowed, pattern)
        };
        let (allowed, pattern) = ask(&acl, &path);
        if let Ok(twice) = &twice {
            assert_eq!(ask(&acl, twice).0, allowed, "an encoding changed the verdict");
        }
        assert!(!(allowed && operation == Capability::Deny), "deny is no grant");
        assert!(!allowed || named.contains(&operation.as_str()), "a grant is not named");
        assert!(!allowed || acl.reaches(&path), "a grant is not reached");
        let Some(pattern) = pattern else { continue };
        let denial = serde_json::json!({"path": {pattern: {"capabilities": ["deny", "read", "list"]}}}).to_string();
        let denial = Arc::new(Policy::parse("denial", &denial).expect("a rule's pattern is a pattern"));
        for both in [[written.clone(), denial.clone()], [denial, written.clone()]] {
            assert!(!ask(&Acl::new(&both, &TemplateValues::default()), &path).0, "deny did not win");
        }
    }
}

/// Accepted fields are valid JSON, slice by slice, each name once, and mean the same when they are put together again.
pub fn fields(input: &[u8]) {
    let fields = match Fields::parse(Protected::copy_of(input)) {
        Ok(fields) => fields,
        Err(error) => return silent(&String::from_utf8_lossy(input), &error.to_string()),
    };
    let mut object = String::from("{");
    for (name, raw) in fields.iter() {
        assert_eq!(fields.raw(name), Some(raw), "a name stands twice");
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(raw).is_ok(), "a field is no JSON");
        let comma = if object.len() > 1 { "," } else { "" };
        object.push_str(&format!("{comma}{}:{raw}", serde_json::Value::from(name)));
    }
    object.push('}');
    let again = Fields::parse(Protected::from(object)).unwrap_or_else(|error| panic!("put together again: {error}"));
    assert!(again.iter().eq(fields.iter()));
    for name in ["a", "data", "ttl"] {
        let errors = [
            fields.protected(name).err(),
            fields.duration(name).err(),
            fields.number(name).err(),
            fields.flag(name).err(),
            fields.list(name).err(),
            fields.map(name).err(),
        ];
        for error in errors.into_iter().flatten() {
            silent(&String::from_utf8_lossy(input), &error.to_string());
        }
    }
}

/// What is read is no deeper than promised, and an error names a line of the text.
pub fn stanza(input: &[u8]) {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Text(_) | Value::Number(_) | Value::Bool(_) => 0,
            Value::List(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.iter().map(|field| depth(&field.value)).max().unwrap_or(0),
        }
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = text.matches('\n').count() + 1;
    match stanza::read(text) {
        Ok(fields) => {
            for field in fields {
                assert!((1..=lines).contains(&field.line));
                assert!(depth(&field.value) <= stanza::MAX_DEPTH);
            }
        }
        Err(error) => silent(text, &error.to_string()),
    }
}

/// A policy that is accepted makes passwords of its length, or says that it cannot.
pub fn password_policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let policy = match PasswordPolicy::parse(text) {
        Ok(policy) => policy,
        Err(error) => return silent(text, &error.to_string()),
    };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            // xorshift64: even enough to meet rules that can be met.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[3];
        }
    };
    if let Ok(password) = policy.generate(&mut random) {
        let characters = password.expose_str().expect("a password is text").chars().count();
        assert!((4..=512).contains(&characters));
    }
}

/// Lines: expression, zone, now in seconds, then blackouts as `FROM,TO`. The next time lies ahead, and what was due is
/// what was next.
pub fn schedule(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.lines();
    let (expression, zone) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(schedule) = Schedule::parse(expression, zone) else { return };
    let seconds = lines.next().and_then(|line| line.parse::<u32>().ok()).unwrap_or(1_700_000_000);
    let Some(now) = DateTime::<Utc>::from_timestamp(i64::from(seconds), 0) else { return };
    let blackouts: Vec<_> = lines.filter_map(|line| line.split_once(',')).take(8).collect();
    let schedule = schedule.clone().with_blackouts(&blackouts).unwrap_or(schedule);
    let schedule = schedule.with_jitter(Duration::from_secs(60), u64::from(seconds));
    let Some(next) = schedule.next_after(now) else { return };
    assert!(next > now, "the next time lies behind");
    let Some(due) = schedule.last_due(now, next) else { panic!("what is next is never due") };
    assert_eq!(due, next);
    if let Some(earlier) = schedule.next_after(now - TimeDelta::days(1)) {
        assert!(earlier <= next, "the next time moved back");
    }
}

/// An accepted duration is bounded and survives being written.
pub fn ttl(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(duration) = ttl::parse(text) else { return };
    assert!(duration <= ttl::MAX);
    let again = ttl::parse(&ttl::format(duration)).expect("what is written can be read");
    assert_eq!(again.as_secs(), duration.as_secs());
}

/// Only what was put together as a token is one.
pub fn token(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for kind in [TokenKind::Service, TokenKind::Batch, TokenKind::Wrapping] {
        if let Some(body) = token::body(kind, text) {
            assert_eq!(TokenKind::of(text), Some(kind));
            assert!(token::assemble(kind, body).same_as(input));
        }
        let made = token::assemble(kind, text);
        assert_eq!(token::body(kind, made.expose_str().expect("a token is text")), Some(text));
    }
    if let Some(drawn) = token::mint(TokenKind::Service, input) {
        assert!(token::body(TokenKind::Service, drawn.expose_str().expect("a token is text")).is_some());
    }
}

/// A reference that is accepted is written so that it is read as the same one.
pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Reference::parse_short(text) {
        Ok(reference) => {
            let written = reference.to_string();
            assert_eq!(written.parse::<Reference>().as_ref(), Ok(&reference), "{written}");
            assert!(!written.chars().any(char::is_control));
        }
        Err(error) => silent(text, &error.to_string()),
    }
    if let Err(error) = turnlock_agent::env_file::parse(input) {
        silent(text, &error.to_string());
    }
}

/// Two bytes for a place; then lines that become records. A sound chain is proved, one changed bit of it is noticed, and
/// the bytes themselves, taken for a chain, do no harm.
pub fn audit_verify(input: &[u8]) {
    let _ = audit::verify(vec![input], Some(&[7; 32]));
    let Some((place, rest)) = input.split_first_chunk::<2>() else { return };
    let mut chain = Chain::default();
    let mut file = Vec::new();
    chain.append(Kind::Header, br#"{"format":1}"#, &mut file);
    for line in rest.split(|byte| *byte == b'\n').take(64) {
        let record = serde_json::json!({"text": String::from_utf8_lossy(line)}).to_string();
        chain.append(Kind::Answer, record.as_bytes(), &mut file);
    }
    let sound = audit::verify(vec![file.as_slice()], None).unwrap_or_else(|flaw| panic!("a sound chain: {flaw}"));
    assert_eq!((sound.records, sound.last_seq, sound.torn), (chain.seq, chain.seq, false));
    let place = u16::from_le_bytes(*place);
    let (at, bit) = (usize::from(place) % file.len(), place >> 13);
    file[at] ^= 1 << bit;
    // Without its line feed, the last line is one that a crash cut off.
    if let Ok(proof) = audit::verify(vec![file.as_slice()], None) {
        assert!(proof.torn && at == file.len() - 1, "a change was not noticed");
    }
}

/// A scan reports places within the text, valid JSON, and nothing that steers a terminal.
pub fn scan(input: &[u8]) {
    let report = scanner().scan_bytes("input", input);
    let mut json = Vec::new();
    write_json(&report, Redaction::percent(0), &mut json).expect("writing to memory");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("a report is JSON");
    assert_eq!(rows.len(), report.findings.len());
    let mut text = Vec::new();
    write_text(&report, Redaction::percent(0), false, &mut text).expect("writing to memory");
    let text = String::from_utf8(text).expect("a report is text");
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
}

/// A configuration is refused in one line or makes a scan whose findings lie within the text; extending itself ends.
pub fn scan_config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let itself = |_: &str| Ok(text.to_owned());
    let config = match Config::parse(text, "input", &itself) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    let mut options = Options::usual();
    options.rules.truncate(4);
    options.config = config;
    let scanner = match Scanner::new(options) {
        Ok(scanner) => scanner,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    let scanned = b"first line\nkey = \"4f81c9e07ab25d36\" TOK_abc\n\n\xff end";
    let report = scanner.scan_bytes("input", scanned);
    for finding in &report.findings {
        assert!(finding.place.start_line <= finding.place.end_line && finding.place.end_line <= 5);
    }
    let mut json = Vec::new();
    write_json(&report, Redaction::FULL, &mut json).expect("writing to memory");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("a report is JSON");
    assert_eq!(rows.len(), report.findings.len());
}

/// Ignore files are read in any shape; a baseline is refused or read. What they name is all that they take away.
pub fn scan_ignores(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut options = Options::usual();
    options.rules.truncate(4);
    let mut ignore = IgnoreList::default();
    ignore.add(".turnlockignore", &text);
    ignore.add(".gitleaksignore", &text);
    options.ignore = ignore;
    options.baseline = Baseline::parse(input).unwrap_or_default();
    let scanner = Scanner::new(options).expect("the keywords are sound");
    let report = scanner.scan_bytes("input", b"nothing to find");
    assert!(report.findings.is_empty() && report.unused_ignores.len() <= 2 * text.lines().count());
}

/// Whatever bytes are taken for an archive, what lies in it is found or named, soon and in little memory: the scan ends
/// with a report of bounded size.
pub fn archive(input: &[u8]) {
    let report = scanner().scan_bytes("input", input);
    assert!(report.coverage.archives <= 1);
    for finding in &report.findings {
        assert!(finding.place.file.starts_with("input"), "a finding is nowhere");
    }
    assert!(report.coverage.omissions.iter().all(|omission| omission.what.starts_with("input")));
}

/// Whatever pages a database or its log has, they are an answer, no longer than its size allows, and a scan of it ends. Also taken
/// for a log in front of its database.
pub fn sqlite(input: &[u8]) {
    let (log, database) = input.split_at(input.len() / 2);
    for (bytes, database) in [(input, &[][..]), (log, database)] {
        if let Some(rows) = tables::rows(bytes, database) {
            let most = (bytes.len() + database.len()) * tables::RATIO + tables::FLOOR_BYTES;
            assert!(rows.text.len() <= most, "more than one of its size has");
        }
    }
    let report = scanner().scan_bytes("input", input);
    assert!(report.findings.iter().all(|finding| finding.place.file.starts_with("input")), "a finding is nowhere");
}

/// Whatever else is in a pack, and however damaged, a sound object is looked at.
pub fn objects(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut pack = pack::Pack::default();
    pack.push_blob(format!("token = {TOKEN}\n").as_bytes());
    pack.push_all(input);
    pack.write(folder.path()).expect("writing to the temporary folder");
    let report = scanner().scan_history(folder.path()).expect("a repository can be opened");
    assert!(
        report.findings.iter().any(|finding| finding.secret.same_as(TOKEN.as_bytes())),
        "a sound object was passed over"
    );
}

/// What is found in other notations stands within the text, and a notation more around it hides nothing.
pub fn decode(input: &[u8]) {
    let report = scanner().scan_bytes("input", input);
    let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
    for finding in &report.findings {
        assert!(finding.place.file != "input" || finding.place.end_line as usize <= lines.max(1));
        assert!(finding.place.start_line <= finding.place.end_line);
    }
    let mut hidden = input.get(..input.len().min(64)).unwrap_or_default().to_vec();
    hidden.retain(|byte| byte.is_ascii_alphabetic() || *byte == b' ');
    hidden.extend_from_slice(b"\n");
    match input.first().map_or(0, |byte| byte % 4) {
        0 => hidden.extend(TOKEN.bytes().flat_map(|byte| format!("%{byte:02x}").into_bytes())),
        1 => hidden.extend(TOKEN.bytes().flat_map(|byte| format!("\\u{byte:04x}").into_bytes())),
        2 => hidden.extend(TOKEN.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes())),
        _ => hidden.extend(TOKEN.bytes().flat_map(|byte| format!("\\x{byte:02x}").into_bytes())),
    }
    let found = scanner().scan_bytes("input", &hidden);
    assert!(found.findings.iter().any(|finding| finding.secret.same_as(TOKEN.as_bytes())), "a token is hidden");
}

/// Made once: making it costs more than a scan.
fn scanner() -> &'static Scanner {
    static SCANNER: OnceLock<Scanner> = OnceLock::new();
    SCANNER.get_or_init(|| {
        let options = Options::usual();
        Scanner::new(options).expect("the keywords are sound")
    })
}

/// The records of a snapshot, without its trailer. With a digest that fits, any bytes are refused or verified, never
/// opened with a wrong key.
pub fn snapshot(input: &[u8]) {
    let clock = ManualClock::at(DateTime::UNIX_EPOCH);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut bytes = input.to_vec();
    bytes.extend(digest::digest(&digest::SHA256, input).as_ref());
    bytes.extend([0; 32]);
    runtime.block_on(async {
        let plain = turnlock::snapshot::verify(&bytes, None, clock.clone()).await;
        let opened = turnlock::snapshot::verify(&bytes, Some(&[7; 32]), clock.clone()).await;
        assert!(opened.is_err(), "a forged snapshot was opened");
        if let Ok(verified) = plain {
            assert_eq!(verified.opened, 0);
            bytes[0] ^= 1;
            assert!(turnlock::snapshot::verify(&bytes, None, clock).await.is_err(), "damage was not noticed");
        }
    });
}

/// First line: a header; then a body. No header but the signature is believed, and the signature is.
pub fn webhook(input: &[u8]) {
    const NOW: i64 = 1_700_000_000;
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, body) = input.split_at(end);
    let (header, key, tolerance) = (String::from_utf8_lossy(header), b"made-up key", Duration::from_secs(300));
    assert!(!webhook::verify(key, &header, body, NOW, tolerance), "a made-up signature was believed");
    let signed = webhook::sign(key, NOW, body);
    assert!(webhook::verify(key, &signed, body, NOW + 300, tolerance));
    assert!(!webhook::verify(key, &signed, body, NOW + 301, tolerance), "an old message was believed");
    assert!(!webhook::verify(b"another key", &signed, body, NOW, tolerance));
}

/// First line: a secret; then output that is masked. However the output is cut into writes, the result is the same, and
/// the secret is not in it.
pub fn mask(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (secret, output) = input.split_at(end);
    let Ok(patterns) = Patterns::new([&Protected::copy_of(secret)]) else { return };
    if patterns.unmasked() > 0 {
        return;
    }
    let masked = |size: usize| {
        let (mut masker, mut shown) = (Masker::new(&patterns), Vec::new());
        for chunk in output.chunks(size) {
            masker.write(chunk, &mut shown);
        }
        masker.finish(&mut shown);
        shown
    };
    let whole = masked(output.len().max(1));
    assert_eq!(whole, masked(1), "the writes' sizes changed the result");
    assert_eq!(whole, masked(7), "the writes' sizes changed the result");
    // What is left together by a mask is not a secret that was there.
    let between = whole.split(|byte| MASK.contains(byte));
    if !secret.iter().any(|byte| MASK.contains(byte)) {
        for part in between {
            assert!(!part.windows(secret.len()).any(|window| window == secret), "a secret is shown");
        }
    }
}

/// An error does not repeat its input.
fn silent(input: &str, error: &str) {
    assert!(!input.contains(CANARY) || !error.contains(CANARY), "an error repeats its input");
}
