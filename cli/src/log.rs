//! The log of what runs for long: server and agent.

use turnlock::config::LogLevel;

use crate::failure::Failure;

/// The level that an argument names.
pub(crate) fn level(text: &str) -> Result<LogLevel, Failure> {
    let level = LogLevel::parse(text);
    level.ok_or_else(|| Failure::local("-log-level is none of error, warn, info, debug, trace"))
}

/// Lines on standard error, coloured on a terminal only.
pub(crate) fn start(level: LogLevel) {
    use std::io::IsTerminal as _;
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    // Only fails when a log was started before, which then stays.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
