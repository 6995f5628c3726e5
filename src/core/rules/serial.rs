//! The EC2 serial console: the account's switch, and what the instance type can do.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::Why;
use crate::core::facts::Facts;

/// Families of types that run on Xen (EC2 User Guide, "Instances built on the AWS Nitro System").
const XEN: [&str; 21] = [
    "t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "r3", "r4", "i2", "d2", "x1", "x1e", "p2", "p3", "g3", "h1",
    "f1", "i3",
];

/// Whether the type has a serial console, and how that is known; `None` when it is not.
pub(super) fn supported(facts: &Facts) -> Option<(bool, String, String)> {
    let instance = facts.instance()?;
    if let Some(machine) = facts.host.machine.value() {
        let source = facts.host.machine.source().to_owned();
        let name = if machine.name.is_empty() { &instance.instance_type } else { &machine.name };
        return match machine.hypervisor.as_deref() {
            Some("nitro") => Some((true, format!("{name} is built on Nitro"), source)),
            Some(other) => Some((false, format!("{name} runs on {other}, not on Nitro"), source)),
            None if machine.bare_metal => Some((true, format!("{name} is bare metal"), source)),
            None => None,
        };
    }
    let (family, size) = instance.instance_type.split_once('.')?;
    let xen = XEN.contains(&family) && size != "metal";
    xen.then(|| (false, format!("{family} instances are not built on Nitro"), "the instance type".to_owned()))
}

/// What keeps the serial console from being opened, and what to do next; unknown things keep it from nothing.
pub fn obstacle(facts: &Facts) -> Option<(String, String)> {
    let instance = facts.instance()?;
    if instance.state != "running" {
        return Some((
            format!("{} is {}, and the serial console needs a running instance", instance.label(), instance.state),
            "start it first: port22 fix instance-start".to_owned(),
        ));
    }
    if let Some((false, text, _)) = supported(facts) {
        let text = format!("{text}: it has no serial console (serial-console-unsupported-type)");
        return Some((text, "take another way in: port22 diagnose lists them".to_owned()));
    }
    if facts.doors.serial.value().is_some_and(|s| !s.enabled) {
        let next = match facts.doors.serial.value().and_then(|s| s.managed_by.as_deref()) {
            Some("declarative-policy") => "ask whoever keeps the organisation's declarative policies",
            _ => "an administrator switches it on: aws ec2 enable-serial-console-access",
        };
        return Some((format!("{} (serial-console-disabled)", disabled_text(facts)), next.to_owned()));
    }
    None
}

/// Check `serial-console`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "serial-console";
    let facts = view.facts;
    if facts.instance().is_none() {
        return CheckResult::cannot_tell(id, &Why::needs("the instance"));
    }
    if let Some((false, text, source)) = supported(facts) {
        return CheckResult::fail(id, text.clone()).seen(text, source);
    }
    let Some(access) = facts.doors.serial.value() else {
        let why = facts.doors.serial.why_not().unwrap_or(Why::needs("the account switch"));
        return CheckResult::cannot_tell(id, &why);
    };
    let source = facts.doors.serial.source().to_owned();
    match (access.enabled, supported(facts)) {
        (false, _) => {
            let text = disabled_text(facts);
            CheckResult::fail(id, text.clone()).seen(text, source)
        }
        (true, Some((_, text, _))) => {
            CheckResult::pass(id, format!("it is switched on, and {text}")).seen(text, source)
        }
        (true, None) => {
            CheckResult::unclear(id, "cannot tell: it is switched on, but whether the type has it is not known")
        }
    }
}

/// Why it is off, and who may change that.
pub(super) fn disabled_text(facts: &Facts) -> String {
    let by = facts.doors.serial.value().and_then(|s| s.managed_by.as_deref());
    let who = match by {
        Some("declarative-policy") => ": a declarative policy of the organisation holds it off",
        _ => ": an administrator of the account may switch it on",
    };
    format!("the serial console is switched off in this account and Region{who}")
}

/// Causes of a serial console that cannot be used.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    if !view.running() {
        return out;
    }
    if let Some((false, text, source)) = supported(facts) {
        out.push(Finding::new("serial-console-unsupported-type", Certainty::Proven, text, source));
    } else if let Some(line) =
        super::about::pasted(facts, &["ec2instancetypeinvalidexception", "serialconsolesessionunsupported"])
    {
        out.push(Finding::new("serial-console-unsupported-type", Certainty::Proven, line, "pasted text"));
    }
    if facts.doors.serial.value().is_some_and(|s| !s.enabled) {
        let source = facts.doors.serial.source();
        out.push(Finding::new("serial-console-disabled", Certainty::Proven, disabled_text(facts), source));
    } else if let Some(line) =
        super::about::pasted(facts, &["serialconsoleaccessdisabled"]).filter(|_| !facts.doors.serial.is_known())
    {
        out.push(Finding::new("serial-console-disabled", Certainty::Proven, line, "pasted text"));
    }
    if nobody_has_a_password(facts) {
        let text = "no user inside has a password, and the serial console asks for one";
        out.push(Finding::new("serial-console-no-password", Certainty::Proven, text, facts.inside.source()));
    }
    out
}

/// Whether a look inside has counted the users with a password, and there are none.
pub(super) fn nobody_has_a_password(facts: &Facts) -> bool {
    facts.inside.value().is_some_and(|inside| inside.account.with_password == Some(0))
}
