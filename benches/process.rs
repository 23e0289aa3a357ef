//! What a process costs, as the kernel counts it; and helpers that run as processes of their own.

use std::process::{Child, Command, Stdio};

/// Resident memory of a process in MiB.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Processor time of a process so far, its own and the kernel's for it.
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// This program in another role, as a process of its own; killed when dropped.
pub(crate) struct Helper(Child);

impl Helper {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let child =
            Command::new(std::env::current_exe().unwrap()).args(arguments).stdin(Stdio::null()).spawn().unwrap();
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

/// Ends this process when the one that started it ends, however that comes.
pub(crate) fn end_with_parent() {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
