//! Another profile, another Region: the choice, the change, and the way back.

use super::sample::*;
use crate::engine::failure::Failure;
use crate::engine::inventory::InventoryEvent;
use crate::engine::scope::{Profile, ProfileKind, Scope, ScopeEvent};
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Overlay, Screen};
use crate::tui::msg::Msg;
use crate::tui::update::switcher::{Choice, rows, switcher_of};
use crate::tui::update::update;

const SIZE: (u16, u16) = (80, 24);

fn profile(name: &str, region: Option<&str>, kind: ProfileKind) -> Profile {
    Profile { name: name.into(), region: region.map(Into::into), kind }
}

fn profiles() -> Vec<Profile> {
    vec![
        profile("admin", None, ProfileKind::Keys),
        profile("prod", Some("eu-west-1"), ProfileKind::Sso),
        profile("stage", Some("us-east-1"), ProfileKind::Role),
    ]
}

/// The choice, opened, with profiles and three Regions.
pub(super) fn opened(size: (u16, u16)) -> Model {
    let mut model = account(size);
    let ask = ask(&press(&mut model, "p"));
    update(&mut model, Msg::Scopes { ask, event: ScopeEvent::Profiles(Ok(profiles())) });
    let regions = ["eu-west-1", "us-east-1", "us-west-2"].map(str::to_owned).to_vec();
    update(&mut model, Msg::Scopes { ask, event: ScopeEvent::Regions(Ok(regions)) });
    model
}

/// A change that led to nothing.
pub(super) fn failed(size: (u16, u16)) -> Model {
    let mut model = opened(size);
    press(&mut model, "stage<enter>");
    let failure = Failure::failed(
        "list instances in us-east-1",
        "the credentials are not valid any more (ExpiredToken)",
        "log in (aws sso login, aws configure), or choose --profile",
    );
    arrive(&mut model, InventoryEvent::Failed(failure));
    arrive(&mut model, InventoryEvent::Done);
    model
}

fn ask(effects: &[Effect]) -> u64 {
    match effects {
        [Effect::LoadScopes { ask }] => *ask,
        other => panic!("{other:?}"),
    }
}

fn arrive(model: &mut Model, event: InventoryEvent) {
    let load = model.start.load;
    update(model, Msg::Inventory { load, event });
}

fn scope(effects: &[Effect]) -> (&Scope, bool) {
    match effects {
        [Effect::ChangeScope(scope)] => (scope, false),
        [Effect::ChangeScope(scope), Effect::LoadInventory { .. }] => (scope, true),
        other => panic!("{other:?}"),
    }
}

fn names(model: &Model) -> Vec<String> {
    let rows = rows(model, switcher_of(model).expect("the choice"));
    rows.iter().map(Choice::name).collect()
}

#[test]
fn nothing_is_asked_before_the_choice_is_opened_and_the_regions_are_known_at_once() {
    let mut model = account(SIZE);
    let effects = press(&mut model, "jk/web<esc>");
    assert!(effects.is_empty(), "{effects:?}");
    ask(&press(&mut model, "p"));
    assert!(names(&model).contains(&"ap-northeast-1".to_owned()), "the built-in names, before any answer");
    assert!(press(&mut model, "osaka").is_empty());
    assert_eq!(names(&model), ["ap-northeast-3"]);
}

#[test]
fn what_may_not_be_asked_falls_back_to_the_names_that_are_known() {
    let mut model = account(SIZE);
    let ask = ask(&press(&mut model, "p"));
    let denied = Failure::failed("list the Regions of the account", "ec2:DescribeRegions is not allowed", "");
    update(&mut model, Msg::Scopes { ask, event: ScopeEvent::Regions(Err(denied)) });
    assert!(names(&model).len() > 30);
    assert!(screen(&model).contains("ec2:DescribeRegions"));
}

#[test]
fn a_profile_is_listed_in_its_own_region_and_old_answers_change_nothing() {
    let mut model = opened(SIZE);
    let old = model.start.load;
    let effects = press(&mut model, "stage<enter>");
    let wanted = Scope { profile: Some("stage".into()), regions: vec!["us-east-1".into()] };
    assert_eq!(scope(&effects), (&wanted, true));
    assert!(model.start.rows.is_empty() && model.overlays.is_empty());
    update(
        &mut model,
        Msg::Inventory { load: old, event: InventoryEvent::Page(vec![instance(&id(9), "old", "running", None)]) },
    );
    assert!(model.start.rows.is_empty(), "a page of the list that was left");
    arrive(&mut model, InventoryEvent::Page(vec![instance(&id(7), "stage-1", "running", None)]));
    arrive(&mut model, InventoryEvent::Done);
    let seen = screen(&model);
    assert!(seen.contains("stage") && seen.contains("us-east-1") && seen.contains("stage-1"), "{seen}");
    // What is diagnosed, and its commands, name the profile too.
    let effects = press(&mut model, "<enter>");
    assert!(
        matches!(&effects[..], [Effect::Diagnose { request, .. }] if request.target.profile.as_deref() == Some("stage"))
    );
}

