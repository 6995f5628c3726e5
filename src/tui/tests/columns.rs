//! Columns, order and colours of the instance list: keys in, rows and cells out.

use super::sample::*;
use crate::core::settings::ThemeName;
use crate::core::settings::column::{Column, Sort};
use crate::engine::inventory::InventoryEvent;
use crate::tui::model::{Model, Overlay, Settings};
use crate::tui::msg::Msg;
use crate::tui::theme::Depth;
use crate::tui::update::update;
use ratatui::style::Color;

const SIZE: (u16, u16) = (80, 24);

fn names(model: &Model) -> Vec<String> {
    let start = &model.start;
    let name = |at: &u32| start.rows[*at as usize].instance.name.clone().unwrap_or_default();
    start.shown.iter().map(name).collect()
}

fn arrive(model: &mut Model, event: InventoryEvent) {
    let load = model.start.load;
    update(model, Msg::Inventory { load, event });
}

fn selected(model: &Model) -> String {
    model.selected_row().map(|r| r.instance.id.clone()).unwrap_or_default()
}

fn with(columns: &str, sort: &str) -> Settings {
    Settings {
        color: true,
        columns: columns.split_whitespace().map(|c| c.parse().expect(c)).collect(),
        sort: sort.parse().expect(sort),
        ..Settings::default()
    }
}

#[test]
fn keys_sort_by_the_columns_that_are_seen_and_back() {
    let mut model = account(SIZE);
    let arrival = names(&model);
    press(&mut model, "j>");
    assert_eq!(model.start.sort.by, Some(Column::Name));
    assert_eq!(names(&model), ["api-日本語サーバー", "web-1", "web-2", "web-blue", "web-old", ""]);
    assert!(screen(&model).contains("name ↑"));
    let before = selected(&model);
    press(&mut model, "-");
    assert_eq!(names(&model), ["web-old", "web-blue", "web-2", "web-1", "api-日本語サーバー", ""]);
    assert!(screen(&model).contains("name ↓"));
    assert_eq!(selected(&model), before, "the selection does not jump");
    press(&mut model, ">");
    assert_eq!(model.start.sort, Sort { by: Some(Column::State), descending: false });
    press(&mut model, "<<");
    assert_eq!(model.start.sort, Sort::default());
    assert_eq!(names(&model), arrival);
    press(&mut model, "<");
    assert_eq!(model.start.sort.by, Some(Column::WayIn), "the last one that is seen");
}

#[test]
fn rows_that_arrive_take_their_places_and_the_selection_stays() {
    let mut model = account_with(SIZE, with("", "name"));
    press(&mut model, "jj");
    let before = selected(&model);
    arrive(&mut model, InventoryEvent::Page(vec![instance(&id(70), "aaa", "running", None)]));
    assert_eq!(names(&model)[0], "aaa");
    assert_eq!(selected(&model), before);
    press(&mut model, "r");
    arrive(
        &mut model,
        InventoryEvent::Page(vec![
            instance(&id(71), "zzz", "running", None),
            instance(&id(72), "bbb", "running", None),
        ]),
    );
    arrive(&mut model, InventoryEvent::Done);
    assert_eq!(names(&model), ["bbb", "zzz"], "what the new reading did not name is gone");
}

#[test]
fn a_filter_ranks_until_the_order_is_asked_for() {
    let mut model = account_with(SIZE, with("", "-name"));
    press(&mut model, "/running");
    assert_eq!(names(&model)[0], "web-1", "the best match");
    arrive(&mut model, InventoryEvent::Page(vec![instance(&id(70), "web-9", "running", None)]));
    assert_eq!(names(&model)[0], "web-1");
    press(&mut model, "<tab><tab>-");
    assert_eq!(names(&model), ["web-1", "web-2", "web-9", "web-blue", ""]);
    press(&mut model, "-");
    assert_eq!(names(&model), ["web-blue", "web-9", "web-2", "web-1", ""]);
    arrive(&mut model, InventoryEvent::Page(vec![instance(&id(71), "web-10", "running", None)]));
    assert_eq!(names(&model), ["web-blue", "web-10", "web-9", "web-2", "web-1", ""]);
    press(&mut model, "/<ctrl-u>web-2");
    assert_eq!(names(&model)[0], "web-2", "an edit ranks again");
    press(&mut model, "<esc>");
    assert_eq!(names(&model)[0], "web-old", "all rows are in their order");
}

#[test]
fn what_is_learned_later_takes_its_place_in_the_order() {
    let mut model = account_with(SIZE, with("name ssm way-in", "ssm"));
    arrive(&mut model, InventoryEvent::Agents(vec![(id(3), "online".into()), (id(2), "lost".into())]));
    assert_eq!(names(&model)[..2], ["web-2", "web-blue"]);
    assert!(screen(&model).contains("online"));
}

