//! The team's directory: where it is said to be, whether it is taken, and `port22 check-assets`.
//!
//! Must not judge what the files say: [`crate::core::team`] does. A directory in which anything is wrong is not taken at
//! all: half of a team's words would mislead more than none.

use super::args::{CheckAssetsArgs, Cli, Command};
use super::output::{self, Exit};
use crate::core::catalogue::{self, Languages};
use crate::core::team::{self, Problem, Team};
use crate::core::words::{Lang, tr_with};
use crate::edge::team::files;
use crate::engine::failure::Failure;
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Names the directory in the environment.
const VARIABLE: &str = "PORT22_ASSETS";
/// The word that asks for no directory where the environment or the settings name one.
const NONE: &str = "none";
/// Most problems that are told when the program starts; `check-assets` tells all.
const AT_START: usize = 5;

/// The directory: the option's, or the environment's, or the settings file's; `none` is none of them.
pub fn directory(option: Option<&Path>, environment: Option<OsString>, settings: Option<&Path>) -> Option<PathBuf> {
    let environment = environment.filter(|v| !v.is_empty()).map(PathBuf::from);
    let chosen = option.map(Path::to_path_buf).or(environment).or_else(|| settings.map(Path::to_path_buf));
    chosen.filter(|dir| dir != Path::new(NONE))
}

/// What a directory says, or all that is wrong with it.
type Checked = Result<Team, Vec<Problem>>;

/// Reads and checks a directory: its files' names, and what they say or what is wrong with them.
fn read(dir: &Path) -> Result<(Vec<String>, Checked), Failure> {
    let doing = || format!("read the team's files in {}", dir.display());
    let found =
        files(dir).map_err(|why| Failure::usage(doing(), why, "name a directory of TOML files (--assets DIR)"))?;
    let names = found.iter().map(|f| dir.join(&f.name).display().to_string()).collect();
    let read = team::read(&found, catalogue::embedded(Lang::En)).map_err(|problems| {
        let with_path = |p: Problem| Problem { file: dir.join(&p.file).display().to_string(), ..p };
        problems.into_iter().map(with_path).collect()
    });
    Ok((names, read))
}

fn errors(count: usize) -> String {
    if count == 1 { "1 error".to_owned() } else { format!("{count} errors") }
}

/// Whether a command goes on with the embedded words where the team's cannot be taken. Who asks for a judgement in words
/// gets no other words than the team's without knowing; but nobody is kept from the full screen, from a way in, or from
/// taking a change back.
fn goes_on(command: Option<&Command>) -> bool {
    !matches!(
        command,
        Some(Command::Diagnose(_) | Command::Identify(_) | Command::Explain(_) | Command::Fleet(_) | Command::Fix(_))
    )
}

/// Whether a command shows any words of the catalogue.
fn shows_words(command: Option<&Command>) -> bool {
    !matches!(
        command,
        Some(
            Command::CheckAssets(_)
                | Command::Completions { .. }
                | Command::Man { .. }
                | Command::Policy(_)
                | Command::Settings(_)
                | Command::Proxy(_)
                | Command::Forward(_)
        )
    )
}

/// The directory of a command.
fn named(cli: &Cli) -> Option<PathBuf> {
    directory(cli.global.assets.as_deref(), std::env::var_os(VARIABLE), cli.global.chosen.assets.as_deref())
}

/// Takes the team's directory for this process, once, before anything is shown. Gives what the full screen is to say when
/// the embedded words are shown instead.
pub fn take(cli: &Cli) -> Result<Option<String>, Exit> {
    let named = named(cli);
    let Some(dir) = named.filter(|_| shows_words(cli.command.as_ref())) else { return Ok(None) };
    let (failure, problems) = match read(&dir) {
        Ok((_, Ok(team))) => {
            catalogue::take(Languages::laid(|base| team.lay(base)));
            return Ok(None);
        }
        Ok((_, Err(problems))) => {
            let failure = Failure::usage(
                format!("use the team's files in {}", dir.display()),
                format!("{} in them", errors(problems.len())),
                format!("port22 check-assets {} tells all; --assets none goes on without", dir.display()),
            );
            (failure, problems)
        }
        Err(failure) => (failure, Vec::new()),
    };
    if goes_on(cli.command.as_ref()) {
        output::note(&format!("port22: {failure}\nport22's own words are shown meanwhile."));
        let dir = dir.display();
        return Ok(Some(match problems.len() {
            0 => tr_with("Your team's words in {dir} cannot be read: port22's own are shown.", &[("dir", &dir)]),
            count => tr_with(
                "Your team's words are left out, {count} wrong: port22 check-assets {dir}",
                &[("count", &count), ("dir", &dir)],
            ),
        }));
    }
    for problem in problems.iter().take(AT_START) {
        output::note(&problem.to_string());
    }
    if problems.len() > AT_START {
        output::note(&format!("… and {} more", problems.len() - AT_START));
    }
    if cli.wants_json() {
        output::print_json(&json!({"schema": 1, "error": failure, "errors": problems}));
        return Err(output::report(&failure, false));
    }
    Err(output::report(&failure, false))
}

/// `port22 check-assets`: every error at once.
pub fn check(cli: &Cli, args: &CheckAssetsArgs) -> Result<Exit, Failure> {
    let named = directory(cli.global.assets.as_deref(), std::env::var_os(VARIABLE), None);
    let dir =
        args.directory.clone().or(named).ok_or_else(|| {
            Failure::usage("check the team's files", "no directory is named", "port22 check-assets DIR")
        })?;
    let (names, read) = read(&dir)?;
    let counts = read.as_ref().ok().map(|team| team.counts(catalogue::embedded(Lang::En)));
    let problems = read.err().unwrap_or_default();
    if args.json {
        output::print_json(&json!({
            "schema": 1,
            "directory": dir.display().to_string(),
            "files": names,
            "ok": problems.is_empty(),
            "errors": problems,
            "counts": counts,
        }));
    } else if let Some(n) = counts {
        output::print(&format!(
            "{}: no errors in {} files: {} causes in your words, {} own questions, {} own symptoms, {} trees and \
             nodes, {} images with a user, {} links",
            dir.display(),
            names.len(),
            n.causes,
            n.questions,
            n.symptoms,
            n.trees,
            n.users,
            n.links
        ));
    } else {
        problems.iter().for_each(|p| output::print(&p.to_string()));
        output::print(&format!("{} in {}", errors(problems.len()), dir.display()));
    }
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_environment_and_that_before_the_settings() {
        let path = |p: &'static str| Some(Path::new(p));
        let env = |v: &str| Some(OsString::from(v));
        assert_eq!(directory(path("a"), env("b"), path("c")), Some(PathBuf::from("a")));
        assert_eq!(directory(None, env("b"), path("c")), Some(PathBuf::from("b")));
        assert_eq!(directory(None, env(""), path("c")), Some(PathBuf::from("c")));
        assert_eq!(directory(None, None, None), None);
        assert_eq!(directory(path("none"), env("b"), path("c")), None);
        assert_eq!(directory(path("./none"), None, None), Some(PathBuf::from("./none")));
    }
}
