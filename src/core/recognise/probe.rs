//! Messages that need their surroundings: what a port greets with, a key file that is not there, the
//! numbers of libssh2.
//!
//! Must not repeat what a pattern of the tables can say. Used by `ssh.rs`.

use super::command_line;
use super::elsewhere::names_port_22;
use super::flat::Flat;
use super::ssh::Hit;
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// A private key's file name, with its directories.
pub static KEY_FILE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?x) (?: [A-Za-z]:[/\\] | ~[/\\]? | \.{0,2}[/\\] )? (?:[^\s"'`()\[\]<>:;,|=*?]+[/\\])*
           (?: [^\s"'`()\[\]<>:;,|/\\=*?]+\.(?:pem|ppk|PEM|PPK) | id_(?:rsa|dsa|ecdsa|ed25519)(?:_\w+)? )"#,
    )
    .ok()
});
static LIBSSH2: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:libssh2|ssh2|[Ss]ession)\w*(?:[ :(=]|error|code|rc|failed|returned|handshake|auth\w*|with){1,12}(-\d{1,2})\b")
        .ok()
});

/// Adds what the text says in this way.
pub fn hits(flat: &Flat, hits: &mut Vec<Hit>) {
    greetings(flat, hits);
    let uptime = |line: &str| line.contains(" up ") && line.contains("load average: ") && !line.starts_with("top ");
    if let Some((pos, _)) = flat.lines().find(|(_, line)| uptime(line)) {
        // A first command of many: it ran, so the login worked.
        hits.push(Hit { symptom: "success", rank: 44, pos, also: &["other"] });
    }
    missing_key(flat, hits);
    passphrase(flat, hits);
    if let Some(re) = LIBSSH2.as_ref() {
        for found in re.captures_iter(&flat.text) {
            let (Some(whole), Some(code)) = (found.get(0), found.get(1)) else { continue };
            if let Some((symptom, also)) = libssh2(code.as_str()) {
                hits.push(Hit { symptom, rank: 46, pos: whole.start(), also });
            }
        }
    }
}

/// libssh2.h: `LIBSSH2_ERROR_…`.
fn libssh2(code: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match code {
        "-2" | "-3" | "-4" | "-7" | "-13" | "-14" | "-43" => {
            ("connection_reset", &["banner_timeout", "not_ssh_server"])
        }
        "-5" | "-8" | "-10" | "-11" | "-17" => ("algorithm_mismatch", &["connection_reset"]),
        "-9" | "-30" => ("timeout", &["banner_timeout"]),
        "-15" => ("account_locked_or_expired", &[]),
        "-16" => ("invalid_key_format", &["key_file_missing", "passphrase_needed"]),
        "-18" | "-19" => ("permission_denied", &["refused_key", "no_supported_auth"]),
        "-42" => ("agent_error", &[]),
        _ => return None,
    })
}

static OTHER_PORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?::|\bport[ =:]{1,2})(?:80|443|8080|8443|6443|5432|3306|6379|27017|1433|1521|9200|5672|9092|2375|2376|11211|25|465|587|110|143|993|995|389|636|8000|8888|9000|9090|5000|3000|10250|2379|8125|5044|1883|8200|8300|8301|8500|9100|9093|9091|4317|4318|3100|2380|10255|8081|8082|8088|9443|8983|7687|5984|5601|4222|3128)\b").ok()
});

/// Programs that have nothing to do with a login: what they print after being typed is theirs.
const OTHERS: &[&str] = &[
    "psql",
    "pg_dump",
    "mysql",
    "mysqldump",
    "mariadb",
    "redis-cli",
    "mongosh",
    "mongo",
    "sqlcmd",
    "docker",
    "docker-compose",
    "podman",
    "kubectl",
    "helm",
    "eksctl",
    "apt",
    "apt-get",
    "yum",
    "dnf",
    "apk",
    "zypper",
    "snap",
    "brew",
    "pip",
    "pip3",
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "composer",
    "bundle",
    "gem",
    "cargo",
    "mvn",
    "gradle",
    "make",
    "certbot",
    "nginx",
    "apachectl",
    "mount",
    "umount",
    "php",
    "dig",
    "host",
    "nslookup",
    "s3cmd",
    "mail",
    "sendmail",
];

/// Where the lines begin that follow such a program's command, up to the next prompt.
pub fn foreign_lines(flat: &Flat) -> HashSet<usize> {
    let mut out = HashSet::new();
    let mut theirs = false;
    for (pos, line) in flat.lines() {
        match typed_at_prompt(line) {
            Some(program) => theirs = OTHERS.contains(&program),
            None if theirs && !line.to_ascii_lowercase().contains("ssh") => {
                out.insert(pos);
            }
            None => {}
        }
    }
    out
}

/// The program of a command behind a shell's prompt.
fn typed_at_prompt(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once(['$', '#', '%', '❯', '➜'])?;
    let prompt = head.is_empty() || head.ends_with(['~', ']', ' ']) || head.contains('@');
    let typed = prompt && head.len() < 70 && rest.starts_with(' ');
    let words = rest.split_whitespace();
    words.filter(|w| *w != "sudo" && !w.contains('=')).find(|w| !w.starts_with('-')).filter(|_| typed)
}

