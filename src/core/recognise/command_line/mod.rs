//! Finds the command line that was pasted with a message: ssh and its relatives.
//!
//! Reads, never runs. It must not guess: a word that only looks like a command in prose is none.
//! Used by the recogniser and by the start screen's paste box.

mod others;
mod read;
#[cfg(test)]
mod tests;

use super::clean::{self, Line};
use serde::{Deserialize, Serialize};

/// An `ssh` (scp, sftp, rsync, plink, …) command as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SshCommand {
    /// The host as typed, without the user.
    pub target: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    /// `-i` and `-o IdentityFile=`, in order.
    pub keys: Vec<String>,
    /// `-F`.
    pub config: Option<String>,
    /// `-J` or `-o ProxyJump=`.
    pub jump: Option<String>,
    /// Every other `-o`, as typed.
    pub options: Vec<String>,
}

/// Programs that take ssh's arguments, more or less.
#[derive(Clone, Copy, PartialEq)]
enum Program {
    Ssh,
    Sftp,
    Scp,
    Plink,
    Pscp,
    Rsync,
    Git,
    CopyId,
    Autossh,
    Mosh,
    Sshfs,
    Sshuttle,
    Ansible,
    Aws,
    Url,
    Probe,
}

/// The last command of this family in a text, behind any prompt.
pub fn command_line(text: &str) -> Option<SshCommand> {
    let lines = clean::lines(text);
    let mut found: Option<SshCommand> = None;
    let mut probe = true;
    let mut i = 0;
    while i < lines.len() {
        let (line, used) = logical(&lines[i..]);
        if let Some((program, command)) = parse_line(&line) {
            let only_looks = program == Program::Probe;
            let better = found.as_ref().is_none_or(|f| command.target.is_some() || f.target.is_none());
            // What was pinged after a failed login says less than the login.
            if better && (probe || !only_looks) {
                found = Some(command);
                probe = only_looks;
            }
        }
        i += used;
    }
    found
}

/// One logical line: wrapped at 80 columns, or continued with `\`, `^` or a backtick.
fn logical(lines: &[Line]) -> (String, usize) {
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate().take(12) {
        let text = line.text.as_str();
        let last = i + 1 == lines.len();
        if let Some(head) = text.strip_suffix(['\\', '^', '`']).filter(|h| h.ends_with(' ') && !last) {
            out.push_str(head);
            continue;
        }
        out.push_str(text);
        if !line.wrapped || last {
            return (out, i + 1);
        }
    }
    (out, lines.len().clamp(1, 12))
}

fn parse_line(line: &str) -> Option<(Program, SshCommand)> {
    if line.len() > 4000 || is_noise(line) {
        return None;
    }
    let words = split(&part_prompt(line));
    for (at, word) in words.iter().enumerate().take(40) {
        let Some(program) = program(word) else {
            continue;
        };
        if !starts_command(line, &words, at) {
            continue;
        }
        let command = read::read(program, &words[at + 1..]);
        if command.as_ref().is_some_and(|c| c.target.is_some() || !c.keys.is_empty()) {
            return Some((program, command?));
        }
    }
    None
}

/// Puts a blank behind a prompt that is written without one (`C:\\>ssh`, `$ssh`).
fn part_prompt(line: &str) -> std::borrow::Cow<'_, str> {
    let Some(at) = line.find(['>', '$', '#', '%']) else {
        return line.into();
    };
    let (head, rest) = line.split_at(at + 1);
    let next = rest.split_whitespace().next().unwrap_or_default();
    if rest.starts_with(' ') || program(next).is_none() || head.contains(" -") {
        return line.into();
    }
    format!("{head} {rest}").into()
}

