//! The diagnosis, guided: the way walked at the left, one question at the right.

use crate::core::catalogue;
use crate::core::check::Verdict;
use crate::core::diagnosis::Overall;
use crate::core::told::told;
use crate::core::words::{tr, tr_with};
use crate::engine::event::Snapshot;
use crate::tui::layout::WIDE;
use crate::tui::model::{Diagnosing, Model};
use crate::tui::text::fit;
use crate::tui::theme::Mark;
use crate::tui::update::diagnosis::{Choice, choices, progress};
use crate::tui::update::guided::{leaf, score, waits};
use crate::tui::view::diagnosis::{cause_title, mark_word, numbers_of, team_lines, top};
use crate::tui::view::path;
use crate::tui::view::widgets::{Pen, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the screen.
pub fn draw(model: &Model, d: &Diagnosing, pen: &mut Pen) {
    top(model, d, pen);
    // The path would tell the answers: it is drawn when the way has come to its end.
    let at_end = d.diagnosis().and_then(|x| x.tree.get(d.walk.at)).is_some_and(|s| s.verdict.is_none());
    let hops = d.diagnosis().filter(|_| at_end).map(|x| x.path.as_slice()).unwrap_or_default();
    path::draw(pen, 1, hops, at_end && d.finished());
    let left = if pen.area.width >= WIDE { 44 } else { 32 };
    let height = pen.area.height - 5;
    let tree_area = Rect::new(0, 4, left, height);
    let step_area = Rect::new(left, 4, pen.area.width - left, height);
    let Some(snapshot) = &d.snapshot else {
        pen.frame(tree_area, tr("The way"), "", false);
        let inside = pen.frame(step_area, tr("First question"), "", true);
        pen.put(inside.x + 1, inside.y, inside.width - 2, tr("Starting …"), pen.theme.muted());
        return;
    };
    tree(d, snapshot, pen, tree_area);
    if let Some(ask) = &d.ask {
        question(ask, pen, step_area);
    } else {
        step(model, d, snapshot, pen, step_area);
    }
}

fn mark_of(snapshot: &Snapshot, id: &str) -> Mark {
    snapshot.diagnosis.checks.iter().find(|c| c.id == id).map_or(Mark::Unknown, |c| progress(snapshot, c))
}

fn tree(d: &Diagnosing, snapshot: &Snapshot, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let symptom = snapshot.diagnosis.symptom.as_deref();
    let inside = pen.frame(area, tr("The way"), "", false);
    let room = usize::from(inside.width) - 5;
    let mut lines: Vec<(Option<Mark>, bool, String, Style)> = Vec::new();
    let steps = &snapshot.diagnosis.tree;
    let nodes = catalogue::get().tree(symptom).map(|t| t.nodes.as_slice()).unwrap_or_default();
    for (at, step) in steps.iter().enumerate().take(d.walk.at + 1) {
        let here = at == d.walk.at;
        let known = !here || d.walk.revealed || step.verdict.is_none();
        let mark = match (known, step.verdict) {
            (false, _) => Mark::Waiting,
            (true, None) => Mark::Warn,
            (true, Some(_)) => mark_of(snapshot, &step.at),
        };
        let style = if here { theme.strong() } else { theme.text() };
        lines.push((Some(mark), here, fit(&leaf(&step.at), room).into_owned(), style));
        // The branch that was not taken, so that the tree is seen and not only the way.
        let other = nodes.iter().find(|n| n.check == step.at).and_then(|n| match step.verdict {
            Some(Verdict::Pass) => Some((tr("if not"), &n.fail)),
            Some(Verdict::Fail) => Some((tr("if so"), &n.pass)),
            _ => None,
        });
        if let (true, Some((word, to))) = (known && area.height > 24, other) {
            lines.push((None, false, fit(&format!("  {word}: {}", leaf(to)), room).into_owned(), theme.muted()));
        }
    }
    let rest = steps.len().saturating_sub(d.walk.at + 1);
    let height = usize::from(inside.height);
    let skip = (lines.len() + 1).saturating_sub(height);
    for (line, (mark, here, text, style)) in lines.iter().skip(skip).enumerate() {
        let y = inside.y + line as u16;
        if *here {
            pen.put(inside.x, y, 1, "▸", theme.key());
        }
        match mark {
            Some(mark) => pen.mark(inside.x + 2, y, *mark),
            None => {
                pen.put(inside.x + 2, y, 1, "│", theme.muted());
            }
        }
        pen.put(inside.x + 4, y, inside.width - 5, text, *style);
    }
    let y = inside.y + (lines.len() - skip) as u16;
    if rest > 0 && y < inside.bottom() {
        pen.put(inside.x + 2, y, inside.width - 3, "· …", theme.muted());
    }
    pen.more(inside, skip > 0, false);
}

fn step(model: &Model, d: &Diagnosing, snapshot: &Snapshot, pen: &mut Pen, area: Rect) {
    let steps = &snapshot.diagnosis.tree;
    let Some(step) = steps.get(d.walk.at) else {
        let inside = pen.frame(area, tr("No questions"), "", true);
        let text = tr("There is no tree for this symptom. g shows all checks at once.");
        pen.paragraph(Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height), text, pen.theme.text());
        return;
    };
    if step.verdict.is_none() {
        conclusion(model, d, snapshot, pen, area);
        return;
    }
    let theme = pen.theme;
    let words = catalogue::get().checks.get(&step.at);
    let mark = mark_of(snapshot, &step.at);
    let number = tr_with("Question {number}", &[("number", &(d.walk.at + 1))]);
    let inside = pen.frame(area, &number, &score_words(model, d), true);
    let inner = Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height);
    let mut lines: Vec<(String, Style)> = Vec::new();
    let title = words.map_or(step.at.as_str(), |w| w.title.as_str());
    wrapped(&mut lines, &format!("{}?", title.trim_end_matches('.')), inner.width, "", theme.strong());
    let section = |lines: &mut Vec<(String, Style)>, name: &str, text: &str, style: Style| {
        lines.push((String::new(), theme.text()));
        lines.push((name.to_owned(), theme.key()));
        wrapped(lines, text, inner.width, "", style);
    };
    if let Some(words) = words {
        section(&mut lines, tr("Why we ask"), &words.why, theme.text());
    }
    if let Some(words) = words.filter(|_| !d.walk.revealed) {
        section(&mut lines, tr("A yes rules out"), &words.rules_out, theme.text());
    }
    if let Some(guess) = d.walk.guesses.get(&step.at) {
        section(&mut lines, tr("Your guess"), if *guess { tr("yes") } else { tr("no") }, theme.text());
    }
    if !d.walk.revealed {
        lines.push((String::new(), theme.text()));
        let text = if model.settings.lab {
            tr("What do you think? y or n guesses, Enter shows the answer.")
        } else {
            tr("Enter shows the answer.")
        };
        wrapped(&mut lines, text, inner.width, "", theme.accent());
        let text = tr("h: how to do this by hand. w: the words on the screen.");
        wrapped(&mut lines, text, inner.width, "", theme.muted());
    } else if waits(d) {
        section(&mut lines, tr("Answer"), tr("The probes for this still run …"), theme.muted());
    } else if let Some(check) = snapshot.diagnosis.checks.iter().find(|c| c.id == step.at) {
        lines.push((String::new(), theme.text()));
        let word = if check.verdict == Verdict::NotApplicable { tr("does not apply here") } else { mark_word(mark) };
        lines.push((
            tr_with("Answer: {mark} {word}", &[("mark", &mark.glyph()), ("word", &word)]),
            theme.mark(mark).add_modifier(ratatui::style::Modifier::BOLD),
        ));
        wrapped(&mut lines, &told(check.reason.trim_start_matches("cannot tell: ")), inner.width, "", theme.text());
        for evidence in &check.evidence {
            wrapped(
                &mut lines,
                &format!("{} ({})", told(&evidence.text), told(&evidence.source)),
                inner.width,
                "  ",
                theme.muted(),
            );
        }
        for series in &d.numbers(&check.id) {
            lines.extend(numbers_of(series, inner.width, theme.accent(), theme.muted()));
        }
        if let Some(words) = words.filter(|_| mark == Mark::Pass) {
            section(&mut lines, tr("This rules out"), &words.rules_out, theme.text());
        }
        if let Some(words) = words {
            team_lines(&mut lines, &words.added, inner.width, theme);
        }
        if let Some(next) = steps.get(d.walk.at + 1) {
            section(&mut lines, tr("Next"), &leaf(&next.at), theme.text());
        }
    }
    pen.lines(inner, &lines, d.detail_scroll);
}

