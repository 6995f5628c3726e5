//! AWS's own session-manager-plugin instead of our client, where the user wishes it and it is installed.
//!
//! It takes this process's terminal or pipes itself. Its arguments are those that the aws CLI gives it
//! (`awscli/customizations/sessionmanager.py`); the token goes through the environment where the plug-in reads it there,
//! since arguments show in `ps`. What it left open or switched is put in order when it ends.

use super::ssm;
use crate::core::text::shell_quote;
use crate::edge::RealWorld;
use crate::edge::aws::Aws;
use crate::edge::channel::{Failed, Program, Started, start_session, terminate_session};
use crate::edge::ssh_config::{find, run as ask};
use crate::engine::failure::Failure;
use crate::engine::terminal::Wish;
use rustix::process::Signal;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Its name in PATH.
const NAME: &str = "session-manager-plugin";
/// What to do without it.
const MISSING: &str = "leave out --use-plugin (nothing is needed then), or install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html";
/// The variable that holds StartSession's answer, and the last version that does not read it (aws CLI).
const VARIABLE: &str = "AWS_SSM_START_SESSION_RESPONSE";
const WITHOUT_VARIABLE: [u32; 4] = [1, 2, 497, 0];
/// Longest end of a session that the plug-in left behind.
const GOODBYE: Duration = Duration::from_secs(2);

/// A session that the plug-in is to join.
pub struct Session {
    aws: Aws,
    region: String,
    id: String,
    command: Command,
    doing: String,
    plugin: PathBuf,
}

/// Starts a session for the plug-in. Dropped before its end, it leaves none.
pub async fn start(world: &RealWorld, wish: &Wish) -> Result<Session, Failure> {
    let facts = &wish.facts;
    let doing = format!("open a session on {} with AWS's plug-in", facts.target.name);
    let plugin = find(NAME, std::env::var_os("PATH"))
        .ok_or_else(|| Failure::usage(&doing, format!("{NAME} is not installed: it is not in PATH"), MISSING))?;
    let (id, region) = ssm::node(facts, world.regions()).ok_or_else(|| ssm::unknown(&doing, facts))?;
    let version = ask(&plugin, &[OsString::from("--version")]).await.map(|done| done.output).unwrap_or_default();
    let plain = wish.command.as_deref().filter(|_| wish.size.is_none());
    let plain = plain.map(|command| ssm::words(command, facts.is_windows()));
    let program = match (&plain, &wish.command) {
        (Some(plain), _) => Program::Plain(plain),
        (None, Some(command)) => Program::Terminal(command),
        (None, None) => Program::Login,
    };
    let endpoint = world.aws().ssm_endpoint(&region).await;
    let started = start_session(world.aws(), &region, &id, program).await.map_err(|failed| {
        let next = match failed {
            Failed::NotConnected { .. } => format!("port22 diagnose {} tells why", facts.target.name),
            Failed::Why(_) => "correct this, and try again".to_owned(),
        };
        Failure::failed(&doing, failed.to_string(), next)
    })?;
    let command = command(&plugin, &version, &started, &region, &world.profile().unwrap_or_default(), &endpoint);
    Ok(Session { aws: world.aws().clone(), region, id: started.id, command, doing, plugin })
}

impl Session {
    /// Runs the plug-in until it ends; gives its exit status.
    pub async fn run(self) -> Result<u8, Failure> {
        let status = attended(self.command).await;
        // It leaves its session open when it is stopped, or its input ends.
        let _ = timeout(GOODBYE, terminate_session(&self.aws, &self.region, &self.id)).await;
        let shown = shell_quote(&self.plugin.display().to_string());
        status.map_err(|e| Failure::failed(&self.doing, format!("{shown}: {e}"), MISSING))
    }
}

/// The command line, as the aws CLI makes it.
fn command(plugin: &Path, version: &str, started: &Started, region: &str, profile: &str, endpoint: &str) -> Command {
    let answer = json!({
        "SessionId": started.id,
        "TokenValue": started.grant.token.reveal(),
        "StreamUrl": started.grant.url,
    });
    let mut command = Command::new(plugin);
    if reads_variable(version) {
        command.arg(VARIABLE).env(VARIABLE, answer.to_string());
    } else {
        command.arg(answer.to_string());
    }
    command.args([region, "StartSession", profile]).arg(started.request.to_string()).arg(endpoint);
    command
}

/// Whether a version of the plug-in reads the answer from the environment.
fn reads_variable(version: &str) -> bool {
    let parts: Option<Vec<u32>> = version.trim().split('.').map(|part| part.parse().ok()).collect();
    let Some(mut parts) = parts.filter(|parts| parts.len() <= WITHOUT_VARIABLE.len()) else { return false };
    parts.resize(WITHOUT_VARIABLE.len(), 0);
    parts.as_slice() > WITHOUT_VARIABLE.as_slice()
}

/// Waits for a program that has the terminal: keys that would stop us are meant for it.
async fn attended(mut command: Command) -> std::io::Result<u8> {
    let before = tcgetattr(std::io::stdin()).ok();
    // Held as long as it runs; a program that is started has the usual ones again.
    let held = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::from_raw(Signal::TSTP.as_raw())]
        .map(|kind| signal(kind).ok());
    let mut child = command.kill_on_drop(true).spawn()?;
    let (mut term, mut hup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let status = tokio::select! {
        status = child.wait() => status.map(|status| status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(255)),
        _ = term.recv() => Ok(143),
        _ = hup.recv() => Ok(129),
    };
    let _ = child.start_kill();
    let _ = timeout(GOODBYE, child.wait()).await;
    drop(held);
    if let Some(before) = before {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::channel::{Grant, Token};

    fn arguments(version: &str) -> (Vec<String>, Option<String>) {
        let grant = Grant { url: "wss://h/x?cell-number=A+/=".to_owned(), token: Token::new("secret".to_owned()) };
        let started = Started { id: "user-0a1b".to_owned(), grant, request: json!({ "Target": "i-0a" }) };
        let command = command(Path::new("/bin/p"), version, &started, "eu-west-1", "", "https://ssm.example");
        let command = command.as_std();
        let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
        let variable = command.get_envs().find(|(name, _)| *name == VARIABLE).and_then(|(_, value)| value.map(text));
        (command.get_args().map(text).collect(), variable)
    }

    #[test]
    fn the_token_is_no_argument_where_that_can_be() {
        let answer = r#"{"SessionId":"user-0a1b","StreamUrl":"wss://h/x?cell-number=A+/=","TokenValue":"secret"}"#;
        let rest = ["eu-west-1", "StartSession", "", r#"{"Target":"i-0a"}"#, "https://ssm.example"];
        let (new, variable) = arguments("1.2.764.0\n");
        assert_eq!((new[0].as_str(), &new[1..]), (VARIABLE, rest.map(str::to_owned).as_slice()));
        assert_eq!(variable.as_deref(), Some(answer));
        let (old, variable) = arguments("1.2.497.0");
        assert_eq!((old[0].as_str(), &old[1..]), (answer, rest.map(str::to_owned).as_slice()));
        assert_eq!(variable, None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, reads) in [
            ("1.2.498", true),
            ("1.10.0.0", true),
            ("2", true),
            ("1.2.497", false),
            ("1.2", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(reads_variable(version), reads, "{version}");
        }
    }
}
