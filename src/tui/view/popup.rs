//! Small popups: text entry, login details, something to read, leave.

use crate::core::words::{tr, tr_with};
use crate::engine::failure::Failure;
use crate::engine::report::Form as ReportForm;
use crate::tui::layout::popup;
use crate::tui::model::{Form, Model, Part, Reading};
use crate::tui::text::wrap;
use crate::tui::view::widgets::{Pen, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the box in which a text is typed.
pub fn entry(text: &str, pen: &mut Pen) {
    let theme = pen.theme;
    let area = popup((pen.area.width, pen.area.height), pen.area.width - 8, 16);
    pen.clear(area);
    let inside = pen.frame(area, tr("Type or paste what you saw"), "", true);
    let inner = Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height);
    if text.is_empty() {
        let hint = tr(
            "An error message, an ssh command such as ssh -i key.pem ec2-user@203.0.113.7, an address or an instance id. An empty line or Ctrl-D ends the text.",
        );
        pen.paragraph(Rect::new(inner.x, inner.y + 2, inner.width, inner.height - 2), hint, theme.muted());
    }
    let mut lines: Vec<(String, Style)> = Vec::new();
    wrapped(&mut lines, &format!("{text}▌"), inner.width, "", theme.text());
    let rows = usize::from(inner.height);
    let skip = lines.len().saturating_sub(rows);
    pen.lines(inner, &lines, skip);
}

/// Draws the login details.
pub fn form(form: &Form, pen: &mut Pen) {
    let theme = pen.theme;
    let area = popup((pen.area.width, pen.area.height), 74, form.fields.len() as u16 * 2 + 3);
    pen.clear(area);
    let inside = pen.frame(area, tr("Login details"), "", true);
    for (at, field) in form.fields.iter().enumerate() {
        let y = inside.y + at as u16 * 2;
        let here = at == form.cursor;
        if here {
            pen.put(inside.x, y, 1, "▸", theme.key());
        }
        pen.put(inside.x + 2, y, 13, tr(field.label), if here { theme.strong() } else { theme.text() });
        let room = inside.width - 17;
        let x = inside.x + 16;
        if field.value.is_empty() && !here {
            pen.put(x, y, room, tr(field.hint), theme.muted());
        } else {
            // The end of a long value is where one types.
            let value = crate::tui::text::fit_end(&field.value, usize::from(room) - 1);
            let used = pen.put(x, y, room, value, theme.code());
            if here {
                pen.put(x + used, y, 1, "▌", theme.key());
                pen.put(x, y + 1, room, tr(field.hint), theme.muted());
            }
        }
    }
    if let Some(error) = &form.error {
        pen.put(inside.x + 2, inside.bottom() - 1, inside.width - 3, &format!("✗ {error}"), theme.bad());
    }
}

/// Draws something to read.
pub fn read(reading: &Reading, pen: &mut Pen) {
    let theme = pen.theme;
    let columns = pen.area.width.min(100) - 4;
    let room = columns - 4;
    let mut lines: Vec<(String, Style)> = Vec::new();
    for (at, part) in reading.parts.iter().enumerate() {
        match part {
            Part::Head(text) => {
                if at > 0 {
                    lines.push((String::new(), theme.text()));
                }
                lines.push((text.clone(), theme.key()));
            }
            Part::Text(text) => wrapped(&mut lines, text, room, "", theme.text()),
            Part::Code(text) => wrapped(&mut lines, text, room, "  ", theme.code()),
        }
    }
    let area = popup((pen.area.width, pen.area.height), columns, lines.len() as u16 + 2);
    pen.clear(area);
    let inside = pen.frame(area, &reading.title, "", true);
    pen.lines(Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height), &lines, reading.scroll);
}

/// Draws the question before leaving in the middle of a change.
pub fn leave(model: &Model, pen: &mut Pen) {
    if model.is_in_session() {
        let text = tr("A session runs in the pane. It ends when you leave, with what runs in its foreground.");
        return question(pen, tr("Leave now?"), text, tr("leave"), tr("stay"));
    }
    let text = tr(
        "A change is being made right now. When you leave, it may stop in the middle; the journal knows how far it came, and port22 undo looks at it before it takes anything back.",
    );
    question(pen, tr("Leave now?"), text, tr("leave"), tr("stay"));
}

/// Draws the question before a session is ended.
pub fn end_shell(pen: &mut Pen) {
    let text = tr("The session still runs. Leaving ends it, with what runs in its foreground.");
    question(pen, tr("End the session?"), text, tr("end it"), tr("stay"));
}

