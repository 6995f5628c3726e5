//! `port22 lab list` and `port22 lab progress`: the lessons, and which of them were solved.

use super::lesson;
use crate::cli::output::{self, Exit};
use crate::core::catalogue;
use crate::core::practice::Lesson;
use crate::core::practice::progress::{Best, Progress};
use crate::core::practice::score::FULL;
use crate::core::text::utc;
use crate::core::words::{tr, tr_with};
use crate::edge::journal_file::state_directory;
use crate::edge::practice::Record;
use crate::engine::failure::Failure;
use crate::lab::scenario_list_of;
use serde_json::{Value, json};

/// The record in the user's state directory.
pub fn record() -> Result<Record, Failure> {
    let dir = state_directory().ok_or_else(|| {
        Failure::usage("find the state directory", "there is no home directory", "set HOME or XDG_STATE_HOME")
    })?;
    Ok(Record::new(dir))
}

/// What was solved. A record that cannot be read is told, and nothing else stops.
pub fn known() -> Progress {
    let read =
        record().and_then(|r| r.read().map_err(|e| Failure::usage("read what was solved", e, "see to that file")));
    read.unwrap_or_else(|failure| {
        output::note(&format!("port22: {failure}"));
        Progress::default()
    })
}

/// Every lesson of an account, which has one of them `alone` or all.
pub fn lessons(seed: u64, alone: bool) -> Result<Vec<Lesson>, Failure> {
    let all = scenario_list_of(seed).map_err(|e| Failure::usage("read the scenarios", e, "report this"))?;
    Ok(all.into_iter().map(|info| lesson(info, alone)).collect())
}

/// The place of a symptom among all, as the start screen has them.
fn place(symptom: &str) -> (u32, &str) {
    let order = catalogue::get().symptoms.get(symptom).map_or(0, |words| words.order);
    (if order == 0 { u32::MAX } else { order }, symptom)
}

/// `✓ 94` for a lesson that was solved.
fn mark(best: Option<&Best>, ascii: bool) -> String {
    best.map(|best| format!("{} {:>3}", if ascii { "+" } else { "✓" }, best.points)).unwrap_or_default()
}

/// `port22 lab list`.
pub fn list(as_json: bool, ascii: bool, seed: u64) -> Result<Exit, Failure> {
    let progress = known();
    if as_json {
        let all = scenario_list_of(seed).map_err(|e| Failure::usage("read the scenarios", e, "report this"))?;
        let scenarios: Vec<Value> = all
            .into_iter()
            .map(|info| {
                let mut one = serde_json::to_value(&info).unwrap_or_default();
                one["progress"] = json!(progress.of(&info.id));
                one["goal"] = json!(lesson(info, true).goal());
                one
            })
            .collect();
        output::print_json(&json!({"schema": 1, "scenarios": scenarios}));
        return Ok(Exit::Ok);
    }
    let mut all = lessons(seed, true)?;
    all.sort_by(|a, b| (place(&a.symptom), a.difficulty, &a.id).cmp(&(place(&b.symptom), b.difficulty, &b.id)));
    for one in &all {
        let mark = mark(progress.of(&one.id), ascii);
        output::print(&format!(
            "{:<25} {} {mark:<5} {:<18} {:<8} {}",
            one.symptom, one.difficulty, one.id, one.group, one.title
        ));
    }
    Ok(Exit::Ok)
}

/// `port22 lab progress`.
pub fn show(reset: bool, as_json: bool, ascii: bool) -> Result<Exit, Failure> {
    let record = record()?;
    if reset {
        let old = record.reset().map_err(|e| Failure::usage("begin anew", e, "see to that file"))?;
        let old = old.map(|path| path.display().to_string());
        if as_json {
            output::print_json(&json!({"schema": 1, "reset": true, "kept": old}));
        } else {
            output::print(&old.map_or_else(
                || tr("Nothing was solved yet.").to_owned(),
                |path| tr_with("Begun anew. The old record is {file}.", &[("file", &path)]),
            ));
        }
        return Ok(Exit::Ok);
    }
    let progress = record.read().map_err(|e| Failure::usage("read what was solved", e, "see to that file"))?;
    let all = lessons(0, true)?;
    let points = progress.points(all.iter().map(|one| one.id.as_str()));
    let solved = all.iter().filter(|one| progress.of(&one.id).is_some()).count();
    let mut groups: Vec<(&str, usize, usize)> = Vec::new();
    for one in &all {
        let done = usize::from(progress.of(&one.id).is_some());
        match groups.iter_mut().find(|(group, ..)| *group == one.group) {
            Some((_, has, of)) => (*has, *of) = (*has + done, *of + 1),
            None => groups.push((&one.group, done, 1)),
        }
    }
    let most = all.len() * FULL as usize;
    if as_json {
        let groups: Vec<Value> =
            groups.iter().map(|(group, solved, of)| json!({"group": group, "solved": solved, "of": of})).collect();
        output::print_json(&json!({
            "schema": 1, "solved": solved, "of": all.len(), "points": points, "most_points": most,
            "groups": groups, "lessons": progress.solved,
        }));
        return Ok(Exit::Ok);
    }
    output::print(&tr_with(
        "{solved} of {total} lessons solved, {points} of {most} points",
        &[("solved", &solved), ("total", &all.len()), ("points", &points), ("most", &most)],
    ));
    for (group, done, of) in groups {
        output::print(&format!("{group:<9} {done:>3} / {of}"));
        for one in all.iter().filter(|one| one.group == group) {
            let Some(best) = progress.of(&one.id) else { continue };
            let last = utc(best.last);
            output::print(&format!("  {} {:<18} {last}  {}", mark(Some(best), ascii), one.id, one.title));
        }
    }
    Ok(Exit::Ok)
}
