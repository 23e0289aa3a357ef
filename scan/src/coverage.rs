//! What a scan read and what it left out.

/// Most omissions that are listed one by one; the rest is counted.
const MAX_LISTED: usize = 1000;

/// What a scan read and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Files read from the working tree, an archive as one.
    pub files: u64,
    /// Blobs read from the history, each once.
    pub blobs: u64,
    /// Commits known to the object store, reachable or not.
    pub commits: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Binary contents, of which only the words were read.
    pub binary: u64,
    /// Archives that were opened.
    pub archives: u64,
    /// Files that were read in them.
    pub unpacked: u64,
    /// Symbolic links that were passed over: what they lead to inside the tree is read in its own place.
    pub symlinks: u64,
    /// Files that the configuration allows whole.
    pub allowed: u64,
    /// Whether files of the working tree were not looked at because a `.gitignore` may exclude them; they are not counted, for the
    /// folders among them are not entered.
    pub excludes: bool,
    /// The first thousand omissions that leave the answer incomplete.
    pub omissions: Vec<Omission>,
    /// How many there were in all.
    pub omitted: u64,
}

/// Something that should have been read and was not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Omission {
    /// Name of the file, or of the object. May hold control characters.
    pub what: String,
    /// Why.
    pub why: Why,
}

/// Why something was not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// Larger than the limit.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Could not be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// An object of the repository that does not decode.
    #[error("the object is damaged or missing")]
    Damaged,
    /// A database in which pages or rows are missing, or in an unknown form.
    #[error("a part of the database is damaged")]
    DamagedRows,
    /// A write-ahead log without its database.
    #[error("the database of this log is not there: which columns its values are in is not known")]
    NoDatabase,
    /// A FIFO, socket or device.
    #[error("not a regular file")]
    Special,
    /// The history ends here: a shallow or partial clone.
    #[error("the history is cut off here")]
    CutOff,
    /// The time that the scan was given was over.
    #[error("time ran out")]
    OutOfTime,
    /// An archive that does not unpack.
    #[error("the archive is damaged")]
    Broken,
    /// An archive, or a file in one, that needs a password.
    #[error("encrypted")]
    Encrypted,
    /// An archive or a database that holds more than one of its size honestly would.
    #[error("it expands to too much")]
    Expands,
    /// A text with compressed data in base64 or the like that expands to more than one of its size honestly would.
    #[error("what is compressed within the text expands to too much")]
    ExpandsWithin,
    /// Texts with compressed data in base64 or the like that expand to too much in all.
    #[error("what is compressed within texts expands to too much in all")]
    ExpandsInAll,
    /// More hits than are kept of one text, or in all.
    #[error("more than {limit} hits, of which the rest is not told")]
    TooManyHits {
        /// The limit.
        limit: u64,
    },
    /// An archive within more archives than are opened.
    #[error("more than {limit} archives in one another")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Packed in a way that is not known.
    #[error("packed in a way that cannot be read")]
    Unsupported,
    /// The store could not be asked.
    #[error("the store could not be asked: {0}")]
    Unconfirmed(String),
}

impl Coverage {
    /// Notes an omission.
    pub fn omit(&mut self, what: impl Into<String>, why: Why) {
        self.omitted += 1;
        if self.omissions.len() < MAX_LISTED {
            self.omissions.push(Omission { what: what.into(), why });
        }
    }

    /// Whether something that should have been read was not. A FIFO or a socket holds no content to read.
    pub fn is_partial(&self) -> bool {
        self.omitted > 0
            && (self.omitted > self.omissions.len() as u64
                || self.omissions.iter().any(|omission| omission.why != Why::Special))
    }

    /// Takes over what another part of the scan covered.
    pub fn absorb(&mut self, other: Self) {
        self.files += other.files;
        self.blobs += other.blobs;
        self.commits += other.commits;
        self.bytes += other.bytes;
        self.binary += other.binary;
        self.archives += other.archives;
        self.unpacked += other.unpacked;
        self.symlinks += other.symlinks;
        self.allowed += other.allowed;
        self.excludes |= other.excludes;
        self.omitted += other.omitted;
        let room = MAX_LISTED.saturating_sub(self.omissions.len());
        self.omissions.extend(other.omissions.into_iter().take(room));
    }
}
