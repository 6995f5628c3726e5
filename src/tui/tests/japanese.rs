//! The screens in Japanese: letters of two cells in frames of one.

use super::sample::*;
use super::screens::all;
use crate::core::words::{Lang, in_language};
use crate::tui::model::Model;
use crate::tui::text::width;

const SMALL: (u16, u16) = (80, 24);

/// A screen made and drawn in Japanese.
fn japanese<T>(run: impl FnOnce() -> T) -> T {
    in_language(Lang::Ja, run)
}

/// Columns of a line where a frame stands.
fn bars(line: &str) -> Vec<usize> {
    let mut at = 0;
    let mut out = Vec::new();
    for c in line.chars() {
        if "│┌┐└┘├┤".contains(c) {
            out.push(at);
        }
        at += width(c.encode_utf8(&mut [0; 4]));
    }
    out
}

#[test]
fn frames_stay_straight_beside_wide_letters() {
    for size in [SMALL, (81, 25), (120, 40), (200, 60)] {
        for (name, model) in japanese(|| all(size)) {
            let english = in_language(Lang::En, || screen(&model));
            let text = japanese(|| screen(&model));
            assert_eq!(text.lines().count(), usize::from(size.1), "{name}");
            for line in text.lines() {
                assert!(width(line) <= usize::from(size.0), "{name}: {line}");
                // Whatever begins with a frame at the left edge ends with it at the right one.
                if line.starts_with(['│', '┌', '└', '├']) {
                    assert_eq!(width(line), usize::from(size.0), "{name}: {line}");
                }
            }
            if name == "start" {
                let columns = |t: &str| t.lines().nth(5).map(bars).unwrap_or_default();
                assert_eq!(columns(&text), columns(&english), "{name}");
            }
        }
    }
}

/// English words that stand in the samples' own facts, which rules and servers write.
#[test]
fn the_words_of_the_screens_are_japanese() {
    let kana = |c: char| ('\u{3040}'..='\u{30ff}').contains(&c) || ('\u{4e00}'..='\u{9fff}').contains(&c);
    // Of a terminal over the whole screen only the last line is the program's.
    for (name, model) in japanese(|| all(SMALL)).into_iter().filter(|(name, _)| !name.starts_with("shell_zoom")) {
        let text = japanese(|| screen(&model));
        let footer = text.lines().last().unwrap_or_default();
        assert!(footer.is_empty() || footer.chars().any(kana), "{name}: {footer}");
        assert!(text.chars().filter(|c| kana(*c)).count() > 20, "{name}:\n{text}");
        for word in ["What will happen", "Why it matters", "By hand", "CAUSE", "cannot tell", "skipped", "blocked"] {
            assert!(!text.contains(word), "{name}: {word}\n{text}");
        }
    }
}

#[test]
fn a_popup_covers_letters_that_reach_into_it() {
    let area = ratatui::layout::Rect::new(0, 0, 12, 3);
    let mut buffer = ratatui::buffer::Buffer::empty(area);
    let mut pen =
        crate::tui::view::widgets::Pen { buffer: &mut buffer, theme: crate::tui::theme::Theme::default(), area };
    for y in 0..3 {
        pen.put(1, y, 11, "原因確定", ratatui::style::Style::new());
    }
    let popup = ratatui::layout::Rect::new(4, 0, 6, 3);
    pen.clear(popup);
    pen.frame(popup, "", "", false);
    // 原 stands in cells 1 and 2, 因 in 3 and 4: its second half is under the frame.
    assert_eq!((buffer[(1, 1)].symbol(), buffer[(3, 1)].symbol(), buffer[(4, 1)].symbol()), ("原", " ", "│"));
}

#[test]
fn symptoms_are_found_in_both_languages() {
    let found = |query: &str| {
        japanese(|| {
            let mut model: Model = account(SMALL);
            press(&mut model, "<tab>");
            for c in query.chars() {
                press(&mut model, &c.to_string());
            }
            crate::tui::update::start::chosen_symptom(&model)
        })
    };
    assert_eq!(found("タイムアウト"), Some("timeout"));
    assert_eq!(found("timed out"), Some("timeout"));
    assert_eq!(found("拒否"), Some("connection_refused"));
}

#[test]
fn a_paste_of_a_host_that_is_not_listed_can_be_diagnosed() {
    let model = japanese(|| {
        let mut model = account(SMALL);
        let text = "ssh: connect to host 198.51.100.77 port 22: Connection timed out\n";
        crate::tui::update::update(&mut model, crate::tui::msg::Msg::Pasted(text.into()));
        press(&mut model, "<enter>");
        model
    });
    assert_eq!(model.diagnosing().map(|d| d.request.target.name.as_str()), Some("198.51.100.77"));
}

#[test]
fn japanese_screens_look_as_they_were_approved() {
    let shown =
        ["start", "paste", "running", "blocked", "denied", "explain", "guided_answer", "guided_end", "fix_preview"];
    let more = ["fix_fixed", "doors", "journal", "help", "details", "shell"];
    for (name, model) in japanese(|| all(SMALL)) {
        if shown.contains(&name) || more.contains(&name) {
            insta::assert_snapshot!(format!("ja_{name}"), japanese(|| screen(&model)));
        }
    }
}
