//! Checks a chain offline, file by file, and names the first record that does not belong where it stands.

use std::io::{self, BufRead, Read as _};

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

use super::{HASH_MEMBER, SUFFIX_BYTES, link};

/// Longest line that is read; a longer one is no record.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// What a sound chain proves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Lines of all kinds.
    pub records: u64,
    /// Position of the first line; greater than 1 when older files were not given.
    pub first_seq: u64,
    /// Position of the last line.
    pub last_seq: u64,
    /// Signatures that were checked.
    pub checkpoints: u64,
    /// Lines behind the last checkpoint: bound by hashes only, so that whoever can write the file can rewrite them.
    pub unsigned: u64,
    /// Whether the last line is incomplete, as a crash leaves it.
    pub torn: bool,
    /// What the server itself noticed of its files and wrote down; of very many only the first.
    pub notices: Vec<Notice>,
}

/// Something that the server noticed of its audit files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Position of the record that says it.
    pub seq: u64,
    /// What happened.
    pub event: String,
    /// Position of the last record that had been written, if records before this one are missing.
    pub known: Option<u64>,
}

/// Notices that are kept.
const MAX_NOTICES: usize = 100;

/// The first thing wrong with a chain.
#[derive(Debug, thiserror::Error)]
#[error("file {file}, line {line}: {kind}")]
pub struct Flaw {
    /// Which reader, from 1.
    pub file: usize,
    /// Which line of it, from 1.
    pub line: u64,
    /// What is wrong.
    pub kind: FlawKind,
}

/// What is wrong with a chain.
#[derive(Debug, thiserror::Error)]
pub enum FlawKind {
    /// A line that was not written there.
    #[error("a record was added behind record {0}")]
    Added(u64),
    /// The line is not what was written.
    #[error("record {0} was changed")]
    Changed(u64),
    /// The line stands elsewhere.
    #[error("record {0} was moved")]
    Moved(u64),
    /// The line is gone.
    #[error("record {0} was removed")]
    Removed(u64),
    /// The signature does not hold: lines between the last good checkpoint and this one were written anew.
    #[error("the signature of checkpoint {checkpoint} does not hold: records behind {after} were rewritten")]
    Rewritten {
        /// Position of the checkpoint.
        checkpoint: u64,
        /// Position of the last good one, or of the record before the first line.
        after: u64,
    },
    /// No line of the file is a record: it is not one of an audit, or nothing of it is left as it was.
    #[error(
        "this is no audit file: no line of it is a record, as in {{\"seq\":1,\"kind\":\"header\",…,\"hash\":\"…\"}} with a chain's \
         hash at its end"
    )]
    Foreign,
    /// The file could not be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
}

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    pub(super) seq: u64,
    kind: &'a str,
    #[serde(default)]
    signature: Option<&'a str>,
    #[serde(default)]
    previous: Option<&'a str>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    known: Option<u64>,
}

/// One line and where it stands.
struct Line {
    file: usize,
    number: u64,
    text: Vec<u8>,
    whole: bool,
}

