//! Parts that several plans share. Pure.

use crate::core::cause::Certainty;
use crate::core::check::Verdict;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Gate, GateState, Plan, Step};
use crate::core::target::Target;
use crate::core::text::shell_quote;
use crate::core::vpc::{self, PathResult};
use crate::core::{catalogue, diagnosis, rules};
use std::net::IpAddr;

/// The instance, or the sentence that a plan without it fails with.
pub(super) fn instance(facts: &Facts) -> Result<&Instance, String> {
    facts.instance().ok_or_else(|| "the instance is not known: nothing can be planned for it".to_owned())
}

/// An empty plan for the instance, with the account of the caller.
pub(super) fn plan_for(fix: &str, facts: &Facts, instance: &Instance) -> Plan {
    Plan { account: facts.account(), ..Plan::new(fix, "", instance.id.clone(), instance.label()) }
}

/// A plan that does nothing because nothing has to be done.
pub(super) fn nothing(mut plan: Plan, why: impl Into<String>) -> Plan {
    let why = why.into();
    plan.title = format!("nothing to change: {why}");
    plan.gates.push(Gate::new("needed", GateState::Ok, why));
    plan.steps.clear();
    plan
}

/// A plan that must not be applied.
pub(super) fn refuse(mut plan: Plan, gate: &str, title: &str, why: impl Into<String>) -> Plan {
    plan.title = title.to_owned();
    plan.gates.push(Gate::new(gate, GateState::Refuse, why));
    plan
}

/// The last step: look whether it helped.
pub(super) fn look(text: &str, instance: &Instance) -> Step {
    Step::look(text, format!("port22 diagnose {}", shell_quote(&instance.id)))
}

/// The way of the login, and the client's address as the instance sees it. Fails with a sentence when it is not known.
pub(super) fn way(facts: &Facts) -> Result<(PathResult, IpAddr), String> {
    let path = vpc::evaluate(facts, &vpc::flow_of(facts));
    let source = path.source.ok_or_else(|| match facts.source_ip() {
        Some(source) => format!(
            "{source} is not the address that the instance sees (it dials over {}): pass --source-ip ADDRESS",
            path.family.name()
        ),
        None => "your address as the instance sees it is not known: pass --source-ip ADDRESS".to_owned(),
    })?;
    Ok((path, source))
}

/// Obstacles and news that stand beside a cause and do not hinder a login themselves.
const BESIDE: [&str; 4] = ["asg-managed", "stop-protected", "scheduled-event", "imds-disabled"];

/// Whether a login must work when this fix is done: it is named by every proven or likely cause.
pub(super) fn heals_all(facts: &Facts, fix: &str) -> bool {
    let found = diagnosis::judge(facts);
    let words = &catalogue::get().causes;
    let mut causes =
        found.causes.iter().filter(|c| c.certainty >= Certainty::Likely && !BESIDE.contains(&c.id.as_str())).peekable();
    causes.peek().is_some() && causes.all(|c| words.get(&c.id).is_some_and(|w| w.fixes.iter().any(|f| f == fix)))
}

/// The same login by the instance's id: an alias or an address may lead to where the instance was before. What the
/// alias said of user, keys, port and jump host is kept.
pub(super) fn login_by_id(facts: &Facts, instance: &Instance) -> Target {
    let mut login = facts.target.clone();
    let config = facts.local.config.value();
    // A configuration that fixes the address would lead there by the id as well.
    let fixed = config.filter(|c| c.hostname.as_deref().is_some_and(|h| h.parse::<IpAddr>().is_ok()));
    if login.name == instance.id && fixed.is_none() {
        return login;
    }
    if let Some(config) = fixed {
        login.config_file = Some("none".to_owned());
        if !config.known_hosts_files.is_empty() {
            login.options.push(format!("UserKnownHostsFile={}", config.known_hosts_files.join(" ")));
        }
        login.options.extend(config.host_key_alias.iter().map(|alias| format!("HostKeyAlias={alias}")));
    }
    login.name.clone_from(&instance.id);
    login.user = rules::login_user(facts).or(login.user);
    login.port = login.port.or_else(|| config.and_then(|c| c.port));
    login.jump = login.jump.or_else(|| config.and_then(|c| c.proxy_jump.clone()));
    if login.keys.is_empty() {
        let usable = facts.local.keys.iter().filter(|k| rules::local::key_of(k).is_some());
        login.keys = usable.map(|k| k.path.clone()).collect();
    }
    login
}

/// Whether a check fails now.
pub(super) fn fails(facts: &Facts, check: &str) -> bool {
    rules::verdict(&diagnosis::judge(facts).checks, check) == Some(Verdict::Fail)
}

/// `a`, `a and b`, `a, b, c and 4 more`.
pub(super) fn some(names: &[String]) -> String {
    match names.len() {
        0..=4 => crate::core::text::list(names),
        n => format!("{} and {} more", names[..3].join(", "), n - 3),
    }
}
