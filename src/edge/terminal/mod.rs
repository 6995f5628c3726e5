//! Terminals through the doors: the shape is [`crate::engine::terminal`], one file for each door.
//!
//! The doors that are logins by SSH share the login ([`login`]) and the session on it ([`attach`]). Must not choose a
//! door: the caller does. Must not record, log or look into what is typed or shown.

mod attach;
mod eic;
mod eice;
mod gather;
mod login;
pub mod plugin;
mod serial;
mod ssh;
mod ssm;

use super::RealWorld;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Door, Opened, Wish};

impl RealWorld {
    /// Opens a terminal through the door of the wish.
    pub(super) async fn open_terminal(&self, wish: &Wish) -> Result<Opened, Failure> {
        match wish.door {
            Door::Ssh => Box::pin(ssh::open(self, wish)).await,
            Door::Ssm => self.ssm_terminal(wish).await,
            Door::Eic => Box::pin(eic::open(self, wish)).await,
            Door::Eice => Box::pin(eice::open(self, wish)).await,
            Door::Serial => Box::pin(serial::open(self, wish)).await,
        }
    }
}
