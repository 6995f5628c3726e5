//! What keeps the machine itself from answering: credits, load, disk; and since when a status check fails.
//!
//! Numbers come from AWS/EC2 and, where it runs, the CloudWatch agent. They make likely what the wire showed;
//! a busy machine alone proves nothing. Must not judge the instance's state: `instance` and `root` do.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::host::Sample;
use crate::core::facts::wire::{SshServer, Tcp};

/// Oldest sample, in seconds, that says something of now: credits come every five minutes, and late.
const FRESH: i64 = 1800;

/// Credits, in vCPU minutes, below which there are none to spend.
const NO_CREDITS: f64 = 1.0;

/// How CPU, credits and memory look; checks `cpu-credits` and `machine-load`.
pub(super) fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![credits_check(view), load_check(view)]
}

/// Samples that are recent enough, oldest first.
fn fresh<'a>(facts: &Facts, samples: &'a [Sample]) -> &'a [Sample] {
    let start = samples.iter().position(|s| facts.now - s.at <= FRESH).unwrap_or(samples.len());
    &samples[start..]
}

fn last(facts: &Facts, samples: &[Sample]) -> Option<f64> {
    fresh(facts, samples).last().map(|s| s.value)
}

/// The lowest of the last three values: what was held for some minutes. `None` with fewer than three.
fn held(facts: &Facts, samples: &[Sample]) -> Option<f64> {
    let recent = fresh(facts, samples);
    let three = recent.get(recent.len().checked_sub(3)?..)?;
    three.iter().map(|s| s.value).reduce(f64::min)
}

/// Share of a vCPU, in percent of the whole instance, that a burstable size earns
/// (EC2 User Guide, "Key concepts for burstable performance instances").
fn baseline(instance_type: &str) -> Option<f64> {
    let (family, size) = instance_type.split_once('.')?;
    let old = family == "t2";
    Some(match size {
        "nano" => 5.0,
        "micro" => 10.0,
        "small" | "medium" => 20.0,
        "large" => 30.0,
        "xlarge" => [40.0, 22.5][usize::from(old)],
        "2xlarge" => [40.0, 17.0][usize::from(old)],
        _ => return None,
    })
}

/// What the credits tell.
enum Credits {
    /// Not a burstable type, or unlimited.
    NotLimited(String),
    /// There are some.
    Left(f64),
    /// There are none; whether the machine also works at its baseline, so that it is really held back.
    Gone {
        throttled: Option<bool>,
        mode_known: bool,
        text: String,
    },
    Unknown(Why),
}

fn burstable(facts: &Facts) -> bool {
    let kind = facts.instance().map(|i| i.instance_type.as_str()).unwrap_or_default();
    let named = ["t2.", "t3.", "t3a.", "t4g."].iter().any(|start| kind.starts_with(start));
    facts.host.machine.value().map_or(named, |m| m.burstable)
}

fn credits(facts: &Facts) -> Credits {
    if facts.instance().is_none() || !burstable(facts) {
        return Credits::NotLimited("this type does not run on CPU credits".to_owned());
    }
    let mode = facts.host.credit_mode.value().map(String::as_str);
    if mode == Some("unlimited") {
        return Credits::NotLimited("its credits are in unlimited mode".to_owned());
    }
    let Some(metrics) = facts.host.metrics.value() else {
        return Credits::Unknown(facts.host.metrics.why_not().unwrap_or(Why::needs("the metrics")));
    };
    let Some(left) = last(facts, &metrics.credits) else {
        return Credits::Unknown(Why::needs("a recent CPUCreditBalance, and CloudWatch has none"));
    };
    if left >= NO_CREDITS {
        return Credits::Left(left);
    }
    let kind = facts.instance().map(|i| i.instance_type.clone()).unwrap_or_default();
    let busy = held(facts, &metrics.cpu);
    // A new instance in standard mode has no credits either, and is not held back while it idles.
    let throttled = busy.zip(baseline(&kind)).map(|(busy, base)| busy >= base * 0.8);
    let mode_text = mode.map_or_else(|| "its credit mode is not known".to_owned(), |m| format!("credit mode {m}"));
    let cpu = busy.map(|b| format!(", CPU held at {b:.0} %")).unwrap_or_default();
    let text = format!("CPUCreditBalance is {left:.1} on a {kind}, {mode_text}{cpu}");
    Credits::Gone { throttled, mode_known: mode.is_some(), text }
}

fn credits_check(view: &View<'_>) -> CheckResult {
    let id = "cpu-credits";
    let source = view.facts.host.metrics.source().to_owned();
    if let Some(skip) = not_running(view, id) {
        return skip;
    }
    match credits(view.facts) {
        Credits::NotLimited(text) => CheckResult::not_applicable(id, text),
        Credits::Left(left) => CheckResult::pass(id, format!("{left:.0} CPU credits are left"))
            .seen(format!("CPUCreditBalance {left:.1}"), source),
        Credits::Gone { throttled: Some(false), text, .. } => {
            CheckResult::pass(id, "there are no credits, and the CPU does not need any").seen(text, source)
        }
        Credits::Gone { mode_known: true, throttled: Some(true), text } => {
            CheckResult::fail(id, "the CPU credits are used up").seen(text, source)
        }
        Credits::Gone { text, .. } => {
            CheckResult::unclear(id, "cannot tell whether the CPU is held back").seen(text, source)
        }
        Credits::Unknown(why) => CheckResult::cannot_tell(id, &why),
    }
}

