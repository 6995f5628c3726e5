//! `key-convert`: the same key in the form that the client reads, in a new file beside the original.

use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::own_files::{KeyToConvert, Passphrase};
use crate::core::key::{KeyFile, KeyFormat, mode_too_open};
use crate::core::plan::{Action, Choice, Choices, Gate, GateState, KeyForm, LocalAction, Plan, Step};
use crate::core::rules::versions;
use crate::core::text::{list, shell_quote};

/// What the choice says when the user leaves it to the file and the client.
const AUTO: &str = "auto";

/// Plans to write every key file of the login that the client cannot read in a form that it can: PuTTY's for a program of
/// its family, OpenSSH's else, a clean copy where only the text around the key is damaged.
/// A named file that ssh reads already is written for PuTTY.
/// Fails when no key file is known; where every file is right already, the plan has no steps.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let keys = candidates(facts)?;
    let choice = Choice::new(
        "form",
        "Which form shall the copy have?",
        &[
            (AUTO, "what your client reads"),
            ("openssh", "OpenSSH's own"),
            ("pem", "PEM: PKCS#1 for RSA, SEC 1 for ECDSA"),
            ("ppk3", "PuTTY 0.75 and newer (PPK 3)"),
            ("ppk2", "any PuTTY (PPK 2)"),
        ],
        choices,
    );
    let asked = [KeyForm::Openssh, KeyForm::Pem, KeyForm::Ppk2, KeyForm::Ppk3]
        .into_iter()
        .find(|form| form.id() == choice.chosen);
    let mut plan = Plan { choices: vec![choice], ..Plan::new("key-convert", "", "", "") };
    let mut login = facts.target.clone();
    let (mut made, mut any) = (Vec::new(), None);
    for probe in keys {
        any.get_or_insert_with(|| probe.path.clone());
        let Some((form, why)) = wanted(facts, probe, asked, &mut plan.gates)? else { continue };
        let Some(prepared) = prepared(facts, probe)? else {
            plan.gates.push(Gate::new("file", GateState::Refuse, format!("{} could not be read again", probe.path)));
            continue;
        };
        plan.gates.push(Gate::new("needed", GateState::Ok, why));
        if let Some(there) = already(facts, probe, prepared, form) {
            plan.gates.push(Gate::new(
                "needed",
                GateState::Ok,
                format!("{there} is the same key in {}: use it, nothing to do", form.title()),
            ));
            continue;
        }
        plan.gates.extend(passphrase_gate(prepared, form));
        if form != KeyForm::Clean && matches!(prepared.passphrase, Passphrase::ToType { .. }) {
            plan.passphrase.get_or_insert_with(|| prepared.full.clone());
        }
        let to = target_path(prepared, form);
        plan.steps.push(step(prepared, &to, form));
        login.keys.iter_mut().filter(|k| **k == probe.path).for_each(|k| k.clone_from(&to));
        if !login.keys.contains(&to) && !form.is_putty() {
            login.keys.insert(0, to.clone());
        }
        if probe.origin == "ssh_config" {
            plan.gates.push(Gate::new(
                "configuration",
                GateState::Warn,
                format!(
                    "your ssh configuration goes on naming {}: ssh-config-entry puts the new file there",
                    probe.path
                ),
            ));
        }
        made.push((prepared.full.clone(), to, form));
    }
    let what = any.ok_or("no key file is known: name it with -i FILE")?;
    plan.target.clone_from(&what);
    plan.subject = format!("file {}", made.first().map_or(what, |(from, ..)| from.clone()));
    if made.is_empty() {
        "nothing to convert".clone_into(&mut plan.title);
        return Ok(plan);
    }
    plan.title = format!(
        "write {} in {}",
        list(&made.iter().map(|(from, ..)| from.clone()).collect::<Vec<_>>()),
        made.first().map_or("", |(.., form)| form.title())
    );
    plan.created = made.iter().map(|(_, to, _)| to.clone()).collect();
    let ssh: Vec<&String> = made.iter().filter(|(.., form)| !form.is_putty()).map(|(_, to, _)| to).collect();
    let quoted: Vec<String> = plan.created.iter().map(|p| shell_quote(p)).collect();
    if ssh.is_empty() {
        plan.steps.push(Step::look("name the new file in PuTTY", format!("ls -l {}", quoted.join(" "))));
    } else {
        plan.verify = vec!["key-format".to_owned()];
        plan.login = Some(login);
        let command = format!("port22 diagnose {} -i {}", shell_quote(&facts.target.name), shell_quote(ssh[0]));
        plan.steps.push(Step::look("run the failed checks again, with the new file", command));
    }
    Ok(plan)
}

