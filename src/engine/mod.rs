//! What runs when: probes in parallel with limits and cancellation, repairs with a journal.
//!
//! Knows `core` and the [`world::World`] trait; must not know AWS, sockets, files or a terminal.

pub mod diagnose;
pub mod event;
pub mod failure;
pub mod fleet;
pub mod inventory;
pub mod journal;
pub mod repair;
pub mod report;
pub mod scope;
pub mod secret;
pub mod terminal;
pub mod world;

#[cfg(test)]
mod tests;