/// Checks the files of a chain in their order, oldest first.
///
/// `public_key`: the 32 bytes that `sys/audit` shows; without it checkpoints are counted as unsigned.
/// Errors: the first [`Flaw`]. An incomplete last line is no flaw at the very end of the last file.
pub fn verify<R: BufRead>(files: Vec<R>, public_key: Option<&[u8]>) -> Result<Proof, Flaw> {
    let mut lines = Lines { files, file: 0, number: 0 };
    let mut proof = Proof::default();
    let mut state: Option<(u64, [u8; 32])> = None;
    let mut pending = lines.next()?;
    while let Some(line) = pending.take() {
        pending = lines.next()?;
        if !line.whole && pending.is_none() {
            proof.torn = true;
            break;
        }
        let flaw = |kind| Flaw { file: line.file, line: line.number, kind };
        let parsed = parts(&line.text);
        let (seq, hash) = match state {
            Some(state) => state,
            None => match &parsed {
                // The header of the first file says what it follows.
                Some((head, _)) if head.kind == "header" && head.seq > 0 => {
                    (head.seq - 1, head.previous.and_then(decode_hash).unwrap_or_default())
                }
                _ => (0, [0; 32]),
            },
        };
        let sound = parsed.as_ref().filter(|(head, stated)| head.seq == seq + 1 && fits(&hash, &line.text, stated));
        let Some((head, stated)) = sound else {
            let found = parsed.map(|(head, _)| head.seq);
            let foreign = (found.is_none() && line.number == 1).then_some(line.file);
            return Err(flaw(name(found, foreign, (seq, &hash), pending, &mut lines)?));
        };
        if proof.records == 0 {
            proof.first_seq = seq + 1;
        }
        proof.records += 1;
        proof.last_seq = seq + 1;
        proof.unsigned += 1;
        if let (true, Some(public_key)) = (head.kind == "checkpoint", public_key) {
            let signature = head.signature.and_then(|text| hex::decode(text).ok()).unwrap_or_default();
            let message = super::Chain { seq, hash }.checkpoint_message();
            if UnparsedPublicKey::new(&ED25519, public_key).verify(&message, &signature).is_err() {
                let after = seq + 1 - proof.unsigned;
                return Err(flaw(FlawKind::Rewritten { checkpoint: seq + 1, after }));
            }
            proof.checkpoints += 1;
            proof.unsigned = 0;
        }
        if head.kind == "notice" && proof.notices.len() < MAX_NOTICES {
            let event = head.event.clone().unwrap_or_default();
            proof.notices.push(Notice { seq: seq + 1, event, known: head.known });
        }
        state = Some((seq + 1, *stated));
    }
    Ok(proof)
}

/// Says what happened where the line behind the record at `seq` with `hash` does not fit. `found`: the position that the line
/// states; `foreign`: the file that it begins, if it is no record.
fn name<R: BufRead>(
    found: Option<u64>,
    foreign: Option<usize>,
    (seq, hash): (u64, &[u8; 32]),
    next: Option<Line>,
    rest: &mut Lines<R>,
) -> Result<FlawKind, Flaw> {
    let wanted = seq + 1;
    if found.is_some_and(|found| found < wanted) {
        return Ok(FlawKind::Added(seq));
    }
    // The true successor, if it stands further down: then this line was put in between, or the two changed places.
    let mut current = next;
    let mut distance = 0;
    let mut foreign = foreign;
    while let Some(line) = current {
        let parsed = parts(&line.text);
        if let Some(file) = foreign {
            if line.file != file {
                return Ok(FlawKind::Foreign);
            }
            foreign = parsed.is_none().then_some(file);
        }
        let successor = parsed.is_some_and(|(head, stated)| head.seq == wanted && fits(hash, &line.text, &stated));
        if successor {
            // A stranger between two neighbours was added; one of the chain's own that comes too early pushed it back.
            let added = distance == 0 && found.is_none_or(|found| found == wanted);
            return Ok(if added { FlawKind::Added(seq) } else { FlawKind::Moved(wanted) });
        }
        distance += 1;
        current = rest.next()?;
    }
    Ok(match found {
        None if foreign.is_some() => FlawKind::Foreign,
        Some(found) if found > wanted => FlawKind::Removed(wanted),
        _ => FlawKind::Changed(wanted),
    })
}

/// The members of a well-formed line that the proof needs, and the hash that it states.
pub(super) fn parts(line: &[u8]) -> Option<(Head<'_>, [u8; 32])> {
    let split = line.len().checked_sub(SUFFIX_BYTES)?;
    let digits = line.get(split..)?.strip_prefix(HASH_MEMBER)?.strip_suffix(b"\"}")?;
    let hash = decode_hash(std::str::from_utf8(digits).ok()?)?;
    Some((serde_json::from_slice(line).ok()?, hash))
}

