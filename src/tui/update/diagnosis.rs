//! The diagnosis: answers as they arrive, the selected check, what is offered.

use crate::core::catalogue;
use crate::core::check::{CheckResult, Verdict};
use crate::core::diagnosis::DoorState;
use crate::core::diagnosis::Overall;
use crate::core::facts::host::Sample;
use crate::core::facts::wire::Tcp;
use crate::core::told::told;
use crate::core::words::tr;
use crate::core::{fixes, rules};
use crate::engine::diagnose::Request;
use crate::engine::event::{ProbeState, RunId, Snapshot};
use crate::engine::terminal::Door;
use crate::tui::effect::{Effect, Export, Place};
use crate::tui::keys::Action;
use crate::tui::model::{Diagnosing, Model, Overlay, Part, Reading, Screen, Walk};
use crate::tui::theme::Mark;
use crate::tui::update::start::step;
use crate::tui::update::{fix, form, leave_screen, overlay, shell};
use std::sync::Arc;

/// One thing that the cause panel offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Run again with another user name; nothing is changed.
    TryAs(String),
    /// A fix that can be applied here.
    Fix(String),
    /// A way in that is taken here: a terminal, by the fix with this id. It changes nothing by itself.
    Enter(String, Door),
    /// A fix that is described.
    ByHand(String),
    /// What to do by hand about a cause that has no fix.
    Explain,
    /// Log in: copy the command.
    CopyLogin,
}

/// Opens the diagnosis of a request.
pub fn open(model: &mut Model, request: Request) -> Vec<Effect> {
    let mut effects = stop(model);
    let mut request = super::practice::with_symptom(model, request);
    // One diagnosis at a time: a new one takes the place of the one before.
    model.stack.retain(|s| matches!(s, Screen::Fix(f) if f.is_running()) || matches!(s, Screen::Fleet(_)));
    model.overlays.clear();
    request.now = model.clock.unix;
    let run = model.new_run();
    let label = match model.start.by_id.get(&request.target.name).and_then(|at| model.start.rows.get(*at)) {
        Some(row) => row.instance.name.clone().unwrap_or_else(|| row.instance.id.clone()),
        None => request.target.name.clone(),
    };
    let diagnosing = Diagnosing {
        request: request.clone(),
        run,
        label,
        snapshot: None,
        received_ms: model.clock.ms,
        began_ms: model.clock.ms,
        chosen: None,
        detail_scroll: 0,
        cause: 0,
        ask: None,
        walk: Walk::default(),
        before: None,
        connects: Vec::new(),
    };
    model.stack.push(Screen::Diagnosis(Box::new(diagnosing)));
    effects.push(Effect::Diagnose { run, request: Box::new(request) });
    effects
}

/// Runs the same diagnosis again, with the request as it is now. What was chosen stays chosen.
pub fn again(model: &mut Model) -> Vec<Effect> {
    let mut effects = stop(model);
    let (run, clock) = (model.new_run(), model.clock);
    let Some(d) = model.diagnosing_mut() else { return effects };
    d.request.now = clock.unix;
    (d.run, d.began_ms, d.received_ms) = (run, clock.ms, clock.ms);
    (d.snapshot, d.cause, d.ask, d.detail_scroll) = (None, 0, None, 0);
    effects.push(Effect::Diagnose { run, request: Box::new(d.request.clone()) });
    effects
}

fn stop(model: &Model) -> Vec<Effect> {
    let running: Option<RunId> = model.diagnosing().filter(|d| !d.finished()).map(|d| d.run);
    running.map(|run| Effect::Cancel { run }).into_iter().collect()
}

/// A snapshot arrived. Late ones of an earlier run change nothing.
pub fn learned(model: &mut Model, snapshot: Box<Snapshot>) {
    let ms = model.clock.ms;
    for screen in &mut model.stack {
        if let Screen::Diagnosis(d) = screen
            && d.run == snapshot.run
        {
            show(d, snapshot, ms);
            return;
        }
    }
}

