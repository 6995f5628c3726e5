//! What programs print, in their own words: an ordered table of patterns for each symptom.
//!
//! Data only: the patterns (language: `flat::Flat::find`), how much each one decides (rank), and the
//! other symptoms that the same words leave open. The words come from the sources of the programs,
//! not from samples. Read by `ssh.rs`.

mod auth;
mod aws;
mod client;
mod desktop;
mod key;
mod libraries;
mod network;
mod server;
mod session;
mod trust;

pub use client::CLIENTS;

/// One message of some program.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// How specific the message is: the highest one in a text decides.
    pub rank: u8,
    /// Lower-case pattern, see `flat::Flat::find`.
    pub pattern: &'static str,
    /// What else these words may mean.
    pub also: &'static [&'static str],
}

/// All messages that mean one symptom.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub symptom: &'static str,
    pub rules: &'static [Rule],
}

const fn r(rank: u8, pattern: &'static str) -> Rule {
    Rule { rank, pattern, also: &[] }
}

const fn ra(rank: u8, pattern: &'static str, also: &'static [&'static str]) -> Rule {
    Rule { rank, pattern, also }
}

/// Every group. Order does not matter: rank, then position in the text, decides.
pub fn groups() -> impl Iterator<Item = &'static Group> {
    [
        network::GROUPS,
        auth::GROUPS,
        key::GROUPS,
        aws::GROUPS,
        server::GROUPS,
        session::GROUPS,
        trust::GROUPS,
        libraries::GROUPS,
        desktop::GROUPS,
    ]
    .into_iter()
    .flatten()
}