fn decode_hash(text: &str) -> Option<[u8; 32]> {
    // Upper-case digits would be a second spelling of one line.
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode(text).ok()?.try_into().ok()
}

fn fits(before: &[u8; 32], line: &[u8], stated: &[u8; 32]) -> bool {
    line.len()
        .checked_sub(SUFFIX_BYTES)
        .and_then(|end| line.get(..end))
        .is_some_and(|body| link(before, body) == *stated)
}

struct Lines<R> {
    files: Vec<R>,
    file: usize,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line>, Flaw> {
        while let Some(reader) = self.files.get_mut(self.file) {
            let mut text = Vec::new();
            let read = reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut text);
            let unreadable =
                |error| Flaw { file: self.file + 1, line: self.number + 1, kind: FlawKind::Unreadable(error) };
            if read.map_err(unreadable)? == 0 {
                self.file += 1;
                self.number = 0;
                continue;
            }
            self.number += 1;
            let whole = text.pop_if(|last| *last == b'\n').is_some();
            return Ok(Some(Line { file: self.file + 1, number: self.number, text, whole }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use proptest::prelude::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::super::{Chain, Kind};
    use super::{Flaw, FlawKind, Proof, verify};

    fn signer() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn checkpoint(chain: &mut Chain, out: &mut Vec<u8>) {
        let signature = hex::encode(signer().sign(&chain.checkpoint_message()));
        chain.append(Kind::Checkpoint, format!("{{\"signature\":\"{signature}\"}}").as_bytes(), out);
    }

    fn chain_of(lines: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::default();
        let mut out = Vec::new();
        chain.append(Kind::Header, b"{\"format\":1}", &mut out);
        for number in 1..lines.saturating_sub(1) {
            chain.append(Kind::Answer, format!("{{\"path\":\"secret/{number}\"}}").as_bytes(), &mut out);
        }
        checkpoint(&mut chain, &mut out);
        split(&out)
    }

    fn split(text: &[u8]) -> Vec<Vec<u8>> {
        text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn check(files: &[Vec<Vec<u8>>]) -> Result<Proof, Flaw> {
        let texts: Vec<Vec<u8>> = files.iter().map(|lines| lines.concat()).collect();
        verify(texts.iter().map(Vec::as_slice).collect(), Some(signer().public_key().as_ref()))
    }

    fn flaw(lines: &[Vec<u8>]) -> FlawKind {
        check(&[lines.to_vec()]).unwrap_err().kind
    }

    #[test]
    fn a_sound_chain_is_proved_across_files_and_from_any_header_on() {
        let mut lines = chain_of(10);
        let mut chain = Chain::after(lines[9].trim_ascii_end()).unwrap();
        let mut out = Vec::new();
        let header = format!("{{\"previous\":\"{}\"}}", hex::encode(chain.hash));
        chain.append(Kind::Header, header.as_bytes(), &mut out);
        chain.append(Kind::Answer, b"{\"path\":\"a\"}", &mut out);
        let second = split(&out);
        let proof = check(&[lines.clone(), second.clone()]).unwrap();
        assert_eq!((proof.records, proof.first_seq, proof.checkpoints, proof.unsigned), (12, 1, 1, 2));
        assert_eq!(check(std::slice::from_ref(&second)).unwrap().first_seq, 11);
        lines.pop();
        assert!(matches!(check(&[lines, second]).unwrap_err().kind, FlawKind::Removed(10)));
    }

    #[test]
    fn a_file_without_a_single_record_is_told_from_one_that_was_edited() {
        let mut lines = chain_of(6);
        let stranger = vec![b"root:x:0:0\n".to_vec(), b"{\"type\":\"request\"}\n".to_vec()];
        let second = lines.split_off(3);
        for (files, at) in [
            (vec![stranger.clone()], 1),
            (vec![lines.clone(), stranger.clone()], 2),
            (vec![lines.clone(), stranger.clone(), second.clone()], 2),
        ] {
            let flaw = check(&files).unwrap_err();
            assert!(matches!(flaw.kind, FlawKind::Foreign), "{flaw}");
            assert_eq!((flaw.file, flaw.line), (at, 1));
        }
        lines[0] = stranger[0].clone();
        assert!(matches!(flaw(&lines), FlawKind::Changed(1)));
    }

    #[test]
    fn a_torn_line_is_tolerated_at_the_very_end_only() {
        let mut lines = chain_of(6);
        let last = lines.last_mut().unwrap();
        last.truncate(last.len() / 2);
        assert!(check(&[lines.clone()]).unwrap().torn);
        lines.push(b"\n".to_vec());
        assert!(check(&[lines]).is_err());
    }

    #[test]
    fn a_chain_rewritten_without_the_key_breaks_at_the_checkpoint() {
        let original = chain_of(6);
        let mut chain = Chain::default();
        let mut out = Vec::new();
        chain.append(Kind::Header, b"{\"format\":1}", &mut out);
        for _ in 1..5 {
            chain.append(Kind::Answer, b"{\"path\":\"forged\"}", &mut out);
        }
        let signature = String::from_utf8(original[5].clone()).unwrap();
        let signature = signature.split("\"signature\":\"").nth(1).unwrap().split('"').next().unwrap();
        chain.append(Kind::Checkpoint, format!("{{\"signature\":\"{signature}\"}}").as_bytes(), &mut out);
        assert!(matches!(flaw(&split(&out)), FlawKind::Rewritten { checkpoint: 6, after: 0 }));
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_named_at_its_record(lines in 4usize..12, at in 0usize..10_000, flip in 1u8..128) {
            let mut lines = chain_of(lines);
            let index = at % (lines.len() - 1);
            let byte = at % (lines[index].len() - 1);
            lines[index][byte] ^= flip;
            prop_assume!(lines[index][byte] != b'\n');
            let kind = flaw(&lines);
            // A changed position reads as the absence of the right one.
            let named = match kind {
                FlawKind::Changed(seq) | FlawKind::Removed(seq) => seq as usize,
                FlawKind::Added(after) => after as usize + 1,
                other => panic!("{other}"),
            };
            prop_assert_eq!(named, index + 1);
        }

        #[test]
        fn a_removed_record_is_named(lines in 4usize..12, at in 0usize..100) {
            let mut lines = chain_of(lines);
            let index = at % (lines.len() - 1);
            lines.remove(index);
            let expected = index as u64 + 1;
            let named = matches!(flaw(&lines), FlawKind::Removed(seq) if seq == expected);
            prop_assert!(named);
        }

        #[test]
        fn swapped_records_are_named(lines in 4usize..12, first in 0usize..100, second in 0usize..100) {
            let mut lines = chain_of(lines);
            let (first, second) = (first % lines.len(), second % lines.len());
            prop_assume!(first != second);
            lines.swap(first, second);
            let expected = first.min(second) as u64 + 1;
            let named = matches!(flaw(&lines), FlawKind::Moved(seq) if seq == expected);
            prop_assert!(named);
        }

        #[test]
        fn an_inserted_record_is_named(lines in 4usize..12, at in 0usize..100, copy in 0usize..100, junk in any::<bool>()) {
            let mut lines = chain_of(lines);
            let index = 1 + at % (lines.len() - 1);
            let copy = copy % index;
            let line = if junk { b"{\"path\":\"forged\"}\n".to_vec() } else { lines[copy].clone() };
            lines.insert(index, line);
            let named = matches!(flaw(&lines), FlawKind::Added(after) if after == index as u64);
            prop_assert!(named);
        }

        #[test]
        fn any_bytes_are_answered_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = verify(vec![text.as_slice()], Some(&[0; 32]));
        }
    }
}
