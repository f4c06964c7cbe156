//! Audits the peg from public data alone.
fn main() {}