/// The key files that count: what was named, else what exists.
fn candidates(facts: &Facts) -> Result<Vec<&KeyProbe>, String> {
    let all = &facts.local.keys;
    let named: Vec<&KeyProbe> = all.iter().filter(|k| k.origin == "-i").collect();
    let found: Vec<&KeyProbe> = if named.is_empty() {
        all.iter().filter(|k| matches!(k.file.value(), Some(KeyFileState::Read { .. }))).collect()
    } else {
        named
    };
    if found.is_empty() { Err("no key file is known: name it with -i FILE".to_owned()) } else { Ok(found) }
}

/// The form that a file needs, with the reason; `None` with a gate where nothing is to be done or nothing can be.
fn wanted(
    facts: &Facts,
    probe: &KeyProbe,
    asked: Option<KeyForm>,
    gates: &mut Vec<Gate>,
) -> Result<Option<(KeyForm, String)>, String> {
    let path = &probe.path;
    let key = match probe.file.value() {
        Some(KeyFileState::Read { key, .. }) => key,
        Some(KeyFileState::Missing) => return Err(format!("{path} does not exist")),
        Some(KeyFileState::Unreadable { reason, .. }) => return Err(format!("{path} cannot be read: {reason}")),
        Some(KeyFileState::NotAFile { what }) => return Err(format!("{path} is a {what}, not a key file")),
        Some(KeyFileState::TooLarge { bytes }) => {
            return Err(format!("{path} has {bytes} bytes: no key is that large"));
        }
        None => return Err(format!("{path} was not looked at")),
    };
    let title = key.format.title();
    let mut refuse = |why: String| {
        gates.push(Gate::new("file", GateState::Refuse, why));
        Ok(None)
    };
    if !key.format.is_private() {
        return refuse(match key.format {
            format if format.is_public() => {
                format!("{path} is a {title}: only the private half can be converted, and it cannot be made from this")
            }
            _ => format!("{path} is no private key ({title})"),
        });
    }
    if let (Some(error), false) = (&key.parse_error, key.repairable) {
        return refuse(format!("{path} holds no whole key: {error}; look for a backup of the file"));
    }
    let putty = facts.paste.as_ref().filter(|paste| versions::reads_ppk(paste));
    let form = asked.map(|form| (form, format!("you asked for {}", form.title()))).or_else(|| match putty {
        Some(paste) => for_putty(paste.causes.iter().any(|c| c == "ppk-version-too-new"), key, path),
        None => for_openssh(facts, probe, key),
    });
    let Some((form, why)) = form else {
        let client = if putty.is_some() { "PuTTY" } else { "ssh" };
        gates.push(Gate::new(
            "needed",
            GateState::Ok,
            format!("{path} ({title}) is what {client} reads: nothing to do"),
        ));
        return Ok(None);
    };
    if form == KeyForm::Pem && key.algorithm.as_deref() == Some("ssh-ed25519") {
        return refuse(format!("{path} is an Ed25519 key, which has no PEM form that older programs read"));
    }
    if key.algorithm.as_deref().is_some_and(|a| a.starts_with("sk-")) && form != KeyForm::Clean {
        return refuse(format!("{path} is the handle of a security key: its private half is in the device"));
    }
    if form.is_that_of(key) {
        gates.push(Gate::new("needed", GateState::Ok, format!("{path} has {} already: nothing to do", form.title())));
        return Ok(None);
    }
    Ok(Some((form, why)))
}

