//! Practice: the story and its hints, the cause that is named, and what a solved lesson is worth.
//!
//! Follows what the other screens do: it looks at the model after each message and never changes what they show, but for
//! the walk of a cause that was named. Does nothing outside the practice account.

use crate::core::catalogue;
use crate::core::check::Verdict;
use crate::core::diagnosis::{Diagnosis, Overall};
use crate::core::practice::progress::Solved;
use crate::core::practice::score::{Seen, bill, hint_cost};
use crate::core::practice::{Goal, Lesson, NOTHING};
use crate::core::words::{tr, tr_with};
use crate::engine::diagnose::Request;
use crate::engine::event::{RepairOutcome, RunId};
use crate::tui::effect::Effect;
use crate::tui::keys::{Action, Context};
use crate::tui::model::practice::SolvedBox;
use crate::tui::model::{Diagnosing, Model, Overlay, Part, Phase, Reading, Screen, Severity};
use crate::tui::update::guided;
use crate::tui::update::start::step;

/// Opens the story of the lesson.
pub fn open(model: &mut Model) {
    let Some(id) = model.lesson().map(|lesson| lesson.id.clone()) else { return };
    if let Some(practice) = &mut model.practice {
        practice.told.insert(id);
    }
    model.overlays.push(Overlay::Lesson { scroll: 0 });
}

/// Who learns hears the story before the first question, once.
fn tell_story(model: &mut Model) {
    let begins = model.guided && model.overlays.is_empty() && matches!(model.stack.last(), Some(Screen::Diagnosis(_)));
    let Some(id) = model.lesson().map(|lesson| &lesson.id).filter(|_| begins) else { return };
    if model.practice.as_ref().is_some_and(|practice| !practice.told.contains(id)) {
        open(model);
    }
}

/// In the guided walk a lesson is about its own symptom, which its story tells: the questions are the same from the
/// beginning, and do not change when more is known.
pub fn with_symptom(model: &Model, mut request: Request) -> Request {
    if let (true, None, None, Some(practice)) = (model.guided, &request.symptom, &request.paste, &model.practice) {
        let lesson = practice.find(&request.target.name, Some(&request.target.name));
        let symptom = lesson.map(|lesson| lesson.symptom.as_str()).filter(|id| *id != "success");
        request.symptom = symptom.map(str::to_owned);
    }
    request
}

/// Opens the list of causes to name.
pub fn open_causes(model: &mut Model) {
    if model.lesson().is_some() {
        model.overlays.push(Overlay::NameCause { cursor: 0 });
    }
}

/// Whether there is a hint that was not taken.
pub fn has_hint(model: &Model) -> bool {
    let taken = model.tally().map_or(0, |tally| tally.hints);
    model.lesson().is_some_and(|lesson| taken < lesson.hints.len())
}

/// Whether a cause can be named: there is a lesson, and its cause was not named yet.
pub fn may_name(model: &Model) -> bool {
    model.lesson().is_some_and(|lesson| {
        let open = model.practice.as_ref().is_some_and(|practice| !practice.solved.contains(&lesson.id));
        open && !model.tally().is_some_and(|tally| tally.named)
    })
}

/// Does an action of the popups of practice.
pub fn act(model: &mut Model, context: Context, action: Action) -> Vec<Effect> {
    match (context, action) {
        (Context::Lesson, Action::Hint) => take_hint(model),
        (Context::NameCause, Action::Accept) => return name(model),
        (Context::NameCause, Action::Up | Action::Down | Action::PageUp | Action::PageDown) => {
            let count = model.lesson().map_or(0, |lesson| lesson.candidates().len());
            if let Some(Overlay::NameCause { cursor }) = model.overlays.last_mut() {
                *cursor = step(*cursor, count, 8, action);
            }
        }
        (_, Action::ScrollDown) => scroll(model, 2),
        (_, Action::ScrollUp) => scroll(model, -2),
        (_, Action::Back) => {
            model.overlays.pop();
        }
        _ => {}
    }
    Vec::new()
}

fn scroll(model: &mut Model, by: isize) {
    let scroll = match model.overlays.last_mut() {
        Some(Overlay::Lesson { scroll }) => scroll,
        Some(Overlay::Solved(solved)) => &mut solved.scroll,
        _ => return,
    };
    *scroll = scroll.saturating_add_signed(by).min(100);
}

fn take_hint(model: &mut Model) {
    let Some(id) = model.lesson().map(|lesson| lesson.id.clone()) else { return };
    if has_hint(model)
        && let Some(practice) = &mut model.practice
    {
        practice.tallies.entry(id).or_default().hints += 1;
    }
}

