//! Messages: what is told when something ends, and when a message is over.
//!
//! A user who looks at the screen sees it anyway: a bell is for one who does not.

use crate::core::catalogue;
use crate::core::diagnosis::Overall;
use crate::core::words::tr;
use crate::engine::event::{RepairEvent, RepairOutcome, RunId, Snapshot};
use crate::tui::effect::{Bell, Effect};
use crate::tui::model::{Focus, Model, Notify, Overlay, Part, Phase, Reading, Screen, Severity};
use crate::tui::text::{ago, safe};
use crate::tui::theme::Mark;

/// What is over sooner than this was waited for, in milliseconds.
const LONG_MS: u64 = 5_000;

/// A plan that was shown for so long was perhaps left, in milliseconds.
const AGED_MS: u64 = 300_000;

/// Longest text of a message of the terminal, in characters.
const LONGEST: usize = 120;

/// The sign of a message.
pub fn mark(severity: Severity) -> Option<Mark> {
    match severity {
        Severity::Note => None,
        Severity::Good => Some(Mark::Pass),
        Severity::Warn => Some(Mark::Warn),
        Severity::Bad => Some(Mark::Fail),
    }
}

/// Time has passed.
pub fn passed(model: &mut Model) {
    model.notices.expire(model.clock.ms);
    if let Some((run, at)) = ages(model)
        && model.clock.ms >= at
    {
        model.notices.aged = Some(run);
        let text = tr("This plan has been here for a while: the world is read again before anything is changed.");
        model.say(Severity::Note, text);
    }
}

/// When the model wants to hear of the time next, on its clock; `None` while nothing waits for it.
pub fn wakes_at(model: &Model) -> Option<u64> {
    let shown = model.notices.shown().map(|n| n.until_ms);
    [shown, ages(model).map(|(_, at)| at)].into_iter().flatten().min()
}

/// The plan that is shown, and when it is old.
fn ages(model: &Model) -> Option<(RunId, u64)> {
    let fixing = model.fixing()?;
    let shown = matches!(&fixing.phase, Phase::Preview { .. }) && fixing.undo.is_none() && fixing.resume.is_none();
    (shown && model.notices.aged != Some(fixing.run)).then_some((fixing.run, fixing.planned_ms + AGED_MS))
}

/// Whether a run is what the user looks at.
fn is_seen(model: &Model, run: RunId) -> bool {
    let top = match model.stack.last() {
        Some(Screen::Diagnosis(d)) => Some(d.run),
        Some(Screen::Fix(f)) => Some(f.run),
        _ => None,
    };
    top == Some(run) && model.overlays.is_empty()
}

/// A diagnosis learned something; called before the model takes it in.
pub fn learned(model: &mut Model, snapshot: &Snapshot) -> Vec<Effect> {
    let ms = model.clock.ms;
    let found = model.stack.iter().find_map(|s| match s {
        Screen::Diagnosis(d) if d.run == snapshot.run => {
            Some((d.finished(), ms.saturating_sub(d.began_ms), d.label.clone()))
        }
        _ => None,
    });
    let Some((false, took, label)) = found else { return Vec::new() };
    if !snapshot.finished || snapshot.cancelled {
        return Vec::new();
    }
    let label = snapshot.facts.instance().and_then(|i| i.name.clone()).unwrap_or(label);
    let diagnosis = &snapshot.diagnosis;
    let (severity, what) = match (diagnosis.overall, diagnosis.causes.first()) {
        (Overall::Healthy, _) => (Severity::Good, tr("the login works").to_owned()),
        (_, Some(cause)) => {
            (Severity::Warn, catalogue::get().causes.get(&cause.id).map_or(&*cause.id, |w| &w.title).to_owned())
        }
        (_, None) => (Severity::Warn, tr("no cause was found").to_owned()),
    };
    ended(model, snapshot.run, took, severity, &format!("{label}: {what}"))
}

/// A repair went on; called before the model takes it in.
pub fn repaired(model: &mut Model, run: RunId, event: &RepairEvent) -> Vec<Effect> {
    let RepairEvent::Ended(result) = event else { return Vec::new() };
    let (severity, what) = match &result.outcome {
        RepairOutcome::Fixed { login: true } => (Severity::Good, tr("done, and the login works")),
        RepairOutcome::Fixed { login: false } => (Severity::Good, tr("done, and checked")),
        RepairOutcome::NotVerified(_) => (Severity::Warn, tr("done, and the checks do not all pass")),
        RepairOutcome::Failed(_) => (Severity::Bad, tr("it failed")),
        RepairOutcome::Undone => (Severity::Good, tr("taken back")),
        // The plan is shown again, with a message of its own.
        RepairOutcome::Stale(_) => return Vec::new(),
    };
    let ms = model.clock.ms;
    let began = model.stack.iter().find_map(|s| match s {
        Screen::Fix(f) if f.run == run => match &f.phase {
            Phase::Running { steps, .. } | Phase::Verifying { steps, .. } => {
                steps.iter().map(|s| s.began_ms).find(|at| *at > 0)
            }
            _ => None,
        },
        _ => None,
    });
    let Some(began) = began else { return Vec::new() };
    let text = format!("{}: {what}", result.plan.title);
    ended(model, run, ms.saturating_sub(began), severity, &text)
}

/// Something ended: on the screen where it is not seen, and by the terminal where nobody looks.
fn ended(model: &mut Model, run: RunId, took: u64, severity: Severity, text: &str) -> Vec<Effect> {
    let text = safe(text).into_owned();
    if !is_seen(model, run) {
        model.say(severity, &text);
    }
    let bell = match (model.settings.notify, model.focus) {
        _ if took < LONG_MS => None,
        (Notify::Off, _) | (_, Focus::Here) | (Notify::Away, Focus::Unknown) => None,
        (Notify::Away, Focus::Away) | (Notify::Bell, _) => Some(Bell::Sound),
        (Notify::Terminal, _) => Some(Bell::Message(text.chars().take(LONGEST).collect())),
    };
    bell.map(Effect::Bell).into_iter().collect()
}

/// Opens the list of what was told, newest first.
pub fn list(model: &mut Model) {
    let now = model.clock.unix;
    let mut parts = Vec::new();
    for notice in model.notices.all().rev() {
        let sign = mark(notice.severity).map_or("·", Mark::glyph);
        parts.push(Part::Text(format!("{sign} {}  ({})", notice.text, ago(notice.unix, now))));
    }
    if parts.is_empty() {
        parts.push(Part::Text(tr("Nothing was told yet.").to_owned()));
    }
    model.notices.hide();
    model.overlays.push(Overlay::Read(Reading { title: tr("Messages").to_owned(), parts, scroll: 0, copy: None }));
}

/// What the terminal is sent. In tmux a message goes through where `allow-passthrough` is on; a bell always does.
pub fn sequence(bell: &Bell, in_tmux: bool) -> String {
    match bell {
        Bell::Sound => "\x07".to_owned(),
        Bell::Message(text) => {
            let clean: String = text.chars().filter(|c| !c.is_control()).collect();
            // Some terminals read "9;" and a number as something else (ConEmu's OSC 9): words come first.
            let plain = format!("\x1b]9;port22: {clean}\x07");
            if in_tmux { format!("\x1bPtmux;{}\x1b\\", plain.replace('\x1b', "\x1b\x1b")) } else { plain }
        }
    }
}
