//! The repository that the scanner is measured on: 12,000 commits over hundreds of source-like files with many
//! versions each, some 4 GB of blobs, packed as git packs. Made once, kept under `target/`.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILES: usize = 640;
const COMMITS: usize = 12_000;
const EDITS: usize = 5;

/// Every so many commits somebody commits a credential.
const LEAK: usize = 400;

/// Every so many commits a side branch is merged.
const MERGE: usize = 60;

/// A generator of numbers that gives the same ones in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    /// Small numbers often, large ones seldom.
    fn skewed(&mut self, limit: usize) -> usize {
        let (a, b) = (self.below(limit), self.below(limit));
        a * b / limit
    }
}

/// Words that code is made of, some of which the rules look for.
const WORDS: &str = "get set add remove list create update delete index count value name path file line user group role \
    policy region bucket object client server request response header body status error result config option default \
    parse format encode decode read write open close start stop run test check assert expect equal match find filter \
    map reduce sort merge split join trim length size offset limit page token key secret access auth session cache \
    queue topic event message handler listener stream buffer chunk block node tree graph edge parent child root leaf \
    table column row field record schema query insert select where order instance cluster network subnet gateway route \
    address port host domain zone certificate version release branch commit tag hash digest sign verify encrypt worker \
    thread task job schedule retry timeout deadline context scope span trace metric counter gauge report summary detail";

/// Text that looks like source code.
pub(crate) struct Author {
    words: Vec<String>,
}

impl Author {
    pub(crate) fn new(numbers: &mut Numbers) -> Self {
        let base: Vec<&str> = WORDS.split_whitespace().collect();
        let pick = |numbers: &mut Numbers| base[numbers.below(base.len())];
        let words = (0..6000).map(|_| format!("{}_{}{}", pick(numbers), pick(numbers), numbers.below(40))).collect();
        Self { words }
    }

    fn word(&self, numbers: &mut Numbers) -> &str {
        &self.words[numbers.skewed(self.words.len())]
    }

    pub(crate) fn line(&self, numbers: &mut Numbers) -> String {
        let indent = " ".repeat(4 * numbers.below(4));
        let (a, b, c) = (self.word(numbers), self.word(numbers), self.word(numbers));
        let number = numbers.below(100_000);
        match numbers.below(16) {
            0 | 1 => String::new(),
            2 => format!("{indent}def test_{a}_{b}(self, {c}):"),
            3 => format!("{indent}{a} = {b}.{c}({number})"),
            4 => format!("{indent}assert {a}[\"{b}\"] == \"{c}-{number}\""),
            5 => format!("{indent}\"{a}\": \"{b}\","),
            6 => format!("{indent}# {a} the {b} before {c} is {number}"),
            7 => format!("{indent}if {a}.{b} and not {c}:"),
            8 => format!("{indent}for {a} in {b}.{c}():"),
            9 => format!("{indent}return {a}({b}={c}, limit={number})"),
            10 => format!("{indent}raise {a}(f\"{{{b}}} has no {c}\")"),
            11 => format!("{indent}\"arn:aws:iam::{number:012}:{a}/{b}\","),
            12 => format!("{indent}client.{a}(Name=\"{b}\", Value={{\"{c}\": {number}}})"),
            13 => format!("{indent}{a}: {b}"),
            14 => format!("{indent}}})"),
            _ => format!("{indent}{a}.{b}.should.equal(\"{c}-{}\")", number * 7919),
        }
    }

    pub(crate) fn lines(&self, numbers: &mut Numbers, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line(numbers)).collect()
    }
}

/// A made-up token, different for every number.
fn leak(number: usize) -> String {
    format!("TOKEN = \"dop_{}{}{number:06x}\"", "v1_", &"4f81c9e07ab25d36".repeat(4)[..58])
}

/// The repository, made now if it is not there yet. Every commit has a line in a file of its own as well.
pub(crate) fn history(folder: &Path) -> PathBuf {
    let path = folder.join("history.git");
    if path.join("made").exists() {
        return path;
    }
    println!("making a repository of {COMMITS} commits in {} (takes minutes, once)", path.display());
    let _ = std::fs::remove_dir_all(&path);
    git(Path::new("."), &["init", "-q", "--bare", "-b", "main", path.to_str().unwrap()]);
    import(&path);
    git(&path, &["repack", "-adfq", "--depth=50", "--window=5"]);
    std::fs::write(path.join("made"), b"").unwrap();
    path
}