#[test]
fn columns_are_chosen_moved_sorted_and_copied() {
    let mut model = account(SIZE);
    let mut tagged = instance(&id(80), "tagged", "running", None);
    tagged.tags.insert("Env".into(), "prod".into());
    tagged.zone = Some("eu-west-1b".into());
    arrive(&mut model, InventoryEvent::Page(vec![tagged]));
    press(&mut model, "c");
    let Some(Overlay::Columns(choice)) = model.overlays.last() else { panic!("no popup") };
    assert_eq!(choice.rows.iter().filter(|(_, chosen)| *chosen).count(), 4, "those that are seen");
    let tag = choice.rows.iter().position(|(c, _)| *c == Column::Tag("Env".into())).expect("the tag is offered");
    let zone = choice.rows.iter().position(|(c, _)| *c == Column::Zone).expect("a zone");
    // Away with the address, in with tag and zone, and the tag to the front.
    press(&mut model, "jj<space>");
    press(&mut model, &"j".repeat(zone - 2));
    press(&mut model, "x");
    press(&mut model, &"j".repeat(tag - zone));
    press(&mut model, "x");
    press(&mut model, &"<left>".repeat(tag));
    press(&mut model, "s");
    let shown: Vec<String> = model.start.columns.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["tag:Env", "name", "state", "way-in", "zone"]);
    assert_eq!(names(&model)[0], "tagged");
    let copied = crate::tui::update::copy_text(&model).expect("lines");
    assert_eq!(copied, "columns = [\"tag:Env\", \"name\", \"state\", \"way-in\", \"zone\"]\nsort = \"tag:Env\"");
    assert!(crate::core::settings::parse::parse(&copied).is_ok());
    press(&mut model, "<esc>");
    let text = screen(&model);
    assert!(text.contains("Env ↑") && text.contains("prod") && text.contains("1 not shown"), "{text}");
    press(&mut model, "cr<esc>");
    assert!(model.start.columns.is_empty());
}

#[test]
fn every_column_can_be_drawn_at_every_size() {
    let every = Column::FIXED.map(|c| c.to_string()).join(" ");
    for size in [SIZE, (120, 40), (300, 50)] {
        for ascii in [false, true] {
            let settings = Settings { ascii, ..with(&every, "-launched") };
            let mut model = account_with(size, settings);
            let text = screen(&model);
            assert!(text.lines().all(|l| crate::tui::text::width(l) <= usize::from(size.0)));
            assert!(!ascii || text.is_ascii(), "{text}");
            press(&mut model, "cGGkk");
            assert!(screen(&model).contains("groups"));
        }
    }
    let wide = screen(&account_with((300, 50), with(&every, "arrival")));
    assert!(
        wide.contains("subnet-0f1e2d3c4b5a69788") && wide.contains("3 days ago") && wide.contains("web-sg"),
        "{wide}"
    );
}

#[test]
fn a_theme_is_chosen_from_the_palette_and_seen_at_once() {
    let settings = Settings { color: true, depth: Depth::Rgb, settings_file: "~/c.toml".into(), ..Settings::default() };
    let mut model = account_with(SIZE, settings);
    let ground = |model: &Model| cells(model)[81].bg;
    assert_eq!(ground(&model), Color::Rgb(18, 18, 18));
    press(&mut model, ":theme li");
    press(&mut model, "<enter>");
    assert_eq!(model.theme(), ThemeName::Light);
    assert_eq!(ground(&model), Color::Rgb(238, 238, 238));
    assert!(screen(&model).contains("To keep it: theme = \"light\" in ~/c.toml"));
    press(&mut model, ":theme none<enter>");
    assert!(cells(&model).iter().all(|c| (c.fg, c.bg) == (Color::Reset, Color::Reset)));
    press(&mut model, ":theme colour<enter>");
    assert_eq!(model.theme(), ThemeName::ColourBlind);
    press(&mut model, ":colour-blind");
    assert!(!screen(&model).contains("theme colour-blind"), "what is chosen is not offered");
}

#[test]
fn every_cell_of_every_screen_is_on_the_ground_of_its_theme() {
    for name in [ThemeName::Dark, ThemeName::Light, ThemeName::HighContrast, ThemeName::ColourBlind] {
        for (screen, mut model) in super::screens::all(SIZE) {
            // A terminal on the instance keeps the colours of the user's own.
            if model.shell().is_some() {
                continue;
            }
            (model.settings.color, model.settings.theme, model.settings.depth) = (true, name, Depth::Indexed);
            let cells = cells(&model);
            for (at, cell) in cells.iter().enumerate() {
                // The second half of a wide letter is never drawn by itself.
                if at > 0 && crate::tui::text::width(cells[at - 1].symbol()) > 1 {
                    continue;
                }
                let known = |color| matches!(color, Color::Indexed(16..));
                assert!(known(cell.fg) && known(cell.bg), "{screen} {name:?}: cell {at} {:?}", (cell.fg, cell.bg));
            }
        }
    }
}
