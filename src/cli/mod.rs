//! The command line: a contract for other programs.
//!
//! stdout carries the result alone; progress, questions and errors go to stderr. Must not judge.

mod args;
mod assets;
mod diagnose;
mod explain;
mod fix;
mod fleet;
mod identify;
mod input;
mod journal;
mod lab;
mod output;
mod passphrase;
mod settings;
mod shell;
mod ssh;
mod tunnel;
mod wizard;

pub use args::{Cli, Command};
pub use lab::settings as lab_settings;

use crate::core::words::{self, Lang};
use crate::edge::channel::end_all;
use crate::engine::failure::Failure;
use clap::{CommandFactory, Parser};
use output::Exit;
use std::process::ExitCode;
use std::time::Duration;

/// Longest end of the sessions that are still open when the program leaves.
const GOODBYE: Duration = Duration::from_secs(3);

/// Parses the arguments, runs, and returns the exit status of the contract.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version are errors to clap, and answers to the user.
            let usage = error.use_stderr();
            let _ = error.print();
            return if usage { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    if let (Some(_), Some(target)) = (&cli.command, &cli.target) {
        // The options of every command may stand before it; a target may not.
        let failure = Failure::usage(
            "read the arguments",
            format!("'{target}' stands before the command"),
            "port22 COMMAND TARGET, or port22 TARGET",
        );
        return output::report(&failure, false).into();
    }
    let environment = |name: &str| std::env::var(name).ok();
    if let Err(failure) = settings::apply(&mut cli, environment) {
        return output::report(&failure, cli.wants_json()).into();
    }
    words::set(language(&cli, environment));
    if let Err(failure) = start_log(&cli) {
        return output::report(&failure, false).into();
    }
    if let Some(Command::Ssh(args)) = &cli.command {
        return ssh::main(&cli, &args.words);
    }
    match assets::take(&cli) {
        Ok(notice) => cli.notice = notice,
        Err(exit) => return exit.into(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::report(&Failure::usage("start", error.to_string(), "try again"), false).into(),
    };
    let exit = runtime.block_on(run(cli));
    wind_up(runtime);
    exit.into()
}

/// Ends the runtime. Sessions that are still open are ended first: they would live on at the service.
fn wind_up(runtime: tokio::runtime::Runtime) {
    runtime.block_on(end_all(GOODBYE));
    // A blocking read of stdin must not keep the program alive.
    runtime.shutdown_background();
}

/// The language of the words. Programs read JSON, so it does not change with the locale of whoever starts them; and who
/// asks for plain ASCII has a terminal on which no other script appears, unless Japanese is asked for by name.
fn language(cli: &Cli, environment: impl Fn(&str) -> Option<String>) -> Lang {
    match cli.global.chosen.lang {
        _ if cli.is_for_programs() => Lang::En,
        None if cli.global.ascii => Lang::En,
        asked => Lang::choose(asked, environment),
    }
}

async fn run(cli: Cli) -> Exit {
    let json = cli.wants_json();
    if let (Err(failure), false) = (cli.global.one_profile(), matches!(cli.command, Some(Command::Fleet(_)))) {
        return output::report(&failure, json);
    }
    let result = match &cli.command {
        None => Box::pin(wizard::run(&cli)).await,
        Some(Command::Identify(args)) => identify::run(args),
        Some(Command::Diagnose(args)) => diagnose::run(&cli, args).await,
        Some(Command::Fix(args)) => fix::run(&cli, args).await,
        Some(Command::Journal(args)) => journal::list(args),
        Some(Command::Undo(args)) => journal::undo(&cli, args).await,
        Some(Command::Resume(args)) => journal::resume(&cli, args).await,
        Some(Command::Shell(args)) => shell::run(&cli, args).await,
        Some(Command::Proxy(args)) => Box::pin(tunnel::proxy(&cli, args)).await,
        Some(Command::Forward(args)) => Box::pin(tunnel::forward(&cli, args)).await,
        Some(Command::Fleet(args)) => fleet::run(&cli, args).await,
        // Runs before there is anything that could slow ssh down.
        Some(Command::Ssh(_)) => Ok(Exit::Ok),
        Some(Command::Lab(args)) => Box::pin(lab::run(&cli, args)).await,
        Some(Command::Explain(args)) => explain::explain(args),
        Some(Command::Policy(args)) => explain::policy(args),
        Some(Command::Settings(args)) => settings::run(&cli, args),
        Some(Command::CheckAssets(args)) => assets::check(&cli, args),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "port22", &mut script);
            let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
            Ok(Exit::Ok)
        }
        Some(Command::Man { command }) => {
            let man = match page(command.as_deref()) {
                Ok(page) => clap_mangen::Man::new(page),
                Err(failure) => return output::report(&failure, false),
            };
            let mut page = Vec::new();
            // A reader that has seen enough is no error.
            let _ = man.render(&mut page).and_then(|()| std::io::Write::write_all(&mut std::io::stdout(), &page));
            Ok(Exit::Ok)
        }
    };
    result.unwrap_or_else(|failure| output::report(&failure, json))
}

/// What a manual page is about: the program, or one of its commands with the options of every command.
fn page(name: Option<&str>) -> Result<clap::Command, Failure> {
    let mut program = Cli::command();
    let Some(name) = name else { return Ok(program) };
    program.build();
    let found = program.find_subcommand(name).cloned();
    found.ok_or_else(|| {
        let known: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        Failure::usage(
            "print the manual page",
            format!("there is no command '{name}'"),
            format!("commands: {}", known.join(", ")),
        )
    })
}

/// Logs go to a file only, and only when one is named: `--log` or PORT22_LOG. They hold no secrets.
fn start_log(cli: &Cli) -> Result<(), Failure> {
    let path = cli.global.log.clone().or_else(|| std::env::var_os("PORT22_LOG").map(Into::into));
    let Some(path) = path else { return Ok(()) };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|e| {
        Failure::usage(format!("open the log {}", path.display()), e.to_string(), "name a file that you may write")
    })?;
    // Only this program's own events: the SDK's debug lines would show requests.
    let filter = tracing_subscriber::EnvFilter::new("off,port22=debug");
    let _ = tracing_subscriber::fmt()
        .with_writer(std::sync::Mutex::new(file))
        .with_env_filter(filter)
        .with_ansi(false)
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_follows_option_then_locale_and_json_is_english() {
        let japanese = |name: &str| (name == "LANG").then(|| "ja_JP.UTF-8".to_owned());
        let settled = |line: &[&str]| {
            let mut cli = Cli::try_parse_from(line).expect("arguments");
            let nowhere = |name: &str| (name == "PORT22_CONFIG").then(|| "/dev/null".to_owned());
            settings::apply(&mut cli, nowhere).expect("settings");
            cli
        };
        let chosen = |line: &[&str]| language(&settled(line), japanese);
        assert_eq!(chosen(&["port22", "web-1"]), Lang::Ja);
        assert_eq!(chosen(&["port22", "web-1", "--lang", "en"]), Lang::En);
        assert_eq!(chosen(&["port22", "diagnose", "web-1", "--json", "--lang", "ja"]), Lang::En);
        assert_eq!(chosen(&["port22", "--ascii"]), Lang::En);
        assert_eq!(chosen(&["port22", "--ascii", "--lang", "ja"]), Lang::Ja);
        let none = |_: &str| None;
        assert_eq!(language(&settled(&["port22"]), none), Lang::En);
        assert_eq!(chosen(&["port22", "--lang", "auto"]), Lang::Ja);
    }
}
