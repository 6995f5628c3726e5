//! Tests of the full-screen program: keys in, model and effects out; models in, screens out.

mod columns;
pub mod fake;
mod fleet;
mod japanese;
mod journeys;
mod notices;
mod practice;
mod sample;
mod screens;
mod shell;
mod switcher;
