//! A fix or an undo: planned, shown, confirmed, followed to its end.
//!
//! Nothing is changed before consent: only [`apply`] makes the effect that changes the world, and
//! only from the plan that is on the screen.

use crate::core::plan::{Choices, Confirmed, Consent, Plan};
use crate::core::report::compare::{Outline, compare};
use crate::core::words::{tr, tr_with};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, RunId, StepState};
use crate::engine::journal::Entry;
use crate::engine::secret::Secret;
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::model::{Fixing, Model, Phase, Screen, Severity, StepRow};
use crate::tui::update::{diagnosis, leave_screen};

/// How long a plan may be on the screen before the world is read again on "yes".
const FRESH_MS: u64 = 5_000;

/// Opens the screen of a fix; its plan is built in the background.
pub fn open(model: &mut Model, fix: String) -> Vec<Effect> {
    let Some(facts) = diagnosis::facts(model) else { return Vec::new() };
    let Some(request) = model.diagnosing().map(|d| d.request.clone()) else { return Vec::new() };
    let run = model.new_run();
    let fixing = Fixing {
        run,
        fix: fix.clone(),
        undo: None,
        request,
        facts: facts.clone(),
        phase: Phase::Planning,
        scroll: 0,
        planned_ms: 0,
        resume: None,
        secret: Secret::default(),
        compared: None,
    };
    model.stack.push(Screen::Fix(Box::new(fixing)));
    vec![Effect::Plan { run, fix, facts, choices: Choices::new() }]
}

/// Plans again, with the next option of a choice.
fn choose(model: &mut Model) -> Vec<Effect> {
    let run = model.new_run();
    let Some(Screen::Fix(fixing)) = model.stack.last_mut() else { return Vec::new() };
    let Phase::Preview { plan, .. } = &fixing.phase else { return Vec::new() };
    let mut choices = plan.chosen();
    // All options of the last choice, then the next of the one before it, as the digits of a number.
    for choice in plan.choices.iter().rev() {
        let at = choice.options.iter().position(|(id, _)| *id == choice.chosen).unwrap_or(0);
        let next = (at + 1) % choice.options.len().max(1);
        if let Some((id, _)) = choice.options.get(next) {
            choices.insert(choice.id.clone(), id.clone());
        }
        if next != 0 {
            break;
        }
    }
    fixing.run = run;
    fixing.phase = Phase::Planning;
    vec![Effect::Plan { run, fix: fixing.fix.clone(), facts: fixing.facts.clone(), choices }]
}

/// The passphrase is typed: the plan is made again with it, which tells whether it opens the file.
fn typed(model: &mut Model) -> Vec<Effect> {
    let run = model.new_run();
    let Some(Screen::Fix(fixing)) = model.stack.last_mut() else { return Vec::new() };
    let Phase::Preview { plan, .. } = &mut fixing.phase else { return Vec::new() };
    let Some(file) = plan.passphrase.clone() else { return Vec::new() };
    let keep = Effect::KeepPassphrase { file, passphrase: fixing.secret.take() };
    if fixing.resume.is_some() {
        // The plan of the journal is not made again: its step tells whether the passphrase is right.
        plan.passphrase = None;
        return vec![keep];
    }
    let (fix, facts, choices) = (fixing.fix.clone(), fixing.facts.clone(), plan.chosen());
    fixing.run = run;
    fixing.phase = Phase::Planning;
    vec![keep, Effect::Plan { run, fix, facts, choices }]
}

/// Opens the screen that asks whether an entry is to be taken back.
pub fn open_undo(model: &mut Model, entry: String, plan: Plan) {
    let run = model.new_run();
    // The entry knows whom it was for; an older one does not.
    let mut request = model.diagnosing().map(|d| d.request.clone()).unwrap_or_default();
    if let Some(login) = &plan.login {
        request.target = login.clone();
    }
    request.now = model.clock.unix;
    let facts = diagnosis::facts(model).unwrap_or_default();
    let phase = Phase::Preview { plan: Box::new(plan.clone()), typed: String::new() };
    let fixing = Fixing {
        run,
        fix: plan.fix,
        undo: Some(entry),
        request,
        facts,
        phase,
        scroll: 0,
        planned_ms: 0,
        resume: None,
        secret: Secret::default(),
        compared: None,
    };
    model.stack.push(Screen::Fix(Box::new(fixing)));
}