#[test]
fn a_region_keeps_the_profile_and_a_profile_without_region_keeps_the_region() {
    let mut model = opened(SIZE);
    let effects = press(&mut model, "us-west-2<enter>");
    let scope_of = |regions: &[&str], profile: Option<&str>| Scope {
        profile: profile.map(Into::into),
        regions: regions.iter().map(|r| (*r).to_owned()).collect(),
    };
    assert_eq!(scope(&effects).0, &scope_of(&["us-west-2"], None));
    assert_eq!(model.settings.profile.as_deref(), Some("prod"), "that of the start");
    let ask = ask(&press(&mut model, "p"));
    update(&mut model, Msg::Scopes { ask, event: ScopeEvent::Profiles(Ok(profiles())) });
    let effects = press(&mut model, "admin<enter>");
    assert_eq!(scope(&effects).0, &scope_of(&["us-west-2"], Some("admin")));
    // And back to what the program was started with.
    press(&mut model, "p");
    assert_eq!(names(&model)[0], "as the program was started");
    let effects = press(&mut model, "<enter>");
    assert_eq!(scope(&effects), (&Scope::default(), true));
    assert_eq!((model.settings.profile.as_deref(), model.settings.base.profile.as_deref()), (Some("prod"), None));
}

#[test]
fn every_region_can_be_chosen_at_once() {
    let mut model = opened(SIZE);
    let effects = press(&mut model, "all<enter>");
    assert_eq!(scope(&effects).0.regions, ["eu-west-1", "us-east-1", "us-west-2"]);
}

#[test]
fn a_change_that_fails_says_why_and_one_key_leads_back() {
    let mut model = failed(SIZE);
    let seen = screen(&model);
    assert!(seen.contains("ExpiredToken") && seen.contains("aws sso login"), "{seen}");
    assert!(seen.contains("Esc back to prod  eu-west-1"), "{seen}");
    let load = model.start.load;
    let effects = press(&mut model, "<esc>");
    assert_eq!(scope(&effects), (&Scope::default(), false), "the list is still known: nothing is read again");
    assert_eq!(model.start.rows.len(), 6);
    assert_eq!(
        (model.settings.profile.as_deref(), model.start.regions.as_slice()),
        (Some("prod"), &["eu-west-1".to_owned()][..])
    );
    update(
        &mut model,
        Msg::Inventory { load, event: InventoryEvent::Page(vec![instance(&id(9), "late", "running", None)]) },
    );
    assert_eq!(model.start.rows.len(), 6, "a late answer of the one that was left");
    // Reading it again keeps and drops as ever.
    press(&mut model, "r");
    arrive(&mut model, InventoryEvent::Page(vec![instance(WEB, "web-1", "running", None)]));
    arrive(&mut model, InventoryEvent::Done);
    assert_eq!(model.start.rows.len(), 1);
}

#[test]
fn after_two_failures_the_way_back_leads_to_the_list_that_is_known() {
    let mut model = failed(SIZE);
    press(&mut model, "pcape<enter>");
    arrive(&mut model, InventoryEvent::Failed(Failure::failed("list instances in af-south-1", "not switched on", "")));
    press(&mut model, "<esc>");
    assert_eq!((model.start.rows.len(), model.settings.profile.as_deref()), (6, Some("prod")));
}

#[test]
fn the_filter_and_the_selection_come_back_with_the_list() {
    let mut model = account(SIZE);
    press(&mut model, "/web<down><down>");
    let selected = model.selected_row().map(|r| r.instance.id.clone());
    model.start.pane = crate::tui::model::Pane::Instances;
    press(&mut model, "psydney<enter>");
    arrive(&mut model, InventoryEvent::Done);
    press(&mut model, "<esc>");
    assert_eq!(model.start.filter, "web");
    assert_eq!(model.selected_row().map(|r| r.instance.id.clone()), selected);
}

#[test]
fn the_palette_opens_it_and_late_rows_do_not_move_the_selection() {
    let mut model = account(SIZE);
    let ask = ask(&press(&mut model, ":profile<enter>"));
    press(&mut model, "<down><down>");
    let before = names(&model)[2].clone();
    update(&mut model, Msg::Scopes { ask, event: ScopeEvent::Profiles(Ok(profiles())) });
    let Some(Overlay::Switcher(s)) = model.overlays.last() else { panic!("the choice") };
    assert_eq!(names(&model)[s.cursor], before);
    // An answer to an earlier question changes nothing.
    update(&mut model, Msg::Scopes { ask: ask + 1, event: ScopeEvent::Profiles(Ok(Vec::new())) });
    assert!(names(&model).contains(&"stage".to_owned()));
    press(&mut model, "<esc>");
    assert!(model.overlays.is_empty() && !matches!(model.stack.last(), Some(Screen::Diagnosis(_))));
}
