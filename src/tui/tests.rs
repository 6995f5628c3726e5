//! Tests of the full-screen program: keys in, model and effects out; models in, screens out.

mod journeys;
mod sample;
mod screens;
