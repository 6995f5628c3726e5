//! The terminal inside the pane: keys to bytes, bytes to cells.
//!
//! [`keys`] and [`paste`] say what is sent, [`stream`] takes the output apart, [`emulator`] turns it into a [`frame`] of
//! cells, and [`session`] joins them with the connection, in tasks of their own. What the other side sends is untrusted:
//! only cells come out of here, never a byte of it. Must not record, log or keep what is typed or shown beyond the
//! scroll-back of the open pane.

pub mod emulator;
pub mod frame;
pub mod keys;
pub mod paste;
pub mod session;
pub mod stream;

#[cfg(test)]
mod tests;
