//! Repairs inside the operating system: what their plans have in common.
//!
//! What is wrong inside is found by the script itself, which looks before it changes: a plan is the same whether or not
//! somebody has looked inside before. Must not plan a change that the script does not write down first.

pub mod add_key;
pub mod permissions;
pub mod sshd;

#[cfg(test)]
mod tests;

use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::inside::Lookup;
use crate::core::facts::wire::Answer;
use crate::core::inside::{doors, mend};
use crate::core::plan::{Dial, Door, Gate, GateState, Job, Plan, RemoteAction, Step};
use crate::core::rules;
use crate::core::text::shell_quote;

/// The instance, which must be one with a shell.
fn instance(facts: &Facts) -> Result<&Instance, String> {
    let instance = facts.instance().ok_or("the instance is not known: nothing can be run inside it")?;
    if facts.is_windows() {
        return Err(format!(
            "{} runs Windows: this repair is for Linux and other systems with a POSIX shell",
            instance.id
        ));
    }
    Ok(instance)
}

/// The login user, whose name a script may be given.
pub(super) fn user(facts: &Facts) -> Result<String, String> {
    let user = rules::login_user(facts).ok_or("the login user is not known: pass user@ or -l USER")?;
    if mend::is_user(&user) {
        Ok(user)
    } else {
        Err(format!("'{}' is no user name that a script may be given (useradd(8))", user.escape_default()))
    }
}

/// Whether the diagnosis has seen a login as this user with the key in question.
fn logs_in(facts: &Facts, user: &str) -> bool {
    let first = facts.local.keys.iter().find(|k| k.origin == "-i").map(|k| &k.path);
    facts
        .wire
        .offers
        .iter()
        .any(|o| o.user == user && o.answer == Answer::LoggedIn && (first.is_none() || o.key.as_ref() == first))
}

/// Whether the state of the instance lets anything run inside.
pub(super) fn running_gate(instance: &Instance) -> Gate {
    if instance.state == "running" {
        Gate::new("running", GateState::Ok, "the instance is running")
    } else {
        Gate::new(
            "running",
            GateState::Refuse,
            format!("the instance is {}: nothing can run inside it", instance.state),
        )
    }
}

/// The way in, and what it means.
fn door_gate(facts: &Facts, doors: &[Door]) -> Gate {
    match doors.first() {
        Some(Door::Agent) => Gate::new("door", GateState::Ok, "by Systems Manager: its agent is online"),
        Some(Door::Login { user, dial, .. }) => Gate::new(
            "door",
            GateState::Ok,
            format!("by the login of {user}{}, which works, and sudo without a password", through(dial)),
        ),
        Some(Door::Push { user, dial }) => Gate::new(
            "door",
            GateState::Warn,
            format!(
                "by a key of 60 seconds for {user}{} (EC2 Instance Connect): whether the image takes it is seen then",
                through(dial)
            ),
        ),
        None => {
            let agent = match facts.aws.ssm.value() {
                Some(Some(agent)) => format!("the SSM agent is {}", agent.ping),
                Some(None) => "no SSM agent has registered".to_owned(),
                None => match facts.aws.ssm.why_not() {
                    Some(why) => format!("cannot tell whether the SSM agent is online: {}", why.text()),
                    None => "the SSM agent was not asked about".to_owned(),
                },
            };
            Gate::new(
                "door",
                GateState::Refuse,
                format!(
                    "there is no way to run anything inside: {agent}, no login works, and no key can be pushed by EC2 Instance Connect"
                ),
            )
        }
    }
}

/// The jump hosts on the way, in words that follow a login.
fn through(dial: &Dial) -> String {
    dial.over.as_ref().map(|over| format!(" over {}", over.list())).unwrap_or_default()
}

/// The options of ssh that go the same way, with a blank behind them; and the host that is then named.
pub(super) fn ssh_way(dial: &Dial) -> (String, String) {
    match &dial.over {
        None => (String::new(), dial.address.to_string()),
        Some(over) => {
            let file = over.config_file.as_ref().map(|f| format!("-F {} ", shell_quote(f))).unwrap_or_default();
            (format!("{file}-J {} ", shell_quote(&over.list())), over.host.clone())
        }
    }
}

