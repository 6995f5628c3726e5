//! Terminals through the doors: SSH against a real OpenSSH server, the others against the practice account and fakes.

mod lab;
mod pushed;
mod ssh;
mod tunnel;

use port22::core::fact::Fact;
use port22::core::facts::Facts;
use port22::core::facts::local::SshConfig;
use port22::edge::aws::AwsSettings;
use port22::edge::{RealWorld, Settings};
use port22::engine::terminal::Opened;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// Longest wait for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// A world whose AWS is a closed port of this machine.
async fn world() -> RealWorld {
    let aws = AwsSettings {
        profile: None,
        regions: vec!["eu-west-1".to_owned()],
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        keys: Some(("practice".to_owned(), "practice".to_owned())),
    };
    RealWorld::new(Settings { aws, ..Settings::default() }).await
}

/// What is known of a server on loopback, with these known_hosts and one key.
async fn facts(port: u16, known_hosts: &Path, key: Option<&Path>) -> Facts {
    let mut facts = Facts::default();
    facts.target.name = "127.0.0.1".to_owned();
    facts.target.user = Some(crate::sshd::me());
    facts.target.port = Some(port);
    facts.local.config = Fact::known(
        SshConfig { known_hosts_files: vec![known_hosts.display().to_string()], ..SshConfig::default() },
        "ssh -G",
    );
    if let Some(key) = key {
        facts.local.keys = port22::edge::keys::probe(&[(key.display().to_string(), "-i".to_owned())]).await;
    }
    facts.local.agent = Fact::known(Vec::new(), "no agent");
    facts.local.dns = Fact::known(Vec::new(), "no resolver");
    facts.aws.instance = Fact::unknown(port22::core::fact::Why::needs("AWS"));
    facts
}

/// Waits for a future, but not for ever.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no end of: {what}"))
}

/// Reads until a text is there.
async fn until(output: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains(text) {
            match output.read(&mut buffer).await {
                Ok(count @ 1..) => seen.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, read).await;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(done.is_ok() && seen.contains(text), "waiting for {text:?}, there is {seen:?}");
    seen
}

/// Types a line.
async fn type_line(opened: &mut Opened, line: &str) {
    opened.input.write_all(format!("{line}\n").as_bytes()).await.expect("keys are taken");
    opened.input.flush().await.expect("keys are sent");
}