/// What a program of PuTTY's family needs.
fn for_putty(old: bool, key: &KeyFile, path: &str) -> Option<(KeyForm, String)> {
    match key.format {
        KeyFormat::Ppk { version: 2 } => None,
        KeyFormat::Ppk { .. } if old => {
            Some((KeyForm::Ppk2, format!("{path} is PPK version 3, and your PuTTY is older than 0.75")))
        }
        KeyFormat::Ppk { .. } => None,
        _ if old => Some((KeyForm::Ppk2, format!("{path} is no PPK file, and your PuTTY is older than 0.75"))),
        format => Some((KeyForm::Ppk3, format!("{path} ({}) is no PPK file, and the client is PuTTY", format.title()))),
    }
}

/// What OpenSSH needs.
fn for_openssh(facts: &Facts, probe: &KeyProbe, key: &KeyFile) -> Option<(KeyForm, String)> {
    let path = &probe.path;
    if let KeyFormat::Ppk { version } = key.format {
        return Some((
            KeyForm::Openssh,
            format!("{path} is a PuTTY key (PPK version {version}), which ssh cannot read"),
        ));
    }
    if versions::too_new_for_client(facts, probe) {
        let ssh = facts.local.ssh_version.value().map_or("your ssh", String::as_str);
        return Some((KeyForm::Openssh, format!("{path} is Ed25519 in PKCS#8, and {ssh} is older than 9.6")));
    }
    if !key.loads_in.openssh && key.repairable {
        let what: Vec<String> = key.damage.iter().map(|d| d.says().to_owned()).collect();
        return Some((KeyForm::Clean, format!("{path} is damaged around the key ({}); the key is whole", list(&what))));
    }
    // Nothing is wrong with it for ssh: who asks for this fix by name, naming the file, wants it for the other family.
    let named = probe.origin == "-i" && key.loads_in.openssh;
    named.then(|| {
        let title = key.format.title();
        (KeyForm::Ppk3, format!("ssh reads {path} ({title}) as it is: what is left to convert it to is PuTTY's form"))
    })
}

fn prepared<'a>(facts: &'a Facts, probe: &KeyProbe) -> Result<Option<&'a KeyToConvert>, String> {
    let all = facts.prepared.keys.value().ok_or_else(|| match facts.prepared.keys.why_not() {
        Some(why) => format!("the key files could not be read again: {}", why.text()),
        None => "the key files were not read again".to_owned(),
    })?;
    Ok(all.iter().find(|k| k.path == probe.path))
}

/// The copy that an earlier run made, when it is there: named after the original, the same key, as the client takes it.
fn already<'a>(facts: &'a Facts, probe: &KeyProbe, prepared: &KeyToConvert, form: KeyForm) -> Option<&'a str> {
    let mine = match probe.file.value()? {
        KeyFileState::Read { key, .. } => key.public.as_deref()?,
        _ => return None,
    };
    let stem = stem(&prepared.full);
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let rest = name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-']));
        rest && prepared.beside.iter().any(|b| b == name)
    };
    let all = facts.local.keys.iter().chain(&facts.local.other_keys);
    all.filter(|k| k.path != probe.path && named(&k.path))
        .filter(|k| match k.file.value() {
            Some(KeyFileState::Read { key, mode, owner, me, .. }) => {
                let takes = form.is_putty() || !mode_too_open(*mode, *owner, *me);
                key.public.as_deref() == Some(mine) && form.is_that_of(key) && takes
            }
            _ => false,
        })
        .map(|k| k.path.as_str())
        .next()
}

/// The name of a file without its directory and without the end that tells a form.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, end))
            if !stem.is_empty() && ["ppk", "pem", "key", "txt"].contains(&end.to_ascii_lowercase().as_str()) =>
        {
            stem
        }
        _ => name,
    }
}

