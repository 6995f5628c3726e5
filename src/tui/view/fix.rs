//! A fix or an undo: what will happen, what to know before, what happened.

use crate::core::plan::{Consent, GateState, Plan};
use crate::core::words::{tr, tr_with};
use crate::engine::event::{RepairOutcome, StepState};
use crate::tui::model::{Fixing, Model, Phase, StepRow};
use crate::tui::text::{seconds, width};
use crate::tui::theme::Mark;
use crate::tui::update::diagnosis::{listed, progress};
use crate::tui::view::body;
use crate::tui::view::widgets::{Pen, header, risk_style, risk_words, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the screen.
pub fn draw(model: &Model, f: &Fixing, pen: &mut Pen) {
    let theme = pen.theme;
    let plan = f.plan();
    let title = plan.map_or_else(
        || crate::core::catalogue::get().fixes.get(&f.fix).map_or_else(|| f.fix.clone(), |w| w.title.clone()),
        |p| p.title.clone(),
    );
    let (risk, style) = plan.filter(|_| f.undo.is_none()).map_or((String::new(), theme.text()), |p| {
        (format!("{} ", risk_words(p.risk, p.downtime, p.reversible)), risk_style(theme, p.risk))
    });
    let badge = if f.undo.is_some() { tr(" Undo ") } else { tr(" Fix ") };
    header(pen, &[(badge, theme.badge()), (&title, theme.strong())], &[(&risk, style)]);
    let area = body(pen);
    match &f.phase {
        Phase::Planning => {
            message(pen, area, tr("Looking before the change: permissions, and who else is affected …"), theme.muted());
        }
        Phase::NoPlan(reason) => no_plan(f, reason, pen, area),
        Phase::Preview { plan, typed } => preview(model, f, plan, typed, pen, area),
        Phase::Running { plan, steps } => running(model, f, plan, steps, "", pen, area),
        Phase::Verifying { plan, steps, attempt, snapshot } => {
            let done =
                listed(snapshot).filter(|c| plan.verify.contains(&c.id) && progress(snapshot, c) == Mark::Pass).count();
            let note = tr_with(
                "Verifying, attempt {attempt}: {done} of {total} checks pass",
                &[("attempt", attempt), ("done", &done), ("total", &plan.verify.len())],
            );
            running(model, f, plan, steps, &note, pen, area);
        }
        Phase::Ended { result, steps } => ended(model, f, result, steps, pen, area),
    }
}

fn message(pen: &mut Pen, area: Rect, text: &str, style: Style) {
    let inside = pen.frame(area, tr("What will happen"), "", true);
    pen.paragraph(Rect::new(inside.x + 2, inside.y + 1, inside.width - 4, inside.height - 2), text, style);
}

fn no_plan(f: &Fixing, reason: &str, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let inside = pen.frame(area, tr("No plan"), "", true);
    let room = inside.width - 2;
    let mut lines: Vec<(String, Style)> = Vec::new();
    wrapped(&mut lines, &format!("? {reason}"), room, " ", theme.warn());
    if let Some(words) = crate::core::catalogue::get().fixes.get(&f.fix) {
        lines.push((String::new(), theme.text()));
        lines.push((tr(" By hand").to_owned(), theme.key()));
        wrapped(&mut lines, words.by_hand.trim(), room, "   ", theme.code());
        super::diagnosis::team_lines(&mut lines, &words.added, room, theme);
    }
    pen.lines(Rect::new(inside.x + 1, inside.y, room, inside.height), &lines, f.scroll);
}

/// The steps of a plan: text, command, undo; while running their state and time.
fn step_lines(
    model: &Model,
    f: &Fixing,
    plan: &Plan,
    rows: Option<&[StepRow]>,
    room: u16,
    pen: &Pen,
) -> Vec<(String, Style)> {
    let theme = pen.theme;
    let mut lines: Vec<(String, Style)> = Vec::new();
    let order: Vec<usize> =
        if f.undo.is_some() { (0..plan.steps.len()).rev().collect() } else { (0..plan.steps.len()).collect() };
    let mut number = 0;
    for at in order {
        let Some(step) = plan.steps.get(at) else { continue };
        if f.undo.is_some() && step.action.is_none() {
            continue;
        }
        number += 1;
        let text =
            if f.undo.is_some() { tr_with("take back: {step}", &[("step", &step.text)]) } else { step.text.clone() };
        let row = rows.and_then(|r| r.get(at));
        let (sign, time, style) = match row.map(|r| (&r.state, r)) {
            None => (format!("{number}"), String::new(), theme.strong()),
            Some((StepState::Waiting, _)) => (Mark::Waiting.glyph().to_owned(), String::new(), theme.muted()),
            Some((StepState::Running, r)) => (
                Mark::Running(model.clock.ms / 100).glyph().to_owned(),
                format!("   {}", seconds(model.clock.ms.saturating_sub(r.began_ms))),
                theme.accent(),
            ),
            Some((StepState::Done(_), r)) => (
                Mark::Pass.glyph().to_owned(),
                format!("   {}", seconds(r.ended_ms.saturating_sub(r.began_ms))),
                theme.good(),
            ),
            Some((StepState::Failed(_), r)) => (
                Mark::Fail.glyph().to_owned(),
                format!("   {}", seconds(r.ended_ms.saturating_sub(r.began_ms))),
                theme.bad(),
            ),
        };
        let indent = "    ";
        let mut first: Vec<(String, Style)> = Vec::new();
        wrapped(&mut first, &format!("{text}{time}"), room, indent, style);
        if let Some(head) = first.first_mut() {
            head.0 = format!("{:>2}  {}", sign, head.0.trim_start());
            if width(&sign) == 1 {
                head.0 = format!(" {sign}  {}", head.0.trim_start().trim_start_matches(&*sign).trim_start());
            }
        }
        lines.extend(first);
        match row.map(|r| &r.state) {
            Some(StepState::Done(text) | StepState::Failed(text)) if !text.is_empty() => {
                wrapped(&mut lines, text, room, indent, theme.text());
            }
            Some(StepState::Running) if row.is_some_and(|r| !r.told.is_empty()) => {
                wrapped(&mut lines, row.map_or("", |r| r.told.as_str()), room, indent, theme.muted());
            }
            Some(_) => {}
            None if f.undo.is_some() => {
                if let Some(undo) = &step.undo {
                    wrapped(&mut lines, undo, room, indent, theme.code());
                }
            }
            None => {
                if !step.command.is_empty() {
                    wrapped(&mut lines, &step.command, room, indent, theme.code());
                }
                match &step.undo {
                    Some(undo) => wrapped(
                        &mut lines,
                        &tr_with("undo: {command}", &[("command", undo)]),
                        room,
                        indent,
                        theme.muted(),
                    ),
                    None if step.action.is_some() => {
                        wrapped(&mut lines, tr("cannot be taken back"), room, indent, theme.warn());
                    }
                    None => {}
                }
            }
        }
    }
    lines
}

fn gate_lines(model: &Model, f: &Fixing, plan: &Plan, room: u16, pen: &Pen) -> Vec<(Mark, String, Style)> {
    let theme = pen.theme;
    let mut out: Vec<(Mark, String, Style)> = Vec::new();
    if model.settings.read_only {
        out.push((Mark::Fail, tr("this session is read-only: nothing will be changed").to_owned(), theme.bad()));
    }
    if f.undo.is_some() {
        out.push((
            Mark::Warn,
            tr("other changes may have been made since: read the calls before you say yes").to_owned(),
            theme.warn(),
        ));
    } else {
        if plan.steps.iter().all(|s| s.action.is_none()) {
            out.push((Mark::Pass, tr("there is nothing to change").to_owned(), theme.text()));
        }
        // What stops the plan comes first, what is fine last.
        let mut gates: Vec<_> = plan.gates.iter().collect();
        gates.sort_by_key(|g| std::cmp::Reverse(g.state));
        for gate in gates {
            let (mark, style) = match gate.state {
                GateState::Ok => (Mark::Pass, theme.text()),
                GateState::Warn => (Mark::Warn, theme.warn()),
                GateState::Refuse => (Mark::Fail, theme.bad()),
            };
            out.push((mark, gate.why.clone(), style));
        }
        if plan.downtime {
            out.push((Mark::Warn, tr_with("{target} is interrupted", &[("target", &plan.target)]), theme.warn()));
        }
        if !plan.cost.is_empty() {
            out.push((Mark::Warn, tr_with("costs: {cost}", &[("cost", &plan.cost)]), theme.warn()));
        }
        for choice in &plan.choices {
            let chosen = choice.options.iter().find(|(id, _)| *id == choice.chosen).map_or("", |(_, t)| t.as_str());
            out.push((
                Mark::Pass,
                tr_with("{question} {chosen} (o: another way)", &[("question", &choice.text), ("chosen", &chosen)]),
                theme.accent(),
            ));
        }
        if !plan.reversible {
            out.push((Mark::Warn, tr("not every step can be taken back").to_owned(), theme.warn()));
        }
    }
    let mut lines = Vec::new();
    for (mark, text, style) in out {
        for (at, part) in crate::tui::text::wrap(&text, usize::from(room) - 4).into_iter().enumerate() {
            lines.push((if at == 0 { mark } else { Mark::Running(u64::MAX) }, part, style));
        }
    }
    lines
}

fn preview(model: &Model, f: &Fixing, plan: &Plan, typed: &str, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let gates = gate_lines(model, f, plan, area.width - 4, pen);
    let typing = f.wants_typing(plan) && !model.settings.read_only;
    let asked = f.wants_passphrase(plan).filter(|_| !model.settings.read_only);
    let gate_rows = (gates.len() as u16).min(area.height / 2) + u16::from(typing || asked.is_some()) * 2;
    let inside = pen.frame(area, tr("What will happen"), &plan.target, true);
    let divider = area.bottom() - 2 - gate_rows;
    let steps = step_lines(model, f, plan, None, inside.width - 2, pen);
    pen.lines(Rect::new(inside.x + 1, inside.y, inside.width - 2, divider - inside.y), &steps, f.scroll);
    pen.divider(area, divider, tr("Before you say yes"), "", true);
    for (at, (mark, text, style)) in gates.iter().enumerate().take(usize::from(gate_rows)) {
        let y = divider + 1 + at as u16;
        if *mark != Mark::Running(u64::MAX) {
            pen.mark(inside.x + 1, y, *mark);
        }
        pen.put(inside.x + 3, y, inside.width - 4, text, *style);
    }
    if let Some(file) = asked {
        // Not even their number is shown beyond what fits: stars tell that keys arrive.
        let stars = "*".repeat(f.secret.count().min(24));
        let name = file.rsplit('/').next().unwrap_or(file);
        let (words, end) = (
            tr_with("Passphrase of {name}, then Enter: ", &[("name", &name)]),
            [(stars.as_str(), theme.strong()), ("▌", theme.key())],
        );
        let spans = [(words.as_str(), theme.strong()), end[0], end[1]];
        pen.spans(inside.x + 1, area.bottom() - 2, inside.width - 2, &spans);
    } else if let (true, Consent::Type(word)) = (typing, &plan.consent) {
        let y = area.bottom() - 2;
        pen.spans(
            inside.x + 1,
            y,
            inside.width - 2,
            &[
                (tr("Type "), theme.strong()),
                (word, theme.code()),
                (tr(" and press Enter: "), theme.strong()),
                (typed, theme.strong()),
                ("▌", theme.key()),
            ],
        );
    }
}

fn running(model: &Model, f: &Fixing, plan: &Plan, steps: &[StepRow], note: &str, pen: &mut Pen, area: Rect) {
    let inside =
        pen.frame(area, if f.undo.is_some() { tr("Being taken back") } else { tr("Being done") }, &plan.target, true);
    let mut lines = step_lines(model, f, plan, Some(steps), inside.width - 2, pen);
    if !note.is_empty() {
        lines.push((String::new(), pen.theme.text()));
        lines.push((format!(" {}  {note}", Mark::Running(model.clock.ms / 100).glyph()), pen.theme.accent()));
    }
    pen.lines(Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height), &lines, f.scroll);
}

