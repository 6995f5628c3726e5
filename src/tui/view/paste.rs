//! What was recognised in a paste, and what Enter will do with it.

use crate::core::words::{tr, tr_with};
use crate::tui::layout::popup;
use crate::tui::model::{Model, PasteBox};
use crate::tui::text::width;
use crate::tui::update::paste::host_of;
use crate::tui::update::start::symptom_title;
use crate::tui::view::widgets::{Pen, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

fn client(name: &str) -> &str {
    match name {
        "openssh" => "OpenSSH",
        "putty" | "plink" => "PuTTY",
        "unknown" | "" => tr("A program"),
        other => other,
    }
}

/// Puts items on lines, as many as fit, none torn where it fits on a line of its own.
fn packed(lines: &mut Vec<(String, Style)>, items: &[String], room: u16, style: Style) {
    let mut line = String::new();
    for item in items {
        if !line.is_empty() && width(&line) + 3 + width(item) > usize::from(room) - 2 {
            wrapped(lines, &std::mem::take(&mut line), room, "  ", style);
        }
        if !line.is_empty() {
            line.push_str("   ");
        }
        line.push_str(item);
    }
    if !line.is_empty() {
        wrapped(lines, &line, room, "  ", style);
    }
}

/// Draws the popup.
pub fn draw(model: &Model, paste: &PasteBox, pen: &mut Pen) {
    let theme = pen.theme;
    let columns = pen.area.width.min(92) - 4;
    let room = columns - 4;
    let found = &paste.found;
    let known = found.symptom != "other";
    let mut lines: Vec<(String, Style)> = Vec::new();
    let title = match (known, &found.command) {
        (true, _) => format!("{}: {}", client(&found.client), symptom_title(Some(&found.symptom))),
        (false, Some(_)) => tr("An ssh command").to_owned(),
        (false, None) => tr("No error message is recognised in this text").to_owned(),
    };
    wrapped(&mut lines, &title, room, "", theme.strong());
    lines.push((String::new(), theme.text()));
    let target = paste.target.as_ref();
    let mut facts: Vec<String> = Vec::new();
    facts.extend(
        target
            .and_then(|t| t.user.clone())
            .or_else(|| found.extract.user.clone())
            .map(|u| tr_with("user {name}", &[("name", &u)])),
    );
    let row = paste.matched.as_ref().and_then(|id| model.start.by_id.get(id)).and_then(|at| model.start.rows.get(*at));
    match (host_of(found), row) {
        (Some(host), Some(row)) if host == row.instance.id => {
            facts.push(tr_with("instance {name}", &[("name", &row.instance.label())]));
        }
        (Some(host), Some(row)) => {
            facts.push(tr_with("host {host} → {name}", &[("host", &host), ("name", &row.instance.label())]));
        }
        (Some(host), None) => facts.push(tr_with("host {host}", &[("host", &host)])),
        (None, _) => {}
    }
    facts.extend(target.and_then(|t| t.port).or(found.extract.port).map(|p| tr_with("port {port}", &[("port", &p)])));
    packed(&mut lines, &facts, room, theme.text());
    let keys = target.map(|t| t.keys.join(", ")).unwrap_or_default();
    let mut more: Vec<String> = Vec::new();
    if !keys.is_empty() {
        more.push(tr_with("key {key}", &[("key", &keys)]));
    }
    more.extend(found.extract.key_mode.as_ref().map(|m| tr_with("mode {mode}", &[("mode", m)])));
    more.extend(found.extract.methods.as_ref().map(|m| {
        let methods = if m.is_empty() { tr("nothing").to_owned() } else { m.join(", ") };
        tr_with("server still offers: {methods}", &[("methods", &methods)])
    }));
    packed(&mut lines, &more, room, theme.text());
    if let Some(note) = &paste.note {
        wrapped(&mut lines, &format!("! {note}"), room, "  ", theme.warn());
    }
    if known && !found.explanation.is_empty() {
        lines.push((String::new(), theme.text()));
        wrapped(&mut lines, &found.explanation, room, "", theme.text());
    }
    if !found.evidence.is_empty() && known {
        lines.push((String::new(), theme.text()));
        for line in found.evidence.iter().take(3) {
            lines.push((
                format!("  {}", crate::tui::text::fit(&crate::tui::text::safe(line), usize::from(room) - 2)),
                theme.muted(),
            ));
        }
    }
    lines.push((String::new(), theme.text()));
    let next = match (target, row) {
        (Some(_), Some(row)) => {
            tr_with("Enter diagnoses {name}", &[("name", &row.instance.name.as_deref().unwrap_or(&row.instance.id))])
        }
        (Some(t), None) => {
            let same = model.diagnosing().filter(|d| d.request.target.name == t.name);
            tr_with("Enter diagnoses {name}", &[("name", &same.map_or(t.name.as_str(), |d| d.label.as_str()))])
        }
        (None, _) => tr("It names no single instance. Enter lets you choose one").to_owned(),
    };
    wrapped(&mut lines, &next, room, "", theme.accent());
    let area = popup((pen.area.width, pen.area.height), columns, lines.len() as u16 + 2);
    pen.clear(area);
    let inside = pen.frame(area, tr("Recognised"), "", true);
    pen.lines(Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height), &lines, 0);
}
