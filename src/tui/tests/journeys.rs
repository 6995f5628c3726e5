//! Keys and happenings in, model and effects out.

use super::sample::*;
use crate::core::plan::{Consent, Gate, GateState, Plan};
use crate::engine::diagnose::Request;
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, RunId, StepState};
use crate::engine::inventory::InventoryEvent;
use crate::engine::journal::EntryState;
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Overlay, Phase, Screen, Settings};
use crate::tui::msg::Msg;
use crate::tui::update::update;

const SIZE: (u16, u16) = (80, 24);

fn request(effects: &[Effect]) -> &Request {
    let found = effects.iter().find_map(|e| match e {
        Effect::Diagnose { request, .. } => Some(&**request),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no diagnosis in {effects:?}"))
}

fn selected(model: &Model) -> String {
    model.selected_row().map(|r| r.instance.id.clone()).unwrap_or_default()
}

fn arrive(model: &mut Model, event: InventoryEvent) {
    let load = model.start.load;
    update(model, Msg::Inventory { load, event });
}

/// A fix whose plan is shown.
fn planned(mut model: Model, consent: Consent, gate: GateState) -> (Model, RunId) {
    let effects = press(&mut model, "<enter>");
    assert!(matches!(&effects[..], [Effect::Plan { fix, .. }] if fix == "sg-allow-my-ip"), "{effects:?}");
    let run = model.fixing().expect("a fix").run;
    update(&mut model, Msg::Planned { run, plan: Ok(Box::new(plan(consent, gate))) });
    (model, run)
}

fn ended(model: &mut Model, run: RunId, outcome: RepairOutcome) {
    let result =
        RepairResult { entry: Some("e-1".into()), plan: plan(Consent::Yes, GateState::Ok), outcome, after: None };
    update(model, Msg::Repaired { run, event: Box::new(RepairEvent::Ended(result)) });
}

#[test]
fn enter_diagnoses_the_selected_instance_with_the_chosen_symptom() {
    let mut model = account(SIZE);
    let effects = press(&mut model, "/web-1<enter>");
    assert_eq!((request(&effects).target.name.as_str(), request(&effects).symptom.as_deref()), (WEB, None));
    assert_eq!(request(&effects).now, NOW);
    let mut model = account(SIZE);
    let effects = press(&mut model, "/web-2<tab>refused<enter>");
    assert_eq!(request(&effects).target.name, id(2));
    assert_eq!(request(&effects).symptom.as_deref(), Some("connection_refused"));
}

#[test]
fn the_selection_stays_when_rows_arrive() {
    let mut model = account(SIZE);
    press(&mut model, "jj");
    let (before, line) = (selected(&model), model.start.cursor - model.start.offset);
    let more = (100..160).map(|n| instance(&id(n), &format!("aaa-{n}"), "running", None)).collect();
    arrive(&mut model, InventoryEvent::Page(more));
    assert_eq!(selected(&model), before);
    // Ranked anew by a filter, the row stays on its line.
    press(&mut model, "/a<down><down><down>");
    let (before, line_now) = (selected(&model), model.start.cursor - model.start.offset);
    assert_ne!(line, 0);
    let better = (200..230).map(|n| instance(&id(n), "a", "running", None)).collect();
    arrive(&mut model, InventoryEvent::Page(better));
    assert_eq!(selected(&model), before);
    assert_eq!(model.start.cursor - model.start.offset, line_now);
}

#[test]
fn a_new_reading_replaces_the_list_and_late_pages_of_the_old_one_change_nothing() {
    let mut model = account(SIZE);
    let old = model.start.load;
    let effects = press(&mut model, "r");
    assert!(matches!(effects[..], [Effect::LoadInventory { load }] if load == old + 1));
    let page = InventoryEvent::Page(vec![instance(&id(77), "late", "running", None)]);
    update(&mut model, Msg::Inventory { load: old, event: page });
    assert_eq!(model.start.rows.len(), 6);
    arrive(&mut model, InventoryEvent::Page(vec![instance(WEB, "web-1", "stopped", None)]));
    arrive(&mut model, InventoryEvent::Done);
    assert_eq!((model.start.rows.len(), model.start.rows[0].instance.state.as_str()), (1, "stopped"));
}

#[test]
fn an_address_is_found_as_typed_and_never_by_its_digits_alone() {
    let mut model = account(SIZE);
    press(&mut model, "/203.0.113.8");
    assert_eq!((model.start.shown.len(), selected(&model)), (1, id(2)));
    // Digits of web-1's address in the right order, but another address.
    let mut model = account(SIZE);
    let effects = press(&mut model, "/203.0.13.7<enter>");
    assert_eq!(request(&effects).target.name, "203.0.13.7");
}

#[test]
fn late_answers_of_an_earlier_run_change_nothing() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    let old = model.diagnosing().expect("a diagnosis").run;
    let effects = press(&mut model, "r");
    assert!(request(&effects).target.name == WEB);
    update(&mut model, Msg::Learned(Box::new(snapshot(old, Story::Healthy))));
    assert!(model.diagnosing().expect("a diagnosis").snapshot.is_none());
}

#[test]
fn esc_stops_a_run_first_and_then_goes_back() {
    let mut model = diagnosed(SIZE, Story::Running);
    assert!(model.wants_tick());
    let run = model.diagnosing().expect("a diagnosis").run;
    let effects = press(&mut model, "<esc>");
    assert!(matches!(effects[..], [Effect::Cancel { run: r }] if r == run), "{effects:?}");
    assert_eq!(model.stack.len(), 1);
    let mut stopped = snapshot(run, Story::Running);
    (stopped.finished, stopped.cancelled) = (true, true);
    update(&mut model, Msg::Learned(Box::new(stopped)));
    assert!(!model.wants_tick(), "nothing runs, so nothing ticks");
    assert!(screen(&model).contains("STOPPED"));
    assert!(press(&mut model, "<esc>").is_empty());
    assert!(model.stack.is_empty());
}

#[test]
fn a_fix_changes_nothing_before_yes() {
    let (mut model, _) = planned(diagnosed(SIZE, Story::Blocked), Consent::Yes, GateState::Warn);
    assert!(press(&mut model, "<enter><esc>").is_empty());
    assert!(matches!(model.stack.last(), Some(Screen::Diagnosis(_))));
    let (mut model, run) = planned(model, Consent::Yes, GateState::Warn);
    let effects = press(&mut model, "y");
    assert!(matches!(&effects[..], [Effect::Apply { run: r, .. }] if *r == run), "{effects:?}");
    assert!(press(&mut model, "yy<enter>").is_empty(), "applied once");
}

#[test]
fn a_refusing_gate_and_a_read_only_session_keep_the_plan_from_being_applied() {
    let (mut model, _) = planned(diagnosed(SIZE, Story::Blocked), Consent::Yes, GateState::Refuse);
    assert!(press(&mut model, "y<enter>").is_empty());
    let mut model = account_with(SIZE, Settings { read_only: true, ..Settings::default() });
    tell(&mut model, Story::Blocked);
    let (mut model, _) = planned(model, Consent::Yes, GateState::Ok);
    assert!(screen(&model).contains("read-only"));
    assert!(press(&mut model, "y<enter>").is_empty());
    let mut model = account_with(SIZE, Settings { read_only: true, ..Settings::default() });
    tell(&mut model, Story::Blocked);
    let (mut model, _) = planned(model, Consent::Type(WEB.into()), GateState::Ok);
    let effects = press(&mut model, &format!("{WEB}<enter>"));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Apply { .. })), "{effects:?}");
}

