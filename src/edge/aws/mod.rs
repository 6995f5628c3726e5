//! The AWS side of the edge: clients, reads, changes.
//!
//! SDK types stay inside; what leaves are facts of `core`. Must not judge.

mod change;
mod client;
mod convert;
mod error;
mod find;
mod list;
mod read;

pub use client::{Aws, AwsSettings};
