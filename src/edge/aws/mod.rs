//! The AWS side of the edge: clients, reads, changes.
//!
//! SDK types stay inside; what leaves are facts of `core`. Must not judge.

mod change;
mod client;
mod convert;
mod doors;
pub(crate) mod error;
mod find;
mod fleet;
mod fleet_inside;
mod host;
mod inside;
mod list;
mod metrics;
mod network_plan;
mod pairs;
mod prepare;
mod query;
mod read;
mod rescue;
mod scaling;

pub(crate) use client::PROBE;
pub use client::{Aws, AwsSettings};
pub(crate) use fleet_inside::Script as FleetScript;
