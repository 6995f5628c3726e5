//! port22 finds out why SSH to an Amazon EC2 instance fails, and fixes it.
//!
//! ```text
//!             main
//!    ┌─────────┼───────────┬──────────┐
//!   tui       cli         edge       lab        lab reaches edge over TCP only
//!    └──► engine ◄─────────┘                     edge implements engine::world::World
//!            ▼
//!           core ──► std, serde, toml, ipnet … : no I/O, no clock, no async, no SDK, no terminal
//! ```
//!
//! - [`core`]: facts, checks and cause rules, the walk through the trees, the VPC path, text
//!   recognisers, plans, reports, the catalogue. Pure.
//! - [`engine`]: what runs when: probes in parallel with limits, cancellation, repairs with a journal.
//! - [`edge`]: AWS, DNS, TCP, SSH, files. The only place with effects.
//! - [`tui`]: model, update, view, and the terminal loop.
//! - [`cli`]: the command line, as a contract for other programs.
//! - [`lab`]: the embedded practice account. Shares no code with what is practised on.
//!
//! A test (`tests/it/layers.rs`) reads the `use` lines of every layer.

pub mod cli;
pub mod core;
pub mod edge;
pub mod engine;
pub mod lab;
mod signals;
pub mod tui;
