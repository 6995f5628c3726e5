//! `user-data-repair`: a boothook that repairs home, `.ssh` and `authorized_keys` at the next boot, and then gives the
//! owner's user data back.
//!
//! Must not put the content of user data into a plan: it may hold secrets.

use super::stop::{Power, around, plainly};
use crate::core::ami::Confidence;
use crate::core::boothook;
use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::prepared::UserDataState;
use crate::core::plan::{Choice, Choices, Consent, Gate, GateState, Login, Plan, Risk, Step, UserDataAction};
use crate::core::rules::{self, offering};
use crate::core::text::shell_quote;

/// IAM actions of both fixes that set user data.
pub(super) const PERMISSIONS: &[&str] = &[
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstances",
    "ec2:DescribeAddresses",
    "ec2:GetConsoleOutput",
    "ec2:ModifyInstanceAttribute",
    "ec2:StartInstances",
    "ec2:StopInstances",
];

/// Plans to save the user data, stop, set the repair, start, wait for it, and put the saved user data back. Fails with
/// one sentence where instance, user or the user data of now are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known: its user data cannot be set")?;
    let state = state(facts)?;
    let user = rules::login_user(facts).ok_or("the login user is not known: name it as USER@TARGET, or with -l")?;
    let public = first_key(facts);
    let mut choice = vec![Choice::new(
        "restore",
        "your own user data can be put back only while the instance is stopped: when?",
        &[
            ("now", "by a second stop and start, right after the repair has worked"),
            (
                "later",
                "at a stop of your own choice, by port22 fix user-data-restore; the repair ran once and stays silent until then",
            ),
        ],
        choices,
    )];
    if public.is_some() {
        choice.push(Choice::new(
            "key",
            "add the public half of your key to authorized_keys?",
            &[("add", "add it, where it is not there yet"), ("leave", "only repair modes and owners")],
            choices,
        ));
    }
    let chosen = |id: &str| choice.iter().find(|c| c.id == id).map(|c| c.chosen.as_str());
    let now = chosen("restore") == Some("now");
    let key = public.clone().filter(|_| chosen("key") == Some("add"));
    let mut all = own_gates(facts, state, &user, key.as_deref());
    all.extend(plainly(instance));
    all.push(published());
    let ran = instance.state == "running";
    // Where it ran and its own user data is back, an undo finds nothing that it would have to stop for.
    let power = Power { stops: ran || now, starts: true, undo_stops: !(ran && now), ..Power::default() };
    let around = around(facts, choices, instance, power);
    let mut steps = Steps { region: &instance.region, instance: &instance.id, list: Vec::new() };
    steps.save(state);
    steps.list.extend(around.before.iter().cloned());
    if ran {
        steps.power(false, true);
    }
    steps.set(&user, key);
    steps.power(true, !ran);
    steps.wait(facts, &user);
    if now {
        steps.power(false, false);
        let (file, sha256) = ("${user_data_file}".to_owned(), "${user_data_sha256}".to_owned());
        steps.restore(file, sha256, "${nonce}".to_owned());
        steps.power(true, !ran);
    }
    let mut list = steps.list;
    list.extend(around.after.iter().cloned());
    list.push(Step::look(
        "run the diagnosis again: the login must work",
        format!("port22 diagnose {}", shell_quote(&instance.id)),
    ));
    let stops = usize::from(ran) + usize::from(now);
    let mut plan = Plan {
        gates: all,
        steps: list,
        risk: Risk::High,
        downtime: true,
        consent: Consent::Type(instance.id.clone()),
        permissions: PERMISSIONS.iter().map(|p| (*p).to_owned()).collect(),
        account: facts.account(),
        promises_login: true,
        cost: match stops {
            0 => "a start: some minutes".to_owned(),
            1 => "a stop and a start: about 5 minutes without the instance".to_owned(),
            n => format!("{n} stops and starts: about 10 minutes without the instance"),
        },
        choices: choice,
        ..Plan::new(
            "user-data-repair",
            format!("repair the login of {user} at the next boot of {}, through user data", instance.label()),
            instance.id.clone(),
            instance.label(),
        )
    };
    around.into_plan(&mut plan);
    Ok(plan)
}

/// What was read of the user data; a sentence where it was not.
pub(super) fn state(facts: &Facts) -> Result<&UserDataState, String> {
    facts.prepared.user_data.value().ok_or_else(|| match facts.prepared.user_data.why_not() {
        Some(why) => {
            format!("the user data of now could not be read, and nothing replaces what is not saved: {}", why.text())
        }
        None => "the user data of now was not read".to_owned(),
    })
}

