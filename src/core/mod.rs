//! Judgement: from facts to checks, causes and plans.
//!
//! Pure code: no I/O, no clock, no async, no SDK, no terminal. Everything here can be tested with
//! a few lines of data.

pub mod ami;
pub mod boothook;
pub mod catalogue;
pub mod cause;
pub mod channel;
pub mod check;
pub mod diagnosis;
pub mod door_commands;
pub mod fact;
pub mod facts;
pub mod fixes;
pub mod fleet;
pub mod iam;
pub mod inside;
pub mod jump;
pub mod kexinit;
pub mod key;
pub mod plan;
pub mod practice;
pub mod probe;
pub mod recognise;
pub mod redact;
pub mod regions;
pub mod report;
pub mod rescue;
pub mod rules;
pub mod serial_console;
pub mod series;
pub mod settings;
pub mod ssh_args;
pub mod suggest;
pub mod target;
pub mod team;
pub mod text;
pub mod told;
pub mod trust;
pub mod user_data;
pub mod vpc;
pub mod words;