/// Puts a snapshot on the screen.
pub fn show(d: &mut Diagnosing, snapshot: Box<Snapshot>, ms: u64) {
    d.received_ms = ms;
    if let Some(Tcp::Connected { millis }) = snapshot.facts.wire.tcp.value()
        && snapshot.finished
        && d.connects.last().is_none_or(|last| last.at < snapshot.facts.now)
    {
        d.connects
            .push(Sample { at: snapshot.facts.now, value: f64::from(u32::try_from(*millis).unwrap_or(u32::MAX)) });
    }
    if let Some(instance) = snapshot.facts.instance() {
        d.label = instance.name.clone().unwrap_or_else(|| instance.id.clone());
    }
    d.cause = d.cause.min(snapshot.diagnosis.causes.len().saturating_sub(1));
    d.walk.at = d.walk.at.min(snapshot.diagnosis.tree.len().saturating_sub(1));
    if d.chosen.as_ref().is_some_and(|id| !listed(&snapshot).any(|c| c.id == *id)) {
        d.chosen = None;
    }
    d.snapshot = Some(snapshot);
}

/// Checks that are listed: all but those that do not arise. While their probes run, all may.
pub fn listed(snapshot: &Snapshot) -> impl Iterator<Item = &CheckResult> {
    snapshot.diagnosis.checks.iter().filter(|c| {
        c.verdict != Verdict::NotApplicable || matches!(progress(snapshot, c), Mark::Waiting | Mark::Running(_))
    })
}

/// The mark of a check: its verdict, or waiting and running while its probes have not all answered.
pub fn progress(snapshot: &Snapshot, check: &CheckResult) -> Mark {
    let open = matches!(check.verdict, Verdict::CannotTell | Verdict::Skipped | Verdict::NotApplicable);
    if open && !snapshot.finished {
        if running_probe(snapshot, &check.id).is_some() {
            return Mark::Running(0);
        }
        let needs = rules::needs(&check.id);
        let waits = |(id, state): &(_, ProbeState)| needs.contains(id) && *state == ProbeState::Waiting;
        if snapshot.probes.iter().any(waits) {
            return Mark::Waiting;
        }
    }
    match check.verdict {
        Verdict::Pass => Mark::Pass,
        Verdict::Fail => Mark::Fail,
        Verdict::CannotTell => Mark::Unknown,
        Verdict::Skipped | Verdict::NotApplicable => Mark::Skipped,
    }
}

/// The probe that a check waits for, with its begin and limit (milliseconds of the run): the one
/// with the longest limit, since it decides when the check can be answered.
pub fn running_probe(snapshot: &Snapshot, check: &str) -> Option<(crate::core::probe::ProbeId, u64, u64)> {
    let needs = rules::needs(check);
    let running = snapshot.probes.iter().filter(|(id, _)| needs.contains(id)).filter_map(|(id, state)| match state {
        ProbeState::Running { since_ms, limit_ms, .. } => Some((*id, *since_ms, *limit_ms)),
        _ => None,
    });
    running.max_by_key(|(_, since, limit)| since + limit)
}

/// The check whose detail is shown: the chosen one, else the one that tells most.
pub fn selected<'a>(d: &'a Diagnosing, snapshot: &'a Snapshot) -> Option<&'a CheckResult> {
    if let Some(id) = &d.chosen
        && let Some(check) = listed(snapshot).find(|c| c.id == *id)
    {
        return Some(check);
    }
    if snapshot.diagnosis.overall == Overall::Healthy
        && let Some(login) = listed(snapshot).find(|c| c.id == "server-takes-key")
    {
        return Some(login);
    }
    let cause = snapshot.diagnosis.causes.get(d.cause);
    let check = cause.and_then(|c| catalogue::get().causes.get(&c.id)).and_then(|words| words.check.as_ref());
    let behind = |c: &&CheckResult| c.verdict == Verdict::Fail && Some(&c.id) == check;
    listed(snapshot)
        .find(behind)
        .or_else(|| listed(snapshot).find(|c| c.verdict == Verdict::Fail))
        .or_else(|| listed(snapshot).find(|c| matches!(progress(snapshot, c), Mark::Running(_))))
        .or_else(|| listed(snapshot).find(|c| c.verdict == Verdict::CannotTell))
        .or_else(|| listed(snapshot).next())
}

/// What the cause panel offers, in order; Enter is the first.
pub fn choices(d: &Diagnosing) -> Vec<Choice> {
    let Some(snapshot) = &d.snapshot else { return Vec::new() };
    if snapshot.diagnosis.overall == Overall::Healthy {
        return vec![Choice::CopyLogin];
    }
    let Some(cause) = snapshot.diagnosis.causes.get(d.cause) else { return Vec::new() };
    let mut out = Vec::new();
    if cause.id == "wrong-user-name"
        && let Some(user) = rules::suggested_user(&snapshot.facts)
        && Some(user.as_str()) != d.request.target.user.as_deref()
    {
        out.push(Choice::TryAs(user));
    }
    let words = catalogue::get().causes.get(&cause.id);
    for id in words.map(|w| w.fixes.as_slice()).unwrap_or_default() {
        out.push(match door_of(id).filter(|door| may_enter(snapshot, *door)) {
            Some(door) => Choice::Enter(id.clone(), door),
            None if fixes::applicable(id) => Choice::Fix(id.clone()),
            None => Choice::ByHand(id.clone()),
        });
    }
    if words.is_some_and(|w| w.fixes.is_empty() && !w.by_hand.is_empty()) {
        out.push(Choice::Explain);
    }
    out.truncate(4);
    out
}