fn score_words(model: &Model, d: &Diagnosing) -> String {
    match score(d) {
        (_, 0) => String::new(),
        (right, all) if model.settings.lab => {
            tr_with("{right} of {total} guessed right", &[("right", &right), ("total", &all)])
        }
        _ => String::new(),
    }
}

fn conclusion(model: &Model, d: &Diagnosing, snapshot: &Snapshot, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let inside = pen.frame(area, tr("Where the way ends"), &score_words(model, d), true);
    let inner = Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height);
    let mut lines: Vec<(String, Style)> = Vec::new();
    let at = snapshot.diagnosis.tree.get(d.walk.at).map(|s| leaf(&s.at)).unwrap_or_default();
    if snapshot.diagnosis.overall == Overall::Healthy {
        wrapped(&mut lines, tr("The login works."), inner.width, "", theme.good());
        lines.push((String::new(), theme.text()));
        wrapped(&mut lines, &crate::engine::report::ssh_command(&snapshot.facts), inner.width, "  ", theme.code());
    } else if let Some(finding) = snapshot.diagnosis.causes.get(d.cause) {
        let words = catalogue::get().causes.get(&finding.id);
        wrapped(&mut lines, &cause_title(&finding.id), inner.width, "", theme.strong());
        let certainty = match finding.certainty {
            crate::core::cause::Certainty::Proven => tr("proven"),
            crate::core::cause::Certainty::Likely => tr("most likely, not proven"),
            crate::core::cause::Certainty::Possible => tr("possible, not proven"),
        };
        lines.push((certainty.to_owned(), theme.warn()));
        lines.push((String::new(), theme.text()));
        if let Some(words) = words {
            wrapped(&mut lines, &words.explain, inner.width, "", theme.text());
        }
        lines.push((String::new(), theme.text()));
        lines.push((tr("Seen").to_owned(), theme.key()));
        for evidence in &finding.evidence {
            wrapped(
                &mut lines,
                &format!("{} ({})", told(&evidence.text), told(&evidence.source)),
                inner.width,
                "",
                theme.text(),
            );
        }
        if let Some(words) = words {
            team_lines(&mut lines, &words.added, inner.width, theme);
        }
        lines.push((String::new(), theme.text()));
        lines.push((tr("What to do").to_owned(), theme.key()));
        for (n, choice) in choices(d).iter().enumerate() {
            let fixes = &catalogue::get().fixes;
            let text = match choice {
                Choice::TryAs(user) => tr_with("try again as {user}", &[("user", user)]),
                Choice::Fix(id) | Choice::Enter(id, _) => fixes.get(id).map_or_else(|| id.clone(), |f| f.title.clone()),
                Choice::ByHand(id) => {
                    tr_with("{fix} (by hand)", &[("fix", &fixes.get(id).map_or(id.as_str(), |f| f.title.as_str()))])
                }
                Choice::Explain => tr("read what to do by hand").to_owned(),
                Choice::CopyLogin => tr("copy the ssh command").to_owned(),
            };
            let key = if n == 0 { "Enter" } else { "" };
            lines.push((format!("{key:<6}{text}"), if n == 0 { theme.strong() } else { theme.text() }));
        }
    } else {
        wrapped(&mut lines, &at, inner.width, "", theme.strong());
        lines.push((String::new(), theme.text()));
        wrapped(
            &mut lines,
            tr("No cause is proven. g shows all checks at once, d the ways in."),
            inner.width,
            "",
            theme.text(),
        );
    }
    pen.lines(inner, &lines, d.detail_scroll);
}

fn question(check: &str, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let inside = pen.frame(area, tr("A question to you"), "", true);
    let inner = Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height);
    let text = catalogue::get().checks.get(check).and_then(|w| w.question.clone()).unwrap_or_default();
    let mut lines: Vec<(String, Style)> = Vec::new();
    wrapped(&mut lines, &text, inner.width, "", theme.strong());
    lines.push((String::new(), theme.text()));
    lines.push((tr("y yes    n no    d don't know").to_owned(), theme.key()));
    pen.lines(inner, &lines, 0);
}