/// Opens the screen that asks whether a repair that was cut short is to be gone on with: what is left of it.
pub fn open_cut_short(model: &mut Model, entry: &Entry) {
    let mut plan = entry.plan.clone();
    plan.title = tr_with("go on with {title}", &[("title", &entry.plan.title)]);
    for done in &entry.done {
        if let Some(step) = plan.steps.get_mut(done.step) {
            step.text = tr_with("done already: {step}", &[("step", &done.text)]);
            step.command = String::new();
        }
    }
    open_undo(model, entry.id.clone(), plan);
    if let Some(Screen::Fix(fixing)) = model.stack.last_mut() {
        fixing.undo = None;
        fixing.resume = Some(Box::new(entry.clone()));
    }
}

/// Opens the undo of a journal entry.
pub fn open_entry(model: &mut Model, entry: &Entry) {
    open_undo(model, entry.id.clone(), entry.plan.clone());
}

fn of_run(model: &mut Model, run: RunId) -> Option<&mut Fixing> {
    model.stack.iter_mut().find_map(|s| match s {
        Screen::Fix(f) if f.run == run => Some(&mut **f),
        _ => None,
    })
}

/// The plan is there.
pub fn planned(model: &mut Model, run: RunId, plan: Result<Box<Plan>, String>) {
    let ms = model.clock.ms;
    let Some(fixing) = of_run(model, run) else { return };
    fixing.planned_ms = ms;
    if !matches!(fixing.phase, Phase::Planning) {
        return;
    }
    fixing.phase = match plan {
        Ok(plan) => Phase::Preview { plan, typed: String::new() },
        Err(reason) => Phase::NoPlan(reason),
    };
}

/// What the diagnosis below the fix says.
fn outline_below(model: &Model) -> Option<Outline> {
    let snapshot = model.diagnosing()?.snapshot.as_ref()?;
    Some(Outline::of(&snapshot.facts, &snapshot.diagnosis))
}

/// The repair went on.
pub fn repaired(model: &mut Model, run: RunId, event: RepairEvent) {
    let ms = model.clock.ms;
    let mut after = None;
    let before = match &event {
        RepairEvent::Ended(_) => outline_below(model),
        _ => None,
    };
    let Some(fixing) = of_run(model, run) else { return };
    match event {
        RepairEvent::Step { index, state } => {
            if let Phase::Running { steps, .. } | Phase::Verifying { steps, .. } = &mut fixing.phase
                && let Some(row) = steps.get_mut(index)
            {
                match state {
                    StepState::Running => row.began_ms = ms,
                    _ => row.ended_ms = ms,
                }
                row.told.clear();
                row.state = state;
            }
        }
        RepairEvent::Progress { index, text } => {
            if let Phase::Running { steps, .. } | Phase::Verifying { steps, .. } = &mut fixing.phase
                && let Some(row) = steps.get_mut(index)
            {
                row.told = text;
            }
        }
        RepairEvent::Verifying { attempt, snapshot } => {
            let phase = std::mem::replace(&mut fixing.phase, Phase::Planning);
            fixing.phase = match phase {
                Phase::Running { plan, steps } | Phase::Verifying { plan, steps, .. } => {
                    Phase::Verifying { plan, steps, attempt, snapshot: Box::new(snapshot) }
                }
                other => other,
            };
        }
        RepairEvent::Ended(RepairResult { outcome: RepairOutcome::Stale(plan), .. }) => {
            fixing.phase = Phase::Preview { plan, typed: String::new() };
            fixing.planned_ms = ms;
            model.say(
                Severity::Warn,
                tr("The world has changed since the plan was shown: this is the plan for it now."),
            );
            return;
        }
        RepairEvent::Ended(result) => {
            let steps = match std::mem::replace(&mut fixing.phase, Phase::Planning) {
                Phase::Running { steps, .. } | Phase::Verifying { steps, .. } | Phase::Ended { steps, .. } => steps,
                _ => Vec::new(),
            };
            after.clone_from(&result.after);
            fixing.compared = after
                .as_ref()
                .zip(before.as_ref())
                .map(|(after, before)| compare(before, &Outline::of(&after.facts, &after.diagnosis)));
            fixing.phase = Phase::Ended { result: Box::new(result), steps };
        }
    }
    // The diagnosis below shows the world as it is now.
    if let Some(snapshot) = after
        && let Some(d) = model.diagnosing_mut()
        && d.finished()
    {
        diagnosis::show(d, Box::new(snapshot), ms);
        d.chosen = None;
        d.before = before.map(Box::new);
    }
}