fn passphrase_gate(key: &KeyToConvert, form: KeyForm) -> Option<Gate> {
    if form == KeyForm::Clean {
        return None;
    }
    let gate = |state, why: String| Some(Gate::new("passphrase", state, why));
    let path = &key.path;
    match &key.passphrase {
        Passphrase::NotNeeded => None,
        Passphrase::Opens(from) => {
            gate(GateState::Ok, format!("the passphrase of {path} ({from}) opens it; the copy keeps it"))
        }
        Passphrase::WillAsk(how) => {
            gate(GateState::Ok, format!("the passphrase of {path} will be asked for {how}; the copy keeps it"))
        }
        Passphrase::ToType { again: false } => gate(
            GateState::Ok,
            format!("the passphrase of {path} will be asked for on the terminal; the copy keeps it"),
        ),
        Passphrase::ToType { again: true } => {
            gate(GateState::Refuse, format!("the passphrase that you typed does not open {path}: type it again"))
        }
        Passphrase::Wrong(from) => gate(GateState::Refuse, format!("the passphrase from {from} does not open {path}")),
        Passphrase::Missing => gate(
            GateState::Refuse,
            format!(
                "{path} is protected by a passphrase and nobody can be asked: set PORT22_PASSPHRASE or SSH_ASKPASS, or run it in a terminal"
            ),
        ),
        Passphrase::Hopeless(why) => gate(GateState::Refuse, format!("{path} cannot be converted: {why}")),
    }
}

/// The new file: beside the original, named as its form has it, and not there yet.
fn target_path(key: &KeyToConvert, form: KeyForm) -> String {
    let directory = key.full.rsplit_once('/').map_or("", |(directory, _)| directory);
    let (own, stem) = (key.full.rsplit('/').next().unwrap_or_default(), stem(&key.full));
    let end = if form.is_putty() { "ppk" } else { "pem" };
    let second = match form {
        KeyForm::Clean => "clean",
        KeyForm::Ppk2 => "v2",
        KeyForm::Ppk3 => "v3",
        _ => "openssh",
    };
    let names = std::iter::once(format!("{stem}.{end}"))
        .chain(std::iter::once(format!("{stem}-{second}.{end}")))
        .chain((2..).map(|n| format!("{stem}-{second}-{n}.{end}")));
    let taken = |n: &str| n.eq_ignore_ascii_case(own) || key.beside.iter().any(|b| b.eq_ignore_ascii_case(n));
    let free = names.take(1000).find(|n| !taken(n));
    format!(
        "{directory}/{}",
        free.unwrap_or_else(|| format!("{stem}-{}.{end}", &key.sha256[..key.sha256.len().min(12)]))
    )
}

