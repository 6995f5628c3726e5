//! Practice: story, hints, named causes, and the bill of a solved lesson.

use super::sample::*;
use crate::core::plan::{Consent, GateState};
use crate::core::practice::Lesson;
use crate::core::practice::progress::Solved;
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult};
use crate::tui::effect::Effect;
use crate::tui::model::practice::Practice;
use crate::tui::model::{Model, Overlay, Settings};
use crate::tui::msg::Msg;
use crate::tui::update::update;

const SIZE: (u16, u16) = (80, 24);

fn lesson(cause: &str, fix: &str) -> Lesson {
    Lesson {
        id: "web-one".into(),
        title: "The connection times out".into(),
        symptom: "timeout".into(),
        group: "network".into(),
        difficulty: 1,
        story: "A colleague launched web-1 with a new security group.".into(),
        hints: vec!["No answer at all.".into(), "Compare the rules.".into()],
        cause: cause.into(),
        fix: fix.into(),
        instance: WEB.into(),
        name: "web-1".into(),
        ..Lesson::default()
    }
}

/// The sample account as a practice account with one lesson.
fn practising(guided: bool, lesson: Lesson) -> Model {
    let by_hand = "ssh -F /tmp/lab/ssh_config LESSON".to_owned();
    let practice = Practice { lessons: vec![lesson], guided, by_hand, ..Practice::default() };
    account_with(SIZE, Settings { lab: true, color: true, practice: Some(practice), ..Settings::default() })
}

fn kept(effects: &[Effect]) -> Option<&Solved> {
    effects.iter().find_map(|effect| match effect {
        Effect::KeepSolved(solved) => Some(&**solved),
        _ => None,
    })
}

/// From the end of a diagnosis to the end of its first fix.
fn mended(model: &mut Model, outcome: RepairOutcome) -> Vec<Effect> {
    press(model, "<enter>");
    let run = model.fixing().expect("a fix").run;
    update(model, Msg::Planned { run, plan: Ok(Box::new(plan(Consent::Yes, GateState::Ok))) });
    press(model, "y");
    let plan = plan(Consent::Yes, GateState::Ok);
    let result = RepairResult { entry: Some("e-1".into()), plan, outcome, after: None };
    update(model, Msg::Repaired { run, event: Box::new(RepairEvent::Ended(result)) })
}

const WORKS: RepairOutcome = RepairOutcome::Fixed { login: true };

#[test]
fn a_guided_walk_and_its_safest_fix_are_worth_what_was_guessed_right() {
    let mut model = practising(true, lesson("sg-no-rule", "sg-allow-my-ip"));
    tell(&mut model, Story::Blocked);
    // The story comes before the first question, once.
    assert!(screen(&model).contains("A colleague launched web-1"), "{}", screen(&model));
    press(&mut model, "<esc>");
    insta::assert_snapshot!("practice_question", screen(&model));
    // What is found by hand is not told before it is asked.
    press(&mut model, "h");
    let text = screen(&model);
    assert!(text.contains("By hand") && text.contains("In the console") && !text.contains("Found"), "{text}");
    press(&mut model, "<esc>");
    press(&mut model, "y<enter>n<enter>n<enter>y<enter>");
    let effects = mended(&mut model, WORKS);
    let solved = kept(&effects).expect("it is kept");
    // Two answers foreseen, two guessed wrong.
    assert_eq!((solved.points, solved.checks, solved.hints), (90, Some(4), 0));
    assert_eq!(
        (solved.lesson.as_str(), solved.fix.as_deref(), solved.at),
        ("web-one", Some("sg-allow-my-ip"), NOW + 3)
    );
    insta::assert_snapshot!("practice_solved", screen(&model));
    assert!(press(&mut model, "<esc>").is_empty() && model.overlays.is_empty());
    // The list tells it from now on.
    press(&mut model, "<enter><esc>");
    insta::assert_snapshot!("practice_list", screen(&model));
}

#[test]
fn hints_come_one_by_one_and_each_costs_more() {
    let mut model = practising(true, lesson("sg-no-rule", "sg-allow-my-ip"));
    press(&mut model, "jl");
    let text = screen(&model);
    assert!(text.contains("A colleague launched web-1") && text.contains("2 left"), "{text}");
    assert!(text.contains("ssh -F /tmp/lab/ssh_config web-1"), "{text}");
    press(&mut model, "n");
    let text = screen(&model);
    assert!(text.contains("No answer at all.") && !text.contains("Compare"), "{text}");
    assert!(text.contains("costs 10 points"), "{text}");
    press(&mut model, "n");
    insta::assert_snapshot!("practice_story", screen(&model));
    assert!(press(&mut model, "nnn").is_empty(), "there are only two");
    press(&mut model, "<esc>");
    tell(&mut model, Story::Blocked);
    press(&mut model, "y<enter>y<enter>n<enter>n<enter>");
    let effects = mended(&mut model, WORKS);
    let solved = kept(&effects).expect("it is kept");
    assert_eq!((solved.points, solved.hints), (100 - 4 - 15, 2));
}