/// Does an action of the fix screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Apply => return apply(model),
        Action::Undo => undo_this(model),
        Action::Passphrase => return typed(model),
        Action::OtherWay => return choose(model),
        Action::Accept => return back(model),
        Action::Back => {
            if model.fixing().is_some_and(Fixing::is_running) {
                model.say(Severity::Note, tr("The change goes on to its end; then u undoes it."));
            } else {
                return back(model);
            }
        }
        Action::ScrollDown => scroll(model, 2),
        Action::ScrollUp => scroll(model, -2),
        _ => {}
    }
    Vec::new()
}

fn scroll(model: &mut Model, by: isize) {
    if let Some(Screen::Fix(f)) = model.stack.last_mut() {
        f.scroll = f.scroll.saturating_add_signed(by).min(200);
    }
}

fn apply(model: &mut Model) -> Vec<Effect> {
    if model.settings.read_only {
        model.say(Severity::Warn, tr("Read-only: nothing is changed."));
        return Vec::new();
    }
    let now = model.clock.ms;
    let Some(Screen::Fix(fixing)) = model.stack.last_mut() else { return Vec::new() };
    let Phase::Preview { plan, typed } = &fixing.phase else { return Vec::new() };
    let word = matches!(plan.consent, Consent::Type(_)).then_some(typed.as_str());
    let effect = if let Some(entry) = fixing.resume.clone() {
        if let Consent::Type(wanted) = &plan.consent
            && word.is_none_or(|w| w.trim() != wanted)
        {
            let text = tr_with("type {word} to confirm", &[("word", wanted)]);
            model.say(Severity::Warn, text);
            return Vec::new();
        }
        Effect::Resume { run: fixing.run, entry, request: Box::new(fixing.request.clone()) }
    } else if let Some(entry) = &fixing.undo {
        Effect::Undo { run: fixing.run, entry: entry.clone(), request: Box::new(fixing.request.clone()) }
    } else {
        match Confirmed::after_consent((**plan).clone(), word) {
            Ok(plan) => {
                let reread = now.saturating_sub(fixing.planned_ms) > FRESH_MS;
                let request = Box::new(fixing.request.clone());
                Effect::Apply { run: fixing.run, plan: Box::new(plan), request, reread }
            }
            Err(reason) => {
                model.say(Severity::Warn, reason);
                return Vec::new();
            }
        }
    };
    let plan = plan.clone();
    let steps = StepRow::waiting(plan.steps.len());
    fixing.phase = Phase::Running { plan, steps };
    fixing.scroll = 0;
    vec![effect]
}

/// Whether a result left a change that can be taken back here.
pub fn can_be_undone(fixing: &Fixing, result: &RepairResult) -> bool {
    fixing.undo.is_none() && result.entry.is_some() && result.plan.reversible && result.outcome != RepairOutcome::Undone
}

fn undo_this(model: &mut Model) {
    let Some(fixing) = model.fixing() else { return };
    let Phase::Ended { result, .. } = &fixing.phase else { return };
    if let (Some(entry), plan) = (result.entry.clone(), result.plan.clone()) {
        leave_screen(model);
        open_undo(model, entry, plan);
    }
}

/// Leaves the screen; after an undo everything below is stale, so it is read or run again.
fn back(model: &mut Model) -> Vec<Effect> {
    let undone = model
        .fixing()
        .is_some_and(|f| matches!(&f.phase, Phase::Ended { result, .. } if result.outcome == RepairOutcome::Undone));
    leave_screen(model);
    if !undone {
        return Vec::new();
    }
    match model.stack.last_mut() {
        Some(Screen::Journal(list)) => {
            list.undone = true;
            vec![Effect::LoadJournal]
        }
        Some(Screen::Diagnosis(_)) => diagnosis::again(model),
        _ => Vec::new(),
    }
}