/// The door that a fix opens, for the fixes that are a way in.
pub fn door_of(fix: &str) -> Option<Door> {
    match fix {
        "ssm-shell" => Some(Door::Ssm),
        "serial-console" => Some(Door::Serial),
        _ => None,
    }
}

/// Whether a door may be tried: it is open, or nobody knows.
pub fn may_enter(snapshot: &Snapshot, door: Door) -> bool {
    snapshot.diagnosis.doors.iter().any(|d| d.id == door.id() && d.state != DoorState::Closed)
}

/// The check of the selected row or guided step whose question may be asked now.
pub fn question_here(d: &Diagnosing, guided: bool) -> Option<&str> {
    let snapshot = d.snapshot.as_ref().filter(|s| s.finished && s.diagnosis.overall != Overall::Healthy)?;
    let check = if guided {
        let at = &snapshot.diagnosis.tree.get(d.walk.at)?.at;
        snapshot.diagnosis.checks.iter().find(|c| c.id == *at)?
    } else {
        selected(d, snapshot)?
    };
    let has_words = catalogue::get().checks.get(&check.id).is_some_and(|w| w.question.is_some());
    let answered = d.request.answers.contains_key(&check.id);
    ((check.verdict == Verdict::CannotTell || answered) && has_words).then_some(check.id.as_str())
}

/// What `y` copies: the login when it works, else the by-hand command of the selected check.
pub fn copy_text(d: &Diagnosing) -> Option<String> {
    let snapshot = d.snapshot.as_ref()?;
    if snapshot.diagnosis.overall == Overall::Healthy {
        return Some(crate::engine::report::ssh_command(&snapshot.facts));
    }
    let check = selected(d, snapshot)?;
    let words = catalogue::get().checks.get(&check.id)?;
    Some(crate::core::report::fill(&words.by_hand, &snapshot.facts))
}

/// Does an action of the triage screen or of a question on it.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Choose(n) => return choose(model, usize::from(n)),
        Action::Again => return again(model),
        Action::Inside => model.overlays.push(Overlay::Inside),
        Action::Back => return back(model),
        Action::Stop => return stop_here(model),
        Action::Yes => return answer(model, Some("yes")),
        Action::No => return answer(model, Some("no")),
        Action::DontKnow => return answer(model, None),
        Action::Export => model.overlays.push(Overlay::Export),
        Action::Ask => ask(model),
        Action::Details => form::open(model),
        Action::Shell => return shell::cheapest(model),
        Action::Doors => model.stack.push(Screen::Doors { cursor: 0 }),
        Action::ByHand => by_hand(model),
        Action::Explain => explain(model),
        Action::Glossary => overlay::glossary(model),
        Action::Entry => overlay::open_entry(model),
        Action::NextCause => {
            if let Some(d) = model.diagnosing_mut() {
                let total = d.diagnosis().map_or(0, |x| x.causes.len()).max(1);
                (d.cause, d.chosen, d.detail_scroll) = ((d.cause + 1) % total, None, 0);
            }
        }
        Action::ScrollDown => scroll(model, 3),
        Action::ScrollUp => scroll(model, -3),
        Action::Up | Action::Down | Action::First | Action::Last => move_check(model, action),
        _ => {}
    }
    Vec::new()
}

fn scroll(model: &mut Model, by: isize) {
    if let Some(d) = model.diagnosing_mut() {
        d.detail_scroll = d.detail_scroll.saturating_add_signed(by).min(200);
    }
}

fn move_check(model: &mut Model, action: Action) {
    let Some(d) = model.diagnosing_mut() else { return };
    let Some(snapshot) = &d.snapshot else { return };
    let ids: Vec<&str> = listed(snapshot).map(|c| c.id.as_str()).collect();
    let now = selected(d, snapshot).and_then(|c| ids.iter().position(|id| *id == c.id)).unwrap_or(0);
    let next = ids.get(step(now, ids.len(), 10, action)).map(|id| (*id).to_owned());
    (d.chosen, d.detail_scroll) = (next, 0);
}

