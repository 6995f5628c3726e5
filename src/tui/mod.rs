//! The full-screen program: three ways in (paste, pick, symptom), one place to be.
//!
//! Elm style. [`model`] holds what is known and chosen, [`update`] is the only thing that changes
//! it and does no I/O, [`view`] draws it and changes nothing, [`run`] joins them with the
//! terminal and performs effects. Knows `core` and `engine`; must not name `edge`. Used by `main`.

pub mod clipboard;
pub mod effect;
pub mod keys;
pub mod layout;
pub mod model;
pub mod msg;
pub mod pane;
pub mod run;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use model::Settings;
pub use run::run;
