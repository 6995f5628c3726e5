//! Effects: AWS calls, DNS, TCP, SSH, files. Implements [`crate::engine::world::World`].
//!
//! Must not judge. What goes wrong becomes an unknown fact with its reason; secrets stay here.

pub mod agent;
pub mod aws;
mod by_door;
mod change;
pub mod channel;
pub mod control;
mod convert;
pub mod dns;
mod fleet;
mod inside;
pub mod journal_file;
pub mod jump;
mod kept_file;
pub mod keys;
pub mod known_hosts;
pub mod passphrase;
pub mod practice;
mod prepare;
mod profiles;
mod real_world;
mod remote;
pub mod settings_file;
pub mod source_ip;
pub mod ssh;
pub mod ssh_config;
pub mod tcp;
pub mod team;
pub mod terminal;
mod usual_port;

pub use fleet::{Chosen, RealFleet};
pub use profiles::profiles;
pub use real_world::{RealWorld, Settings};