/// Public half of the first `-i`, as `type base64`.
fn first_key(facts: &Facts) -> Option<String> {
    match given(facts)?.file.value()? {
        KeyFileState::Read { key, .. } => key.public.clone(),
        _ => None,
    }
}

/// The first key file that was named with `-i`.
fn given(facts: &Facts) -> Option<&KeyProbe> {
    facts.local.keys.iter().find(|k| k.origin == "-i")
}

/// The gates that belong to this repair alone.
fn own_gates(facts: &Facts, state: &UserDataState, user: &str, key: Option<&str>) -> Vec<Gate> {
    let refuse = |id: &str, why: String| Gate::new(id, GateState::Refuse, why);
    let mut all = Vec::new();
    if facts.is_windows() {
        all.push(refuse("system", "Windows does not run cloud-init: this repair is for Linux".to_owned()));
    } else {
        all.push(family(facts));
    }
    if rules::gates::metadata_off(facts) {
        all.push(refuse(
            "metadata-service",
            "the metadata service is off, so cloud-init gets no user data: turn it on first (imds-disabled)".to_owned(),
        ));
    }
    let own = if state.bytes == 0 {
        "there is no user data now".to_owned()
    } else {
        format!(
            "your user data ({} bytes) is saved first and comes back byte for byte; at the boot of the repair it is not there, so its own parts for every boot do not run then",
            state.bytes
        )
    };
    all.push(match (&state.repair, &state.saved) {
        (Some(_), Some(saved)) => refuse(
            "user-data",
            format!("the user data is still the repair of {}: put your own back first (port22 fix user-data-restore, or port22 undo {0})", saved.entry),
        ),
        (Some(_), None) => refuse(
            "user-data",
            "the user data is a repair that was set elsewhere: put your own back first, from where it was set".to_owned(),
        ),
        (None, _) => Gate::new("user-data", if state.bytes == 0 { GateState::Ok } else { GateState::Warn }, own),
    });
    all.extend(elsewhere(facts));
    match boothook::body(user, key, "0123456789abcdef") {
        Ok(body) => all.push(Gate::new(
            "script",
            GateState::Ok,
            format!(
                "one boothook of {} bytes, which runs once for {user}: home, .ssh, authorized_keys and nothing below them. An undo puts user data and state back, what it mended stays; port22 explain user-data-repair prints it",
                body.len()
            ),
        )),
        Err(why) => all.push(refuse("script", why)),
    }
    if let (Some(probe), None) = (given(facts), first_key(facts)) {
        all.push(Gate::new(
            "key",
            GateState::Warn,
            format!(
                "the public half of {} is not known, so no key is added: only modes and owners are repaired",
                probe.path
            ),
        ));
    }
    all
}

/// Where its user data is kept besides the instance itself.
fn elsewhere(facts: &Facts) -> Vec<Gate> {
    let has = |tag: &str| facts.instance().is_some_and(|i| i.tags.contains_key(tag));
    let said = [
        (
            "aws:ec2launchtemplate:id",
            "its launch template keeps its own user data: instances launched later are not changed",
        ),
        ("aws:cloudformation:stack-name", "CloudFormation reports changed user data as drift until it is put back"),
    ];
    let found = said.into_iter().filter(|(tag, _)| has(tag));
    found.map(|(_, why)| Gate::new("elsewhere", GateState::Warn, why)).collect()
}

/// Whether cloud-init is known to read user data there.
fn family(facts: &Facts) -> Gate {
    let ignition = facts.host.user_data.value().and_then(Option::as_ref).is_some_and(|u| u.kind == "ignition");
    if ignition {
        return Gate::new(
            "system",
            GateState::Refuse,
            "its user data is for Ignition, which runs at the first boot only",
        );
    }
    match rules::View::new(facts).family {
        Some(guess) if !guess.family.cloud_init && guess.confidence == Confidence::Sure => Gate::new(
            "system",
            GateState::Refuse,
            format!("{} does not run cloud-init, so user data repairs nothing", guess.family.title),
        ),
        Some(guess) if !guess.family.cloud_init => Gate::new(
            "system",
            GateState::Warn,
            format!(
                "it looks like {}, which does not run cloud-init: then nothing would be repaired",
                guess.family.title
            ),
        ),
        Some(guess) => {
            Gate::new("system", GateState::Ok, format!("{} runs cloud-init at every boot", guess.family.title))
        }
        None => Gate::new(
            "system",
            GateState::Warn,
            "the system is not known: without cloud-init nothing would be repaired",
        ),
    }
}

/// Why not the script that is published for this.
fn published() -> Gate {
    Gate::new(
        "published-script",
        GateState::Ok,
        "not the published multipart script: as it is printed nothing of it runs, and mended it runs the first-boot script again at every boot and its chown -R harms more than it heals (port22 explain user-data-repair)",
    )
}

