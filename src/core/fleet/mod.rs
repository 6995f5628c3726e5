//! Many instances at once: who can be reached by SSH from here, by which door else, and the cause for the rest.
//!
//! What AWS tells of a whole Region in batched lists ([`RegionFacts`]) is cut into the facts of each single instance,
//! and those are judged by the rules that judge a diagnosis: there is no second judgement here. Pure; must not probe.

mod export;
mod group;
mod region;
mod row;

pub use export::{CSV_HEADER, csv_line, json_line};
pub use group::{Group, Tally, groups, key_of, title_of};
pub use region::{Index, RegionFacts, prefix_lists_of};
pub use row::{Asked, Greeting, Knock, Place, Reach, Row, Seen, address_of, row, to_knock};

#[cfg(test)]
mod tests;