#[test]
fn typed_consent_takes_the_instance_id_and_nothing_else() {
    let (mut model, _) = planned(diagnosed(SIZE, Story::Blocked), Consent::Type(WEB.into()), GateState::Ok);
    assert!(press(&mut model, "y<enter>").is_empty());
    press(&mut model, "<backspace>");
    let effects = press(&mut model, &format!("{WEB}<enter>"));
    assert!(matches!(effects[..], [Effect::Apply { .. }]), "{effects:?}");
}

#[test]
fn a_passphrase_is_typed_unseen_and_the_plan_made_again_with_it() {
    let asking = |again: bool| {
        let gate = Gate::new("passphrase", if again { GateState::Refuse } else { GateState::Ok }, "asked");
        Plan { passphrase: Some("/home/me/web.ppk".into()), gates: vec![gate], ..plan(Consent::Yes, GateState::Ok) }
    };
    let (mut model, run) = planned(diagnosed(SIZE, Story::Blocked), Consent::Yes, GateState::Ok);
    for again in [false, true] {
        let run = if again { model.fixing().expect("a fix").run } else { run };
        let Some(Screen::Fix(fixing)) = model.stack.last_mut() else { panic!("a fix") };
        fixing.phase = Phase::Planning;
        update(&mut model, Msg::Planned { run, plan: Ok(Box::new(asking(again))) });
        assert!(press(&mut model, "<enter>").is_empty(), "nothing was typed");
        press(&mut model, "y q");
        update(&mut model, Msg::Pasted("open sesame: ssh -i web.pem ec2-user@203.0.113.7\n".into()));
        assert!(model.overlays.is_empty(), "a passphrase is not recognised as a text");
        let shown = screen(&model);
        assert!(shown.contains("Passphrase of web.ppk") && !shown.contains("sesame"), "{shown}");
        let effects = press(&mut model, "<enter>");
        let [Effect::KeepPassphrase { file, passphrase }, Effect::Plan { fix, .. }] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!((file.as_str(), fix.as_str()), ("/home/me/web.ppk", "sg-allow-my-ip"));
        assert!(!format!("{effects:?}").contains("sesame"));
        let typed = passphrase.clone().into_inner();
        assert_eq!(typed.as_str(), "y qopen sesame: ssh -i web.pem ec2-user@203.0.113.7");
        assert_eq!(model.fixing().expect("a fix").secret.count(), 0);
    }
    // Once it opens the file, the plan is applied as any other.
    let run = model.fixing().expect("a fix").run;
    update(&mut model, Msg::Planned { run, plan: Ok(Box::new(plan(Consent::Yes, GateState::Ok))) });
    assert!(matches!(press(&mut model, "y")[..], [Effect::Apply { .. }]));
}

