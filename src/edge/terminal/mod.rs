//! Terminals through the doors: the shape is [`crate::engine::terminal`], one file for each door.
//!
//! Must not choose a door: the caller does. Must not record, log or look into what is typed or shown.

pub mod plugin;
mod ssm;

use super::RealWorld;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Door, Opened, Wish};

impl RealWorld {
    /// Opens a terminal through the door of the wish.
    pub(super) async fn open_terminal(&self, wish: &Wish) -> Result<Opened, Failure> {
        match wish.door {
            Door::Ssm => self.ssm_terminal(wish).await,
            Door::Ssh | Door::Eic | Door::Eice | Door::Serial => {
                let doing = format!("open a terminal on {} through {}", wish.facts.target.name, wish.door.id());
                Err(Failure::usage(doing, "this version has no terminal through that door", "take --door ssm"))
            }
        }
    }
}
