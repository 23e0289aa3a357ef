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
    println!("making a repository of {COMMITS} commits in {} (takes some minutes, once)", path.display());
    let _ = std::fs::remove_dir_all(&path);
    git(Path::new("."), &["init", "-q", "--bare", "-b", "main", path.to_str().unwrap()]);
    import(&path);
    // Brings them into the order of a repository that was cloned or tidied; the deltas stay.
    git(&path, &["repack", "-adq"]);
    std::fs::write(path.join("made"), b"").unwrap();
    path
}

/// Adds `count` commits of the same kind on top.
pub(crate) fn grow(path: &Path, count: usize) {
    let mut numbers = Numbers::new(count as u64 + 77);
    let author = Author::new(&mut numbers);
    let mut importer = Importer::start(path);
    let mut main = None;
    for number in 0..count {
        let blob = importer.blob(&author.lines(&mut numbers, 400).join("\n"));
        main = Some(importer.commit(COMMITS + number, main, None, &[(format!("grown/file{}.py", number % 3), blob)]));
    }
    importer.finish();
}

/// What git calls a thing that this import wrote.
type Mark = usize;

/// A file's name and its new text.
type Entry = (String, Mark);

struct Importer {
    child: std::process::Child,
    to: BufWriter<std::process::ChildStdin>,
    last: Mark,
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
        Self { child, to, last: 0 }
    }

    fn mark(&mut self) -> Mark {
        self.last += 1;
        self.last
    }

    fn blob(&mut self, text: &str) -> Mark {
        let mark = self.mark();
        writeln!(self.to, "blob\nmark :{mark}\ndata {}\n{text}", text.len()).unwrap();
        mark
    }

    /// A commit on top of one of this import, or of the branch when there is none; `side` is merged into it.
    fn commit(&mut self, number: usize, from: Option<Mark>, side: Option<Mark>, files: &[Entry]) -> Mark {
        let mark = self.mark();
        let at = 1_600_000_000 + number * 3600;
        let message = format!("change number {number}");
        writeln!(self.to, "commit refs/heads/main\nmark :{mark}\nauthor Ada <ada@host.test> {at} +0000").unwrap();
        writeln!(self.to, "committer Ada <ada@host.test> {at} +0000\ndata {}\n{message}", message.len()).unwrap();
        match from {
            Some(from) => writeln!(self.to, "from :{from}").unwrap(),
            None if number > 0 => writeln!(self.to, "from refs/heads/main^0").unwrap(),
            None => {}
        }
        if let Some(side) = side {
            writeln!(self.to, "merge :{side}").unwrap();
        }
        for (name, text) in files {
            writeln!(self.to, "M 100644 :{text} {name}").unwrap();
        }
        mark
    }

    fn finish(mut self) {
        writeln!(self.to, "done").unwrap();
        self.to.flush().unwrap();
        drop(self.to);
        assert!(self.child.wait().unwrap().success(), "git fast-import failed");
    }
}

/// Writes all versions of one file after the other, because git makes a delta of what follows its like; then the commits.
fn import(path: &Path) {
    let mut numbers = Numbers::new(20_260_101);
    let author = Author::new(&mut numbers);
    let mut importer = Importer::start(path);
    let mut commits: Vec<Vec<Entry>> = vec![Vec::new(); COMMITS];
    for (file, edited) in edits(&mut numbers).iter().enumerate() {
        let name = format!("package{}/module{}/file{file}.py", file % 8, file % 40);
        let count = 60 + numbers.skewed(5600);
        let mut lines = author.lines(&mut numbers, count);
        for &number in edited {
            if number > 0 {
                edit(&author, &mut numbers, &mut lines);
            }
            if number > 0 && number % LEAK == 0 && commits[number].is_empty() {
                lines.push(leak(number));
            }
            commits[number].push((name.clone(), importer.blob(&lines.join("\n"))));
        }
    }
    let mut main = importer.commit(0, None, None, &commits[0]);
    for (number, changed) in commits.iter().enumerate().skip(1) {
        let side = (number % MERGE == 0).then(|| {
            let blob = importer.blob(&author.lines(&mut numbers, 200).join("\n"));
            importer.commit(number, Some(main), None, &[(format!("side/file{}.py", number % 7), blob)])
        });
        main = importer.commit(number, Some(main), side, changed);
    }
    importer.finish();
}

/// For each file the commits that write it; the first one writes all.
fn edits(numbers: &mut Numbers) -> Vec<Vec<usize>> {
    let mut edits = vec![vec![0]; FILES];
    for commit in 1..COMMITS {
        for _ in 0..EDITS {
            let file = &mut edits[numbers.skewed(FILES)];
            if file.last() != Some(&commit) {
                file.push(commit);
            }
        }
    }
    edits
}

/// Some lines go, others come, in up to three places.
fn edit(author: &Author, numbers: &mut Numbers, lines: &mut Vec<String>) {
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(lines.len());
        let gone = numbers.below(6).min(lines.len() - at);
        let count = 1 + numbers.below(8);
        lines.splice(at..at + gone, author.lines(numbers, count));
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success(), "git {arguments:?} failed");
}