fn ended(
    model: &Model,
    f: &Fixing,
    result: &crate::engine::event::RepairResult,
    steps: &[StepRow],
    pen: &mut Pen,
    area: Rect,
) {
    let theme = pen.theme;
    let inside = pen.frame(area, tr("What happened"), &result.plan.target, true);
    let room = inside.width - 2;
    let mut lines = step_lines(model, f, &result.plan, Some(steps), room, pen);
    lines.push((String::new(), theme.text()));
    match &result.outcome {
        RepairOutcome::Fixed { login: true } => {
            wrapped(
                &mut lines,
                tr("✓ FIXED: the checks pass, and the login works."),
                room,
                " ",
                theme.good().add_modifier(ratatui::style::Modifier::BOLD),
            );
            if let Some(after) = &result.after {
                lines.push((String::new(), theme.text()));
                wrapped(&mut lines, &crate::engine::report::ssh_command(&after.facts), room, "    ", theme.code());
            }
        }
        RepairOutcome::Fixed { login: false } => {
            wrapped(
                &mut lines,
                tr("✓ FIXED: the checks that raised the cause pass now."),
                room,
                " ",
                theme.good().add_modifier(ratatui::style::Modifier::BOLD),
            );
            if let Some(next) = result.after.as_ref().and_then(|a| a.diagnosis.causes.first()) {
                let text = tr_with(
                    "What still stands in the way: {cause}. Enter goes on with it.",
                    &[("cause", &crate::tui::view::diagnosis::cause_title(&next.id))],
                );
                wrapped(&mut lines, &text, room, "    ", theme.text());
            }
        }
        RepairOutcome::NotVerified(why) => {
            wrapped(&mut lines, tr("? APPLIED, not verified"), room, " ", theme.warn());
            wrapped(&mut lines, why, room, "    ", theme.text());
        }
        RepairOutcome::Failed(failure) => {
            wrapped(&mut lines, &tr_with("✗ Could not {doing}", &[("doing", &failure.doing)]), room, " ", theme.bad());
            wrapped(&mut lines, &failure.reason, room, "    ", theme.text());
            if !failure.next.is_empty() {
                wrapped(&mut lines, &tr_with("next: {step}", &[("step", &failure.next)]), room, "    ", theme.accent());
            }
        }
        // Shown as a new plan instead.
        RepairOutcome::Stale(_) => {}
        RepairOutcome::Undone => {
            wrapped(&mut lines, tr("✓ UNDONE: everything of this change is taken back."), room, " ", theme.good());
        }
    }
    let changed = f.compared.as_ref().map(crate::core::report::compare::Compared::brief).unwrap_or_default();
    if !changed.is_empty() {
        lines.push((String::new(), theme.text()));
        lines.push((format!("    {}", tr("What changed")), theme.key()));
        for line in changed {
            wrapped(&mut lines, &line, room, "    ", theme.text());
        }
    }
    if let Some(entry) = &result.entry {
        lines.push((String::new(), theme.text()));
        lines.push((tr_with("    journal entry {entry}", &[("entry", entry)]), theme.muted()));
    }
    pen.lines(Rect::new(inside.x + 1, inside.y, room, inside.height), &lines, f.scroll);
}
