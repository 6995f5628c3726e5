//! `remote-sshd-repair`: sshd runs, listens where the login goes, and lets the login user in.

use super::{Repair, instance, logs_in, nothing};
use crate::core::cause::Certainty;
use crate::core::facts::Facts;
use crate::core::plan::{Choice, Choices, Job, Plan, Risk};
use crate::core::rules;
use std::net::IpAddr;

/// Causes behind which the system's own packet filter may be.
const FILTERED: [&str; 2] = ["guest-firewall", "sshd-not-listening"];

/// Causes that let the key in and nobody stay.
const AFTER_THE_KEY: [&str; 2] = ["password-change-forced", "shell-nologin"];

/// Plans the repair. Fails with one sentence when the instance is not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    // Without a user sshd itself can be repaired all the same.
    let user = super::user(facts).ok();
    let causes = rules::judge(facts).causes;
    // The key is taken, and the session ends at once.
    let ends = causes.iter().any(|c| AFTER_THE_KEY.contains(&c.id.as_str()) && c.certainty >= Certainty::Likely);
    if let Some(user) = user.as_ref().filter(|user| !ends && logs_in(facts, user)) {
        let doubt = if facts.inside.is_known() { "" } else { " (where the session ends at once, look --inside first)" };
        return Ok(nothing("remote-sshd-repair", instance, format!("sshd runs and the login as {user} works{doubt}")));
    }
    let port = facts.port();
    let options = [
        (
            "let-in",
            "override for this one user what keeps them out (AllowUsers, DenyUsers, groups, PubkeyAuthentication; an account that has ended, a password that must be changed first, a shell that lets nobody in)",
        ),
        ("leave", "leave what is set for users"),
    ];
    let who = user.as_deref().unwrap_or("the login user");
    let choice = Choice::new("settings", format!("What if {who} is kept out on purpose?"), &options, choices);
    let let_in = choice.chosen == "let-in";
    let mut text = format!(
        "run a script as root: make what sshd lacks (host keys, run directory, their rights), disable a line of its \
         configuration that it cannot read, let it listen at port {port} too, remove a left nologin file"
    );
    if let_in {
        text.push_str(&format!(
            ", let {who} in by a Match block of their own where settings say otherwise, and by dates and shell of the account"
        ));
    }
    let from = facts.source_ip();
    // Without a look inside, silence and a reset may be the filter's: the script looks, and adds its rule only where sshd
    // listens and the filter refuses.
    let perhaps = causes.iter().any(|c| FILTERED.contains(&c.id.as_str()));
    let firewall = from.is_some() && perhaps;
    if let Some(from) = from {
        text.push_str(&format!(", let {from} pass in hosts.allow where hosts.deny keeps it out"));
        if firewall {
            text.push_str(&format!(
                ", and at port {port} by a rule of its own in the system's packet filter where that refuses it"
            ));
        }
    }
    text.push_str("; after sshd -t has passed, enable and start it, or reload it: open sessions stay");
    let own = own_address(facts);
    let mut by_hand = vec![
        "mkdir -p /run/sshd".to_owned(),
        "ssh-keygen -A".to_owned(),
        "sshd -t".to_owned(),
        "systemctl unmask ssh sshd; systemctl enable --now ssh || systemctl enable --now sshd".to_owned(),
    ];
    if let Some(user) = user.as_ref().filter(|_| let_in) {
        by_hand.push(format!("chage -E -1 -d $(date +%F) {user}"));
    }
    if let Some(from) = from.filter(|_| firewall) {
        let tool = if from.is_ipv6() { "ip6tables" } else { "iptables" };
        by_hand.push(format!("{tool} -I INPUT -s {from} -p tcp --dport {port} -j ACCEPT"));
    }
    let repair = Repair {
        fix: "remote-sshd-repair",
        title: format!("repair sshd on {}", instance.label()),
        text,
        by_hand,
        job: Job::Sshd { user: user.clone(), address: from, port, own, let_in, firewall },
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