/// The story, the hints that were taken, and how to reach the account by hand.
pub fn reading(model: &Model) -> Option<Reading> {
    let (practice, lesson) = (model.practice.as_ref()?, model.lesson()?);
    let taken = model.tally().map_or(0, |tally| tally.hints).min(lesson.hints.len());
    let mut parts = vec![Part::Text(lesson.story.clone())];
    for (at, hint) in lesson.hints.iter().take(taken).enumerate() {
        parts.extend([Part::Head(tr_with("Hint {number}", &[("number", &(at + 1))])), Part::Text(hint.clone())]);
    }
    let left = lesson.hints.len() - taken;
    if left > 0 {
        let cost = hint_cost(taken);
        parts.extend([
            Part::Head(tr("Hints").to_owned()),
            Part::Text(tr_with(
                "{count} left. n shows the next one; it costs {points} points.",
                &[("count", &left), ("points", &cost)],
            )),
        ]);
    }
    let goal = match lesson.goal() {
        Goal::Login => tr("the login works, whoever mended it"),
        Goal::CauseGone => tr("its cause is gone"),
        Goal::Named => tr("its cause is named: g for one question at a time, then c"),
    };
    let best = practice.progress.of(&lesson.id);
    let best = best.map(|best| tr_with(" Best so far: {points} points.", &[("points", &best.points)]));
    parts.extend([
        Part::Head(tr("Solved when").to_owned()),
        Part::Text(format!("{goal}.{}", best.unwrap_or_default())),
        Part::Head(tr("By hand, in another terminal").to_owned()),
        Part::Code(practice.by_hand.replace("LESSON", &lesson.name)),
    ]);
    let title =
        tr_with("{lesson}  difficulty {number} of 3", &[("lesson", &lesson.title), ("number", &lesson.difficulty)]);
    let scroll = match model.overlays.last() {
        Some(Overlay::Lesson { scroll }) => *scroll,
        _ => 0,
    };
    Some(Reading { title, parts, scroll, copy: Some(practice.by_hand.replace("LESSON", &lesson.name)) })
}

/// The title of a cause, or that nothing is wrong.
pub fn cause_title(id: &str) -> String {
    match catalogue::get().causes.get(id) {
        Some(words) => words.title.clone(),
        None if id == NOTHING => tr("Nothing is wrong: the login works").to_owned(),
        None => id.to_owned(),
    }
}

/// The selected cause is named.
fn name(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::NameCause { cursor }) = model.overlays.last() else { return Vec::new() };
    let Some(lesson) = model.lesson().cloned() else { return Vec::new() };
    let Some(cause) = lesson.candidates().get(*cursor).cloned() else { return Vec::new() };
    let Some(practice) = &mut model.practice else { return Vec::new() };
    let tally = practice.tallies.entry(lesson.id.clone()).or_default();
    if !lesson.is_right(&cause) {
        tally.wrong_causes.insert(cause);
        model.say(Severity::Warn, tr("That is not it. The checks tell more."));
        return Vec::new();
    }
    tally.named = true;
    model.overlays.pop();
    if lesson.goal() == Goal::Named {
        return solved(model, &lesson, None);
    }
    // The rest of the way is shown, and costs nothing any more.
    if let Some(d) = model.diagnosing_mut()
        && let Some(last) = d.diagnosis().and_then(|x| x.tree.len().checked_sub(1))
    {
        d.walk.at = last;
        d.walk.revealed = true;
        d.detail_scroll = 0;
    }
    model.say(Severity::Good, tr("Right. Now mend it: Enter does the first thing offered."));
    Vec::new()
}

/// Looks at what the last message has changed.
pub fn follow(model: &mut Model) -> Vec<Effect> {
    if model.practice.is_none() {
        return Vec::new();
    }
    tell_story(model);
    see(model);
    settle(model)
}

/// Answers that are on the screen now are counted.
fn see(model: &mut Model) {
    let Some(id) = model.lesson().map(|lesson| lesson.id.clone()) else { return };
    let Some(Screen::Diagnosis(d)) = model.stack.last() else { return };
    let shown = if model.guided { walked(d) } else { all_at_once(d) };
    if let Some(practice) = &mut model.practice
        && !shown.is_empty()
        && !practice.solved.contains(&id)
    {
        let tally = practice.tallies.entry(id).or_default();
        if !tally.named {
            shown.iter().for_each(|(check, how)| tally.see(check, *how));
        }
    }
}

/// Answers of the guided walk, as they were come by.
fn walked(d: &Diagnosing) -> Vec<(String, Seen)> {
    let tree = d.diagnosis().map(|x| x.tree.as_slice()).unwrap_or_default();
    let here = d.walk.revealed && !guided::waits(d);
    let passed = tree.iter().take(d.walk.at + usize::from(here)).filter(|step| step.verdict.is_some());
    passed
        .map(|step| {
            let how = match (d.walk.guesses.get(&step.at), step.verdict) {
                (Some(guess), Some(Verdict::Pass)) if *guess => Seen::Foreseen,
                (Some(guess), Some(Verdict::Fail)) if !*guess => Seen::Foreseen,
                (Some(_), Some(Verdict::Pass | Verdict::Fail)) => Seen::Misjudged,
                _ => Seen::Looked,
            };
            (step.at.clone(), how)
        })
        .collect()
}

