//! `remote-sshd-repair`: sshd runs, listens where the login goes, and lets the login user in.

use super::{Repair, instance, logs_in, nothing};
use crate::core::facts::Facts;
use crate::core::plan::{Choice, Choices, Job, Plan, Risk};
use crate::core::rules;
use std::net::IpAddr;

/// Plans the repair. Fails with one sentence when the instance is not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    // Without a user sshd itself can be repaired all the same.
    let user = super::user(facts).ok();
    if let Some(user) = user.as_ref().filter(|user| logs_in(facts, user)) {
        return Ok(nothing("remote-sshd-repair", instance, format!("sshd runs and the login as {user} works")));
    }
    let port = facts.port();
    let options = [
        (
            "let-in",
            "override for this one user what keeps them out (AllowUsers, DenyUsers, groups, PubkeyAuthentication)",
        ),
        ("leave", "leave what sshd is told about users"),
    ];
    let who = user.as_deref().unwrap_or("the login user");
    let choice = Choice::new("settings", format!("What if sshd is told not to let {who} in?"), &options, choices);
    let let_in = choice.chosen == "let-in";
    let mut text = format!(
        "run a script as root: make what sshd lacks (host keys, run directory, their rights), disable a line of its \
         configuration that it cannot read, let it listen at port {port} too, remove a left nologin file"
    );
    if let_in {
        text.push_str(&format!(", let {who} in by a Match block of their own where settings say otherwise"));
    }
    text.push_str("; after sshd -t has passed, enable and start it, or reload it: open sessions stay");
    let own = own_address(facts);
    let repair = Repair {
        fix: "remote-sshd-repair",
        title: format!("repair sshd on {}", instance.label()),
        text,
        by_hand: vec![
            "mkdir -p /run/sshd".to_owned(),
            "ssh-keygen -A".to_owned(),
            "sshd -t".to_owned(),
            "systemctl unmask ssh sshd; systemctl enable --now ssh || systemctl enable --now sshd".to_owned(),
        ],
        job: Job::Sshd { user: user.clone(), address: facts.source_ip(), port, own, let_in },
    };
    let mut plan = repair.plan(facts, instance);
    plan.risk = Risk::Medium;
    plan.verify = vec!["inside-sshd".to_owned()];
    if rules::login_user(facts).is_some() {
        plan.choices.push(choice);
    }
    Ok(plan)
}

/// The address of the instance's own interface to which the login goes: behind a public IPv4 it is the private one.
fn own_address(facts: &Facts) -> Option<IpAddr> {
    let dialled = facts.wire.address.or_else(|| facts.address());
    dialled.filter(IpAddr::is_ipv6).or_else(|| facts.instance().and_then(|i| i.private_ip))
}