#[test]
fn a_running_change_is_never_lost() {
    let (mut model, run) = planned(diagnosed(SIZE, Story::Blocked), Consent::Yes, GateState::Ok);
    press(&mut model, "y");
    update(
        &mut model,
        Msg::Repaired { run, event: Box::new(RepairEvent::Step { index: 0, state: StepState::Running }) },
    );
    assert!(press(&mut model, "<esc>").is_empty());
    assert!(model.fixing().is_some_and(|f| matches!(f.phase, Phase::Running { .. })));
    assert!(press(&mut model, "q").is_empty());
    assert!(matches!(model.overlays.last(), Some(Overlay::Leave)));
    press(&mut model, "<esc>");
    // A paste in the middle of it does not take the screen away either.
    update(&mut model, Msg::Pasted("ssh -i k.pem ubuntu@203.0.113.8\nConnection refused\n".into()));
    press(&mut model, "<enter>");
    assert!(model.is_changing());
    assert!(press(&mut model, "<ctrl-c>").is_empty());
    assert!(matches!(press(&mut model, "y")[..], [Effect::Quit]));
}

#[test]
fn what_was_fixed_can_be_undone_and_is_looked_at_again() {
    let (mut model, run) = planned(diagnosed(SIZE, Story::Blocked), Consent::Yes, GateState::Ok);
    press(&mut model, "y");
    ended(&mut model, run, RepairOutcome::Fixed { login: true });
    assert!(screen(&model).contains("FIXED"));
    assert!(press(&mut model, "u").is_empty(), "asks first");
    assert!(matches!(&press(&mut model, "c")[..], [Effect::Copy(text)] if text == "revoke the rule that was added"));
    let effects = press(&mut model, "y");
    assert!(matches!(&effects[..], [Effect::Undo { entry, .. }] if entry == "e-1"), "{effects:?}");
    let run = model.fixing().expect("an undo").run;
    ended(&mut model, run, RepairOutcome::Undone);
    let effects = press(&mut model, "<esc>");
    assert_eq!(request(&effects).target.name, WEB);
}

