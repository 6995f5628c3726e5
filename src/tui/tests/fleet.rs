//! The fleet screen: what arrives, what is selected, what comes out.

use super::sample::*;
use crate::core::cause::Certainty;
use crate::core::fleet::{Reach, Row};
use crate::engine::event::RunId;
use crate::engine::failure::Failure;
use crate::engine::fleet::{FleetEvent, Progress, Whom};
use crate::tui::effect::Effect;
use crate::tui::model::fleet::FleetList;
use crate::tui::model::{Model, Screen, Settings};
use crate::tui::msg::Msg;
use crate::tui::update::update;

const SIZE: (u16, u16) = (80, 24);

fn list(model: &Model) -> &FleetList {
    match model.stack.iter().rev().find(|s| matches!(s, Screen::Fleet(_))) {
        Some(Screen::Fleet(list)) => list,
        _ => panic!("no fleet"),
    }
}

fn row(n: u32, name: &str, reachable: Reach, cause: Option<&str>, door: Option<&str>) -> Row {
    Row {
        id: id(n),
        name: Some(name.into()),
        region: if n.is_multiple_of(5) { "us-east-1" } else { "eu-west-1" }.into(),
        account: Some("111122223333".into()),
        profile: None,
        state: "running".into(),
        address: format!("203.0.113.{n}").parse().ok(),
        port: 22,
        reachable,
        door: door.map(str::to_owned),
        cause: cause.map(str::to_owned),
        certainty: Some(Certainty::Proven),
        detail: match cause {
            Some(_) => "no rule of web-sg (sg-0f3a91c2b4d5e6f70) matches tcp/22 from 203.0.113.10".into(),
            None => "an SSH server answers: SSH-2.0-OpenSSH_9.6".into(),
        },
    }
}

fn rows() -> Vec<Row> {
    let sg = Some("sg-no-rule");
    let mut all: Vec<Row> = (1..=6).map(|n| row(n, &format!("web-{n}"), Reach::No, sg, Some("ssm"))).collect();
    all.extend((7..=8).map(|n| row(n, &format!("api-{n}"), Reach::No, Some("instance-not-running"), None)));
    let mut denied = row(9, "db-日本語", Reach::Unknown, Some("iam-denied-read"), None);
    denied.detail = "cannot tell: not allowed to call ec2:DescribeSecurityGroups".into();
    all.push(denied);
    all.extend((10..=12).map(|n| row(n, &format!("job-{n}"), Reach::Yes, None, Some("ssh"))));
    all
}

fn run(model: &Model) -> RunId {
    list(model).run
}

fn tell(model: &mut Model, event: FleetEvent) {
    let run = run(model);
    update(model, Msg::Fleet { run, event });
}

fn arrive(model: &mut Model, rows: Vec<Row>) {
    tell(model, FleetEvent::Rows(rows.into_iter().map(|row| (row, true)).collect()));
}

fn progress(knocks: (usize, usize), left: Option<u64>) -> Progress {
    Progress {
        places: (2, 2),
        judged: 12,
        knocks,
        looks: (0, 0),
        api_calls: 21,
        millis: 3400,
        left_ms: left,
        cancelled: false,
    }
}

fn opened(size: (u16, u16)) -> Model {
    let mut model = account(size);
    press(&mut model, "f");
    arrive(&mut model, rows());
    tell(&mut model, FleetEvent::Progress(progress((5, 10), Some(4000))));
    model
}

fn ended(size: (u16, u16)) -> Model {
    let mut model = opened(size);
    tell(&mut model, FleetEvent::Ended(progress((10, 10), Some(0))));
    model
}

/// The screens, for the snapshots.
pub fn screens(size: (u16, u16)) -> Vec<(&'static str, Model)> {
    let with = |mut model: Model, keys: &str| {
        press(&mut model, keys);
        model
    };
    let mut empty = account(size);
    press(&mut empty, "f");
    let mut failed = account(size);
    press(&mut failed, "f");
    let why = "not allowed to call ec2:DescribeInstances";
    tell(&mut failed, FleetEvent::Failed(Failure::failed("list instances in eu-west-1", why, "ask for it")));
    tell(&mut failed, FleetEvent::Ended(Progress { places: (1, 1), ..Progress::default() }));
    vec![
        ("fleet_empty", empty),
        ("fleet_running", opened(size)),
        ("fleet", ended(size)),
        ("fleet_row", with(ended(size), "jjj")),
        ("fleet_filter", with(ended(size), "/web us-east")),
        ("fleet_failed", failed),
        ("fleet_inside", with(ended(size), "i")),
    ]
}

#[test]
fn it_asks_for_everything_and_dials_with_the_options_of_the_start() {
    let mut model = account_with(SIZE, Settings { color: true, ..Settings::default() });
    model.settings.base.port = Some(2222);
    let effects = press(&mut model, "f");
    let wish = effects.iter().find_map(|e| match e {
        Effect::Fleet { wish, .. } => Some(wish),
        _ => None,
    });
    let wish = wish.unwrap_or_else(|| panic!("{effects:?}"));
    assert_eq!((wish.asked.port, wish.asked.now, wish.probe, &wish.inside), (Some(2222), NOW, true, &None));
}

