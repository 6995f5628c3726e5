//! Repairs inside a practice host: what the scripts of `assets/remote` would do there, done to the host's state, and
//! taken back from the record that they leave.
//!
//! The scripts are known by their first line of output (`port22-fix 1 JOB TOKEN`) and by what stands ahead of them. Used
//! by `script`. Must keep to what the scripts do: what they refuse is refused here.

pub(super) mod ec2rescue;
mod jobs;

use std::collections::BTreeMap;

use super::scenario::{OsSpec, SshdSpec};
use super::world::{Instance, User, World};

/// What a repair changes of a host.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Guest {
    pub os: OsSpec,
    pub sshd: SshdSpec,
    pub users: Vec<User>,
    pub parent_mode: u32,
}

impl Guest {
    fn of(instance: &Instance) -> Self {
        Self {
            os: instance.os.clone(),
            sshd: instance.sshd.clone(),
            users: instance.users.clone(),
            parent_mode: instance.parent_mode,
        }
    }

    fn put_into(self, instance: &mut Instance) {
        (instance.os, instance.sshd, instance.users) = (self.os, self.sshd, self.users);
        instance.parent_mode = self.parent_mode;
    }

    /// A form that tells two states apart.
    fn form(&self) -> String {
        format!("{self:?}")
    }
}

/// What a repair left in /var/lib/port22.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Record {
    before: Guest,
    after: Guest,
    did: Vec<String>,
    undone: bool,
}

/// What a script is asked for: the values ahead of it.
pub(super) struct Asked {
    values: BTreeMap<String, String>,
}

impl Asked {
    /// The values of a repair script; `None` for any other.
    pub fn read(script: &str) -> Option<Self> {
        if !script.contains("port22-fix 1 ") {
            return None;
        }
        let value = |line: &str| {
            let (name, value) = line.strip_prefix("P22_")?.split_once("='")?;
            Some((name.to_owned(), value.strip_suffix('\'')?.to_owned()))
        };
        let values: BTreeMap<_, _> = script.lines().map_while(value).collect();
        values.contains_key("JOB").then_some(Self { values })
    }

    fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

/// The output of a repair while it is made.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    did: Vec<String>,
}

impl Told {
    fn did(&mut self, text: impl Into<String>) {
        let text = format!("did {}", text.into());
        self.lines.push(text.clone());
        self.did.push(text);
    }
}

/// Does what the script asks, and gives its output.
pub(super) fn run(world: &mut World, id: &str, asked: &Asked) -> String {
    let (job, token) = (asked.get("JOB"), asked.get("TOKEN"));
    let head = format!("port22-fix 1 {job} {token}\n");
    let end = |lines: &[String], end: &str| {
        let lines = lines.iter().fold(String::new(), |all, line| all + line + "\n");
        format!("{head}{lines}port22-fix-end {end}\n")
    };
    let usual = world.ssh_port;
    let family =
        world.instance(id).and_then(|i| world.image_of(i)).map_or("al2023", |image| image.spec.family.as_str());
    let debian = matches!(family, "debian" | "ubuntu");
    let Some(instance) = world.instance_mut(id) else {
        return String::new();
    };
    let record = instance.records.get(token).cloned();
    match (job, record) {
        ("status", Some(record)) if !record.undone => end(&record.did, &format!("ok {}", record.did.len())),
        ("status", _) => end(&[], "nothing 0"),
        ("undo", None) => end(&[], "fail 0 no-record"),
        ("undo", Some(record)) if record.undone => end(&[], "nothing 0"),
        ("undo", Some(record)) => {
            if Guest::of(instance).form() != record.after.form() {
                return end(&["left the files of the login or of sshd".to_owned()], "fail 0 changed-since");
            }
            let back = record.did.len();
            record.before.clone().put_into(instance);
            if let Some(kept) = instance.records.get_mut(token) {
                kept.undone = true;
            }
            end(&["did back what was written down".to_owned()], &format!("ok {back}"))
        }
        (_, Some(record)) if !record.undone => end(&record.did, &format!("ok {} earlier", record.did.len())),
        _ => {
            let before = Guest::of(instance);
            let mut told = Told::default();
            let done = match job {
                "permissions" => jobs::permissions(instance, asked, debian, &mut told),
                "add-key" => jobs::add_key(instance, asked, debian, &mut told),
                "sshd" => jobs::sshd(instance, asked, usual, debian, &mut told),
                _ => Err("unknown-job".to_owned()),
            };
            match done {
                Err(reason) => {
                    before.put_into(instance);
                    end(&told.lines, &format!("fail 0 {reason}"))
                }
                Ok(()) if told.did.is_empty() => end(&told.lines, "nothing 0"),
                Ok(()) => {
                    let count = told.did.len();
                    let after = Guest::of(instance);
                    let record = Record { before, after, did: told.did, undone: false };
                    instance.records.insert(token.to_owned(), record);
                    end(&told.lines, &format!("ok {count}"))
                }
            }
        }
    }
}
