//! The diagnosis, triage: path, checks as they arrive, the telling one explained, and at the
//! bottom the cause with the key that fixes it.

use crate::core::catalogue;
use crate::core::cause::Certainty;
use crate::core::check::CheckResult;
use crate::core::diagnosis::Overall;
use crate::core::series::Series;
use crate::core::told::told;
use crate::core::words::{tr, tr_with};
use crate::core::{fixes, rules};
use crate::engine::event::{ProbeState, Snapshot};
use crate::tui::layout::WIDE;
use crate::tui::model::{Diagnosing, Model};
use crate::tui::text::{fit_middle, of_limit, seconds, width, wrap};
use crate::tui::theme::{Mark, Theme};
use crate::tui::update::diagnosis::{Choice, choices, listed, progress, question_here, running_probe, selected};
use crate::tui::update::start::symptom_title;
use crate::tui::view::path;
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::{Pen, header, risk_style, risk_words, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the screen.
pub fn draw(model: &Model, d: &Diagnosing, pen: &mut Pen) {
    top(model, d, pen);
    let hops = d.diagnosis().map(|x| x.path.as_slice()).unwrap_or_default();
    path::draw(pen, 1, hops, d.finished());
    let panel = panel(model, d, pen.area.width);
    let bottom = pen.area.height - 1;
    let panel_top = bottom - panel.len() as u16;
    let boxes = Rect::new(0, 4, pen.area.width, panel_top - 4);
    if let Some(snapshot) = &d.snapshot {
        let left = if pen.area.width >= WIDE { pen.area.width * 2 / 5 } else { 40 };
        checks(model, d, snapshot, pen, Rect::new(0, boxes.y, left, boxes.height));
        detail(model, d, snapshot, pen, Rect::new(left, boxes.y, boxes.width - left, boxes.height));
    } else {
        pen.frame(boxes, tr("Checks"), "", true);
        pen.put(2, boxes.y + 1, boxes.width - 4, tr("Starting …"), pen.theme.muted());
    }
    for (at, line) in panel.iter().enumerate() {
        let spans: Vec<(&str, Style)> = line.left.iter().map(|(t, s)| (t.as_str(), role(pen, *s))).collect();
        let y = panel_top + at as u16;
        let right = width(&line.right.0) as u16;
        let room = pen.area.width - 2 - if right > 0 { right + 2 } else { 0 };
        pen.spans(1, y, room, &spans);
        if right > 0 {
            pen.put_right(pen.area.width - 1, y, right, &line.right.0, role(pen, line.right.1));
        }
    }
}

/// The header: target, symptom, time, calls.
pub fn top(model: &Model, d: &Diagnosing, pen: &mut Pen) {
    let theme = pen.theme;
    let facts = d.snapshot.as_ref().map(|s| &*s.facts);
    let target = &d.request.target;
    let user = facts.and_then(rules::login_user).or_else(|| target.user.clone());
    let address = facts.and_then(crate::core::facts::Facts::address).or(target.address);
    let port = facts.map_or(target.port.unwrap_or(22), crate::core::facts::Facts::port);
    let place = match (user, address) {
        (Some(user), Some(address)) if address.is_ipv6() => format!("{user}@[{address}]:{port}"),
        (Some(user), Some(address)) => format!("{user}@{address}:{port}"),
        (None, Some(address)) => format!("{address}:{port}"),
        (Some(user), None) => format!("{user}@…"),
        (None, None) => String::new(),
    };
    let key = target.keys.first().map(|k| k.rsplit('/').next().unwrap_or(k).to_owned()).unwrap_or_default();
    let symptom = d.diagnosis().and_then(|x| x.symptom.as_deref()).or(d.request.symptom.as_deref());
    let symptom = symptom.map(|s| symptom_title(Some(s))).unwrap_or_default();
    let calls = d.snapshot.as_ref().map_or(0, |s| s.api_calls);
    let cancelled = d.snapshot.as_ref().is_some_and(|s| s.cancelled);
    let time =
        format!("{}  {calls} {} ", seconds(d.elapsed(model.clock)), if calls == 1 { tr("call") } else { tr("calls") });
    let state = if cancelled { tr("stopped  ") } else { "" };
    let guided = if model.guided { tr("guided  ") } else { "" };
    let label = format!(" {} ", crate::tui::text::fit(&crate::tui::text::safe(&d.label), 24));
    header(
        pen,
        &[(&label, theme.badge()), (&place, theme.strong()), (&key, theme.text()), (symptom, theme.warn())],
        &[(guided, theme.key()), (state, theme.warn()), (&time, theme.muted())],
    );
}

fn checks(model: &Model, d: &Diagnosing, snapshot: &Snapshot, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let rows: Vec<&CheckResult> = listed(snapshot).collect();
    let current = selected(d, snapshot).map(|c| c.id.as_str());
    let cursor = rows.iter().position(|c| Some(c.id.as_str()) == current).unwrap_or(0);
    let hidden = snapshot.diagnosis.checks.len() - rows.len();
    let open = rows.iter().filter(|c| matches!(progress(snapshot, c), Mark::Waiting | Mark::Running(_))).count();
    let note = match (snapshot.finished, open, hidden) {
        (false, n, _) if n > 0 => tr_with("{done} of {total}", &[("done", &(rows.len() - n)), ("total", &rows.len())]),
        (true, _, 1) => tr("1 does not apply").to_owned(),
        (true, _, n) if n > 0 => tr_with("{count} do not apply", &[("count", &n)]),
        _ => String::new(),
    };
    let inside = pen.frame(area, tr("Checks"), &note, true);
    let height = usize::from(inside.height);
    // The selected row stays in the middle third, so that what comes before and after is seen.
    let offset = cursor.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    for (line, check) in rows.iter().skip(offset).take(height).enumerate() {
        let y = inside.y + line as u16;
        let mark = match progress(snapshot, check) {
            Mark::Running(_) => Mark::Running(model.clock.ms / 100),
            other => other,
        };
        let title = catalogue::get().checks.get(&check.id).map_or(check.id.as_str(), |w| w.title.as_str());
        let mut right = right_of(model, d, snapshot, check, mark);
        let room = inside.width - 4;
        // A word is worth less than the title; a running time is worth more.
        if !matches!(mark, Mark::Running(_)) && width(title) + width(&right) + 2 > usize::from(room) {
            right.clear();
        }
        let right_width = width(&right) as u16;
        let title_room = room - if right.is_empty() { 0 } else { right_width + 1 };
        let style = match mark {
            Mark::Fail => theme.bad(),
            Mark::Waiting | Mark::Skipped => theme.muted(),
            _ => theme.text(),
        };
        pen.mark(inside.x + 1, y, mark);
        pen.put(inside.x + 3, y, title_room, title, style);
        if !right.is_empty() {
            pen.put_right(inside.right() - 1, y, right_width, &right, theme.muted());
        }
        if Some(check.id.as_str()) == current {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, selected_style(theme, true));
        }
    }
    pen.more(inside, offset > 0, offset + height < rows.len());
}

