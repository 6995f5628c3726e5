//! The loop with keys from a list and screens that are only counted; effects are performed for real, on a fake world.

use super::*;
use crate::core::plan::Plan;
use crate::engine::failure::Failure;
use crate::engine::journal::{Entry, LineEvent};
use crate::tui::tests::fake::Terminals;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::sync::Mutex;

struct Empty;

impl Journal for Empty {
    fn begin(&self, _: &Plan) -> Result<String, Failure> {
        Ok("e-1".into())
    }
    fn append(&self, _: &str, _: LineEvent) -> Result<(), Failure> {
        Ok(())
    }
    fn end(&self, _: &str) {}
    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        Ok(Vec::new())
    }
}

/// A performer whose world takes a moment to be made.
fn made(world: Terminals) -> (Performer, UnboundedReceiver<Msg>) {
    let world = async {
        tokio::task::yield_now().await;
        Arc::new(world) as Arc<dyn World>
    };
    Performer::new(Box::pin(world), Arc::new(Empty))
}

fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Runs the loop; `react` sees every drawn model and says which key to press next.
async fn journey(react: impl Fn(&Model) -> Option<KeyCode>) -> io::Result<Vec<bool>> {
    let (press, keys) = unbounded_channel();
    let drawn = Mutex::new(Vec::new());
    let model = Model::new(Settings::default(), (80, 24));
    let draw = |model: &Model| {
        drawn.lock().expect("a lock").push(model.start.rows.is_empty());
        if let Some(code) = react(model) {
            let _ = press.send(Ok(key(code)));
        }
        Ok(())
    };
    let performer = made(Terminals::none());
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, turn(model, performer, keys, draw)).await.map_err(io::Error::other)??;
    Ok(drawn.into_inner().expect("a lock"))
}

#[tokio::test]
async fn the_loop_draws_first_then_lists_diagnoses_and_leaves() {
    let frames = journey(|model| match model.diagnosing() {
        None if model.start.done => Some(KeyCode::Enter),
        None => None,
        Some(d) if d.finished() => Some(KeyCode::Char('q')),
        Some(_) => None,
    });
    let frames = frames.await.expect("an orderly end");
    assert!(frames[0], "the first frame comes before any answer");
    assert!(frames.len() < 60, "{} frames: drawn only when something changed", frames.len());
}

