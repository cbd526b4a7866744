//! bezant
fn main() {}