#[test]
fn the_selected_instance_stays_under_the_hand() {
    let mut model = opened(SIZE);
    // Room below, so that a line can be kept.
    arrive(&mut model, (100..160).map(|n| row(n, &format!("y-{n}"), Reach::Yes, None, Some("ssh"))).collect());
    press(&mut model, "<enter>G<enter><home>jjjj");
    let before = list(&model).selected_row().map(|r| r.id.clone());
    assert_eq!(before, Some(id(4)));
    let line = list(&model).cursor - list(&model).offset;
    // The group that was second becomes the largest one, above.
    let more = (20..40).map(|n| row(n, &format!("x-{n}"), Reach::No, Some("instance-not-running"), None)).collect();
    arrive(&mut model, more);
    assert_eq!(list(&model).selected_row().map(|r| r.id.clone()), before);
    assert_eq!(list(&model).cursor - list(&model).offset, line);
    // It goes to another group itself.
    arrive(&mut model, vec![row(4, "web-4", Reach::Yes, None, Some("ssh"))]);
    assert_eq!(list(&model).selected_row().map(|r| r.id.clone()), before);
}

#[test]
fn where_there_is_more_than_the_screen_holds_the_causes_come_first() {
    let mut model = account(SIZE);
    press(&mut model, "f");
    arrive(&mut model, rows());
    assert_eq!(list(&model).lines.len(), 4, "only the headings");
    press(&mut model, "<enter>");
    assert_eq!(list(&model).lines.len(), 10, "the first one is open");
    press(&mut model, "<enter>");
    assert_eq!(list(&model).lines.len(), 4);
    press(&mut model, "/job");
    assert_eq!(list(&model).lines.len(), 4, "what is looked for is shown: a heading and three rows");
    press(&mut model, "<esc>");
    assert!(!list(&model).filtering && list(&model).filter.is_empty());
}

#[test]
fn enter_opens_one_and_esc_comes_back() {
    let mut model = ended((80, 40));
    let effects = press(&mut model, "j<enter>");
    let target = effects.iter().find_map(|e| match e {
        Effect::Diagnose { request, .. } => Some(request.target.clone()),
        _ => None,
    });
    let target = target.unwrap_or_else(|| panic!("{effects:?}"));
    assert_eq!((target.name, target.region.as_deref()), (id(1), Some("eu-west-1")));
    // What the fleet learns meanwhile is not lost.
    arrive(&mut model, vec![row(50, "late", Reach::Yes, None, Some("ssh"))]);
    assert_eq!(list(&model).rows.len(), 13);
    let seen = snapshot(model.diagnosing().expect("a diagnosis").run, Story::Blocked);
    update(&mut model, Msg::Learned(Box::new(seen)));
    press(&mut model, "<esc>");
    assert!(matches!(model.stack.last(), Some(Screen::Fleet(_))), "{:?}", model.stack.len());
    press(&mut model, "<esc>");
    assert!(model.stack.is_empty());
}

#[test]
fn esc_stops_before_it_goes_back_and_late_answers_change_nothing() {
    let mut model = opened((80, 40));
    let first = run(&model);
    let effects = press(&mut model, "<esc>");
    assert!(matches!(&effects[..], [Effect::Cancel { run }] if *run == first), "{effects:?}");
    assert!(matches!(model.stack.last(), Some(Screen::Fleet(_))));
    tell(&mut model, FleetEvent::Ended(Progress { cancelled: true, ..progress((5, 10), Some(0)) }));
    assert!(screen(&model).contains("stopped after 3.4 s"));
    press(&mut model, "r");
    assert_ne!(run(&model), first);
    let late = FleetEvent::Rows(vec![(row(60, "late", Reach::Yes, None, None), true)]);
    update(&mut model, Msg::Fleet { run: first, event: late });
    assert_eq!(list(&model).rows.len(), 12);
}

#[test]
fn the_look_inside_asks_first() {
    let mut model = ended(SIZE);
    assert!(press(&mut model, "i").is_empty());
    assert!(press(&mut model, "<esc>").is_empty(), "no is no");
    let effects = press(&mut model, "iy");
    let inside = effects.iter().find_map(|e| match e {
        Effect::Fleet { wish, .. } => wish.inside.clone(),
        _ => None,
    });
    assert_eq!(inside, Some(Whom::Everyone), "{effects:?}");
}

#[test]
fn what_is_exported_is_what_the_filter_lets_through() {
    let mut model = ended(SIZE);
    let effects = press(&mut model, "/web<enter>e");
    let exported = effects.iter().find_map(|e| match e {
        Effect::ExportFleet(rows) => Some(rows.len()),
        _ => None,
    });
    assert_eq!(exported, Some(6), "{effects:?}");
}