#[test]
fn a_cause_that_is_named_early_ends_the_way_and_a_wrong_one_costs() {
    let mut model = practising(true, lesson("sg-no-rule", "sg-allow-my-ip"));
    tell(&mut model, Story::Blocked);
    press(&mut model, "<esc>y<enter>c");
    let all = model.lesson().expect("the lesson").candidates();
    let right = all.iter().position(|id| id == "sg-no-rule").expect("the right one");
    let wrong = usize::from(right == 0);
    press(&mut model, &"j".repeat(wrong));
    press(&mut model, "<enter>");
    assert!(screen(&model).contains("That is not it"), "{}", screen(&model));
    let to: String = if right > wrong { "j".repeat(right - wrong) } else { "k".repeat(wrong - right) };
    press(&mut model, &to);
    insta::assert_snapshot!("practice_causes", screen(&model));
    press(&mut model, "<enter>");
    assert!(screen(&model).contains("Right. Now mend it"), "{}", screen(&model));
    assert!(screen(&model).contains("Where the way ends"), "{}", screen(&model));
    let effects = mended(&mut model, WORKS);
    let solved = kept(&effects).expect("it is kept");
    // One answer foreseen, one cause named wrong; the rest of the way is free.
    assert_eq!((solved.points, solved.checks), (100 - 1 - 8, Some(1)));
}

#[test]
fn a_change_taken_back_opens_the_lesson_again_and_one_in_vain_costs() {
    let mut model = practising(false, lesson("sg-no-rule", "sg-allow-my-ip"));
    tell(&mut model, Story::Blocked);
    assert!(kept(&mended(&mut model, RepairOutcome::NotVerified("still silent".into()))).is_none());
    press(&mut model, "<enter>");
    let effects = mended(&mut model, WORKS);
    let solved = kept(&effects).expect("it is kept");
    // Everything at once costs thirty at most, the change that did not help eight.
    assert_eq!(solved.points, 100 - 30 - 8);
    press(&mut model, "<esc>u");
    let run = model.fixing().expect("an undo").run;
    press(&mut model, "y");
    let plan = plan(Consent::Yes, GateState::Ok);
    let result = RepairResult { entry: Some("e-1".into()), plan, outcome: RepairOutcome::Undone, after: None };
    let effects = update(&mut model, Msg::Repaired { run, event: Box::new(RepairEvent::Ended(result)) });
    assert!(kept(&effects).is_none());
    assert!(model.practice.as_ref().is_some_and(|practice| practice.solved.is_empty()));
    assert!(
        model.practice.as_ref().is_some_and(|practice| practice.progress.of("web-one").is_some()),
        "the record stays"
    );
}

#[test]
fn a_repair_by_hand_is_seen_when_the_checks_run_again() {
    let mut model = practising(false, lesson("sg-no-rule", "sg-allow-my-ip"));
    tell(&mut model, Story::Blocked);
    press(&mut model, "r");
    let run = model.diagnosing().expect("a diagnosis").run;
    let effects = update(&mut model, Msg::Learned(Box::new(snapshot(run, Story::Healthy))));
    let solved = kept(&effects).expect("it is kept");
    assert_eq!(solved.fix, None);
    assert!(matches!(model.overlays.last(), Some(Overlay::Solved(_))));
    assert!(screen(&model).contains("mended by hand"), "{}", screen(&model));
}

#[test]
fn a_lesson_that_no_plan_mends_is_solved_by_its_cause_alone() {
    // A login that works says nothing where none was missing.
    let mut model = practising(true, Lesson { symptom: "success".into(), ..lesson("none", "none") });
    tell(&mut model, Story::Healthy);
    press(&mut model, "<esc>");
    assert!(model.overlays.is_empty());
    let none = model.lesson().expect("the lesson").candidates().len() - 1;
    press(&mut model, "c");
    press(&mut model, &"j".repeat(none));
    let effects = press(&mut model, "<enter>");
    assert_eq!(kept(&effects).map(|solved| solved.points), Some(100));
    let text = screen(&model);
    assert!(text.contains("Nothing is wrong") && text.contains("Nothing could be done better"), "{text}");
}

#[test]
fn outside_practice_there_is_no_lesson() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    press(&mut model, "lg");
    assert!(model.overlays.is_empty() && model.lesson().is_none());
    press(&mut model, "cg");
    assert!(model.overlays.is_empty());
    let effects = mended(&mut model, WORKS);
    assert!(kept(&effects).is_none() && model.overlays.is_empty());
}