fn step(key: &KeyToConvert, to: &str, form: KeyForm) -> Step {
    let (from, target) = (shell_quote(&key.full), shell_quote(to));
    let write = match form {
        KeyForm::Openssh => format!("puttygen {from} -O private-openssh-new -o {target}"),
        KeyForm::Pem => format!("puttygen {from} -O private-openssh -o {target}"),
        KeyForm::Ppk2 => format!("puttygen {from} -O private --ppk-param version=2 -o {target}"),
        KeyForm::Ppk3 => format!("puttygen {from} -O private -o {target}"),
        KeyForm::Clean => format!("tr -d '\\r' < {from} > {target}"),
    };
    Step::deed(
        format!("write {} into the new file {to}, mode 0600; {} stays as it is", form.title(), key.full),
        format!("(umask 077 && {write})"),
        Some(format!("rm {target}")),
        Action::Local(LocalAction::ConvertKey {
            from: key.full.clone(),
            sha256: key.sha256.clone(),
            to: to.to_owned(),
            form,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;
    use crate::core::key::inspect;
    use crate::core::recognise;

    const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/");

    /// Facts of a login with one named key file.
    fn facts(file: &str, passphrase: Passphrase, beside: &[&str]) -> Facts {
        let bytes = std::fs::read(format!("{KEYS}{file}")).unwrap();
        let read = KeyFileState::Read {
            mode: 0o600,
            owner: 1,
            me: 1,
            modeless_fs: None,
            key: Box::new(inspect(&bytes)),
            pub_file: None,
        };
        let mut facts = Facts::default();
        facts.target.keys = vec![file.to_owned()];
        facts.local.keys =
            vec![KeyProbe { path: file.to_owned(), origin: "-i".to_owned(), file: Fact::known(read, "test") }];
        facts.prepared.keys = Fact::known(
            vec![KeyToConvert {
                path: file.to_owned(),
                full: format!("/home/me/{file}"),
                sha256: "0123456789abcdef".to_owned(),
                beside: beside.iter().map(|b| (*b).to_owned()).collect(),
                passphrase,
            }],
            "test",
        );
        facts
    }

    /// New file and form, or the reason of the first refusal, or nothing.
    fn made(facts: &Facts, choices: &[(&str, &str)]) -> Option<(String, KeyForm)> {
        let choices = choices.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let plan = plan(facts, &choices).unwrap();
        assert!(plan.refused().is_none(), "{plan:?}");
        plan.steps.iter().find_map(|s| match &s.action {
            Some(Action::Local(LocalAction::ConvertKey { to, form, .. })) => Some((to.clone(), *form)),
            _ => None,
        })
    }

    fn putty(facts: &mut Facts, said: &str) {
        let mut paste = recognise::ssh(said);
        paste.client = "putty".to_owned();
        facts.paste = Some(paste);
    }

    #[test]
    fn the_direction_follows_from_file_and_client() {
        let to = |name: &str, form| Some((format!("/home/me/{name}"), form));
        let free = Passphrase::NotNeeded;
        let ppk = facts("rsa_v3.ppk", free.clone(), &[]);
        assert_eq!(made(&ppk, &[]), to("rsa_v3.pem", KeyForm::Openssh));
        assert_eq!(made(&ppk, &[("form", "pem")]), to("rsa_v3.pem", KeyForm::Pem));
        let mut in_putty = ppk.clone();
        putty(&mut in_putty, "Server refused our key");
        assert_eq!(made(&in_putty, &[]), None, "PuTTY reads it");
        putty(&mut in_putty, "Unable to load key file \"k.ppk\" (PuTTY key format too new)");
        assert_eq!(made(&in_putty, &[]), to("rsa_v3-v2.ppk", KeyForm::Ppk2));

        let mut pem = facts("rsa.pem", free.clone(), &[]);
        assert_eq!(made(&pem, &[]), to("rsa.ppk", KeyForm::Ppk3), "asked for by name, nothing else is left");
        putty(&mut pem, "Unable to use key file \"rsa.pem\" (OpenSSH SSH-2 private key (old PEM format))");
        assert_eq!(made(&pem, &[]), to("rsa.ppk", KeyForm::Ppk3));

        let mut pkcs8 = facts("ed25519_pkcs8.pem", free, &["ed25519_pkcs8.pem"]);
        pkcs8.local.ssh_version = Fact::known("OpenSSH_9.2p1".to_owned(), "ssh -V");
        assert_eq!(made(&pkcs8, &[]), to("ed25519_pkcs8-openssh.pem", KeyForm::Openssh));
        pkcs8.local.ssh_version = Fact::known("OpenSSH_9.6p1".to_owned(), "ssh -V");
        assert_eq!(made(&pkcs8, &[]), to("ed25519_pkcs8.ppk", KeyForm::Ppk3));
    }

    #[test]
    fn a_passphrase_that_is_not_at_hand_refuses() {
        let with = |passphrase| plan(&facts("ed25519_v2_encrypted.ppk", passphrase, &[]), &Choices::new()).unwrap();
        for passphrase in [Passphrase::Missing, Passphrase::Wrong("x".to_owned()), Passphrase::Hopeless("x".to_owned())]
        {
            assert!(with(passphrase.clone()).refused().is_some(), "{passphrase:?}");
        }
        for passphrase in [Passphrase::Opens("x".to_owned()), Passphrase::WillAsk("x".to_owned())] {
            assert!(with(passphrase.clone()).refused().is_none(), "{passphrase:?}");
        }
    }

    #[test]
    fn what_is_no_private_key_refuses() {
        assert!(plan(&facts("ed25519.pub", Passphrase::NotNeeded, &[]), &Choices::new()).unwrap().refused().is_some());
        assert!(plan(&Facts::default(), &Choices::new()).is_err());
    }
}
