//! ssh's own arguments, read as ssh reads them (ssh.c, `main`): what `port22 ssh` has to know of a command line that it
//! hands on untouched.
//!
//! Must not guess: arguments that ssh itself would refuse give no login. Texts that people paste are read elsewhere
//! (`recognise`), with more tolerance.

use crate::core::target::Target;

/// Options that take a value (the getopt string of ssh.c).
const WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A login or a command: when it fails, what ssh said can be read.
    Login,
    /// ssh prints something and is done (`-V`, `-Q`, `-G`), talks to a shared connection (`-O`), goes to the background
    /// (`-f`) or writes its messages elsewhere (`-E`, `-y`): nothing may stand between it and its caller.
    Apart,
}

/// A command line of ssh.
#[derive(Debug, Clone, PartialEq)]
pub struct SshArgs {
    /// What kind of call it is.
    pub kind: Kind,
    /// Host, user, port, keys and options; `None` without a host.
    pub target: Option<Target>,
    /// Whether a remote command was given: then standard output belongs to a program.
    pub command: bool,
}

/// Reads the arguments behind `ssh`.
pub fn read(words: &[String]) -> SshArgs {
    let mut target = Target::default();
    let (mut kind, mut host, mut command) = (Kind::Login, false, false);
    let mut words = words.iter();
    'words: while let Some(word) = words.next() {
        if let Some(flags) = word.strip_prefix('-').filter(|f| !f.is_empty() && *f != "-") {
            for (at, flag) in flags.char_indices() {
                if "VQGOfEy".contains(flag) {
                    kind = Kind::Apart;
                }
                if WITH_VALUE.contains(flag) {
                    let attached = &flags[at + flag.len_utf8()..];
                    let value = if attached.is_empty() { words.next().map_or("", |w| w.as_str()) } else { attached };
                    apply(&mut target, flag, value);
                    continue 'words;
                }
            }
        } else if word == "--" && !host {
            // Ends the options; the next word is the host.
            if let Some(word) = words.next() {
                host = destination(&mut target, word);
            }
            command = words.next().is_some();
            break;
        } else if host {
            // Options may follow the host; the first word that is none begins the command.
            command = word != "--" || words.next().is_some();
            break;
        } else {
            host = destination(&mut target, word);
            if !host {
                break;
            }
        }
    }
    SshArgs { kind, target: host.then_some(target), command }
}

/// The first value wins, as in ssh; of `-F` the last one.
fn apply(target: &mut Target, flag: char, value: &str) {
    let own = || Some(value.to_owned()).filter(|v| !v.is_empty());
    match flag {
        'i' => target.keys.extend(own()),
        'l' => target.user = target.user.take().or_else(own),
        'p' => target.port = target.port.or_else(|| value.parse().ok()),
        'F' => target.config_file = own(),
        'J' => target.jump = target.jump.take().or_else(own),
        'o' => {
            target.options.extend(own());
            let (name, set) = value.split_once(['=', ' ']).unwrap_or((value, ""));
            let set = set.trim_matches(['=', ' ', '"']).to_owned();
            let set = Some(set).filter(|v| !v.is_empty());
            match name.trim().to_ascii_lowercase().as_str() {
                "user" => target.user = target.user.take().or(set),
                "port" => target.port = target.port.or_else(|| set.and_then(|v| v.parse().ok())),
                "proxyjump" => target.jump = target.jump.take().or(set),
                "identityfile" => target.keys.extend(set),
                _ => {}
            }
        }
        _ => {}
    }
}

/// `[user@]host` or `ssh://[user@]host[:port]`; false when it is neither.
fn destination(target: &mut Target, word: &str) -> bool {
    let uri = word.strip_prefix("ssh://");
    let (user, mut host) = match uri.unwrap_or(word).rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, uri.unwrap_or(word)),
    };
    if uri.is_some() {
        host = host.trim_end_matches('/');
        let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((name, rest)) => (name, rest.strip_prefix(':')),
            None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
        };
        host = name;
        target.port = target.port.or_else(|| port.and_then(|p| p.parse().ok()));
    }
    if host.is_empty() || user.is_some_and(str::is_empty) || host.chars().any(char::is_control) {
        return false;
    }
    target.user = target.user.take().or_else(|| user.map(str::to_owned));
    target.name = host.to_owned();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> SshArgs {
        read(&line.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_host_is_found_among_options_of_every_spelling() {
        for (line, user, name, port) in [
            ("web-1", None, "web-1", None),
            ("ec2-user@web-1", Some("ec2-user"), "web-1", None),
            ("-vvvp2222 web-1", None, "web-1", Some(2222)),
            ("-p 2222 -l root admin@web-1", Some("root"), "web-1", Some(2222)),
            ("admin@web-1 -l root -p 2022", Some("admin"), "web-1", Some(2022)),
            ("-o Port=2200 -oUser=x web-1", Some("x"), "web-1", Some(2200)),
            ("ssh://me@web-1:2222", Some("me"), "web-1", Some(2222)),
            ("ssh://[2001:db8::7]:2222/", None, "2001:db8::7", Some(2222)),
            ("-L 8080:db:80 -D 1080 web-1", None, "web-1", None),
            ("me@corp@web-1", Some("me@corp"), "web-1", None),
            ("-- web-1 uptime", None, "web-1", None),
        ] {
            let target = of(line).target.unwrap_or_else(|| panic!("{line}"));
            assert_eq!((target.user.as_deref(), target.name.as_str(), target.port), (user, name, port), "{line}");
        }
        let target = of("-i a -ib -F cfg -J jump -o IdentitiesOnly=yes web-1").target.unwrap();
        assert_eq!((target.keys, target.config_file), (vec!["a".to_owned(), "b".to_owned()], Some("cfg".to_owned())));
        assert_eq!((target.jump.as_deref(), target.options), (Some("jump"), vec!["IdentitiesOnly=yes".to_owned()]));
    }

    #[test]
    fn commands_are_told_from_options_behind_the_host() {
        for (line, command) in [
            ("web-1", false),
            ("web-1 uptime", true),
            ("web-1 -p 22", false),
            ("web-1 -p 22 ls -l", true),
            ("-- web-1", false),
        ] {
            assert_eq!(of(line).command, command, "{line}");
        }
    }

    #[test]
    fn what_must_not_be_stood_between_is_told() {
        for line in ["-V", "-Q cipher", "-G web-1", "-O check web-1", "-f web-1 sleep 9", "-Nf web-1", "-E log web-1"] {
            assert_eq!(of(line).kind, Kind::Apart, "{line}");
        }
        // A value is no flag, and a command's options are not ssh's.
        for line in ["-i VG web-1", "-oLogLevel=VERBOSE web-1", "web-1 tail -f log", "web-1 -v", "-N web-1"] {
            assert_eq!(of(line).kind, Kind::Login, "{line}");
        }
        for line in ["", "-v", "-p", "@web-1", "user@"] {
            assert_eq!(of(line).target, None, "{line}");
        }
    }
}
