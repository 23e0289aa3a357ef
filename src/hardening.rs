//! What the process does so that its memory does not reach a disk: no core dumps, no reading by other processes of the
//! same user, and no swapping out where the system permits it; and that its files are for no other user. Damage limitation;
//! root on the host is out of scope.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// What was possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardening {
    /// The size of core files is limited to nothing, also for children.
    pub no_core_files: bool,
    /// The process cannot be dumped or attached to by its own user.
    pub not_dumpable: bool,
    /// Whether memory stays out of swap.
    pub memory: MemoryLock,
}

/// Whether memory stays out of swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLock {
    /// It does, now and later.
    Locked,
    /// It may be swapped: the process has neither the capability `IPC_LOCK` nor an unlimited `RLIMIT_MEMLOCK`.
    NotPermitted,
    /// It may be swapped: the system refused.
    Refused,
}

/// Hardens this process. Never fails: what was not possible is in the answer and for the caller to report.
///
/// Pages are locked as they are first used (`MCL_ONFAULT`): locking what allocators only reserve would make an idle
/// process several times as large. Under a finite `RLIMIT_MEMLOCK` nothing is locked, because every allocation beyond
/// the limit would fail from then on, which ends the process at its busiest moment.
pub fn harden() -> Hardening {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    Hardening {
        no_core_files: setrlimit(Resource::Core, none).is_ok(),
        not_dumpable: set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok(),
        memory: lock_memory(),
    }
}

/// Lets this process have as many files open at a time as it may allow itself, for each connection is one. Answers how many.
pub fn allow_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Without a new limit the old one holds.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Keeps other users of the machine away from the files that this process makes from now on, whatever umask it was started
/// with: libraries make files too, and ask for no mode.
pub fn keep_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

fn lock_memory() -> MemoryLock {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let capable = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !unlimited && !capable {
        return MemoryLock::NotPermitted;
    }
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => MemoryLock::Locked,
        Err(Errno::PERM) => MemoryLock::NotPermitted,
        Err(_) => MemoryLock::Refused,
    }
}

impl Hardening {
    /// One sentence for each protection that is missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if !self.no_core_files {
            missing.push("core files could not be switched off");
        }
        if !self.not_dumpable {
            missing.push("other processes of this user may read the memory");
        }
        match self.memory {
            MemoryLock::Locked => {}
            MemoryLock::NotPermitted => missing.push(
                "memory may be swapped to disk: grant the capability IPC_LOCK or LimitMEMLOCK=infinity, or switch swap off or encrypt it",
            ),
            MemoryLock::Refused => missing.push("memory may be swapped to disk: the system refused to lock it"),
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    use super::{Hardening, MemoryLock, harden};

    #[test]
    fn a_hardened_process_leaves_no_core_and_says_what_is_missing() {
        let hardening = harden();
        assert!(hardening.no_core_files && hardening.not_dumpable);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(hardening.missing().is_empty(), hardening.memory == MemoryLock::Locked);
        let nothing = Hardening { no_core_files: false, not_dumpable: false, memory: MemoryLock::Refused };
        assert_eq!(nothing.missing().len(), 3);
    }
}