/// Takes the n-th thing offered.
pub fn choose(model: &mut Model, n: usize) -> Vec<Effect> {
    let Some(d) = model.diagnosing_mut() else { return Vec::new() };
    let Some(choice) = choices(d).into_iter().nth(n) else { return Vec::new() };
    match choice {
        Choice::TryAs(user) => {
            d.request.target.user = Some(user);
            // The paste told of the old user.
            d.request.paste = None;
            again(model)
        }
        Choice::Fix(id) => fix::open(model, id),
        Choice::Enter(_, door) => shell::open(model, door),
        Choice::ByHand(id) => {
            overlay::fix_by_hand(model, &id);
            Vec::new()
        }
        Choice::Explain => {
            explain(model);
            Vec::new()
        }
        Choice::CopyLogin => super::copy(model),
    }
}

/// Stops the run and stays. A run that has told nothing yet is not worth staying for.
fn stop_here(model: &mut Model) -> Vec<Effect> {
    if model.diagnosing().is_some_and(|d| d.snapshot.is_none()) {
        return back(model);
    }
    stop(model)
}

/// Back to the start; a question is closed first.
fn back(model: &mut Model) -> Vec<Effect> {
    if let Some(d) = model.diagnosing_mut()
        && d.ask.take().is_some()
    {
        return Vec::new();
    }
    let effects = stop(model);
    leave_screen(model);
    effects
}

fn ask(model: &mut Model) {
    let guided = model.guided;
    if let Some(d) = model.diagnosing_mut() {
        d.ask = question_here(d, guided).map(str::to_owned);
    }
}

/// Judges again with the user's answer.
fn answer(model: &mut Model, answer: Option<&str>) -> Vec<Effect> {
    let Some(d) = model.diagnosing_mut() else { return Vec::new() };
    let Some(check) = d.ask.take() else { return Vec::new() };
    let before = d.request.answers.get(&check).cloned();
    match answer {
        Some(answer) => d.request.answers.insert(check.clone(), answer.to_owned()),
        None => d.request.answers.remove(&check),
    };
    if d.request.answers.get(&check) == before.as_ref() {
        return Vec::new();
    }
    let walk = d.walk.clone();
    d.chosen = Some(check);
    let effects = again(model);
    if let Some(d) = model.diagnosing_mut() {
        d.walk = walk;
    }
    effects
}

/// Writes the report of the diagnosis as it is wanted.
pub fn export(model: &mut Model, place: Place) -> Vec<Effect> {
    model.overlays.pop();
    let (wanted, ascii) = (model.export, model.settings.ascii);
    let Some(d) = model.diagnosing() else { return Vec::new() };
    let Some(snapshot) = d.snapshot.clone() else { return Vec::new() };
    let before = d.before.clone();
    vec![Effect::Export(Box::new(Export { snapshot, before, wanted, place, ascii }))]
}

/// How to do the check by hand, in full.
pub fn by_hand(model: &mut Model) {
    let guided = model.guided;
    let Some(d) = model.diagnosing() else { return };
    let Some(snapshot) = &d.snapshot else { return };
    let id = if guided {
        snapshot.diagnosis.tree.get(d.walk.at).map(|s| s.at.clone())
    } else {
        selected(d, snapshot).map(|c| c.id.clone())
    };
    let Some((id, words)) = id.and_then(|id| catalogue::get().checks.get_key_value(&id)) else { return };
    let found = snapshot.diagnosis.checks.iter().find(|c| c.id == *id).map(|c| c.reason.clone());
    // Who is still asked finds it out by hand.
    let reason = found.filter(|_| !guided || d.walk.revealed);
    let by_hand = crate::core::report::fill(&words.by_hand, &snapshot.facts);
    let mut parts = Vec::new();
    if let Some(reason) = reason {
        parts.extend([Part::Head(tr("Found").into()), Part::Text(told(&reason).into_owned())]);
    }
    parts.extend([
        Part::Head(tr("Why it matters").into()),
        Part::Text(words.why.clone()),
        Part::Head(tr("A pass rules out").into()),
        Part::Text(words.rules_out.clone()),
        Part::Head(tr("By hand").into()),
        Part::Code(by_hand.clone()),
    ]);
    if let Some(console) = &words.console {
        parts.extend([Part::Head(tr("In the console").into()), Part::Text(console.clone())]);
    }
    if let Some(link) = &words.link {
        parts.extend([Part::Head(tr("Read on").into()), Part::Text(link.clone())]);
    }
    // A question of the team may leave some of these out.
    let empty = |p: &Part| matches!(p, Part::Text(text) | Part::Code(text) if text.is_empty());
    while let Some(at) = parts.iter().position(empty) {
        parts.drain(at.saturating_sub(1)..=at);
    }
    parts.extend(of_the_team(&words.added));
    let reading = Reading { title: words.title.clone(), parts, scroll: 0, copy: Some(by_hand) };
    model.overlays.push(Overlay::Read(reading));
}

