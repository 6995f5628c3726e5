//! `remote-repair-permissions`: owner and rights of one user's login files, as sshd asks for them and no further.

use super::{Repair, instance, logs_in, nothing, user};
use crate::core::facts::Facts;
use crate::core::plan::{Choices, Job, Plan, Risk};

/// Plans the repair for the login user. Fails with one sentence when instance or user are not known.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let user = user(facts)?;
    if logs_in(facts, &user) {
        return Ok(nothing("remote-repair-permissions", instance, format!("the login as {user} works")));
    }
    let home = format!("~{user}");
    let repair = Repair {
        fix: "remote-repair-permissions",
        title: format!("repair owner and rights of {user}'s login files on {}", instance.label()),
        text: format!(
            "run a script as root: where sshd refuses {user}'s home, .ssh or authorized_keys, take away the write right \
             of others, give them to {user}, give back a missing right to read or enter, and restore SELinux labels; \
             never recursive"
        ),
        by_hand: vec![
            format!("chmod go-w {home} {home}/.ssh {home}/.ssh/authorized_keys"),
            format!("chown {user}: {home} {home}/.ssh {home}/.ssh/authorized_keys"),
            format!("chmod u+rwx {home} {home}/.ssh; chmod u+r {home}/.ssh/authorized_keys"),
            format!("command -v restorecon >/dev/null && restorecon -F {home}/.ssh {home}/.ssh/authorized_keys"),
        ],
        job: Job::Permissions { user, address: facts.source_ip() },
    };
    let mut plan = repair.plan(facts, instance);
    plan.risk = Risk::Low;
    plan.verify = vec!["inside-key-files".to_owned()];
    Ok(plan)
}
