//! `port22 journal`, `port22 undo` and `port22 resume`.

use super::args::{Cli, JournalArgs, UndoArgs};
use super::output::{self, Exit};
use super::{fix, input, passphrase};
use crate::core::plan::{Gate, GateState, Step};
use crate::core::text::utc;
use crate::core::words::{tr, tr_with};
use crate::edge::journal_file::{JournalFile, state_directory};
use crate::engine::event::RepairOutcome;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::journal::{Entry, EntryState, Journal};
use crate::engine::repair;
use crate::engine::world::World;
use serde_json::json;
use std::sync::Arc;

/// The journal in the state directory (XDG_STATE_HOME/port22, or the platform's own).
pub fn open() -> Result<JournalFile, Failure> {
    let dir = state_directory().ok_or_else(|| {
        Failure::usage("find the state directory", "there is no home directory", "set HOME or XDG_STATE_HOME")
    })?;
    Ok(JournalFile::new(dir))
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// When what the entry opened is to be closed, and whether that time is over; nothing for what is closed already.
fn expiry(entry: &Entry, now: i64) -> Option<(i64, bool)> {
    let open = entry.state != EntryState::Undone && entry.done.iter().any(|d| d.changed);
    entry.plan.expires.filter(|_| open).map(|at| (at, at <= now))
}

fn expiry_text(entry: &Entry, now: i64) -> String {
    match expiry(entry, now) {
        Some((at, true)) => {
            tr_with("  EXPIRED {time}: port22 undo {entry}", &[("time", &utc(at)), ("entry", &entry.id)])
        }
        Some((at, false)) => tr_with("  until {time}", &[("time", &utc(at))]),
        None => String::new(),
    }
}

/// What was changed by an entry that did not come to its end, and how to go back and on; nothing for others.
fn way_of(entry: &Entry) -> Vec<String> {
    let Some(on) = entry.way_on() else { return Vec::new() };
    let mut out = Vec::new();
    let by_hand = |out: &mut Vec<String>, command: Option<String>| {
        out.extend(command.map(|command| tr_with("      back by hand: {command}", &[("command", &command)])));
    };
    for (step, text, command) in entry.in_force() {
        out.push(tr_with("    in force: step {number}: {text}", &[("number", &(step + 1)), ("text", &text)]));
        by_hand(&mut out, command);
    }
    if let Some((step, text, command)) = entry.unknown() {
        out.push(tr_with(
            "    nobody knows whether step {number} was done: {text}",
            &[("number", &(step + 1)), ("text", &text)],
        ));
        by_hand(&mut out, command);
    }
    match entry.way_back() {
        Some(back) => out.push(tr_with("    go back: {back}; go on: {on}", &[("back", &back), ("on", &on)])),
        None => out.push(tr_with("    nothing was changed; go on: {on}", &[("on", &on)])),
    }
    out
}

fn state(entry: &Entry) -> &'static str {
    match entry.state {
        EntryState::Interrupted => tr("interrupted"),
        EntryState::InForce => tr("in force"),
        EntryState::Failed => tr("failed"),
        EntryState::Undone => tr("undone"),
    }
}

pub fn list(args: &JournalArgs) -> Result<Exit, Failure> {
    let entries = open()?.entries()?;
    if args.json {
        let part = |(step, text, by_hand): (usize, &str, Option<String>)| json!({"step": step + 1, "text": text, "undo": by_hand});
        let all: Vec<_> = entries.iter().map(|e| json!({"entry": e.id, "at": e.at, "fix": e.plan.fix, "title": e.plan.title, "target": e.plan.target, "state": e.state, "text": e.text, "done": e.done, "in_force": e.in_force().into_iter().map(part).collect::<Vec<_>>(), "unknown": e.unknown().map(part), "back": e.way_back(), "on": e.way_on(), "expires": e.plan.expires, "expired": expiry(e, now()).is_some_and(|(_, over)| over)})).collect();
        output::print_json(&json!({"schema": 1, "entries": all}));
    } else if entries.is_empty() {
        output::print(tr("nothing was changed yet"));
    } else {
        for entry in &entries {
            output::print(&format!(
                "{}  {}  {}  {} ({}){}",
                entry.id,
                state(entry),
                entry.plan.fix,
                entry.plan.title,
                entry.text,
                expiry_text(entry, now())
            ));
            way_of(entry).iter().for_each(|line| output::print(line));
        }
    }
    Ok(Exit::Ok)
}