/// What the team adds to a cause, a check or a fix.
pub fn of_the_team(added: &catalogue::Added) -> Vec<Part> {
    let mut parts = Vec::new();
    if !added.next.is_empty() {
        parts.push(Part::Head(tr("Your team says").into()));
        parts.extend(added.next.iter().map(|step| Part::Text(step.clone())));
    }
    if let Some(link) = &added.runbook {
        parts.extend([Part::Head(tr("Your team's runbook").into()), Part::Text(link.clone())]);
    }
    parts
}

/// What the shown cause means, and what to do by hand.
pub fn explain(model: &mut Model) {
    let Some(d) = model.diagnosing() else { return };
    let Some(finding) = d.diagnosis().and_then(|x| x.causes.get(d.cause)) else { return };
    let words = catalogue::get().causes.get(&finding.id);
    let title = words.map_or_else(|| finding.id.clone(), |w| w.title.clone());
    let mut parts = Vec::new();
    if let Some(words) = words {
        parts.push(Part::Text(words.explain.clone()));
    }
    parts.push(Part::Head(tr("Seen").into()));
    parts.extend(finding.evidence.iter().map(|e| Part::Text(format!("{}  ({})", told(&e.text), told(&e.source)))));
    if let Some(words) = words {
        parts.extend([Part::Head(tr("How it is proven").into()), Part::Text(words.proven_by.clone())]);
    }
    let facts = d.snapshot.as_ref().map(|s| &s.facts);
    let by_hand = words.map(|w| w.by_hand.join("\n")).unwrap_or_default();
    let by_hand = facts.map_or_else(|| by_hand.clone(), |facts| crate::core::report::fill(&by_hand, facts));
    if !by_hand.is_empty() {
        parts.extend([Part::Head(tr("By hand").into()), Part::Code(by_hand.clone())]);
    }
    if let Some(link) = words.and_then(|w| w.link.clone()) {
        parts.extend([Part::Head(tr("Read on").into()), Part::Text(link)]);
    }
    parts.extend(words.map(|w| of_the_team(&w.added)).unwrap_or_default());
    parts.extend([Part::Head(tr("Id").into()), Part::Text(finding.id.clone())]);
    let copy = (!by_hand.is_empty()).then_some(by_hand);
    model.overlays.push(Overlay::Read(Reading { title, parts, scroll: 0, copy }));
}

/// Does an action of the list of ways in.
pub fn doors_act(model: &mut Model, action: Action) -> Vec<Effect> {
    if action == Action::Shell {
        return selected_door(model).map(|door| shell::open(model, door)).unwrap_or_default();
    }
    let total = model.diagnosing().and_then(|d| d.diagnosis()).map_or(0, |d| d.doors.len());
    let Some(Screen::Doors { cursor }) = model.stack.last_mut() else { return Vec::new() };
    match action {
        Action::Accept | Action::ByHand => {
            let at = *cursor;
            overlay::door(model, at);
        }
        Action::Back => leave_screen(model),
        _ => *cursor = step(*cursor, total, 5, action),
    }
    Vec::new()
}

/// The door of the selected row of the list of ways in, when it gives a terminal and is not closed.
pub fn selected_door(model: &Model) -> Option<Door> {
    let Some(Screen::Doors { cursor }) = model.stack.last() else { return None };
    let snapshot = model.diagnosing()?.snapshot.as_ref()?;
    let door = Door::of(&snapshot.diagnosis.doors.get(*cursor)?.id)?;
    may_enter(snapshot, door).then_some(door)
}

/// The facts of the diagnosis that is seen or lies below.
pub fn facts(model: &Model) -> Option<Arc<crate::core::facts::Facts>> {
    model.diagnosing().and_then(|d| d.snapshot.as_ref()).map(|s| Arc::clone(&s.facts))
}
