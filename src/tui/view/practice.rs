//! Practice: the story, the causes to choose from, and what a solved lesson is worth.

use crate::core::catalogue;
use crate::core::practice::Lesson;
use crate::core::practice::score::FULL;
use crate::core::words::{tr, tr_with};
use crate::tui::layout::popup;
use crate::tui::model::Model;
use crate::tui::model::practice::SolvedBox;
use crate::tui::update::practice::{cause_title, reading};
use crate::tui::view::popup::read;
use crate::tui::view::widgets::{Pen, risk_words, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the story and the hints that were taken.
pub fn lesson(model: &Model, pen: &mut Pen) {
    if let Some(reading) = reading(model) {
        read(&reading, pen);
    }
}

/// Draws the causes to choose from.
pub fn causes(model: &Model, cursor: usize, pen: &mut Pen) {
    let theme = pen.theme;
    let Some(lesson) = model.lesson() else { return };
    let all = lesson.candidates();
    let wrong = model.tally().map(|tally| &tally.wrong_causes);
    let rows = u16::try_from(all.len()).unwrap_or(u16::MAX).min(pen.area.height.saturating_sub(6));
    let area = popup((pen.area.width, pen.area.height), pen.area.width.min(84) - 4, rows + 2);
    pen.clear(area);
    let inside = pen.frame(area, tr("What is the cause? A wrong one costs points"), "", true);
    let room = usize::from(inside.height);
    let first = (cursor + 1).saturating_sub(room);
    for (line, id) in all.iter().enumerate().skip(first).take(room) {
        let y = inside.y + (line - first) as u16;
        let was_wrong = wrong.is_some_and(|wrong| wrong.contains(id));
        let style = if was_wrong { theme.muted() } else { theme.text() };
        if was_wrong {
            pen.put(inside.x + 2, y, 1, "✗", theme.bad());
        }
        pen.put(inside.x + 4, y, inside.width - 5, &cause_title(id), style);
        if line == cursor {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, super::start::selected_style(theme, true));
        }
    }
    pen.more(inside, first > 0, first + room < all.len());
}

/// What was done, in one sentence.
fn deed(solved: &SolvedBox) -> String {
    let login = solved.lesson.is_about_login();
    let Some(id) = &solved.fix else {
        return if login && !solved.named {
            tr("Solved: the login works, mended by hand.").to_owned()
        } else {
            let cause = cause_title(&solved.lesson.cause);
            tr_with("Solved: {cause}.", &[("cause", &cause.trim_end_matches('.'))])
        };
    };
    let fix = catalogue::get().fixes.get(id).map_or(id.as_str(), |words| words.title.as_str());
    match (login, solved.bill.safest) {
        (true, Some(false)) => tr_with("Solved: the login works. {fix}.", &[("fix", &fix)]),
        (true, _) => tr_with("Solved: the login works, by the safest fix: {fix}.", &[("fix", &fix)]),
        (false, Some(false)) => tr_with("Solved: {cause}.", &[("cause", &fix)]),
        (false, _) => tr_with("Solved by the safest fix: {fix}.", &[("fix", &fix)]),
    }
}

/// What would have been best.
fn best(lesson: &Lesson) -> Vec<String> {
    let words = catalogue::get();
    let mut out = vec![tr_with("The cause: {cause}", &[("cause", &cause_title(&lesson.cause))])];
    let check = words.causes.get(&lesson.cause).and_then(|cause| cause.check.as_ref());
    if let Some(check) = check.and_then(|id| words.checks.get(id)) {
        out.push(tr_with("Told by: {check}", &[("check", &check.title)]));
    }
    if let Some(fix) = words.fixes.get(&lesson.fix) {
        let risk = risk_words(fix.risk, fix.downtime, fix.reversible);
        out.push(tr_with("Mended by: {fix} ({risk})", &[("fix", &fix.title), ("risk", &risk)]));
    }
    out
}

/// Draws what a solved lesson is worth.
pub fn solved(solved: &SolvedBox, pen: &mut Pen) {
    let theme = pen.theme;
    let columns = pen.area.width.min(84) - 6;
    let room = columns - 4;
    let mut lines: Vec<(String, Style)> = Vec::new();
    wrapped(&mut lines, &solved.lesson.title, room, "", theme.strong());
    wrapped(&mut lines, &deed(solved), room, "", theme.good());
    lines.push((String::new(), theme.text()));
    if solved.bill.lines.is_empty() {
        wrapped(&mut lines, tr("Nothing could be done better."), room, "", theme.text());
    }
    for line in &solved.bill.lines {
        let style = if line.cost > 0 { theme.text() } else { theme.muted() };
        lines.push((format!("{:>+5}  {}", -line.cost, line.text()), style));
    }
    lines.push((String::new(), theme.text()));
    lines.push((tr("The best way").to_owned(), theme.key()));
    for line in best(&solved.lesson) {
        wrapped(&mut lines, &line, room, "  ", theme.text());
    }
    if !solved.named && solved.bill.checks > 0 {
        let text =
            tr("In the guided walk, c names the cause as soon as you know it: what is left of the way costs nothing.");
        wrapped(&mut lines, text, room, "  ", theme.muted());
    }
    lines.push((String::new(), theme.text()));
    let last = match solved.before {
        None => tr("Solved for the first time.").to_owned(),
        Some(before) if before < solved.bill.points => {
            tr_with("Better than ever: {points} points before.", &[("points", &before)])
        }
        Some(before) => tr_with("Best so far: {points} points.", &[("points", &before)]),
    };
    lines.push((last, theme.accent()));
    let area = popup((pen.area.width, pen.area.height), columns, lines.len() as u16 + 2);
    pen.clear(area);
    let points = tr_with("{points} of {most} points", &[("points", &solved.bill.points), ("most", &FULL)]);
    let inside = pen.frame(area, tr("Lesson solved"), &points, true);
    pen.lines(Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height), &lines, solved.scroll);
}