/// A line about a port where no SSH server listens: a web server's or a database's.
pub fn is_elsewhere(line: &str) -> bool {
    const SSH: &[&str] = &["ssh", "proxy", "tunnel", "endpoint", "gateway", "websocket", "bastion"];
    if line.len() >= 1000 || !(OTHER_PORT.as_ref().is_some_and(|re| re.is_match(line)) || is_job(line)) {
        return false;
    }
    let lower = line.to_ascii_lowercase();
    !SSH.iter().any(|w| lower.contains(w)) && !names_port_22(&lower)
}

/// What ran out of time is a build, a query: no connection.
fn is_job(line: &str) -> bool {
    const JOBS: &[&str] = &["job", "build", "query", "pipeline", "workflow", "stage", "step", "test", "statement"];
    let lower = line.to_ascii_lowercase();
    let before = lower.find(" timed out").or_else(|| lower.find(" timeout")).map(|at| &lower[..at]);
    before.is_some_and(|b| b.rsplit(' ').next().is_some_and(|w| JOBS.contains(&w)))
        && !["connect", "host", "socket", "server"].iter().any(|w| lower.contains(w))
}

/// What a port said to a program that only connects to it.
fn greetings(flat: &Flat, hits: &mut Vec<Hit>) {
    let at_22 =
        ["22 port [tcp", ":22.", ":22 ", ":22)", " 22 (ssh)", "port 22", " 22 open"].iter().any(|w| flat.contains(w))
            || flat.lines().any(|(_, l)| command_line::is_typed(l) && l.split([' ', ':']).any(|w| w == "22"));
    let mut ssh = None;
    let mut other = None;
    for (pos, line) in flat.lines() {
        if line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-") {
            ssh = Some(pos);
        } else if ssh.is_none() && is_foreign(line) {
            other = other.or(Some(pos));
        }
    }
    match (ssh, other) {
        (Some(pos), None) if !flat.contains("escape character is") => {
            hits.push(Hit { symptom: "other", rank: 79, pos, also: &["success"] });
        }
        (None, Some(pos)) if at_22 => {
            hits.push(Hit { symptom: "not_ssh_server", rank: 80, pos, also: &["connection_reset"] });
        }
        _ => {}
    }
}

/// The first line of FTP, SMTP, POP3, IMAP, VNC and HTTP servers.
fn is_foreign(line: &str) -> bool {
    let starts =
        ["220 ", "220-", "554 ", "+OK ", "* OK ", "RFB 00", "HTTP/1.", "-ERR "].iter().any(|s| line.starts_with(s));
    starts && !line.starts_with("220 ms")
}

/// A line that says of a key that its passphrase is wanted, whatever it says besides.
fn passphrase(flat: &Flat, hits: &mut Vec<Hit>) {
    const WANTED: &[&str] =
        &["mandatory", "required", "is needed", "missing", "not provided", "not supplied", "no passphrase", "must be"];
    if !flat.contains("passphrase") {
        return;
    }
    for (pos, line) in flat.lines() {
        let lower = line.to_ascii_lowercase();
        let about = lower.contains("passphrase")
            && lower.contains("key")
            && !lower.contains(" or ")
            && !lower.contains("(empty for");
        if about && line.len() < 400 && !flat.is_debug(pos) && WANTED.iter().any(|w| lower.contains(w)) {
            hits.push(Hit { symptom: "passphrase_needed", rank: 87, pos, also: &["invalid_key_format"] });
        }
    }
}

/// Bytes that may stand between a key file's name and the words that it is not there.
const NEAR: usize = 60;

/// A line that says in any words that a file is not there, and names a private key's.
fn missing_key(flat: &Flat, hits: &mut Vec<Hit>) {
    const GONE: &[&str] = &[
        "no such file",
        "no such private key",
        "does not exist",
        "doesn't exist",
        "not exist",
        "not found",
        "cannot find",
        "can't find",
        "could not find",
        "couldn't find",
        "no file at",
        "no file exists at",
        "not be found",
        "is missing",
        "enoent",
        "見つかりません",
        "存在しません",
        "そのようなファイル",
        "没有那个文件",
        "找不到",
        "不存在",
        "n'existe pas",
        "aucun fichier",
        "datei oder verzeichnis nicht gefunden",
        "no existe",
    ];
    // OpenSSH goes on without a file that is not accessible; others speak of a host's or a web server's key.
    const UNLESS: &[&str] = &[
        "not accessible",
        "no such identity",
        "-cert",
        "cert.pem",
        "chain.pem",
        "fullchain",
        "letsencrypt",
        "nginx",
        "ssl",
        "tls",
        "ca.pem",
        "known_hosts",
        "ssh_host_",
        "certificate",
        "scp:",
        "rsync:",
        "remote",
        "public key",
        "keypair.notfound",
        "(invalidkeypair",
        "debug",
        "アクセスできません",
        "command not found",
        "host not found",
        "host key",
        "agent",
    ];
    let Some(re) = KEY_FILE.as_ref() else { return };
    if !GONE.iter().any(|w| flat.contains(w)) {
        return;
    }
    for (pos, line) in flat.lines() {
        if line.len() > 1000 || command_line::is_typed(line) || !re.is_match(line) {
            continue;
        }
        let lower = line.to_lowercase();
        let near = GONE.iter().filter_map(|w| lower.find(w).map(|at| (at, at + w.len()))).any(|(from, to)| {
            re.find_iter(&lower).any(|k| from.saturating_sub(k.end()) < NEAR && k.start().saturating_sub(to) < NEAR)
        });
        if near && !UNLESS.iter().any(|w| lower.contains(w)) {
            hits.push(Hit { symptom: "key_file_missing", rank: 87, pos, also: &["invalid_key_format"] });
        }
    }
}