#[test]
fn the_journal_shows_what_undo_would_do_before_it_does_it() {
    let mut model = account(SIZE);
    assert!(matches!(press(&mut model, "u")[..], [Effect::LoadJournal]));
    let entries = vec![entry("e-1", EntryState::Undone, NOW - 100), entry("e-2", EntryState::InForce, NOW - 50)];
    update(&mut model, Msg::JournalRead(Ok(entries)));
    assert!(press(&mut model, "<down><enter>").is_empty(), "what is undone cannot be undone");
    assert!(matches!(model.stack.last(), Some(Screen::Journal(_))));
    press(&mut model, "<up><enter>");
    assert!(screen(&model).contains("revoke the rule that was added"));
    assert!(matches!(&press(&mut model, "y")[..], [Effect::Undo { entry, .. }] if entry == "e-2"));
}

#[test]
fn an_undo_through_the_journal_runs_the_diagnosis_below_again() {
    let mut model = diagnosed(SIZE, Story::Healthy);
    press(&mut model, "u");
    update(&mut model, Msg::JournalRead(Ok(vec![entry("e-2", EntryState::InForce, NOW - 50)])));
    press(&mut model, "<enter>");
    assert!(matches!(&press(&mut model, "y")[..], [Effect::Undo { .. }]));
    let run = model.fixing().expect("an undo").run;
    ended(&mut model, run, RepairOutcome::Undone);
    assert!(matches!(press(&mut model, "<esc>")[..], [Effect::LoadJournal]));
    assert_eq!(request(&press(&mut model, "<esc>")).target.name, WEB, "what it showed was before the undo");
}

#[test]
fn a_wrong_user_name_is_tried_again_with_the_right_one() {
    let mut model = diagnosed(SIZE, Story::WrongUser);
    assert!(screen(&model).contains("try again as ec2-user"));
    let effects = press(&mut model, "<enter>");
    assert_eq!(request(&effects).target.user.as_deref(), Some("ec2-user"));
}

#[test]
fn a_login_that_works_gives_the_command_to_copy() {
    let mut model = diagnosed(SIZE, Story::Healthy);
    assert!(screen(&model).contains("LOGIN WORKS"));
    for keys in ["y", "<enter>"] {
        let effects = press(&mut model, keys);
        assert!(matches!(&effects[..], [Effect::Copy(text)] if text.starts_with("ssh ")), "{effects:?}");
    }
}

#[test]
fn a_question_is_asked_inline_and_its_answer_judged() {
    let mut model = diagnosed(SIZE, Story::Denied);
    // Counted from the top: new checks come at the end.
    press(&mut model, &format!("<home>{}", "<down>".repeat(13)));
    let asked = screen(&model);
    assert!(asked.contains("answer the selected check"), "{asked}");
    press(&mut model, "a");
    assert!(screen(&model).contains("QUESTION"));
    assert!(press(&mut model, "d").is_empty(), "an open question changes nothing");
    let effects = press(&mut model, "an");
    assert_eq!(request(&effects).answers.values().collect::<Vec<_>>(), ["no"]);
}

#[test]
fn a_paste_names_instance_symptom_user_and_key() {
    let mut model = account(SIZE);
    let text = "$ ssh -i ~/.ssh/deploy.pem -p 2222 ubuntu@203.0.113.7\nssh: connect to host 203.0.113.7 port 2222: Connection timed out\n";
    update(&mut model, Msg::Pasted(text.into()));
    let effects = press(&mut model, "<enter>");
    let request = request(&effects);
    assert_eq!((request.target.name.as_str(), request.symptom.as_deref()), (WEB, Some("timeout")));
    assert_eq!((request.target.user.as_deref(), request.target.port), (Some("ubuntu"), Some(2222)));
    assert_eq!(request.target.keys, ["~/.ssh/deploy.pem"]);
    assert!(request.paste.is_some());
}