/// Whether a line is a command somebody typed behind a prompt: not the output of a program.
pub fn is_typed(line: &str) -> bool {
    const TYPED: &str = "ssh scp sftp rsync git aws ping telnet nc ncat nmap mtr traceroute tracert curl \
        ansible ansible-playbook ssh-add ssh-keygen plink pscp psftp dbclient mstsc xfreerdp \
        rdesktop timeout sudo lftp python python3 ruby node npm npx php perl java go cargo erl iex bundle \
        gradle mvn dotnet make bash sh zsh pdsh fping borg unison sshuttle sshfs autossh sshpass \
        nc.traditional nc.openbsd busybox tracepath socat docker kubectl salt-ssh bolt knife kitchen \
        duplicity restic rclone terragrunt pulumi mssh gcloud time env ssh-copy-id ssh-keyscan parallel-ssh mosh vagrant packer terraform test- \
        netconnection tnc eb cap fab chmod cat ls vi vim nano export";
    let Some((_, rest)) = line.split_once(['$', '#', '>', '%', '❯', '➜']) else {
        return false;
    };
    let mut words = rest.split_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let first = first.strip_suffix(".exe").unwrap_or(&first);
    let near = line.find(['$', '#', '>', '%', '❯', '➜']).is_some_and(|at| at < 70);
    let script = ["./", "~/", "../", "/"].iter().any(|p| first.starts_with(p)) && !first.ends_with(':');
    near && (script || TYPED.split(' ').any(|t| t == first))
}

/// Commands that people type, and the program's name in the answer.
const NAMES: &[(&str, &str)] = &[
    ("ssh", "openssh"),
    ("scp", "openssh"),
    ("sftp", "openssh"),
    ("ssh-add", "openssh"),
    ("ssh-copy-id", "openssh"),
    ("ssh-keyscan", "openssh"),
    ("dbclient", "dbclient"),
    ("plink", "plink"),
    ("pscp", "pscp"),
    ("psftp", "psftp"),
    ("mosh", "mosh"),
    ("autossh", "autossh"),
    ("sshuttle", "sshuttle"),
    ("sshfs", "sshfs"),
    ("sshpass", "sshpass"),
    ("rsync", "rsync"),
    ("git", "git"),
    ("borg", "borg"),
    ("unison", "unison"),
    ("pdsh", "pdsh"),
    ("parallel-ssh", "pssh"),
    ("pssh", "pssh"),
    ("cap", "capistrano"),
    ("ansible", "ansible"),
    ("ansible-playbook", "ansible"),
    ("salt-ssh", "salt-ssh"),
    ("knife", "chef"),
    ("bolt", "bolt"),
    ("terraform", "terraform"),
    ("packer", "packer"),
    ("vagrant", "vagrant"),
    ("docker", "docker"),
    ("rclone", "rclone"),
    ("aws", "awscli"),
    ("mssh", "mssh"),
    ("curl", "curl"),
    ("lftp", "lftp"),
    ("nc", "nc"),
    ("nc.traditional", "nc"),
    ("nc.openbsd", "nc"),
    ("ncat", "ncat"),
    ("telnet", "telnet"),
    ("nmap", "nmap"),
    ("ping", "ping"),
    ("fping", "fping"),
    ("mtr", "mtr"),
    ("xfreerdp", "freerdp"),
    ("rdesktop", "rdesktop"),
    ("mstsc", "mstsc"),
];

/// The program that was typed last behind a prompt.
pub fn typed_program(text: &str) -> Option<&'static str> {
    clean::lines(text).iter().rev().find_map(|line| {
        let line = line.text.as_str();
        let (head, rest) = line.split_once(['$', '#', '>', '%', '❯', '➜'])?;
        let first = rest.split_whitespace().find(|w| *w != "sudo" && !w.contains('='))?;
        let name = first.strip_suffix(".exe").unwrap_or(first);
        if head.len() > 70 || is_noise(rest) {
            return None;
        }
        NAMES.iter().find(|(typed, _)| *typed == name).map(|(_, name)| *name)
    })
}

