//! Reading what is given: targets, files, standard input. Never blocks on a terminal.

use super::args::{Global, SshArgs};
use crate::core::target::{Target, TargetKind};
use crate::edge::{RealWorld, Settings, aws::AwsSettings};
use crate::engine::diagnose::Request;
use crate::engine::failure::Failure;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// More than any paste; a console log has 64 KiB.
const MAX_TEXT: u64 = 4 << 20;

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
}

/// The target with its ssh options.
pub fn target(name: &str, ssh: &SshArgs, global: &Global) -> Result<Target, Failure> {
    let mut target = Target::parse(name).map_err(|e| {
        Failure::usage(
            "read the target",
            e,
            "give an instance id, a Name tag, an address, a DNS name or an ssh_config alias",
        )
    })?;
    options(&mut target, ssh, global)?;
    Ok(target)
}

/// Puts the ssh options into a target.
pub fn options(target: &mut Target, ssh: &SshArgs, global: &Global) -> Result<(), Failure> {
    // As in ssh, -l is weaker than user@.
    target.user = target.user.take().or_else(|| ssh.login.clone());
    target.port = ssh.port;
    target.keys.clone_from(&ssh.identity);
    target.jump.clone_from(&ssh.jump);
    target.config_file.clone_from(&ssh.config);
    target.options.clone_from(&ssh.option);
    for (name, value) in ssh.option.iter().filter_map(|o| o.split_once(['=', ' '])) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "user" => target.user = target.user.take().or_else(|| Some(value.to_owned())),
            "port" => target.port = target.port.or_else(|| value.parse().ok()),
            "proxyjump" => target.jump = target.jump.take().or_else(|| Some(value.to_owned())),
            "identityfile" => target.keys.push(value.to_owned()),
            _ => {}
        }
    }
    target.address = global.address;
    target.profile = global.profile.first().cloned();
    target.source_ip = global.source_ip;
    if let Some(file) = ssh.config.as_ref().filter(|f| *f != "none" && !Path::new(f).is_file()) {
        return Err(Failure::usage(
            format!("read the ssh configuration {file}"),
            "there is no such file",
            "correct -F, or leave it out",
        ));
    }
    Ok(())
}

/// A request for a target.
pub fn request(target: Target, global: &Global) -> Request {
    Request {
        target,
        now: now(),
        limit: global.timeout.map(Duration::from_secs),
        inside: global.inside,
        ..Request::default()
    }
}

/// The real world of these options.
pub async fn world(global: &Global) -> RealWorld {
    let aws = AwsSettings {
        profile: global.profile.first().cloned(),
        regions: global.region.clone(),
        ..AwsSettings::default()
    };
    let limit = global.timeout.map(Duration::from_secs);
    RealWorld::new(Settings { aws, source_ip: global.source_ip, limit, read_only: global.read_only, state: None }).await
}

/// Reads a text from a file, or from standard input for `-` or nothing.
pub fn text(file: Option<&Path>) -> Result<String, Failure> {
    let bytes = match file.filter(|f| *f != Path::new("-")) {
        Some(path) => {
            let doing = format!("read {}", path.display());
            let file = std::fs::File::open(path)
                .map_err(|e| Failure::usage(&doing, e.to_string(), "name a text file, or pipe the text in"))?;
            if file.metadata().is_ok_and(|m| m.is_dir()) {
                return Err(Failure::usage(doing, "it is a directory", "name a text file, or pipe the text in"));
            }
            read(file, &doing)?
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "read the text to recognise",
                "nothing is piped in",
                "ssh … 2>&1 | port22 identify, or port22 identify FILE",
            ));
        }
        None => read(std::io::stdin(), "read standard input")?,
    };
    decode(&bytes)
}

fn read(source: impl Read, doing: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source
        .take(MAX_TEXT)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::usage(doing, e.to_string(), "try again with a text file"))?;
    Ok(bytes)
}

