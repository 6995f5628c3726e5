//! What a plan of one fix needs to know beyond the diagnosis. Read by `World::prepare` for that fix alone.
//!
//! Must not hold secrets (user data, key material): plans are shown and journaled.

/// Facts for plans; each is `NotAsked` unless the fix asks for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {}
