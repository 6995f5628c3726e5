//! The full-screen wizard, from the command line.

use super::args::Cli;
use super::output::Exit;
use super::{input, journal, settings};
use crate::core::settings::ThemeName;
use crate::core::target::Target;
use crate::engine::diagnose::Request;
use crate::engine::failure::Failure;
use crate::engine::journal::Journal;
use crate::engine::world::World;
use crate::tui;
use crate::tui::model::practice::Practice;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::io::IsTerminal;
use std::sync::Arc;

pub async fn run(cli: &Cli) -> Result<Exit, Failure> {
    let mut base = Target::default();
    input::options(&mut base, &cli.ssh, &cli.global)?;
    let target = cli.target.as_deref().map(|name| input::target(name, &cli.ssh, &cli.global)).transpose()?;
    needs_terminal()?;
    let target = target.map(|t| input::request(t, &cli.global));
    // Made while the first frame is on the screen already: finding the Region may take seconds.
    let global = cli.global.clone();
    let world = async move { Arc::new(input::world(&global).await) as Arc<dyn World> }.boxed();
    let journal: Arc<dyn Journal> = Arc::new(journal::open()?);
    Box::pin(show(cli, world, journal, base, target, None)).await
}

fn needs_terminal() -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage(
        "open the full screen",
        "standard input or output is no terminal",
        "port22 diagnose TARGET works without one",
    ))
}

/// Opens the full screen on a world.
pub async fn show(
    cli: &Cli,
    world: BoxFuture<'static, Arc<dyn World>>,
    journal: Arc<dyn Journal>,
    base: Target,
    target: Option<Request>,
    practice: Option<Practice>,
) -> Result<Exit, Failure> {
    needs_terminal()?;
    let global = &cli.global;
    let chosen = global.chosen.clone();
    let profile = || global.profile.first().cloned().or_else(|| std::env::var("AWS_PROFILE").ok());
    let settings = tui::Settings {
        ascii: chosen.ascii,
        color: chosen.theme != ThemeName::None,
        theme: chosen.theme,
        depth: tui::theme::Depth::of(|name| std::env::var(name).ok()),
        mouse: chosen.mouse,
        notify: chosen.notify,
        guided: chosen.guided,
        columns: chosen.columns,
        sort: chosen.sort,
        settings_file: settings::file_name(global),
        read_only: global.read_only,
        lab: practice.is_some(),
        // The practice account is no profile's.
        profile: if practice.is_some() { None } else { profile() },
        practice,
        target,
        base,
        notice: cli.notice.clone(),
    };
    crate::edge::passphrase::may_ask_on_terminal();
    tui::run(world, journal, settings).await.map_err(|e| {
        Failure::usage("draw on the terminal", e.to_string(), "port22 diagnose TARGET works without a full screen")
    })?;
    Ok(Exit::Ok)
}