/// Adds `count` commits of the same kind on top.
pub(crate) fn grow(path: &Path, count: usize) {
    let mut numbers = Numbers::new(count as u64 + 77);
    let author = Author::new(&mut numbers);
    let mut importer = Importer::start(path);
    for commit in 0..count {
        let mark = commit + 1;
        let from = if commit == 0 { "refs/heads/main^0".to_owned() } else { format!(":{commit}") };
        let text = author.lines(&mut numbers, 400).join("\n");
        importer.commit(mark, COMMITS + commit, &from, None, &[(format!("grown/file{}.py", commit % 3), text)]);
    }
    importer.finish();
}

struct Importer {
    child: std::process::Child,
    to: BufWriter<std::process::ChildStdin>,
}

impl Importer {
    fn start(path: &Path) -> Self {
        let mut child = Command::new("git")
            .args(["fast-import", "--quiet", "--force", "--depth=50"])
            .current_dir(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let to = BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
        Self { child, to }
    }

    fn commit(&mut self, mark: usize, number: usize, from: &str, merge: Option<usize>, files: &[(String, String)]) {
        let at = 1_600_000_000 + number * 3600;
        let message = format!("change number {number}");
        writeln!(self.to, "commit refs/heads/main\nmark :{mark}\nauthor Ada <ada@host.test> {at} +0000").unwrap();
        writeln!(self.to, "committer Ada <ada@host.test> {at} +0000\ndata {}\n{message}", message.len()).unwrap();
        if !from.is_empty() {
            writeln!(self.to, "from {from}").unwrap();
        }
        if let Some(side) = merge {
            writeln!(self.to, "merge :{side}").unwrap();
        }
        for (name, text) in files {
            writeln!(self.to, "M 100644 inline {name}\ndata {}", text.len()).unwrap();
            self.to.write_all(text.as_bytes()).unwrap();
            writeln!(self.to).unwrap();
        }
    }

    fn finish(mut self) {
        writeln!(self.to, "done").unwrap();
        self.to.flush().unwrap();
        drop(self.to);
        assert!(self.child.wait().unwrap().success(), "git fast-import failed");
    }
}

fn import(path: &Path) {
    let mut numbers = Numbers::new(20_260_101);
    let author = Author::new(&mut numbers);
    let mut files: Vec<(String, Vec<String>)> = (0..FILES)
        .map(|number| {
            let name = format!("package{}/module{}/file{number}.py", number % 8, number % 40);
            let lines = 60 + numbers.skewed(5600);
            (name, author.lines(&mut numbers, lines))
        })
        .collect();
    let mut importer = Importer::start(path);
    let all: Vec<(String, String)> = files.iter().map(|(name, lines)| (name.clone(), lines.join("\n"))).collect();
    importer.commit(1, 0, "", None, &all);
    drop(all);
    let mut mark = 1;
    for number in 1..COMMITS {
        let mut changed = Vec::new();
        for edit in 0..EDITS {
            let file = numbers.skewed(FILES);
            let (name, lines) = &mut files[file];
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(lines.len());
                let gone = numbers.below(6).min(lines.len() - at);
                let count = 1 + numbers.below(8);
                lines.splice(at..at + gone, author.lines(&mut numbers, count));
            }
            if number % LEAK == 0 && edit == 0 {
                lines.push(leak(number));
            }
            changed.push((name.clone(), lines.join("\n")));
        }
        let before = mark;
        let side = (number % MERGE == 0).then(|| {
            mark += 1;
            let text = author.lines(&mut numbers, 200).join("\n");
            importer.commit(
                mark,
                number,
                &format!(":{before}"),
                None,
                &[(format!("side/file{}.py", number % 7), text)],
            );
            mark
        });
        mark += 1;
        importer.commit(mark, number, &format!(":{before}"), side, &changed);
    }
    importer.finish();
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?} failed");
}
