//! Reads the commands that reach a host without ssh's own arguments: Ansible, the AWS command
//! line, port probes, and addresses written as URLs.
//!
//! Only the target and how to log in to it; it must not read anything else of these programs.

use super::{SshCommand, split};

/// `ansible` and `ansible-playbook`: user and key; the host if the inventory is written in place.
pub fn read_ansible(words: &[String]) -> SshCommand {
    let mut command = SshCommand::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        let mut value = || attached.or_else(|| words.next()).unwrap_or_default().to_owned();
        match name {
            "-u" | "--user" => command.user = Some(value()),
            "--private-key" | "--key-file" => command.keys.push(value()),
            "-i" | "--inventory" => {
                let inventory = value();
                let host = inventory.strip_suffix(',').filter(|h| !h.is_empty() && !h.contains(','));
                command.target = host.map(str::to_owned).or(command.target);
            }
            "-e" | "--extra-vars" => extra_vars(&mut command, &value()),
            "-m" | "-a" | "-f" | "-l" | "-t" | "--limit" | "--tags" => drop(value()),
            _ => {}
        }
    }
    command
}

fn extra_vars(command: &mut SshCommand, text: &str) {
    for pair in split(text) {
        match pair.split_once('=') {
            Some(("ansible_user" | "ansible_ssh_user", value)) => command.user = Some(value.to_owned()),
            Some(("ansible_port" | "ansible_ssh_port", value)) => command.port = value.parse().ok(),
            Some(("ansible_ssh_private_key_file" | "ansible_private_key_file", value)) => {
                command.keys.push(value.to_owned());
            }
            _ => {}
        }
    }
}

/// `aws ssm start-session` and `aws ec2-instance-connect …`: the instance is the target.
pub fn read_aws(words: &[String]) -> Option<SshCommand> {
    let service = words.iter().find(|w| matches!(w.as_str(), "ssm" | "ec2-instance-connect"))?;
    let mut command = SshCommand::default();
    let mut i = 0;
    while i < words.len() {
        let word = words[i].as_str();
        i += 1;
        let (name, attached) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v.to_owned())));
        let wanted = match name {
            "--target" => service == "ssm",
            "--instance-id" | "--instance-ids" | "--os-user" | "--instance-os-user" | "--private-key-file"
            | "--ssh-port" | "--remote-port" => true,
            _ => false,
        };
        if !wanted {
            continue;
        }
        let value = attached.or_else(|| {
            i += 1;
            words.get(i - 1).cloned()
        })?;
        match name {
            "--os-user" | "--instance-os-user" => command.user = Some(value),
            "--private-key-file" => command.keys.push(value.trim_start_matches("file://").to_owned()),
            "--ssh-port" | "--remote-port" => command.port = value.parse().ok(),
            _ => command.target = Some(value).filter(|v| v.starts_with("i-") || v.starts_with("mi-")),
        }
    }
    Some(command)
}

/// `nc`, `telnet`, `ping`, `Test-NetConnection` and their like: a host, and a port behind it.
pub fn read_probe(words: &[String]) -> Option<SshCommand> {
    const WITH_ARGUMENT: &str = "-w -c -W -i -s -t -n -I -G -x -X -O -p -m -d -T";
    let mut command = SshCommand::default();
    let mut i = 0;
    while i < words.len() {
        let word = words[i].trim_matches(['"', '\'']);
        i += 1;
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            ";" | "&&" | "||" | "|" | "<" | ">" => break,
            "-port" | "-p" if lower != "-p" || command.target.is_none() => {
                command.port = words.get(i).and_then(|p| p.parse().ok());
                i += 1;
            }
            "-computername" => {}
            _ if word.starts_with('-') => {
                let number = words.get(i).is_some_and(|w| w.parse::<f32>().is_ok());
                if WITH_ARGUMENT.split(' ').any(|w| word.ends_with(&w[1..]) && word.len() <= 4) && number {
                    i += 1;
                }
            }
            _ if command.target.is_none() => command.target = host(word),
            _ => {
                command.port = command.port.or_else(|| word.parse().ok());
                break;
            }
        }
    }
    // A probe of Remote Desktop or of a web server tells nothing about the port of SSH.
    command.port = command.port.filter(|p| !matches!(p, 80 | 443 | 3389));
    Some(command).filter(|c| c.target.is_some())
}

/// The first `ssh://`, `sftp://` or `scp://` address among the words.
pub fn read_url(words: &[String]) -> Option<SshCommand> {
    let login = words.iter().position(|w| w == "-u" || w == "--user").and_then(|at| words.get(at + 1));
    let url = words.iter().find_map(|w| {
        let w = w.trim_matches(['"', '\'']);
        ["ssh://", "sftp://", "scp://"].iter().find_map(|scheme| Some(w.split_once(scheme)?.1))
    })?;
    let place = url.split('/').next().unwrap_or(url);
    let (user, place) = place.rsplit_once('@').map_or((None, place), |(u, p)| (Some(u), p));
    let (name, port) = place.split_once(':').map_or((place, None), |(n, p)| (n, p.parse().ok()));
    let user = user.or(login.map(String::as_str)).and_then(|u| u.split([':', ';']).next()).filter(|u| !u.is_empty());
    Some(SshCommand { target: host(name), user: user.map(str::to_owned), port, ..SshCommand::default() })
}

fn host(word: &str) -> Option<String> {
    let fits = word.contains(['.', ':']) || word.eq_ignore_ascii_case("localhost") || word.contains('-');
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:%".contains(c));
    (fits && plain && !word.is_empty()).then(|| word.to_owned())
}
