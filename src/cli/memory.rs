//! How much memory a process holds and held.

/// The most it held at once, in kB, as Linux tells it.
pub(super) fn peak_kb(pid: u32) -> Option<u64> {
    of_status(pid, "VmHWM:")
}

/// What it holds now, in kB.
pub(super) fn held_kb(pid: u32) -> Option<u64> {
    of_status(pid, "VmRSS:")
}

fn of_status(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
