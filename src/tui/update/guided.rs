//! The guided walk: one question at a time, its answer on request, then what follows.

use crate::core::catalogue;
use crate::core::check::Verdict;
use crate::core::words::{tr, tr_with};
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::model::{Diagnosing, Model, Severity};
use crate::tui::update::diagnosis;

/// Guided or triage.
pub fn toggle(model: &mut Model) -> Vec<Effect> {
    model.guided = !model.guided;
    if model.diagnosing().is_none() {
        let text = if model.guided {
            tr("Guided: diagnoses ask one question at a time.")
        } else {
            tr("Triage: diagnoses show everything at once.")
        };
        model.say(Severity::Note, text);
    }
    Vec::new()
}

/// Whether a guess can be made: the step is a question that is not answered yet.
pub fn may_guess(d: &Diagnosing) -> bool {
    let step = d.diagnosis().and_then(|x| x.tree.get(d.walk.at));
    !d.walk.revealed && step.is_some_and(|s| s.verdict.is_some())
}

/// Guesses that were right, and guesses made.
pub fn score(d: &Diagnosing) -> (usize, usize) {
    let Some(diagnosis) = d.diagnosis() else { return (0, 0) };
    let told = |id: &str| diagnosis.checks.iter().find(|c| c.id == id).map(|c| c.verdict);
    let counted: Vec<bool> = d
        .walk
        .guesses
        .iter()
        .filter_map(|(id, guess)| match told(id) {
            Some(Verdict::Pass) => Some(*guess),
            Some(Verdict::Fail) => Some(!*guess),
            _ => None,
        })
        .collect();
    (counted.iter().filter(|right| **right).count(), counted.len())
}

/// Does an action of the guided screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Accept => return go_on(model),
        Action::Yes => guess(model, true),
        Action::No => guess(model, false),
        Action::Up => step_back(model),
        _ => return diagnosis::act(model, action),
    }
    Vec::new()
}

fn guess(model: &mut Model, guess: bool) {
    let Some(d) = model.diagnosing_mut() else { return };
    if let Some(id) = d.diagnosis().and_then(|x| x.tree.get(d.walk.at)).map(|s| s.at.clone()) {
        d.walk.guesses.insert(id, guess);
        d.walk.revealed = true;
    }
}

fn go_on(model: &mut Model) -> Vec<Effect> {
    let Some(d) = model.diagnosing_mut() else { return Vec::new() };
    let Some(snapshot) = &d.snapshot else { return Vec::new() };
    let tree = &snapshot.diagnosis.tree;
    let Some(step) = tree.get(d.walk.at) else { return diagnosis::choose(model, 0) };
    if step.verdict.is_none() {
        return diagnosis::choose(model, 0);
    }
    if !d.walk.revealed {
        d.walk.revealed = true;
    } else if waits(d) {
        model.say(Severity::Note, tr("The answer is not there yet."));
    } else if d.walk.at + 1 < tree.len() {
        d.walk.at += 1;
        d.walk.revealed = false;
        d.detail_scroll = 0;
    }
    Vec::new()
}

/// Whether the probes of this step still run: the walk could change under the user.
pub fn waits(d: &Diagnosing) -> bool {
    use crate::tui::theme::Mark;
    let Some(snapshot) = &d.snapshot else { return true };
    let Some(step) = snapshot.diagnosis.tree.get(d.walk.at) else { return false };
    let check = snapshot.diagnosis.checks.iter().find(|c| c.id == step.at);
    check.is_some_and(|c| matches!(diagnosis::progress(snapshot, c), Mark::Waiting | Mark::Running(_)))
}

fn step_back(model: &mut Model) {
    if let Some(d) = model.diagnosing_mut() {
        if d.walk.revealed && d.walk.at == 0 {
            d.walk.revealed = false;
        } else if d.walk.at > 0 {
            d.walk.at -= 1;
            d.walk.revealed = true;
        }
        d.detail_scroll = 0;
    }
}

/// What a leaf of a tree says.
pub fn leaf(at: &str) -> String {
    let words = catalogue::get();
    match at.split_once(':') {
        Some(("cause", id)) => words.causes.get(id).map_or_else(|| id.to_owned(), |c| c.title.clone()),
        Some(("door", id)) => tr_with("go on inside, through {door}", &[("door", &door_title(id))]),
        Some((_, text)) => text.to_owned(),
        None => words.checks.get(at).map_or_else(|| at.to_owned(), |c| c.title.clone()),
    }
}

/// A way in, in words.
pub fn door_title(id: &str) -> &str {
    match id {
        "ssh" => tr("Direct SSH"),
        "ssm" => tr("Session Manager"),
        "eic" => tr("EC2 Instance Connect"),
        "eice" => tr("Instance Connect Endpoint"),
        "serial" => tr("Serial console"),
        "user-data" => tr("User data"),
        "rescue" => tr("Offline rescue"),
        other => other,
    }
}
