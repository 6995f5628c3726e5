use super::args::Cli;
use super::output::Exit;
use crate::core::target::Target;
use crate::engine::failure::Failure;
use crate::engine::journal::Journal;
use crate::engine::world::World;
use std::sync::Arc;
pub async fn run(_cli: &Cli) -> Result<Exit, Failure> { Ok(Exit::Ok) }
pub async fn show(_: &Cli, _: Arc<dyn World>, _: Arc<dyn Journal>, _: Target, _: Option<Target>, _: bool) -> Result<Exit, Failure> { Ok(Exit::Ok) }
pub async fn until_signal() { let _ = tokio::signal::ctrl_c().await; }
