//! The engine against a world of data, on a paused clock: waves, limits, cancellation, repairs.

mod diagnosis;
mod entries;
mod fake;
mod fleet;
mod repairs;