pub async fn undo(cli: &Cli, args: &UndoArgs) -> Result<Exit, Failure> {
    let journal: Arc<dyn Journal> = Arc::new(open()?);
    let entry = repair::find_entry(journal.as_ref(), args.entry.as_deref())?;
    if cli.global.read_only {
        return Err(Failure::new(
            FailureKind::Refused,
            format!("undo {}", entry.id),
            "--read-only refuses every change",
            "leave it out",
        ));
    }
    // The plan of the undo is shown and confirmed like any other.
    let mut plan = entry.plan.clone();
    plan.title = tr_with("take back {entry}: {title}", &[("entry", &entry.id), ("title", &entry.plan.title)]);
    // What it cost and what was chosen is of then.
    plan.cost.clear();
    plan.choices.clear();
    plan.gates = vec![Gate::new("entry", GateState::Ok, tr_with("the entry is {state}", &[("state", &state(&entry))]))];
    plan.steps = repair::undo_actions(&entry)
        .into_iter()
        .map(|(step, action, text)| Step {
            text: tr_with("undo of: {step}", &[("step", &text)]),
            command: entry.by_hand(step).unwrap_or_default(),
            undo: None,
            action,
        })
        .collect();
    output::note(&crate::core::report::plan_text(&plan, cli.global.ascii));
    fix::confirm(plan, args.yes)?;
    let world: Arc<dyn World> = Arc::new(input::world(&cli.global).await);
    let request = input::request(entry.plan.login.clone().unwrap_or_default(), &cli.global);
    let (result, _) = fix::follow(world, journal, request, |means| repair::undo(means, entry.id.clone())).await;
    if let RepairOutcome::Failed(failure) = result.outcome {
        Err(failure)
    } else {
        if args.json {
            output::print_json(&json!({"schema": 1, "entry": entry.id, "state": "undone"}));
        } else {
            output::print(&tr_with("{entry} is undone", &[("entry", &entry.id)]));
        }
        Ok(Exit::Ok)
    }
}

/// Takes up a repair that was cut short.
pub async fn resume(cli: &Cli, args: &UndoArgs) -> Result<Exit, Failure> {
    let journal: Arc<dyn Journal> = Arc::new(open()?);
    let entry = repair::find_interrupted(journal.as_ref(), args.entry.as_deref())?;
    if cli.global.read_only {
        return Err(Failure::new(
            FailureKind::Refused,
            format!("resume {}", entry.id),
            "--read-only refuses every change",
            "leave it out",
        ));
    }
    let done: Vec<usize> = entry.done.iter().map(|d| d.step).collect();
    let mut plan = entry.plan.clone();
    plan.title = tr_with("go on with {entry}: {title}", &[("entry", &entry.id), ("title", &entry.plan.title)]);
    plan.gates.retain(|g| g.id == "passphrase" && g.state != GateState::Refuse);
    plan.gates.insert(
        0,
        Gate::new(
            "entry",
            GateState::Ok,
            tr_with("the entry is {state}: {text}", &[("state", &state(&entry)), ("text", &entry.text)]),
        ),
    );
    plan.steps =
        entry.plan.steps.iter().enumerate().filter(|(i, _)| !done.contains(i)).map(|(_, s)| s.clone()).collect();
    output::note(&crate::core::report::plan_text(&plan, cli.global.ascii));
    output::note(&tr_with("(port22 undo {entry} takes back what was done instead)", &[("entry", &entry.id)]));
    crate::edge::passphrase::may_ask_on_terminal();
    let confirmed = fix::confirm(plan, args.yes)?;
    passphrase::gather(confirmed.plan())?;
    let world: Arc<dyn World> = Arc::new(input::world(&cli.global).await);
    let request = input::request(entry.plan.login.clone().unwrap_or_default(), &cli.global);
    let run = fix::follow(world, journal, request, |means| repair::resume(means, entry));
    let (result, said) = Box::pin(run).await;
    fix::finish(args.json, result, &said, None)
}
