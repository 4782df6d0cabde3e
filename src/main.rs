//! The `openclaw-usage` command.

fn main() {}
