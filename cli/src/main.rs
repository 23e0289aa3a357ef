//! The turnlock command.
fn main() {}
