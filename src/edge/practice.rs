//! A running practice account, asked from outside: what was changed there, and whether the user's own ssh logs in. And the
//! file in which solved lessons are kept.
//!
//! Must not reach anything but this machine, and must not judge: what a lesson is worth is `core::practice`'s.

use crate::core::practice::hand::Call;
use crate::core::practice::progress::{Progress, Solved};
use crate::edge::tcp::os_words;
use rustix::process::geteuid;
use serde::Deserialize;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// How long the account may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a login by ssh may take.
const LOGIN: Duration = Duration::from_secs(30);
/// More than any account tells.
const LONGEST: u64 = 4 << 20;
/// Name of the record in the state directory.
const FILE: &str = "practice.jsonl";

/// What a running practice account tells of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// Its seed.
    pub seed: u64,
    /// The lesson that it has alone.
    pub scenario: Option<String>,
    /// Its Region.
    pub region: String,
    /// The practising user's ssh configuration.
    pub config: String,
    /// The user's address as the instances see it.
    pub source_ip: IpAddr,
    /// When it was started, in seconds since 1970.
    pub begun: i64,
    /// Calls that changed something, oldest first.
    pub calls: Vec<Call>,
}

/// Asks the practice account at this endpoint: `http://127.0.0.1:PORT`.
///
/// # Errors
/// One sentence: it is not on this machine, does not answer, or is no practice account.
pub async fn account(endpoint: &str) -> Result<Account, String> {
    let place = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let place: SocketAddr = place
        .and_then(|place| place.replace("localhost:", "127.0.0.1:").parse().ok())
        .filter(|place: &SocketAddr| place.ip().is_loopback())
        .ok_or_else(|| format!("{endpoint} is no endpoint of a practice account: those are http://127.0.0.1:PORT"))?;
    let ask = async {
        let mut stream = TcpStream::connect(place).await?;
        let request = format!("GET /practice HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        Ok::<_, Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(ANSWER, ask)
        .await
        .map_err(|_| format!("{endpoint} does not answer"))?
        .map_err(|error| format!("{endpoint}: {}", os_words(&error)))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let account: Account =
        serde_json::from_str(body).map_err(|_| format!("{endpoint} is not the endpoint of a practice account"))?;
    // Anybody on this machine may listen on a port, and a configuration of ssh runs programs.
    if !is_own(Path::new(&account.config)) {
        return Err(format!("{endpoint} names {}, which is not a file of yours alone", account.config));
    }
    Ok(account)
}

/// Whether a file and its directory are the user's, and nobody else may write them.
fn is_own(path: &Path) -> bool {
    let own = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|seen| seen.uid() == geteuid().as_raw() && seen.mode() & 0o022 == 0)
    };
    own(path) && path.parent().is_some_and(own)
}

/// Logs in with the user's own ssh and runs `true`. `None` where there is no ssh; else why it did not log in.
pub async fn ssh_login(arguments: &[String], host: &str) -> Option<Result<(), String>> {
    let mut command = Command::new("ssh");
    command
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ConnectionAttempts=1"])
        .args(arguments)
        .args(["--", host, "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(os_words(&error))),
    };
    let output = match timeout(LOGIN, child.wait_with_output()).await {
        Err(_) => return Some(Err(format!("no login within {} s", LOGIN.as_secs()))),
        Ok(Err(error)) => return Some(Err(os_words(&error))),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Some(Ok(()));
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it ended without a word");
    Some(Err(last.to_owned()))
}

/// The record of solved lessons: one line of JSON for each time, in the state directory.
#[derive(Debug, Clone)]
pub struct Record {
    directory: PathBuf,
}

impl Record {
    /// In a directory, which is made when the first lesson is solved.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Path of the file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn problem(&self, error: &Error) -> String {
        format!("{}: {}", self.path().display(), os_words(error))
    }

    /// Everything that was solved; nothing where there is no file.
    ///
    /// # Errors
    /// The file cannot be read: one sentence.
    pub fn read(&self) -> Result<Progress, String> {
        match std::fs::read(self.path()) {
            Ok(bytes) => Ok(Progress::read(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Progress::default()),
            Err(error) => Err(self.problem(&error)),
        }
    }

    /// Appends a lesson. It is on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written: one sentence.
    pub fn add(&self, solved: &Solved) -> Result<(), String> {
        self.append(&solved.line()).map_err(|error| self.problem(&error))
    }

    fn append(&self, line: &str) -> Result<(), Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(self.path())?;
        // A line that was torn by a crash ends before this one begins.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let begin = if last == [b'\n'] { "" } else { "\n" };
        // One write, so that two programs do not mix their lines.
        file.write_all(format!("{begin}{line}\n").as_bytes())?;
        file.sync_all()
    }

    /// Begins anew; the path to which the old record was moved, `None` where there was none.
    ///
    /// # Errors
    /// The file cannot be moved: one sentence.
    pub fn reset(&self) -> Result<Option<PathBuf>, String> {
        let old = (1..=u16::MAX)
            .map(|number| self.directory.join(format!("{FILE}.{number}")))
            .find(|path| !Path::exists(path));
        let Some(old) = old else { return Ok(None) };
        match std::fs::rename(self.path(), &old) {
            Ok(()) => Ok(Some(old)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.problem(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn solved(lesson: &str) -> Solved {
        let lesson = lesson.to_owned();
        Solved { schema: 1, at: 100, lesson, seed: 0, points: 90, checks: Some(3), hints: 0, fix: None }
    }

    #[test]
    fn what_was_solved_is_kept_over_runs_and_a_torn_line_harms_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::new(dir.path().join("state"));
        assert_eq!(record.read().unwrap(), Progress::default());
        assert_eq!(record.reset().unwrap(), None);
        record.add(&solved("web-a")).unwrap();
        let mut torn = OpenOptions::new().append(true).open(record.path()).unwrap();
        torn.write_all(b"{\"schema\":1,\"at\":1").unwrap();
        Record::new(dir.path().join("state")).add(&solved("web-b")).unwrap();
        let progress = record.read().unwrap();
        assert_eq!(progress.solved.keys().collect::<Vec<_>>(), ["web-a", "web-b"]);
        let mode = std::fs::metadata(record.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let old = record.reset().unwrap().unwrap();
        assert!(old.exists() && record.read().unwrap().solved.is_empty());
    }

    #[tokio::test]
    async fn nothing_but_this_machine_is_asked() {
        for endpoint in
            ["https://ec2.us-east-1.amazonaws.com", "http://203.0.113.7:80", "http://example.com:80", "nonsense"]
        {
            assert!(account(endpoint).await.unwrap_err().contains("no endpoint of a practice account"), "{endpoint}");
        }
    }
}
