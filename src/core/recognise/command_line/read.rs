//! Reads the arguments of each program of the family.

use super::{Program, SshCommand, others, split};

const SFTP_WITH_ARGUMENT: &str = "BbcDFiJloPRSsX";
const SCP_WITH_ARGUMENT: &str = "cDFiJloPSX";
/// ssh's options that take an argument (ssh.c, getopt string).
const SSH_WITH_ARGUMENT: &str = "BbcDEeFIiJLlmOoPpQRSWw";
const AUTOSSH_WITH_ARGUMENT: &str = "BbcDEeFIiJLlMmOoPpQRSWw";

pub fn read(program: Program, words: &[String]) -> Option<SshCommand> {
    match program {
        Program::Ssh => Some(read_ssh(words, SSH_WITH_ARGUMENT, 'p')),
        Program::CopyId => Some(read_ssh(words, "iopFt", 'p')),
        Program::Scp | Program::Sftp => {
            let with = if program == Program::Scp { SCP_WITH_ARGUMENT } else { SFTP_WITH_ARGUMENT };
            let mut command = read_ssh(&remote_first(words, with), with, 'P');
            drop_path(&mut command, program == Program::Scp);
            Some(command)
        }
        Program::Plink | Program::Pscp => Some(read_putty(words, program == Program::Pscp)),
        Program::Rsync => read_rsync(words),
        Program::Git => read_git(words),
        Program::Autossh => Some(read_ssh(words, AUTOSSH_WITH_ARGUMENT, 'p')),
        Program::Mosh => Some(read_mosh(words)),
        Program::Sshfs => {
            let mut command = read_ssh(&remote_first(words, "opF"), "opF", 'p');
            drop_path(&mut command, true);
            Some(command)
        }
        Program::Sshuttle => read_sshuttle(words),
        Program::Ansible => Some(others::read_ansible(words)),
        Program::Aws => others::read_aws(words),
        Program::Url => others::read_url(words),
        Program::Probe => others::read_probe(words),
    }
}

fn read_ssh(words: &[String], with_argument: &str, port_flag: char) -> SshCommand {
    let mut command = SshCommand::default();
    let mut i = 0;
    while i < words.len() {
        let word = words[i].as_str();
        i += 1;
        if word == "--" {
            continue;
        }
        let Some(flags) = word.strip_prefix('-').filter(|f| !f.is_empty()) else {
            if matches!(word, ";" | "&&" | "||" | "|" | "2>&1" | ">" | "&") {
                break;
            }
            if command.target.is_none() {
                set_target(&mut command, word);
                continue;
            }
            break;
        };
        for (at, flag) in flags.char_indices() {
            if !with_argument.contains(flag) {
                continue;
            }
            let attached = &flags[at + flag.len_utf8()..];
            let value = if attached.is_empty() {
                i += 1;
                words.get(i - 1).cloned().unwrap_or_default()
            } else {
                attached.to_owned()
            };
            apply(&mut command, flag, port_flag, &value);
            break;
        }
    }
    command
}

fn apply(command: &mut SshCommand, flag: char, port_flag: char, value: &str) {
    match flag {
        'i' if !value.is_empty() => command.keys.push(value.to_owned()),
        'l' if !value.is_empty() && port_flag == 'p' => command.user = Some(value.to_owned()),
        'F' => command.config = Some(value.to_owned()),
        'J' => command.jump = Some(value.to_owned()),
        'o' => apply_option(command, value),
        f if f == port_flag => command.port = value.parse().ok(),
        _ => {}
    }
}

fn apply_option(command: &mut SshCommand, option: &str) {
    let (name, value) = option.split_once(['=', ' ']).unwrap_or((option, ""));
    let value = value.trim_matches(['=', ' ', '"', '\'']);
    match name.trim().to_ascii_lowercase().as_str() {
        "identityfile" => command.keys.push(value.to_owned()),
        "port" => command.port = value.parse().ok(),
        "user" => command.user = Some(value.to_owned()),
        "proxyjump" => command.jump = Some(value.to_owned()),
        _ if !option.is_empty() => command.options.push(option.to_owned()),
        _ => {}
    }
}

fn set_target(command: &mut SshCommand, word: &str) {
    let word = word.trim_matches(['"', '\'', '`', ',', '。', '、']);
    let word = word.strip_prefix("ssh://").or_else(|| word.strip_prefix("sftp://")).unwrap_or(word);
    let (user, host) = match word.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, word),
    };
    let plausible = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || ".-_:[]%$<>{}+\\/".contains(c));
    if !plausible(host) || user.is_some_and(str::is_empty) {
        return;
    }
    if let Some(user) = user {
        command.user = Some(user.split(':').next().unwrap_or(user).to_owned());
    }
    let host = host.trim_end_matches('/');
    if let Some((name, port)) = host.strip_prefix('[').and_then(|h| h.split_once("]:")) {
        command.port = port.parse().ok();
        command.target = Some(name.to_owned());
        return;
    }
    if word.len() != host.len()
        && host.matches(':').count() == 1
        && !host.contains('/')
        && let Some((name, port)) = host.split_once(':')
        && let Ok(port) = port.parse()
    {
        command.port = Some(port);
        command.target = Some(name.to_owned());
        return;
    }
    command.target = Some(host.trim_matches(['[', ']']).to_owned());
}