/// Whether a line is the command of a Remote Desktop client, typed behind a prompt.
pub fn is_remote_desktop(line: &str) -> bool {
    const PROGRAMS: &[&str] = &["mstsc", "xfreerdp", "xfreerdp3", "wlfreerdp", "sdl-freerdp", "rdesktop", "remmina"];
    let Some((head, rest)) = line.split_once(['$', '#', '>', '%', '❯', '➜']) else {
        return false;
    };
    let first = rest.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    head.len() < 70 && PROGRAMS.contains(&first.strip_suffix(".exe").unwrap_or(&first))
}

/// Lines that name programs without being their command.
fn is_noise(line: &str) -> bool {
    let l = line.trim_start();
    l.starts_with("usage:") || l.starts_with("debug") || l.starts_with("ssh: ") || l.starts_with("OpenSSH_")
}

fn program(word: &str) -> Option<Program> {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word).to_ascii_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    Some(match name {
        "ssh" | "slogin" | "dbclient" | "mssh" => Program::Ssh,
        "autossh" => Program::Autossh,
        "mosh" => Program::Mosh,
        "sshfs" => Program::Sshfs,
        "sshuttle" => Program::Sshuttle,
        "ansible" | "ansible-playbook" => Program::Ansible,
        "aws" => Program::Aws,
        "curl" | "winscp" | "winscp.com" | "docker" | "lftp" => Program::Url,
        "nc" | "ncat" | "netcat" | "telnet" | "ping" | "ping6" | "tracert" | "traceroute" | "mtr" | "nmap" | "tnc"
        | "test-netconnection" => Program::Probe,
        "sftp" => Program::Sftp,
        "scp" => Program::Scp,
        "plink" | "putty" | "kitty" | "puttytel" => Program::Plink,
        "pscp" | "psftp" => Program::Pscp,
        "rsync" => Program::Rsync,
        "git" => Program::Git,
        "ssh-copy-id" => Program::CopyId,
        _ => return None,
    })
}

/// Whether the word stands where a command stands: first, behind a prompt, or behind a word that
/// takes a command.
fn starts_command(line: &str, words: &[String], at: usize) -> bool {
    const BEFORE: &str = "sudo time exec command && || ; | then do nohup sshpass $ # % & + winpty proxychains \
        running: command:";
    let Some(previous) = at.checked_sub(1).and_then(|i| words.get(i)) else {
        return true;
    };
    if BEFORE.split(' ').any(|b| b == previous) {
        return true;
    }
    let prompt = previous.ends_with(['$', '#', '>', '%', '❯', '➜', 'λ', '»', '~'])
        || (previous.ends_with(':') && line.contains("command"));
    let assignments = words[..at].iter().all(|w| w.contains('=') || w == "env");
    let quoted = words[..at].iter().any(|w| w == "timeout" || w == "sshpass" || w == "sudo" || w == "time");
    let enough = words.get(at + 1..).is_some_and(|rest| rest.iter().any(|w| w.contains('@') || w.starts_with('-')));
    prompt || assignments || (quoted && enough) || (enough && words[..at].iter().all(|w| is_prompt_word(w)))
}

fn is_prompt_word(word: &str) -> bool {
    word.ends_with(['$', '#', '>', '%', '❯', '➜', ']'])
        || word.starts_with(['[', '➜', '('])
        || word == "✗"
        || word == "~"
        || word.starts_with("git:(")
}

/// Splits like a shell, leniently: quotes group, a backslash stays (Windows paths).
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut open = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'' | '\u{201c}' | '\u{201d}') => {
                open = true;
                if matches!(c, '"' | '\'') && line.matches(c).count().is_multiple_of(2) {
                    quote = Some(c);
                }
            }
            (None, '\\') if chars.peek() == Some(&' ') => {
                chars.next();
                word.push(' ');
            }
            (None, ';') if !word.is_empty() => {
                words.push(std::mem::take(&mut word));
                words.push(";".into());
            }
            (None, '`') => {}
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() || open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() || open {
        words.push(word);
    }
    words
}