#[test]
fn a_paste_without_a_host_waits_for_its_instance() {
    let mut model = account(SIZE);
    update(&mut model, Msg::Pasted("Permission denied (publickey).\nwhat now\n".into()));
    assert!(press(&mut model, "<enter>").is_empty());
    assert!(screen(&model).contains("Pasted"));
    let effects = press(&mut model, "/web-2<enter>");
    assert_eq!(
        (request(&effects).target.name.clone(), request(&effects).symptom.as_deref()),
        (id(2), Some("permission_denied"))
    );
    assert!(request(&effects).paste.is_some());
}

#[test]
fn one_pasted_word_is_looked_for() {
    let mut model = account(SIZE);
    update(&mut model, Msg::Pasted(" 203.0.113.8\n".into()));
    assert_eq!(selected(&model), id(2));
    let effects = press(&mut model, "<enter>");
    assert_eq!(request(&effects).target.name, id(2));
}

#[test]
fn a_text_can_be_typed_where_paste_does_not_work() {
    let mut model = account(SIZE);
    let effects = press(&mut model, "vssh ubuntu@web-2<enter>Connection refused<enter><enter><enter>");
    assert_eq!(
        (request(&effects).target.name.clone(), request(&effects).target.user.as_deref()),
        (id(2), Some("ubuntu"))
    );
}

#[test]
fn login_details_are_checked_and_used() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    assert!(press(&mut model, "t<tab>http<enter>").is_empty());
    assert!(screen(&model).contains("'http' is not a port"));
    let effects = press(&mut model, "<backspace><backspace><backspace><backspace>2222<backtab>admin<enter>");
    assert_eq!((request(&effects).target.user.as_deref(), request(&effects).target.port), (Some("admin"), Some(2222)));
    // On the start screen they are kept for the next diagnosis.
    let mut model = account(SIZE);
    assert!(press(&mut model, "tadmin<enter>").is_empty());
    let effects = press(&mut model, "<enter>");
    assert_eq!(request(&effects).target.user.as_deref(), Some("admin"));
}

#[test]
fn the_guided_walk_asks_before_it_tells() {
    let mut model = account_with(SIZE, Settings { lab: true, ..Settings::default() });
    tell(&mut model, Story::Blocked);
    press(&mut model, "g");
    let text = screen(&model);
    assert!(!text.contains("Answer") && !text.contains("blocked"), "{text}");
    press(&mut model, "y<enter>n<enter>n<enter>y<enter>");
    assert!(screen(&model).contains("2 of 4 guessed right"), "{}", screen(&model));
    let effects = press(&mut model, "<enter>");
    assert!(matches!(effects[..], [Effect::Plan { .. }]), "the end offers the fix: {effects:?}");
}

#[test]
fn the_palette_does_what_the_key_does() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    assert!(press(&mut model, ":report<enter>").is_empty());
    assert!(screen(&model).contains("port22-report.md"), "{}", screen(&model));
    let effects = press(&mut model, "<enter>");
    assert!(matches!(effects[..], [Effect::Export(_)]), "{effects:?}");
    assert!(model.overlays.is_empty());
    update(&mut model, Msg::Exported(Ok("port22-report.md".into())));
    assert!(screen(&model).contains("The report is in port22-report.md"));
}

