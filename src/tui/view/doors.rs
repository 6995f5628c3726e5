//! Ways in: one row each, open or closed and why, and what taking it costs.

use crate::core::diagnosis::{DoorState, recommended};
use crate::core::told::told;
use crate::core::words::{tr, tr_with};
use crate::tui::model::Model;
use crate::tui::text::wrap;
use crate::tui::theme::Mark;
use crate::tui::update::guided::door_title;
use crate::tui::view::body;
use crate::tui::view::diagnosis::top;
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::Pen;

/// Draws the screen.
pub fn draw(model: &Model, cursor: usize, pen: &mut Pen) {
    let theme = pen.theme;
    let Some(d) = model.diagnosing() else { return };
    top(model, d, pen);
    let doors = d.diagnosis().map(|x| x.doors.as_slice()).unwrap_or_default();
    let take =
        recommended(doors).map(|door| tr_with("take {door}", &[("door", &door_title(&door.id))])).unwrap_or_default();
    let inside = pen.frame(body(pen), tr("Ways in"), &take, true);
    if doors.is_empty() {
        pen.put(inside.x + 2, inside.y + 1, inside.width - 4, tr("Not known yet."), theme.muted());
    }
    // Three lines a door, so that nothing is cut: name and state, why, cost.
    let room = usize::from(inside.height / 3).max(1);
    let offset = cursor.saturating_sub(room - 1);
    for (line, door) in doors.iter().skip(offset).take(room).enumerate() {
        let y = inside.y + (line * 3) as u16;
        let (mark, word) = match door.state {
            DoorState::Open => (Mark::Pass, tr("open")),
            DoorState::Closed => (Mark::Fail, tr("closed")),
            DoorState::Unknown => (Mark::Unknown, tr("unknown")),
        };
        pen.mark(inside.x + 2, y, mark);
        pen.put(inside.x + 4, y, 27, door_title(&door.id), theme.strong());
        pen.put(inside.x + 32, y, 8, word, theme.mark(mark));
        pen.put(inside.x + 41, y, inside.width - 42, &told(&door.cost), theme.muted());
        for (nth, why) in wrap(&told(&door.why), usize::from(inside.width) - 5).iter().take(2).enumerate() {
            pen.put(inside.x + 4, y + 1 + nth as u16, inside.width - 5, why, theme.text());
        }
        let room_for_more = usize::from(inside.height) > doors.len().min(room) * 3;
        if let (true, true, Some(command)) = (offset + line == cursor, room_for_more, &door.command) {
            let bottom = inside.y + inside.height - 1;
            pen.put(inside.x + 4, bottom, inside.width - 5, command, theme.code());
        }
        if offset + line == cursor {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, selected_style(theme, true));
        }
    }
    pen.more(inside, offset > 0, offset + room < doors.len());
}