/// Answers of the screen that shows everything.
fn all_at_once(d: &Diagnosing) -> Vec<(String, Seen)> {
    let checks = d.diagnosis().filter(|_| d.finished()).map(|x| x.checks.as_slice()).unwrap_or_default();
    let told = checks.iter().filter(|c| matches!(c.verdict, Verdict::Pass | Verdict::Fail | Verdict::CannotTell));
    told.map(|check| (check.id.clone(), Seen::AtOnce)).collect()
}

/// The end of a repair that nobody has looked at yet.
struct Ended {
    run: RunId,
    fix: String,
    undone: bool,
    changed: bool,
    login: bool,
    after: Option<std::sync::Arc<Diagnosis>>,
}

fn ended(model: &Model) -> Option<Ended> {
    let practice = model.practice.as_ref()?;
    let Some(Screen::Fix(fixing)) = model.stack.last() else { return None };
    let Phase::Ended { result, .. } = &fixing.phase else { return None };
    let after = result.after.as_ref().map(|snapshot| snapshot.diagnosis.clone());
    let healthy = after.as_ref().is_some_and(|x| x.overall == Overall::Healthy);
    (!practice.settled.contains(&fixing.run)).then(|| Ended {
        run: fixing.run,
        fix: result.plan.fix.clone(),
        undone: fixing.undo.is_some() || result.outcome == RepairOutcome::Undone,
        changed: result.entry.is_some(),
        login: healthy || result.outcome == RepairOutcome::Fixed { login: true },
        after,
    })
}

/// Whether a lesson is solved or open again.
fn settle(model: &mut Model) -> Vec<Effect> {
    let Some(lesson) = model.lesson().cloned() else { return Vec::new() };
    if let Some(ended) = ended(model) {
        let Some(practice) = &mut model.practice else { return Vec::new() };
        practice.settled.insert(ended.run);
        if ended.undone {
            practice.solved.remove(&lesson.id);
            return Vec::new();
        }
        let gone = ended.after.is_some_and(|x| x.causes.iter().all(|cause| cause.id != lesson.cause));
        let works = match lesson.goal() {
            Goal::Login => ended.login,
            Goal::CauseGone => ended.login || gone,
            Goal::Named => ended.login && lesson.is_about_login(),
        };
        if works {
            return solved(model, &lesson, Some(ended.fix));
        }
        if ended.changed {
            practice.tallies.entry(lesson.id.clone()).or_default().in_vain.push(ended.fix);
        }
        return Vec::new();
    }
    let Some(Screen::Diagnosis(d)) = model.stack.last() else { return Vec::new() };
    let Some(diagnosis) = d.diagnosis().filter(|_| d.finished()) else { return Vec::new() };
    let healthy = diagnosis.overall == Overall::Healthy;
    let at_end = diagnosis.tree.get(d.walk.at).is_some_and(|step| step.verdict.is_none());
    let first = diagnosis.causes.first().map_or(NOTHING, |cause| cause.id.as_str());
    let told = model.guided && at_end && lesson.goal() == Goal::Named && lesson.is_right(first);
    let by_hand = healthy && lesson.is_about_login();
    let run = d.run;
    let Some(practice) = &mut model.practice else { return Vec::new() };
    // Noted first: what this run showed is old once a repair was taken back.
    if !(by_hand || told) || !practice.settled.insert(run) || practice.solved.contains(&lesson.id) {
        return Vec::new();
    }
    solved(model, &lesson, None)
}

/// A lesson is solved: its bill is shown, and kept.
fn solved(model: &mut Model, lesson: &Lesson, fix: Option<String>) -> Vec<Effect> {
    let at = model.clock.unix;
    let Some(practice) = &mut model.practice else { return Vec::new() };
    if !practice.solved.insert(lesson.id.clone()) {
        return Vec::new();
    }
    // What was done is paid; whoever opens the lesson again begins anew.
    let mut tally = practice.tallies.remove(&lesson.id).unwrap_or_default();
    tally.fix.clone_from(&fix);
    let bill = bill(lesson, &tally);
    let kept = Solved {
        schema: 1,
        at,
        lesson: lesson.id.clone(),
        seed: practice.seed,
        points: bill.points,
        checks: Some(bill.checks),
        hints: tally.hints,
        fix: fix.clone(),
    };
    let before = practice.progress.add(&kept);
    let told = SolvedBox { lesson: lesson.clone(), bill, fix, named: tally.named, before, scroll: 0 };
    model.overlays.push(Overlay::Solved(Box::new(told)));
    vec![Effect::KeepSolved(Box::new(kept))]
}