fn load_check(view: &View<'_>) -> CheckResult {
    let id = "machine-load";
    if let Some(skip) = not_running(view, id) {
        return skip;
    }
    let Fact::Known { value: metrics, source } = &view.facts.host.metrics else {
        let why = view.facts.host.metrics.why_not().unwrap_or(Why::needs("the metrics"));
        return CheckResult::cannot_tell(id, &why);
    };
    let values = [("CPU", &metrics.cpu), ("memory", &metrics.memory), ("fullest disk", &metrics.disk)];
    let said: Vec<String> = values
        .iter()
        .filter_map(|(name, samples)| last(view.facts, samples).map(|v| format!("{name} {v:.0} %")))
        .collect();
    if said.is_empty() {
        return CheckResult::cannot_tell(id, &Why::needs("recent numbers, and CloudWatch has none"));
    }
    let text = said.join(", ");
    let over = overloads(view.facts);
    if over.is_empty() {
        CheckResult::pass(id, text.clone()).seen(text, source.clone())
    } else {
        CheckResult::fail(id, text.clone()).seen(text, source.clone())
    }
}

fn not_running(view: &View<'_>, id: &str) -> Option<CheckResult> {
    match view.facts.instance() {
        Some(i) if i.state != "running" => Some(CheckResult::skipped(id, "the instance is not running")),
        Some(_) => None,
        None => Some(CheckResult::cannot_tell(id, &Why::needs("the instance"))),
    }
}

/// Limits that are reached: cause and what was measured.
fn overloads(facts: &Facts) -> Vec<(&'static str, String)> {
    let Some(metrics) = facts.host.metrics.value() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(cpu) = held(facts, &metrics.cpu).filter(|v| *v >= 95.0) {
        out.push(("cpu-or-memory-overload", format!("CPUUtilization is held at {cpu:.0} %")));
    }
    if let Some(memory) = last(facts, &metrics.memory).filter(|v| *v >= 95.0) {
        out.push(("cpu-or-memory-overload", format!("mem_used_percent is {memory:.0} %")));
    }
    if let Some(disk) = last(facts, &metrics.disk).filter(|v| *v >= 99.0) {
        out.push(("disk-full", format!("disk_used_percent of the fullest file system is {disk:.0} %")));
    }
    out
}

/// What the wire, or the user, saw of a machine that gets nothing done.
fn starved(facts: &Facts) -> Option<&'static str> {
    if matches!(facts.wire.ssh.value(), Some(SshServer::BannerTimeout { .. })) {
        return Some("the port accepts and no greeting comes");
    }
    let told = facts.wire.tcp.value().is_none() && facts.symptom() == Some("banner_timeout");
    told.then_some("a connection without a greeting was reported")
}

/// Causes in credits, load and disk.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let answers = matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    if !view.running() || matches!(facts.wire.tcp.value(), Some(Tcp::Refused { .. })) {
        return Vec::new();
    }
    let mut out = Vec::new();
    let source = facts.host.metrics.source();
    let starved = starved(facts);
    let wire = matches!(facts.wire.ssh.value(), Some(SshServer::BannerTimeout { .. }));
    if let (Credits::Gone { throttled, mode_known, text }, false) = (credits(facts), answers)
        && throttled != Some(false)
    {
        let certainty = match (throttled, mode_known, starved) {
            (Some(true), true, Some(_)) if wire => Certainty::Proven,
            (_, true, Some(_)) => Certainty::Likely,
            _ => Certainty::Possible,
        };
        let finding = Finding::new("cpu-credits-exhausted", certainty, text, source);
        let finding = match starved {
            Some(seen) => finding.and(seen, if wire { facts.wire.ssh.source() } else { "your symptom" }),
            None => finding,
        };
        out.push(if certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove(
                "credit mode standard, the CPU held at its baseline, and a port that accepts and stays silent",
            )
        });
    }
    for (id, text) in overloads(facts) {
        // A full disk shows after the greeting too; a busy CPU that still greets is only busy.
        if answers && id != "disk-full" {
            continue;
        }
        // Full by nature are read-only images (squashfs), so a number is never proof.
        let certainty = if starved.is_some() { Certainty::Likely } else { Certainty::Possible };
        out.push(
            Finding::new(id, certainty, text, source)
                .would_prove("the console log, or top and df inside the instance (Session Manager, serial console)"),
        );
    }
    out
}

/// Since how many minutes a status check fails, from its metric; `None` when the newest value is not a failure.
pub(super) fn failing_minutes(facts: &Facts, samples: &[Sample]) -> Option<i64> {
    let recent = fresh(facts, samples);
    recent.last().filter(|s| s.value >= 1.0)?;
    let run = samples.iter().rev().take_while(|s| s.value >= 1.0).last()?;
    Some((facts.now - run.at).max(0) / 60)
}
