//! The packet path: nine hops in one line, their marks below, the broken one marked.

use crate::core::check::{Hop, HopId, HopState};
use crate::core::told::told;
use crate::core::words::{tr, tr_with};
use crate::tui::layout::WIDE;
use crate::tui::text::width;
use crate::tui::theme::Mark;
use crate::tui::view::widgets::Pen;

/// A hop's name, short or long.
pub fn name(hop: HopId, long: bool) -> &'static str {
    match (hop, long) {
        (HopId::Client, _) => tr("you"),
        (HopId::Internet, _) => tr("internet"),
        (HopId::Igw, false) => tr("igw"),
        (HopId::Igw, true) => tr("internet gateway"),
        (HopId::Route, false) => tr("route"),
        (HopId::Route, true) => tr("route table"),
        (HopId::Nacl, false) => tr("nacl"),
        (HopId::Nacl, true) => tr("network ACL"),
        (HopId::SecurityGroup, false) => tr("sg"),
        (HopId::SecurityGroup, true) => tr("security group"),
        (HopId::Eni, false) => tr("eni"),
        (HopId::Eni, true) => tr("interface"),
        (HopId::Sshd, _) => "sshd",
        (HopId::Auth, _) => tr("login"),
    }
}

/// The mark of a hop; while a run goes on, what is not judged yet is waiting.
fn mark(state: HopState, finished: bool) -> Mark {
    match state {
        HopState::Open => Mark::Pass,
        HopState::Blocked => Mark::Fail,
        HopState::Unknown if finished => Mark::Unknown,
        HopState::Unknown | HopState::NotReached => Mark::Waiting,
    }
}

/// Draws the path in three lines from `y` on: names, marks, and what the first broken hop says.
pub fn draw(pen: &mut Pen, y: u16, path: &[Hop], finished: bool) {
    let all = |long| HopId::ALL.iter().map(|h| width(name(*h, long)) + 3).sum::<usize>();
    // Long names only where all of them have room: in some languages they are longer than the widest screens.
    let long = pen.area.width >= WIDE && all(true) <= usize::from(pen.area.width);
    let state = |hop: HopId| path.iter().find(|h| h.hop == hop).map_or(HopState::NotReached, |h| h.state);
    let names: usize = HopId::ALL.iter().map(|h| width(name(*h, long))).sum();
    let gaps = HopId::ALL.len() - 1;
    let gap = ((usize::from(pen.area.width).saturating_sub(2 + names)) / gaps).clamp(3, 9);
    let total = names + gap * gaps;
    let mut x = (usize::from(pen.area.width).saturating_sub(total) / 2).max(1) as u16;
    let first_broken = HopId::ALL.into_iter().find(|h| state(*h) == HopState::Blocked);
    let mut passed = true;
    let mut free = 0;
    for (at, hop) in HopId::ALL.into_iter().enumerate() {
        let here = state(hop);
        let label = name(hop, long);
        let theme = pen.theme;
        let style = match here {
            HopState::Blocked => theme.bad(),
            HopState::Open => theme.text(),
            HopState::Unknown | HopState::NotReached => theme.muted(),
        };
        let w = width(label) as u16;
        pen.put(x, y, w, label, style);
        let middle = x + w.saturating_sub(1) / 2;
        let sign = mark(here, finished);
        if first_broken == Some(hop) {
            let word = tr("✗ blocked");
            let w = width(word) as u16;
            let begin = middle.saturating_sub(w / 2).min(pen.area.width - w - 1);
            pen.put(begin, y + 1, w, word, theme.bad());
            free = begin + w;
        } else if middle >= free {
            pen.mark(middle, y + 1, sign);
        }
        x += w;
        if at < gaps {
            let blocked = here == HopState::Blocked;
            let line = if blocked {
                let side = (gap - 3) / 2;
                format!(" {}✗{} ", "─".repeat(side), "─".repeat(gap - 3 - side))
            } else if passed {
                format!(" {} ", "─".repeat(gap - 2))
            } else {
                format!(" {} ", "·".repeat(gap - 2))
            };
            let style = if blocked { theme.bad() } else { theme.muted() };
            pen.put(x, y, gap as u16, &line, style);
            passed = passed && !blocked && here == HopState::Open;
            x += gap as u16;
        }
    }
    let unknown = path.iter().find(|h| finished && h.state == HopState::Unknown && !h.detail.is_empty());
    if let (None, Some(hop)) = (first_broken, unknown) {
        let theme = pen.theme;
        let head = format!("{}: ", name(hop.hop, true));
        pen.spans(
            1,
            y + 2,
            pen.area.width - 2,
            &[("? ", theme.warn()), (&head, theme.strong()), (&told(&hop.detail), theme.muted())],
        );
    }
    if let Some(broken) = path.iter().find(|h| Some(h.hop) == first_broken) {
        let theme = pen.theme;
        let more = path.iter().filter(|h| h.state == HopState::Blocked).count() - 1;
        let also = match more {
            0 => String::new(),
            n => {
                if n == 1 {
                    tr("  (and 1 more hop)").to_owned()
                } else {
                    tr_with("  (and {count} more hops)", &[("count", &n)])
                }
            }
        };
        let room = pen.area.width - 2;
        let head = format!("{}: ", name(broken.hop, true));
        pen.spans(
            1,
            y + 2,
            room,
            &[
                ("✗ ", theme.bad()),
                (&head, theme.strong()),
                (&told(&broken.detail), theme.text()),
                (&also, theme.muted()),
            ],
        );
    }
}