#[test]
fn the_report_is_written_in_the_form_and_to_the_place_that_were_chosen() {
    use crate::engine::report::Form;
    use crate::tui::clipboard::Way;
    use crate::tui::effect::Place;
    let mut model = diagnosed(SIZE, Story::Blocked);
    press(&mut model, "ejr");
    assert!(screen(&model).contains("placeholders for account"), "{}", screen(&model));
    let effects = press(&mut model, "c");
    let [Effect::Export(wish)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((wish.wanted.form, wish.wanted.redacted, wish.place), (Form::Json, true, Place::Clipboard));
    assert!(wish.before.is_none());
    let effects = update(&mut model, Msg::ReportMade("{}".into()));
    assert!(matches!(&effects[..], [Effect::Copy(text)] if text == "{}"), "{effects:?}");
    // The desktop has no program for it, so the terminal is asked; the way taken is told.
    let effects = update(&mut model, Msg::NotCopied { text: "{}".into() });
    assert!(matches!(&effects[..], [Effect::CopyByTerminal(_)]), "{effects:?}");
    for (way, told) in [
        (Way::Program("wl-copy"), "Copied by wl-copy: {}"),
        (Way::Terminal, "Sent to the clipboard of your terminal: {}"),
        (Way::TooLong, "Too long for the clipboard of a terminal"),
    ] {
        update(&mut model, Msg::Copied { first: "{}".into(), way });
        assert!(screen(&model).contains(told), "{}", screen(&model));
    }
    // What was chosen stays chosen; Esc writes nothing.
    press(&mut model, "e");
    assert!(screen(&model).contains("port22-report.json"), "{}", screen(&model));
    assert!(press(&mut model, "<esc>").is_empty());
    assert!(model.overlays.is_empty());
}

#[test]
fn a_fix_that_cannot_be_applied_is_described() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    // A way in that is closed is no way in.
    let run = model.diagnosing().expect("a diagnosis").run;
    let mut closed = snapshot(run, Story::Blocked);
    let mut diagnosis = (*closed.diagnosis).clone();
    diagnosis.doors.iter_mut().for_each(|d| d.state = crate::core::diagnosis::DoorState::Closed);
    closed.diagnosis = std::sync::Arc::new(diagnosis);
    update(&mut model, Msg::Learned(Box::new(closed)));
    assert!(press(&mut model, "2").is_empty());
    assert!(matches!(model.overlays.last(), Some(Overlay::Read(_))));
    let effects = press(&mut model, "y");
    assert!(matches!(effects[..], [Effect::Copy(_)]), "{effects:?}");
    press(&mut model, "q");
    assert!(model.overlays.is_empty());
}

#[test]
fn starting_with_a_target_opens_its_diagnosis_at_once() {
    let target = Request {
        target: crate::core::target::Target { name: "web-9".into(), ..Default::default() },
        ..Request::default()
    };
    let mut model = Model::new(Settings { target: Some(target), ..Settings::default() }, SIZE);
    let effects = crate::tui::update::begin(&mut model);
    assert_eq!(request(&effects).target.name, "web-9");
    assert!(screen(&model).contains("web-9"));
}

#[test]
fn thousands_of_instances_are_filtered() {
    let mut model = account(SIZE);
    for page in 0..20u32 {
        let rows = (0..1000)
            .map(|n| instance(&id(1000 + page * 1000 + n), &format!("node-{page}-{n}"), "running", None))
            .collect();
        arrive(&mut model, InventoryEvent::Page(rows));
    }
    press(&mut model, "/node-19-999");
    assert_eq!(model.selected_row().and_then(|r| r.instance.name.as_deref()), Some("node-19-999"));
    press(&mut model, "<esc><end>");
    assert_eq!(model.start.shown.len(), 20_006);
}

#[test]
fn a_repair_that_was_cut_short_is_gone_on_with_from_the_journal() {
    let mut model = account(SIZE);
    press(&mut model, "u");
    let entries = vec![entry("e-1", EntryState::InForce, NOW - 100), entry("e-2", EntryState::Interrupted, NOW - 50)];
    update(&mut model, Msg::JournalRead(Ok(entries)));
    press(&mut model, "g");
    assert!(screen(&model).contains("go on with"));
    assert!(matches!(&press(&mut model, "y")[..], [Effect::Resume { entry, .. }] if entry.id == "e-2"));
    let mut model = account(SIZE);
    press(&mut model, "u");
    update(&mut model, Msg::JournalRead(Ok(vec![entry("e-1", EntryState::InForce, NOW - 100)])));
    assert!(press(&mut model, "g").is_empty() && matches!(model.stack.last(), Some(Screen::Journal(_))));
}
