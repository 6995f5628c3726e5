//! Keys of a real ssh-agent: listed with their public halves, asked about, and never used to sign.

use super::{HERE, answers, dir};
use crate::sshd::{Sshd, keygen, me};
use port22::core::facts::wire::Answer;
use port22::edge::agent;
use port22::edge::ssh::{self, SshKey, SshRequest};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An agent in the foreground, ended with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    /// Starts it with these keys; `None` where there is no ssh-agent.
    fn start(below: &Path, keys: &[&Path]) -> Option<Self> {
        let socket = below.join("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        assert!(child.is_ok() || std::env::var_os("CI").is_none(), "ssh-agent is needed: install openssh-client");
        let agent = Self { child: child.ok()?, socket };
        let begun = Instant::now();
        while !agent.socket.exists() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for key in keys {
            let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &agent.socket).status();
            assert!(added.expect("ssh-add").success(), "{}", key.display());
        }
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_key_of_the_agent_is_asked_about_and_nothing_is_signed() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let other = keygen(dir.path(), "other", &["-t", "rsa", "-b", "2048"], "");
    let (Some(sshd), Some(agent)) = (Sshd::start(&[&known], ""), Agent::start(dir.path(), &[&other, &known])) else {
        return;
    };
    let listed = agent::list_at(Some(agent.socket.clone().into())).await;
    let keys = listed.value().unwrap_or_else(|| panic!("{listed:?}"));
    assert_eq!(keys.len(), 2, "{keys:?}");
    let mut request = SshRequest::new(HERE, sshd.port);
    request.users = vec![me()];
    request.sign = true;
    request.keys = keys
        .iter()
        .map(|key| SshKey {
            path: key.label(),
            public: key.public.clone(),
            private: None,
            encrypted: false,
            held: true,
        })
        .collect();
    let (_, offers, budget) = ssh::probe(request).await;
    let me = me();
    assert_eq!(answers(&offers), [(me.as_str(), &Answer::Refused), (me.as_str(), &Answer::WouldAccept)]);
    assert_eq!(offers[1].key.as_deref(), Some(keys[1].label().as_str()));
    assert_eq!(offers[1].fingerprint.as_ref(), Some(&keys[1].fingerprint));
    assert_eq!(budget.used, 2);
    assert!(sshd.wait_for("port22 has seen enough", 1), "no orderly end:\n{}", sshd.text());
    assert_eq!(sshd.lines("Accepted publickey"), 0, "{}", sshd.text());
}