/// scp and sftp: options, and of the operands the one that names a host.
fn remote_first(words: &[String], with_argument: &str) -> Vec<String> {
    let mut options = Vec::new();
    let mut operands = Vec::new();
    let mut i = 0;
    while i < words.len() {
        let word = &words[i];
        i += 1;
        if word.starts_with('-') && word.len() > 1 {
            options.push(word.clone());
            if word.ends_with(|c| with_argument.contains(c)) && word.len() == 2 {
                options.extend(words.get(i).cloned());
                i += 1;
            }
        } else {
            operands.push(word.clone());
        }
    }
    let remote = |w: &&String| w.contains('@') || is_remote_path(w);
    options.extend(operands.iter().find(remote).or(if operands.len() == 1 { operands.first() } else { None }).cloned());
    options
}

fn is_remote_path(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(host, rest)| host.len() > 1 && !host.contains(['/', '\\']) && !rest.starts_with('\\'))
}

/// `host:path` to `host`.
fn drop_path(command: &mut SshCommand, needs_path: bool) {
    let Some(target) = &command.target else {
        return;
    };
    if target.matches(':').count() >= 2 && target.parse::<std::net::Ipv6Addr>().is_ok() {
        return;
    }
    match target.split_once(':') {
        Some((host, _)) => command.target = Some(host.to_owned()),
        None if needs_path && command.user.is_none() => command.target = None,
        None => {}
    }
}

fn read_putty(words: &[String], copies: bool) -> SshCommand {
    const WITH_ARGUMENT: &str = "-P -l -i -load -pw -pwfile -hostkey -m -L -R -D -nc -proxycmd -sercfg -sshlog \
        -sshrawlog -cert -b -logoverwrite";
    let mut command = SshCommand::default();
    let mut i = 0;
    while i < words.len() {
        let word = words[i].as_str();
        i += 1;
        if WITH_ARGUMENT.split(' ').any(|w| w == word) {
            let value = words.get(i).cloned().unwrap_or_default();
            i += 1;
            match word {
                "-P" => command.port = value.parse().ok(),
                "-l" => command.user = Some(value),
                "-i" => command.keys.push(value),
                _ => {}
            }
        } else if !word.starts_with('-') {
            let remote = word.contains('@') || is_remote_path(word);
            if command.target.is_none() && (!copies || remote || words.len() == 1) {
                set_target(&mut command, word);
                if copies {
                    drop_path(&mut command, false);
                }
            }
        }
    }
    command
}

/// mosh takes ssh's options as one word of its own.
fn read_mosh(words: &[String]) -> SshCommand {
    let inner = words.iter().find_map(|w| w.strip_prefix("--ssh=")).map(split).unwrap_or_default();
    let inside = read_ssh(inner.get(1..).unwrap_or_default(), SSH_WITH_ARGUMENT, 'p');
    let rest: Vec<String> = words.iter().filter(|w| !w.starts_with("--")).cloned().collect();
    let outside = read_ssh(&rest, "p", ' ');
    SshCommand { target: outside.target, user: outside.user.or(inside.user), ..inside }
}

fn read_sshuttle(words: &[String]) -> Option<SshCommand> {
    let mut command = SshCommand::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-r" | "--remote" => set_target(&mut command, words.next()?),
            "-e" | "--ssh-cmd" => {
                let inner = split(words.next()?);
                let inside = read_ssh(inner.get(1..).unwrap_or_default(), SSH_WITH_ARGUMENT, 'p');
                command.keys = inside.keys;
                command.port = command.port.or(inside.port);
            }
            _ => {}
        }
    }
    Some(command)
}

fn read_rsync(words: &[String]) -> Option<SshCommand> {
    let mut command = SshCommand::default();
    let mut i = 0;
    while i < words.len() {
        let word = words[i].as_str();
        i += 1;
        let shell = match word {
            "-e" | "--rsh" => {
                i += 1;
                words.get(i - 1).map(String::as_str)
            }
            _ => word.strip_prefix("--rsh=").or_else(|| {
                let flags = word.strip_prefix('-').filter(|w| !w.starts_with('-'))?;
                (flags.ends_with('e')).then(|| {
                    i += 1;
                    words.get(i - 1).map(String::as_str)
                })?
            }),
        };
        if let Some(shell) = shell {
            let inner = split(shell);
            let inside = read_ssh(inner.get(1..).unwrap_or_default(), SSH_WITH_ARGUMENT, 'p');
            command = SshCommand { target: command.target, user: inside.user.or(command.user), ..inside };
        } else if !word.starts_with('-') && command.target.is_none() && (is_remote_path(word)) {
            set_target(&mut command, word);
            drop_path(&mut command, true);
        }
    }
    command.target.is_some().then_some(command)
}

fn read_git(words: &[String]) -> Option<SshCommand> {
    const VERBS: &[&str] = &["clone", "push", "pull", "fetch", "ls-remote", "remote"];
    if !words.iter().any(|w| VERBS.contains(&w.as_str())) {
        return None;
    }
    let url =
        words.iter().find(|w| w.starts_with("ssh://") || (w.contains('@') && w.contains(':') && !w.contains("://")))?;
    let mut command = SshCommand::default();
    if let Some(rest) = url.strip_prefix("ssh://") {
        set_target(&mut command, &format!("ssh://{}", rest.split('/').next().unwrap_or(rest)));
    } else {
        set_target(&mut command, url.split(':').next().unwrap_or(url));
    }
    Some(command)
}
