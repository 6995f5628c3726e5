//! The look inside an instance, and repairs there: the scripts that are run, and the reading of what they print.
//!
//! Must not run anything: who runs the script, and through which door, is not known here. What the facts mean
//! is judged in `rules::inside`; here is only how OpenSSH, packet filters and patterns work.

pub mod doors;
pub mod mend;
pub mod packet;
mod parse;
pub mod patterns;
mod script;
pub mod strict;
mod time;

pub use parse::parse;
pub use script::{MAX_OUTPUT, Params, offered_keys, params, script};
pub use time::expiry;

/// Version of the script's output that this program reads.
pub const VERSION: u32 = 1;

/// How the last line of a whole output begins.
pub const END_LINE: &str = "port22-inside-end";

#[cfg(test)]
mod tests;