/// The word at the right of a check: running time and limit, or why there is no verdict.
fn right_of(model: &Model, d: &Diagnosing, snapshot: &Snapshot, check: &CheckResult, mark: Mark) -> String {
    match mark {
        Mark::Running(_) => running_probe(snapshot, &check.id)
            .map(|(_, since, limit)| of_limit(d.elapsed(model.clock).saturating_sub(since), limit))
            .unwrap_or_default(),
        Mark::Skipped => tr("skipped").to_owned(),
        Mark::Unknown => tr("cannot tell").to_owned(),
        Mark::Fail if check.id == "tcp-port" => match snapshot.facts.wire.tcp.value() {
            Some(crate::core::facts::wire::Tcp::TimedOut { .. }) => tr("timed out").to_owned(),
            Some(crate::core::facts::wire::Tcp::Refused { .. }) => tr("refused").to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Verdict in a word.
pub fn mark_word(mark: Mark) -> &'static str {
    match mark {
        Mark::Pass => tr("yes"),
        Mark::Fail => tr("no"),
        Mark::Unknown => tr("cannot tell"),
        Mark::Skipped => tr("skipped"),
        Mark::Waiting => tr("waiting"),
        Mark::Running(_) => tr("running"),
        Mark::Warn => tr("note"),
    }
}

fn detail(model: &Model, d: &Diagnosing, snapshot: &Snapshot, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let Some(check) = selected(d, snapshot) else {
        pen.frame(area, "", "", false);
        return;
    };
    let mark = progress(snapshot, check);
    let words = catalogue::get().checks.get(&check.id);
    let title = words.map_or(check.id.as_str(), |w| w.title.as_str());
    let inside = pen.frame(area, title, mark_word(mark), false);
    let inner = Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height);
    let mut lines: Vec<(String, Style)> = Vec::new();
    match mark {
        Mark::Running(_) => {
            if let Some((probe, since, limit)) = running_probe(snapshot, &check.id) {
                let elapsed = d.elapsed(model.clock).saturating_sub(since);
                wrapped(&mut lines, &probe_words(snapshot, probe), inner.width, "", theme.accent());
                lines.push((format!("  {}", of_limit(elapsed, limit)), theme.strong()));
            }
        }
        Mark::Waiting => {
            wrapped(&mut lines, tr("Waits for what it needs to know first."), inner.width, "", theme.muted());
        }
        _ => {
            let style = if mark == Mark::Fail { theme.strong() } else { theme.text() };
            let reason = check.reason.trim_start_matches("cannot tell: ");
            wrapped(&mut lines, &told(reason), inner.width, "  ", style);
            if let Some(first) = lines.first_mut() {
                first.0.replace_range(..1, mark.glyph());
            }
            for evidence in &check.evidence {
                if !check.reason.contains(&evidence.text) {
                    wrapped(&mut lines, &told(&evidence.text), inner.width, "  ", theme.text());
                }
                wrapped(
                    &mut lines,
                    &tr_with("seen in {source}", &[("source", &told(&evidence.source))]),
                    inner.width,
                    "  ",
                    theme.muted(),
                );
            }
        }
    }
    if !matches!(mark, Mark::Running(_) | Mark::Waiting) {
        // Bars are not wrapped: the end of the line is cut before one of them would be.
        let numbers = d.numbers(&check.id);
        lines.extend(numbers.iter().flat_map(|s| numbers_of(s, inner.width, theme.accent(), theme.muted())));
    }
    if let Some(words) = words {
        let head = theme.key();
        let by_hand = crate::core::report::fill(&words.by_hand, &snapshot.facts);
        let sections = [
            (tr("Why it matters"), &words.why, theme.text()),
            (tr("A pass rules out"), &words.rules_out, theme.text()),
            (tr("By hand"), &by_hand, theme.code()),
        ];
        for (name, text, style) in sections.into_iter().filter(|(_, text, _)| !text.is_empty()) {
            lines.push((String::new(), theme.text()));
            lines.push((name.to_owned(), head));
            wrapped(&mut lines, text, inner.width, "", style);
        }
        team_lines(&mut lines, &words.added, inner.width, theme);
    }
    pen.lines(inner, &lines, d.detail_scroll);
}

/// A number over time: its bars, and below them what they go from and to.
pub fn numbers_of(series: &Series, room: u16, bars: Style, words: Style) -> Vec<(String, Style)> {
    let line = format!("  {}", series.line(false));
    if width(&line) <= usize::from(room) {
        return vec![(line, bars)];
    }
    let drawn = series.bars(false);
    let (name, rest) = line.split_once(&drawn).unwrap_or((&line, ""));
    vec![(format!("{name}{drawn}"), bars), (format!("  {rest}"), words)]
}

/// What the team adds, under headings of its own.
pub fn team_lines(lines: &mut Vec<(String, Style)>, added: &catalogue::Added, width: u16, theme: Theme) {
    let head = |lines: &mut Vec<(String, Style)>, name: &str| {
        lines.push((String::new(), theme.text()));
        lines.push((name.to_owned(), theme.key()));
    };
    if !added.next.is_empty() {
        head(lines, tr("Your team says"));
        added.next.iter().for_each(|step| wrapped(lines, step, width, "", theme.text()));
    }
    if let Some(link) = &added.runbook {
        head(lines, tr("Your team's runbook"));
        wrapped(lines, link, width, "", theme.code());
    }
}

fn probe_words(snapshot: &Snapshot, probe: crate::core::probe::ProbeId) -> String {
    match (probe, snapshot.facts.address()) {
        (crate::core::probe::ProbeId::Tcp, Some(a)) if a.is_ipv6() => {
            tr_with("TCP connect to [{address}]:{port}", &[("address", &a), ("port", &snapshot.facts.port())])
        }
        (crate::core::probe::ProbeId::Tcp, Some(a)) => {
            tr_with("TCP connect to {address}:{port}", &[("address", &a), ("port", &snapshot.facts.port())])
        }
        _ => tr(probe.title()).to_owned(),
    }
}

/// What a piece of the panel means; turned into a style when drawn.
#[derive(Debug, Clone, Copy)]
enum Role {
    Text,
    Strong,
    Muted,
    Key,
    Good,
    Bad,
    Warn,
    Code,
    Risk(crate::core::plan::Risk),
}

fn role(pen: &Pen, role: Role) -> Style {
    let theme = pen.theme;
    match role {
        Role::Text => theme.text(),
        Role::Strong => theme.strong(),
        Role::Muted => theme.muted(),
        Role::Key => theme.key(),
        Role::Good => theme.good().add_modifier(ratatui::style::Modifier::BOLD),
        Role::Bad => theme.bad(),
        Role::Warn => theme.warn(),
        Role::Code => theme.code(),
        Role::Risk(risk) => risk_style(theme, risk),
    }
}

struct PanelLine {
    left: Vec<(String, Role)>,
    right: (String, Role),
}

fn line(left: Vec<(String, Role)>) -> PanelLine {
    PanelLine { left, right: (String::new(), Role::Text) }
}

/// The lines at the bottom: the question, or the answer and what can be done.
fn panel(model: &Model, d: &Diagnosing, columns: u16) -> Vec<PanelLine> {
    let room = usize::from(columns) - 4;
    if let Some(check) = &d.ask {
        return question(check, room);
    }
    let Some(snapshot) = &d.snapshot else {
        return vec![line(vec![(tr("Looking …").to_owned(), Role::Strong)]), line(vec![])];
    };
    let diagnosis = &snapshot.diagnosis;
    let mut out = match (diagnosis.overall, diagnosis.causes.get(d.cause)) {
        (Overall::Healthy, _) => healthy(d, snapshot),
        (_, Some(_)) => cause(d, snapshot, room),
        (_, None) if !snapshot.finished => looking(model, d, snapshot),
        (_, None) => inconclusive(snapshot, room),
    };
    if snapshot.finished
        && d.ask.is_none()
        && question_here(d, false).is_some()
        && diagnosis.overall != Overall::Healthy
    {
        out.push(line(vec![
            ("a".to_owned(), Role::Key),
            (tr(" answer the selected check yourself").to_owned(), Role::Muted),
        ]));
    }
    out
}

fn question(check: &str, room: usize) -> Vec<PanelLine> {
    let words = catalogue::get().checks.get(check);
    let text = words.and_then(|w| w.question.clone()).unwrap_or_default();
    let mut out = vec![line(vec![
        (tr(" QUESTION ").to_owned(), Role::Key),
        (tr("  no probe could tell; your answer makes it likely, never proven").to_owned(), Role::Muted),
    ])];
    out.extend(wrap(&text, room).into_iter().map(|l| line(vec![(l, Role::Strong)])));
    out.push(line(vec![
        ("y".to_owned(), Role::Key),
        (tr(" yes    ").to_owned(), Role::Text),
        ("n".to_owned(), Role::Key),
        (tr(" no    ").to_owned(), Role::Text),
        ("d".to_owned(), Role::Key),
        (tr(" don't know").to_owned(), Role::Text),
    ]));
    out
}

fn healthy(d: &Diagnosing, snapshot: &Snapshot) -> Vec<PanelLine> {
    let command = crate::engine::report::ssh_command(&snapshot.facts);
    let proof = match snapshot.facts.wire.offers.iter().find(|o| o.answer.key_is_known()) {
        Some(offer) => tr_with(
            "the server takes {key} for {user}",
            &[("key", &offer.key.as_deref().unwrap_or(tr("the key"))), ("user", &offer.user)],
        ),
        None => tr("nothing stands in the way").to_owned(),
    };
    let _ = d;
    vec![
        PanelLine {
            left: vec![(tr("LOGIN WORKS").to_owned(), Role::Good), (format!("   {proof}"), Role::Text)],
            right: (String::new(), Role::Text),
        },
        line(vec![("  ".to_owned(), Role::Text), (command, Role::Code)]),
        line(vec![
            ("1 Enter".to_owned(), Role::Key),
            (tr("  copy this command, and paste it into your shell").to_owned(), Role::Text),
        ]),
    ]
}

fn cause(d: &Diagnosing, snapshot: &Snapshot, room: usize) -> Vec<PanelLine> {
    let causes = &snapshot.diagnosis.causes;
    let Some(finding) = causes.get(d.cause) else { return Vec::new() };
    let title = cause_title(&finding.id);
    let (word, style) = match finding.certainty {
        Certainty::Proven => (tr("CAUSE proven"), Role::Bad),
        Certainty::Likely => (tr("MOST LIKELY"), Role::Warn),
        Certainty::Possible => (tr("POSSIBLE"), Role::Warn),
    };
    let which = if causes.len() > 1 {
        tr_with("{done} of {total}", &[("done", &(d.cause + 1)), ("total", &causes.len())])
    } else {
        String::new()
    };
    let mut out = vec![PanelLine {
        left: vec![(word.to_owned(), style), ("  ".to_owned(), Role::Text), (title, Role::Strong)],
        right: (which, Role::Muted),
    }];
    if let Some(evidence) = finding.evidence.first() {
        let text = format!("{}  ({})", told(&evidence.text), told(&evidence.source));
        let lines = wrap(&text, room - 2);
        let cut = lines.len() > 2;
        for (at, part) in lines.into_iter().take(2).enumerate() {
            let part = if cut && at == 1 { format!("{} …", crate::tui::text::fit(&part, room - 4)) } else { part };
            out.push(line(vec![(format!("  {part}"), Role::Text)]));
        }
    }
    if let Some(proof) = finding.would_prove.as_ref().filter(|_| finding.certainty != Certainty::Proven) {
        out.push(line(vec![(tr("  would prove it: ").to_owned(), Role::Muted), (proof.clone(), Role::Text)]));
    }
    for (at, choice) in choices(d).iter().enumerate() {
        out.push(choice_line(at, choice));
    }
    if let Some(added) = catalogue::get().causes.get(&finding.id).map(|w| &w.added) {
        let label = tr("your team: ");
        // One step has room here; `?` and the explanation show them all.
        let step = added.next.first().map(|step| crate::tui::text::fit(step, room - width(label)).into_owned());
        for text in step.into_iter().chain(added.runbook.clone()) {
            out.push(line(vec![(label.to_owned(), Role::Key), (text, Role::Text)]));
        }
    }
    let then: Vec<String> = causes.iter().skip(d.cause + 1).map(|c| cause_title(&c.id)).collect();
    if !then.is_empty() {
        out.push(line(vec![
            (tr("then: ").to_owned(), Role::Warn),
            (then.join("; "), Role::Text),
            ("   n".to_owned(), Role::Key),
            (tr(" next cause").to_owned(), Role::Muted),
        ]));
    }
    out
}

/// A choice with its number, words and risk.
fn choice_line(at: usize, choice: &Choice) -> PanelLine {
    let number = if at == 0 { "1 Enter  ".to_owned() } else { format!("{}        ", at + 1) };
    let fixes = &catalogue::get().fixes;
    let (text, right) = match choice {
        Choice::TryAs(user) => {
            (tr_with("try again as {user}", &[("user", user)]), (tr("nothing is changed").to_owned(), Role::Good))
        }
        Choice::Fix(id) => {
            let words = fixes.get(id);
            let risk = words.map_or((String::new(), Role::Text), |w| {
                (risk_words(w.risk, w.downtime, w.reversible), Role::Risk(w.risk))
            });
            (words.map_or_else(|| id.clone(), |w| w.title.clone()), risk)
        }
        Choice::Enter(id, _) => (
            fixes.get(id).map_or_else(|| id.clone(), |w| w.title.clone()),
            (tr("changes nothing").to_owned(), Role::Good),
        ),
        Choice::ByHand(id) => {
            (fixes.get(id).map_or_else(|| id.clone(), |w| w.title.clone()), (tr("by hand").to_owned(), Role::Muted))
        }
        Choice::Explain => (tr("What to do about it").to_owned(), (tr("by hand").to_owned(), Role::Muted)),
        Choice::CopyLogin => (tr("copy the ssh command").to_owned(), (String::new(), Role::Text)),
    };
    PanelLine { left: vec![(number, Role::Key), (text, Role::Text)], right }
}

fn looking(model: &Model, d: &Diagnosing, snapshot: &Snapshot) -> Vec<PanelLine> {
    let needed = snapshot.probes.iter().filter(|(_, s)| *s != ProbeState::NotNeeded).count();
    let ended = snapshot.probes.iter().filter(|(_, s)| matches!(s, ProbeState::Ended { .. })).count();
    let slowest = snapshot.probes.iter().filter_map(|(id, s)| match s {
        ProbeState::Running { since_ms, limit_ms, .. } => Some((*id, *since_ms, *limit_ms)),
        _ => None,
    });
    let slowed = snapshot.probes.iter().any(|(_, s)| matches!(s, ProbeState::Running { slowed: true, .. }));
    let mut out = vec![line(vec![
        (tr("Looking …  ").to_owned(), Role::Strong),
        (tr_with("{done} of {total} answered", &[("done", &ended), ("total", &needed)]), Role::Muted),
        ((if slowed { tr("   waiting: AWS asks to slow down") } else { "" }).to_owned(), Role::Text),
    ])];
    let wait = match slowest.max_by_key(|(_, since, limit)| since + limit) {
        Some((probe, since, limit)) => {
            let elapsed = d.elapsed(model.clock).saturating_sub(since);
            line(vec![
                (format!("  {}   ", probe_words(snapshot, probe)), Role::Text),
                (of_limit(elapsed, limit), Role::Key),
            ])
        }
        None => line(vec![]),
    };
    out.push(wait);
    out
}

fn inconclusive(snapshot: &Snapshot, room: usize) -> Vec<PanelLine> {
    let missing: Vec<&CheckResult> = listed(snapshot).filter(|c| progress(snapshot, c) == Mark::Unknown).collect();
    let head = if snapshot.cancelled { tr("STOPPED") } else { tr("NO CAUSE FOUND") };
    let note = match missing.len() {
        0 => tr("  every check that could be made is fine").to_owned(),
        1 => tr("  one check could not be decided:").to_owned(),
        n => tr_with("  {count} checks could not be decided:", &[("count", &n)]),
    };
    let mut out = vec![line(vec![(head.to_owned(), Role::Warn), (note, Role::Text)])];
    // One missing permission often hides several checks: said once.
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for check in &missing {
        let reason = check.reason.trim_start_matches("cannot tell: ");
        match reasons.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons.iter().take(3) {
        let checks =
            if *count == 1 { tr("1 check:  ").to_owned() } else { tr_with("{count} checks: ", &[("count", count)]) };
        out.push(line(vec![
            ("  ? ".to_owned(), Role::Warn),
            (checks, Role::Muted),
            (fit_middle(&told(reason), room - 14), Role::Text),
        ]));
    }
    if reasons.len() > 3 {
        out.push(line(vec![(
            tr_with("    and {count} more reasons; ↑↓ shows them", &[("count", &(reasons.len() - 3))]),
            Role::Muted,
        )]));
    }
    if snapshot.cancelled {
        out.push(line(vec![("r".to_owned(), Role::Key), (tr(" runs the checks again").to_owned(), Role::Muted)]));
    }
    out
}

/// A cause in one line.
pub fn cause_title(id: &str) -> String {
    catalogue::get().causes.get(id).map_or_else(|| id.to_owned(), |c| c.title.clone())
}

/// Whether a fix can be applied here.
pub fn applicable(id: &str) -> bool {
    fixes::applicable(id)
}