/// Text of any sensible encoding; binary data and nothing are refused with a sentence.
pub fn decode(bytes: &[u8]) -> Result<String, Failure> {
    let refuse = |reason: &str| {
        Err(Failure::usage(
            "read the text to recognise",
            reason,
            "paste what the ssh client printed, or the instance's console log, as text",
        ))
    };
    let wide = |big: bool| {
        let units = bytes[2..]
            .chunks_exact(2)
            .map(|c| if big { u16::from_be_bytes([c[0], c[1]]) } else { u16::from_le_bytes([c[0], c[1]]) });
        String::from_utf16_lossy(&units.collect::<Vec<_>>())
    };
    // PowerShell's redirection writes UTF-16 with a byte-order mark.
    let text = match bytes {
        [0xff, 0xfe, ..] => wide(false),
        [0xfe, 0xff, ..] => wide(true),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    if text.trim().is_empty() {
        return refuse("it is empty");
    }
    let odd = text.chars().filter(|c| *c == '\u{fffd}' || *c == '\0').count();
    // A console log may hold a few broken bytes; a file of another kind holds many.
    if odd * 20 > text.chars().count() {
        return refuse("it is binary data, not text");
    }
    Ok(text)
}

/// Standard input, read beside the work: a paste piped into `diagnose`.
pub struct Piped(Option<tokio::task::JoinHandle<Result<Vec<u8>, Failure>>>);

impl Piped {
    /// Begins to read, unless standard input is a terminal.
    pub fn begin() -> Self {
        let piped = !std::io::stdin().is_terminal();
        Self(piped.then(|| tokio::task::spawn_blocking(|| read(std::io::stdin(), "read standard input"))))
    }

    /// Whether it is still being read.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The text, if it ends within the time.
    pub async fn text(&mut self, wait: Duration) -> Option<String> {
        let bytes = tokio::time::timeout(wait, self.0.as_mut()?).await.ok()?;
        self.0 = None;
        decode(&bytes.ok()?.ok()?).ok()
    }
}

/// Reads a recorded diagnosis, of a size that one can have.
pub fn record(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(64 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses key files that are no keys at all, before anything is asked: empty, huge, unreadable, no files.
pub fn refuse_hopeless_keys(keys: &[crate::core::facts::local::KeyProbe]) -> Option<Failure> {
    use crate::core::facts::local::KeyFileState;
    use crate::core::key::KeyFormat;
    keys.iter().filter(|k| k.origin == "-i").find_map(|probe| {
        let doing = format!("read the key file {}", probe.path);
        let next = "name the private key (.pem) that you downloaded or made for this instance with -i";
        match probe.file.value()? {
            KeyFileState::Read { key, .. } if key.format == KeyFormat::Empty => {
                Some(Failure::usage(doing, "it is empty", next))
            }
            KeyFileState::TooLarge { bytes } => {
                Some(Failure::usage(doing, format!("it has {bytes} bytes, and no private key is that large"), next))
            }
            KeyFileState::Unreadable { reason, .. } => Some(Failure::usage(
                doing,
                reason.clone(),
                "make it readable for you (sudo chown $USER FILE), or name another key with -i",
            )),
            KeyFileState::NotAFile { what } => Some(Failure::usage(doing, format!("it is {what}"), next)),
            _ => None,
        }
    })
}

/// The failure for a target that does not exist; `None` when the diagnosis can say something all the same.
pub fn unknown_target(facts: &crate::core::facts::Facts) -> Option<Failure> {
    use crate::core::fact::{Fact, Why};
    let Fact::Unknown { why } = &facts.aws.instance else { return None };
    match why {
        Why::Ambiguous { what, matches } => {
            let lines = matches.join("\n  ");
            Some(Failure::usage(
                "find the instance",
                format!("{} instances are named {what}:\n  {lines}", matches.len()),
                "give the instance id of one of them",
            ))
        }
        Why::NotFound { what } => {
            let elsewhere = facts.local.dns.value().is_some_and(|d| !d.is_empty())
                || facts
                    .local
                    .config
                    .value()
                    .is_some_and(|c| c.matched && c.hostname.as_ref().is_some_and(|h| *h != facts.target.name));
            // An address can be probed even when no instance has it.
            if matches!(facts.target.kind(), TargetKind::Address(_)) || elsewhere || facts.target.address.is_some() {
                return None;
            }
            Some(Failure::usage(
                "find the instance",
                format!("there is no {what}"),
                "check the spelling, --region and --profile; port22 without arguments lists the instances",
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powershell_text_is_read_and_binary_is_refused() {
        let wide: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("Permission denied".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decode(&wide).unwrap(), "Permission denied");
        let noise: Vec<u8> = (0..4000u32).map(|n| u8::try_from(((n * 7919) >> 3) & 0xff).unwrap_or(0)).collect();
        for bytes in [&noise[..], b"", b"  \n", &[0; 64]] {
            assert_eq!(decode(bytes).unwrap_err().kind, crate::engine::failure::FailureKind::Usage);
        }
    }
}