#[tokio::test]
async fn a_session_in_the_pane_from_its_door_to_its_end() {
    use crate::tui::model::ShellPhase;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (world, mut doors) = Terminals::new(1024);
    let far = tokio::spawn(async move {
        let mut far = doors.recv().await.expect("the door was asked for");
        far.stream.write_all(b"prompt> ").await.expect("written");
        let mut key = [0];
        far.stream.read_exact(&mut key).await.expect("read");
        far.stream.write_all(&key).await.expect("written");
        far.control.hung_up().await;
    });
    let target = crate::core::target::Target { name: "web-9".into(), ..Default::default() };
    let target = crate::engine::diagnose::Request { target, ..Default::default() };
    let model = Model::new(Settings { target: Some(target), ..Settings::default() }, (80, 24));
    let (press, keys) = unbounded_channel();
    let key = |c| Event::Key(KeyEvent::new(c, KeyModifiers::NONE));
    let (mut typed, mut left) = (false, false);
    let draw = |model: &Model| {
        use crate::tui::model::{Overlay, Screen};
        let events = match (model.overlays.last(), model.stack.last()) {
            (Some(Overlay::EndShell), _) => {
                left = true;
                vec![key(KeyCode::Char('y'))]
            }
            (_, Some(Screen::Diagnosis(_))) if left => vec![key(KeyCode::Char('q'))],
            (_, Some(Screen::Doors { .. })) if left => vec![key(KeyCode::Esc)],
            (_, Some(Screen::Diagnosis(d))) if d.finished() => vec![key(KeyCode::Char('d'))],
            (_, Some(Screen::Doors { .. })) => match crate::tui::update::diagnosis::selected_door(model) {
                Some(_) => vec![key(KeyCode::Enter)],
                None => vec![key(KeyCode::Char('j'))],
            },
            (None, Some(Screen::Shell(s))) if s.phase == ShellPhase::Open => {
                let at = |column| s.frame.as_ref().and_then(|f| f.cell(0, column)).map_or("", |c| c.contents());
                match (at(6), at(8)) {
                    (">", "x") => vec![
                        Event::Key(KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL)),
                        key(KeyCode::Char('q')),
                    ],
                    (">", _) if !std::mem::replace(&mut typed, true) => vec![key(KeyCode::Char('x'))],
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        };
        events.into_iter().for_each(|e| drop(press.send(Ok(e))));
        Ok(())
    };
    let performer = made(world);
    let end = tokio::time::timeout(Duration::from_secs(20), turn(model, performer, keys, draw)).await;
    assert!(end.expect("in time").is_ok());
    tokio::time::timeout(Duration::from_secs(5), far).await.expect("hung up in time").expect("no panic");
}

#[tokio::test]
async fn a_session_that_was_just_left_is_ended_before_the_program_is() {
    use crate::engine::terminal::{Door, Wish};
    let (world, mut doors) = Terminals::new(1024);
    let (mut performer, queue) = made(world);
    let (run, size) = (RunId(7), Some((80, 24)));
    let wish = Wish { door: Door::Ssm, facts: Arc::default(), size, command: None, plugin: false };
    performer.perform(vec![Effect::OpenShell { run, wish: Box::new(wish) }]).expect("begun");
    let world = changed_scope(&mut performer.changing).await;
    let waited = performer.changed(world);
    assert_eq!(waited.len(), 1, "it has waited for the world");
    performer.perform(waited).expect("begun");
    let far = doors.recv().await.expect("the door was asked for");
    performer.perform(vec![Effect::CloseShell { run }]).expect("begun");
    let (_, gone) = unbounded_channel();
    let model = Model::new(Settings::default(), (80, 24));
    assert!(turn(model, (performer, queue), gone, |_| Ok(())).await.is_ok());
    assert!(far.control.was_hung_up());
}

#[tokio::test]
async fn the_loop_ends_when_the_terminal_is_gone() {
    let model = Model::new(Settings::default(), (80, 24));
    let (_, gone) = unbounded_channel();
    let performer = made(Terminals::none());
    assert!(turn(model, performer, gone, |_| Ok(())).await.is_ok());
    let model = Model::new(Settings::default(), (80, 24));
    let (press, broken) = unbounded_channel();
    let _ = press.send(Err(io::Error::other("gone")));
    let performer = made(Terminals::none());
    assert!(turn(model, performer, broken, |_| Ok(())).await.is_err());
}

/// What a changed scope is asked, in the order of the answers.
#[tokio::test]
async fn what_is_asked_after_a_change_is_asked_of_the_world_of_the_new_scope() {
    use crate::engine::inventory::InventoryEvent;
    use crate::engine::scope::Scope;
    let (mut performer, mut queue) = made(Terminals::none());
    let scope = |name: &str| Scope { profile: Some(name.to_owned()), regions: Vec::new() };
    let change = |name: &str, load| vec![Effect::ChangeScope(scope(name)), Effect::LoadInventory { load }];
    // Before there is a world, and twice in a row: the last one counts.
    performer.perform(vec![Effect::LoadInventory { load: 1 }]).expect("begun");
    performer.perform(change("one", 2)).expect("begun");
    let mut names = Vec::new();
    for turn in 0..4 {
        let world = changed_scope(&mut performer.changing).await;
        let waited = performer.changed(world);
        performer.perform(waited).expect("begun");
        if turn == 0 {
            performer.perform(change("two", 3)).expect("begun");
        }
        if performer.changing.is_none() {
            break;
        }
    }
    let limit = Duration::from_secs(20);
    while let Ok(Some(msg)) = tokio::time::timeout(limit, queue.recv()).await {
        match msg {
            Msg::Inventory { load: 3, event: InventoryEvent::Page(page) } => {
                names.extend(page.into_iter().map(|i| i.name));
            }
            Msg::Inventory { load: 3, event: InventoryEvent::Done } => break,
            _ => {}
        }
    }
    assert_eq!(names, [Some("web-1 of two".to_owned())]);
}
