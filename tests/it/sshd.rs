//! A real OpenSSH server on loopback for the tests of the SSH probe.
//!
//! Runs as the current user with files in a directory of its own; nothing of the host is changed. Its
//! log is read line by line, so that nothing here sleeps.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for a line of the log.
const PATIENCE: Duration = Duration::from_secs(10);
/// Stands in the log for the end of the server.
const END: &str = "(end of the log)";

/// A running server. Dropping it ends it.
pub struct Sshd {
    /// Port on 127.0.0.1.
    pub port: u16,
    dir: TempDir,
    child: Child,
    log: Arc<Log>,
}

/// Lines that the server has written.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        self.more.notify_all();
    }

    fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|line| line.contains(text)).count()
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits until `done` holds for the lines.
    fn wait(&self, done: impl Fn(&[String]) -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if done(&lines) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            lines = self.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The server program, where it is installed. A run that must not skip sets `CI`.
fn program() -> Option<PathBuf> {
    let found = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/usr/local/bin/sshd"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "sshd is needed: install openssh-server");
    found
}

/// Name of the current user, the only one that an sshd of a normal user can log in.
pub fn me() -> String {
    let out = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8(out.stdout).expect("a user name").trim().to_owned()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Makes a key pair without passphrase, or with one, and returns the path of the private half.
pub fn keygen(dir: &Path, name: &str, options: &[&str], passphrase: &str) -> PathBuf {
    let path = dir.join(name);
    let status = Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-C", name])
        .args(options)
        .arg("-f")
        .arg(&path)
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("ssh-keygen").success());
    path
}

/// `SHA256:…` of a key file as ssh-keygen prints it.
pub fn fingerprint(path: &Path) -> String {
    let out = Command::new("ssh-keygen").arg("-lf").arg(path).output().expect("ssh-keygen");
    String::from_utf8_lossy(&out.stdout).split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

impl Sshd {
    /// Starts a server that takes the keys of `authorized` (paths of private halves; the `.pub` beside
    /// them counts), with more lines for its configuration. `None`, with a note, where there is no sshd.
    pub fn start(authorized: &[&Path], more: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: sshd is not installed");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("port22-sshd").tempdir().expect("a directory");
        let keys: String = authorized
            .iter()
            .map(|key| fs::read_to_string(format!("{}.pub", key.display())).expect("a public key"))
            .collect();
        fs::write(dir.path().join("authorized_keys"), keys).expect("authorized_keys");
        keygen(dir.path(), "host_ed25519", &["-t", "ed25519"], "");
        keygen(dir.path(), "host_ecdsa", &["-t", "ecdsa"], "");
        prepare_privilege_separation();
        for _ in 0..5 {
            let port = free_port();
            fs::write(dir.path().join("sshd_config"), configuration(dir.path(), port, more)).expect("sshd_config");
            let (mut child, log) = run(&program, dir.path());
            log.wait(|lines| lines.iter().any(|line| line.contains("Server listening") || line == END));
            if log.count("Server listening") > 0 {
                return Some(Self { port, dir, child, log });
            }
            let _ = child.kill();
            let _ = child.wait();
            assert!(log.count("already in use") > 0, "sshd does not start:\n{}", log.text());
        }
        panic!("no port stays free");
    }

    /// Private half of a host key: `ed25519` or `ecdsa`.
    pub fn host_key(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!("host_{kind}"))
    }

    /// Waits until the log has as many lines with `text`; says whether it came to that.
    pub fn wait_for(&self, text: &str, count: usize) -> bool {
        self.log.wait(|lines| lines.iter().filter(|line| line.contains(text)).count() >= count)
    }

    /// Number of log lines with `text`.
    pub fn lines(&self, text: &str) -> usize {
        self.log.count(text)
    }

    /// The whole log.
    pub fn text(&self) -> String {
        self.log.text()
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A configuration that touches nothing outside the directory. DEBUG1 logs each attempt.
fn configuration(dir: &Path, port: u16, more: &str) -> String {
    let dir = dir.display();
    format!(
        "{more}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host_ed25519\nHostKey {dir}/host_ecdsa\nAuthorizedKeysFile {dir}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nUseDNS no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         LogLevel DEBUG1\nMaxStartups 100\n"
    )
}

/// Runs the server in the foreground and reads what it logs.
fn run(program: &Path, dir: &Path) -> (Child, Arc<Log>) {
    let mut child = Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sshd");
    let log = Arc::new(Log::default());
    let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let writer = Arc::clone(&log);
    std::thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| writer.push(line));
        writer.push(END.to_owned());
    });
    (child, log)
}

/// An sshd of root wants the empty directory that its service makes at boot; a normal user's does not.
fn prepare_privilege_separation() {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0");
    if root {
        let _ = fs::create_dir_all("/run/sshd");
    }
}
