//! Runs port22 as a user does, in a home of its own, and reads its reports.

use crate::moto::{CLIENT, Moto, REGION, World};
use crate::sshd::keygen;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The program under test.
pub const PORT22: &str = env!("CARGO_BIN_EXE_port22");

/// A home directory: keys, ssh configuration, state, and nothing of this machine's owner.
pub struct Home {
    dir: TempDir,
    environment: Vec<(String, String)>,
    /// A program and its arguments that runs the program under test.
    through: Vec<String>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// Without AWS.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("port22-home").tempdir().expect("a directory");
        let at = dir.path();
        fs::write(
            at.join("ssh_config"),
            format!("UserKnownHostsFile {0}/known_hosts\nGlobalKnownHostsFile {0}/none\n", at.display()),
        )
        .expect("ssh_config");
        let home = |name: &str, under: &str| (name.to_owned(), at.join(under).display().to_string());
        let environment = vec![
            home("HOME", ""),
            home("XDG_STATE_HOME", "state"),
            home("XDG_CONFIG_HOME", "config"),
            home("XDG_CACHE_HOME", "cache"),
            home("XDG_DATA_HOME", "data"),
            home("AWS_CONFIG_FILE", "aws_config"),
            home("AWS_SHARED_CREDENTIALS_FILE", "aws_credentials"),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
            ("AWS_MAX_ATTEMPTS".to_owned(), "1".to_owned()),
            ("LC_ALL".to_owned(), "C".to_owned()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
        ];
        Self { dir, environment, through: Vec::new() }
    }