/// The steps of both fixes, as they are put together.
pub(super) struct Steps<'a> {
    pub region: &'a str,
    pub instance: &'a str,
    pub list: Vec<Step>,
}

impl Steps<'_> {
    fn ids(&self) -> (String, String) {
        (self.region.to_owned(), self.instance.to_owned())
    }

    fn of(&self, verb: &str) -> String {
        format!("aws ec2 {verb} --region {} --instance-id {}", shell_quote(self.region), self.instance)
    }

    fn save(&mut self, state: &UserDataState) {
        let (region, instance) = self.ids();
        let text = format!(
            "save the user data of now ({} bytes, SHA-256 {}…) in a file of the journal, for you alone",
            state.bytes,
            state.sha256.get(..12).unwrap_or_default()
        );
        let command = format!(
            "{} --attribute userData --query UserData.Value --output text > user-data.b64",
            self.of("describe-instance-attribute")
        );
        let deed =
            UserDataAction::Save { region, instance, directory: state.directory.clone(), seen: state.sha256.clone() };
        self.list.push(Step::deed(text, command, None, deed));
    }

    /// A stop or a start; `back` when an undo takes it back.
    pub fn power(&mut self, up: bool, back: bool) {
        let (region, instance) = self.ids();
        let command = |up: bool| {
            let (verb, wait) = if up { ("start", "running") } else { ("stop", "stopped") };
            let at = format!("--region {} --instance-ids {instance}", shell_quote(&region));
            format!("aws ec2 {verb}-instances {at} && aws ec2 wait instance-{wait} {at}")
        };
        let text = if up {
            "start the instance and wait until it runs"
        } else {
            "stop the instance (plainly, never by force) and wait until it stands"
        };
        let undo = back.then(|| command(!up));
        let step = Step::deed(
            text,
            command(up),
            undo,
            UserDataAction::Power { region: region.clone(), instance: instance.clone(), up, back },
        );
        self.list.push(step);
    }

    fn set(&mut self, user: &str, key: Option<String>) {
        let (region, instance) = self.ids();
        let text = match &key {
            Some(_) => {
                format!("set the repair for {user} as user data; it also adds your public key where it is missing")
            }
            None => format!("set the repair for {user} as user data"),
        };
        let set =
            |file: &str| format!("{} --attribute userData --value file://{file}", self.of("modify-instance-attribute"));
        let (command, undo) =
            (format!("base64 repair.txt > repair.b64 && {}", set("repair.b64")), set("user-data.b64"));
        let deed = UserDataAction::Set {
            region,
            instance,
            user: user.to_owned(),
            key,
            nonce: "${nonce}".to_owned(),
            file: "${user_data_file}".to_owned(),
            replaces: "${user_data_sha256}".to_owned(),
        };
        self.list.push(Step::deed(text, command, Some(undo), deed));
    }

    fn wait(&mut self, facts: &Facts, user: &str) {
        let (region, instance) = self.ids();
        let live = facts.host.machine.value().is_some_and(|m| m.hypervisor.as_deref() == Some("nitro"));
        let config = facts.local.config.value();
        let through =
            facts.target.jump.is_some() || config.is_some_and(|c| c.proxy_jump.is_some() || c.proxy_command.is_some());
        let keys: Vec<String> =
            facts.local.keys.iter().filter(|k| offering::usable(k)).map(|k| k.path.clone()).take(2).collect();
        let login = (!through && !keys.is_empty()).then(|| Login { user: user.to_owned(), port: facts.port(), keys });
        let command = format!(
            "{}{} --query Output --output text | grep -F sshfix",
            self.of("get-console-output"),
            if live { " --latest" } else { "" }
        );
        let text = "wait until the repair says on the console what it did, or the login is let in (up to 10 minutes)";
        let deed = UserDataAction::Await { region, instance, nonce: "${nonce}".to_owned(), live, login };
        self.list.push(Step::deed(text, command, None, deed));
    }

    /// The saved user data comes back; the instance must stand.
    pub fn restore(&mut self, file: String, sha256: String, nonce: String) {
        let (region, instance) = self.ids();
        let path = if file.starts_with("${") { "user-data.b64".to_owned() } else { file.clone() };
        let command = format!(
            "{} --attribute userData --value {}",
            self.of("modify-instance-attribute"),
            shell_quote(&format!("file://{path}"))
        );
        let deed = UserDataAction::Restore { region, instance, file, sha256, nonce };
        self.list.push(Step::deed("put your own user data back, byte for byte", command, None, deed));
    }
}

#[cfg(test)]
mod tests;