/// What a look inside has already shown of the user.
fn user_gate(facts: &Facts, user: &str) -> Option<Gate> {
    let inside = facts.inside.value()?;
    let absent = inside.asked.user == user
        && inside.account.nss == Lookup::Absent
        && matches!(inside.account.file, Lookup::Absent | Lookup::NotAsked);
    absent.then(|| Gate::new("user", GateState::Refuse, format!("there is no user {user} on the instance")))
}

/// What every script promises.
fn record_gate() -> Gate {
    Gate::new(
        "record",
        GateState::Ok,
        "how everything was is written to /var/lib/port22 on the instance before it is changed; nothing is changed that is right already",
    )
}

/// IAM actions of the doors.
fn permissions_of(doors: &[Door]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for door in doors {
        match door {
            Door::Agent => out.extend(["ssm:SendCommand".to_owned(), "ssm:GetCommandInvocation".to_owned()]),
            Door::Push { .. } => out.push("ec2-instance-connect:SendSSHPublicKey".to_owned()),
            Door::Login { .. } => {}
        }
    }
    out
}

/// A repair: its gates, its one deed, and the look afterwards. `by_hand` are the commands that do the same to a guest on
/// which everything is wrong.
struct Repair<'a> {
    fix: &'a str,
    title: String,
    text: String,
    by_hand: Vec<String>,
    job: Job,
}

impl Repair<'_> {
    fn plan(self, facts: &Facts, instance: &Instance) -> Plan {
        let doors = doors::doors(facts);
        let mut plan = Plan {
            account: facts.account(),
            permissions: permissions_of(&doors),
            cost: "nothing; it takes some seconds".to_owned(),
            ..Plan::new(self.fix, self.title, instance.id.clone(), instance.label())
        };
        plan.gates = vec![running_gate(instance), door_gate(facts, &doors)];
        let user = match &self.job {
            Job::Permissions { user, .. } | Job::AddKey { user, .. } => Some(user),
            Job::Sshd { user, .. } => user.as_ref(),
        };
        plan.gates.extend(user.and_then(|user| user_gate(facts, user)));
        plan.gates.push(record_gate());
        plan.steps.push(Step::deed(
            self.text,
            command(instance, doors.first(), &self.by_hand),
            Some("port22 undo (puts back from /var/lib/port22 on the instance what was written down there)".to_owned()),
            RemoteAction::Run { region: instance.region.clone(), instance: instance.id.clone(), doors, job: self.job },
        ));
        plan.steps.push(Step::look(
            "look inside again, and log in",
            format!("port22 diagnose {} --inside", shell_quote(&instance.id)),
        ));
        plan
    }
}

/// The commands through the door, to copy.
fn command(instance: &Instance, door: Option<&Door>, by_hand: &[String]) -> String {
    let script = by_hand.join("; ");
    match door {
        Some(Door::Login { user, key, dial }) => {
            let (way, host) = ssh_way(dial);
            format!(
                "ssh {way}-i {} -p {} {user}@{host} {}",
                shell_quote(key),
                dial.port,
                shell_quote(&format!("sudo sh -c {}", shell_quote(&script)))
            )
        }
        Some(Door::Push { user, dial }) => {
            let (way, host) = ssh_way(dial);
            format!(
                "aws ec2-instance-connect send-ssh-public-key --region {} --instance-id {} --instance-os-user {user} --ssh-public-key file://KEY.pub && ssh {way}-i KEY -p {} {user}@{host} {}",
                instance.region,
                instance.id,
                dial.port,
                shell_quote(&format!("sudo sh -c {}", shell_quote(&script)))
            )
        }
        Some(Door::Agent) | None => {
            let lines: Vec<serde_json::Value> = by_hand.iter().map(|l| l.as_str().into()).collect();
            let parameters = serde_json::json!({ "commands": lines });
            format!(
                "aws ssm send-command --region {} --instance-ids {} --document-name AWS-RunShellScript --parameters {}",
                instance.region,
                instance.id,
                shell_quote(&parameters.to_string())
            )
        }
    }
}

/// A plan that has nothing to do.
fn nothing(fix: &str, instance: &Instance, why: String) -> Plan {
    let mut plan = Plan::new(fix, format!("nothing to change: {why}"), instance.id.clone(), instance.label());
    plan.gates.push(Gate::new("needed", GateState::Ok, why));
    plan.steps.push(Step::look("run the checks again", format!("port22 diagnose {}", shell_quote(&instance.id))));
    plan
}