    /// With this endpoint, and keys that it takes.
    pub fn with(moto: &Moto) -> Self {
        Self::new().set("AWS_ENDPOINT_URL", &moto.endpoint).set("AWS_REGION", REGION).keys("testing", "testing")
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs port22 by these words: a program that runs another one.
    pub fn through(self, words: &[&str]) -> Self {
        Self { through: words.iter().map(|w| (*w).to_owned()).collect(), ..self }
    }

    /// What the environment says under a name.
    pub fn value(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    /// Runs port22 in the network namespace of this process.
    #[cfg(target_os = "linux")]
    pub fn in_network_of(self, process: u32) -> Self {
        Self { through: vec!["nsenter".to_owned(), format!("--net=/proc/{process}/ns/net"), "--".to_owned()], ..self }
    }

    pub fn keys(self, id: &str, secret: &str) -> Self {
        self.set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", secret)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A new key pair; the path of its private half, mode 0600.
    pub fn key(&self, name: &str) -> PathBuf {
        keygen(self.path(), name, &["-t", "ed25519"], "")
    }

    /// A file with this text, mode 0600.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }

    /// Runs the program with an empty standard input.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, b"")
    }

    /// Runs the program with this standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Run {
        self.run_program(PORT22, arguments, input)
    }

    /// Runs another program in the same place.
    pub fn run_other(&self, program: &str, arguments: &[&str]) -> Run {
        self.run_program(program, arguments, b"")
    }

    fn run_program(&self, program: &str, arguments: &[&str], input: &[u8]) -> Run {
        let mut words = self.through.iter().map(String::as_str).chain([program]).chain(arguments.iter().copied());
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .env_clear()
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("port22");
        // A program that does not read its input closes the pipe.
        let _ = child.stdin.take().expect("its input").write_all(input);
        child.wait_with_output().expect("its end").into()
    }

    /// Starts the program, with nothing on its standard streams.
    pub fn start(&self, arguments: &[&str]) -> Child {
        Command::new(PORT22)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("port22")
    }

    /// `diagnose … --json` with this key, told the client's address. Checks the contract's shape.
    pub fn diagnose(&self, target: &str, world: &World, key: &Path) -> Report {
        self.report(target, world, &["-i", &key.display().to_string()])
    }

    /// `diagnose … --json` with more arguments, told the client's address.
    pub fn report(&self, target: &str, world: &World, more: &[&str]) -> Report {
        let port = world.place.port.to_string();
        let config = self.path().join("ssh_config").display().to_string();
        let mut arguments = vec!["diagnose", target, "--json", "-p", &port, "-F", &config, "--source-ip", CLIENT];
        arguments.extend(more);
        Report::read(self.run(&arguments))
    }

    /// `diagnose … --json` of a target with a configuration file and the client's address.
    pub fn report_of(&self, target: &str, config: &str, source: &str, more: &[&str]) -> Report {
        let words = ["diagnose", target, "--json", "-F", config, "--source-ip", source];
        Report::read(self.run(&[&words, more].concat()))
    }

    /// `fix … ` with more arguments, told the client's address.
    pub fn fix(&self, fix: &str, world: &World, more: &[&str]) -> Run {
        let port = world.place.port.to_string();
        let config = self.path().join("ssh_config").display().to_string();
        let mut arguments = vec!["fix", fix, &world.instance, "-p", &port, "-F", &config, "--source-ip", CLIENT];
        arguments.extend(more);
        self.run(&arguments)
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { exit: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Run {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Fails unless the run ended with this status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.exit, status, "{self:#?}");
        self
    }

    /// Fails unless the failure at the end of stderr says this.
    #[track_caller]
    pub fn fails_with(&self, says: &str) {
        let failure = self.stderr.rsplit_once("port22: ").map_or("", |(_, end)| end);
        assert!(failure.contains(says), "{self:#?}");
    }

    /// Fails unless it is one plain sentence with a next step on stderr: no panic, no control sequence.
    #[track_caller]
    pub fn one_sentence(&self) -> &str {
        let text = self.stderr.trim_end();
        assert!(text.starts_with("port22: ") || text.starts_with("error: "), "{self:#?}");
        assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{self:#?}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{self:#?}");
        assert!(text.len() < 600, "{self:#?}");
        text
    }
}

/// A report of `diagnose --json`.
#[derive(Debug)]
pub struct Report {
    pub exit: i32,
    pub json: Value,
    pub stderr: String,
}

impl Report {
    /// Reads a report, and checks that it has the shape of the contract and that its exit status fits.
    #[track_caller]
    pub fn read(run: Run) -> Self {
        let json = run.json();
        crate::contract::check(&json, run.exit);
        Self { exit: run.exit, json, stderr: run.stderr }
    }

    /// Causes as `id certainty`, in order.
    pub fn causes(&self) -> Vec<String> {
        self.list("causes")
            .iter()
            .map(|c| {
                format!("{} {}", c["id"].as_str().unwrap_or_default(), c["certainty"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// The first cause as `id certainty`.
    pub fn first(&self) -> String {
        self.causes().first().cloned().unwrap_or_default()
    }

    /// Everything that a cause gives as evidence, texts and sources.
    pub fn evidence(&self, cause: &str) -> String {
        let found = self.list("causes").iter().find(|c| c["id"] == cause);
        found.map(|c| c["evidence"].to_string()).unwrap_or_default()
    }

    /// State of a hop.
    pub fn hop(&self, hop: &str) -> &str {
        let found = self.list("path").iter().find(|h| h["hop"] == hop);
        found.and_then(|h| h["state"].as_str()).unwrap_or("no such hop")
    }

    /// Hops in a state, in order.
    pub fn hops(&self, state: &str) -> Vec<&str> {
        self.list("path").iter().filter(|h| h["state"] == state).filter_map(|h| h["hop"].as_str()).collect()
    }

    /// Verdict and reason of a check.
    pub fn check(&self, id: &str) -> (&str, &str) {
        let found = self.list("checks").iter().find(|c| c["id"] == id);
        found.map_or(("no such check", ""), |c| {
            (c["verdict"].as_str().unwrap_or_default(), c["reason"].as_str().unwrap_or_default())
        })
    }

    pub fn list(&self, field: &str) -> &[Value] {
        self.json[field].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Fails unless this is the first cause, and the run ended with this status.
    #[track_caller]
    pub fn finds(&self, cause: &str, exit: i32) -> &Self {
        assert_eq!((self.first().as_str(), self.exit), (cause, exit), "causes {:?}\n{}", self.causes(), self.brief());
        self
    }

    /// Fails unless exactly these hops are blocked.
    #[track_caller]
    pub fn blocked(&self, hops: &[&str]) -> &Self {
        assert_eq!(self.hops("blocked"), hops, "{}", self.brief());
        self
    }

    /// Fails unless the evidence of a cause names all of these.
    #[track_caller]
    pub fn names(&self, cause: &str, all: &[&str]) -> &Self {
        let evidence = self.evidence(cause);
        for one in all {
            assert!(evidence.contains(one), "no {one} in the evidence of {cause}: {evidence}");
        }
        self
    }

    /// Causes, path and checks for a failed assertion.
    pub fn brief(&self) -> String {
        let checks = self.list("checks").iter().map(|c| format!("  {} {} {}", c["id"], c["verdict"], c["reason"]));
        let hops = self.list("path").iter().map(|h| format!("  {} {} {}", h["hop"], h["state"], h["detail"]));
        let causes = self.list("causes").iter().map(|c| format!("  {} {} {}", c["id"], c["certainty"], c["evidence"]));
        causes.chain(hops).chain(checks).chain([self.stderr.clone()]).collect::<Vec<_>>().join("\n")
    }
}