/// Draws a failure: what could not be done, why, and what to do next.
pub fn failure(failure: &Failure, pen: &mut Pen) {
    let theme = pen.theme;
    let columns = pen.area.width.min(84) - 8;
    let room = columns - 4;
    let mut lines: Vec<(String, Style)> = Vec::new();
    wrapped(&mut lines, &failure.reason, room, "", theme.text());
    if !failure.next.is_empty() {
        lines.push((String::new(), theme.text()));
        wrapped(&mut lines, &tr_with("next: {step}", &[("step", &failure.next)]), room, "", theme.accent());
    }
    let area = popup((pen.area.width, pen.area.height), columns, lines.len() as u16 + 2);
    pen.clear(area);
    let inside = pen.frame(area, &tr_with("✗ Could not {doing}", &[("doing", &failure.doing)]), "", true);
    pen.lines(Rect::new(inside.x + 1, inside.y, inside.width - 2, inside.height), &lines, 0);
}

/// Draws the question before a look inside the operating system.
pub fn inside(pen: &mut Pen) {
    let text = tr(
        "May port22 look inside the instance? It runs one read-only script as root: through Systems Manager where the agent is online, else over SSH where a login works, else with a key that EC2 Instance Connect lets in for 60 seconds. It also opens a Session Manager session and ends it at once. The script reads sshd's settings, account, login files, firewall and log; it changes nothing and reads no private keys. Systems Manager and CloudTrail note that it ran.",
    );
    question(pen, tr("Look inside?"), text, tr("look inside"), tr("no"));
}

/// The question before a look inside many instances.
pub fn inside_many(pen: &mut Pen) {
    let text = tr(
        "May port22 look inside every running instance whose Systems Manager agent is online? Run Command runs one read-only script on them as root, some at a time. The script reads sshd's settings, account, login files, firewall and log; it changes nothing and reads no private keys. Systems Manager and CloudTrail note that it ran.",
    );
    question(pen, tr("Look inside all of them?"), text, tr("look inside"), tr("no"));
}

/// Draws the choice of the report's form.
pub fn export(model: &Model, pen: &mut Pen) {
    let theme = pen.theme;
    let wanted = model.export;
    let columns = 64;
    let area = popup((pen.area.width, pen.area.height), columns, 8);
    pen.clear(area);
    let inside = pen.frame(area, tr("Report"), "", true);
    let forms = [
        (ReportForm::Markdown, "m", tr("Markdown")),
        (ReportForm::Json, "j", tr("JSON")),
        (ReportForm::Text, "t", tr("text")),
    ];
    let room = inside.width - 2;
    let mut x = inside.x + 1;
    for (form, key, name) in forms {
        let chosen = form == wanted.form;
        let mark = if chosen { "▸" } else { " " };
        let name = format!(" {name}    ");
        let style = if chosen { theme.strong() } else { theme.text() };
        x += pen.spans(
            x,
            inside.y,
            room,
            &[(mark, theme.key()), (" ", theme.text()), (key, theme.key()), (&name, style)],
        );
    }
    let redacted = if wanted.redacted {
        tr("placeholders for account, addresses, ids, names, users, key files")
    } else {
        tr("names, ids and addresses as they are")
    };
    for (at, line) in wrap(redacted, usize::from(room) - 4).iter().enumerate().take(2) {
        let y = inside.y + 2 + at as u16;
        if at == 0 {
            pen.put(inside.x + 1, y, 1, "r", theme.key());
        }
        pen.put(inside.x + 3, y, room - 2, line, if wanted.redacted { theme.strong() } else { theme.text() });
    }
    let y = inside.bottom() - 1;
    let file = format!(" {}     ", wanted.file());
    let copy = format!(" {}", tr("copy"));
    let spans =
        [("Enter", theme.key()), (file.as_str(), theme.text()), ("c", theme.key()), (copy.as_str(), theme.text())];
    pen.spans(inside.x + 1, y, room, &spans);
}

fn question(pen: &mut Pen, title: &str, text: &str, yes: &str, no: &str) {
    let theme = pen.theme;
    let columns = 64;
    let lines = wrap(text, columns - 4);
    let area = popup((pen.area.width, pen.area.height), columns as u16, lines.len() as u16 + 4);
    pen.clear(area);
    let inside = pen.frame(area, title, "", true);
    for (at, line) in lines.iter().enumerate() {
        pen.put(inside.x + 1, inside.y + at as u16, inside.width - 2, line, theme.text());
    }
    let y = inside.bottom() - 1;
    let (yes, no) = (format!(" {yes}     "), format!(" {no}"));
    pen.spans(
        inside.x + 1,
        y,
        inside.width - 2,
        &[("y", theme.key()), (&yes, theme.text()), ("Esc", theme.key()), (&no, theme.text())],
    );
}
