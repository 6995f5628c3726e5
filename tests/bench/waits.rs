//! What a user waits for, measured: `cargo bench`. No test: a busy machine must fail nothing.
//!
//! - `judge`: all rules over the facts of one target (aim: under 5 ms)
//! - `identify`: a 12 kB paste
//! - `list`: each key of a list of 5,000 and 20,000 instances, and the frame after it (aim: under 16 ms)
//! - `diagnose`: the AWS part of a diagnosis against an endpoint that answers each call after 0 and 100 ms
//!   (aim: 2.3 times the delay and 50 ms); the API calls of one diagnosis are printed

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use port22::cli::lab_settings;
use port22::core::diagnosis::judge;
use port22::core::facts::Facts;
use port22::core::facts::aws::Instance;
use port22::core::recognise;
use port22::core::target::Target;
use port22::edge::RealWorld;
use port22::engine::diagnose::{Request, run};
use port22::engine::event::{RunId, Snapshot};
use port22::engine::inventory::InventoryEvent;
use port22::lab::{Lab, LabOptions};
use port22::tui::model::Model;
use port22::tui::msg::Msg;
use port22::tui::update::update;
use port22::tui::{Settings, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Its port refuses at once: nothing but AWS decides how long its diagnosis takes.
const AWS_ONLY: &str = "web-refused";

fn lab(runtime: &Runtime, delay: u64) -> Lab {
    let options = LabOptions { delay: Duration::from_millis(delay), ..LabOptions::default() };
    runtime.block_on(Lab::start(options)).expect("the practice account")
}

async fn diagnose(world: &Arc<RealWorld>, lab: &Lab, name: &str) -> Snapshot {
    let target = Target {
        name: name.to_owned(),
        config_file: Some(lab.config_file().display().to_string()),
        source_ip: Some(lab.source_ip()),
        ..Target::default()
    };
    let request = Request { target, now: 1_800_000_000, ..Request::default() };
    let (out, _events) = tokio::sync::mpsc::unbounded_channel();
    run(Arc::clone(world) as Arc<_>, request, RunId(1), out, CancellationToken::new()).await
}

fn facts(runtime: &Runtime) -> Facts {
    let lab = lab(runtime, 0);
    let world = Arc::new(runtime.block_on(RealWorld::new(lab_settings(&lab))));
    let snapshot = runtime.block_on(diagnose(&world, &lab, "web-timeout"));
    runtime.block_on(lab.stop());
    (*snapshot.facts).clone()
}

fn judging(c: &mut Criterion) {
    let facts = facts(&Runtime::new().expect("a runtime"));
    c.bench_function("judge/one-target", |b| b.iter(|| judge(black_box(&facts))));
}

fn recognising(c: &mut Criterion) {
    let line = "debug1: identity file /home/u/.ssh/id_ed25519 type -1\r\n";
    let mut text = line.repeat(12_000 / line.len());
    text.push_str("ubuntu@203.0.113.7: Permission denied (publickey).\n");
    c.bench_function("identify/12kB", |b| b.iter(|| recognise::identify(black_box(&text), None)));
}

fn instances(numbers: std::ops::Range<usize>) -> Vec<Instance> {
    let instance = |n: usize| Instance {
        id: format!("i-{n:017x}"),
        name: Some(format!("web-{}-{n}", ["blue", "green", "api", "batch"][n % 4])),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        instance_type: "t3.micro".to_owned(),
        private_ip: Some(std::net::Ipv4Addr::from(0x0a00_0000 + n as u32).into()),
        ..Instance::default()
    };
    numbers.map(instance).collect()
}

fn listed(count: usize) -> Model {
    let mut model = Model::new(Settings::default(), (120, 40));
    let load = model.start.load;
    update(&mut model, Msg::Inventory { load, event: InventoryEvent::Page(instances(0..count)) });
    update(&mut model, Msg::Inventory { load, event: InventoryEvent::Done });
    model
}

fn press(model: &mut Model, code: KeyCode) {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

/// Keys of the list: name, what is typed before, the key that is measured.
const KEYS: &[(&str, &[KeyCode], KeyCode)] = &[
    ("filter-first-letter", &[KeyCode::Char('/')], KeyCode::Char('g')),
    ("filter-second-letter", &[KeyCode::Char('/'), KeyCode::Char('g')], KeyCode::Char('r')),
    ("filter-digit", &[KeyCode::Char('/')], KeyCode::Char('1')),
    ("filter-backspace", &[KeyCode::Char('/'), KeyCode::Char('g'), KeyCode::Char('r')], KeyCode::Backspace),
    ("filter-clear", &[KeyCode::Char('/'), KeyCode::Char('g'), KeyCode::Char('r')], KeyCode::Esc),
    ("down", &[KeyCode::End, KeyCode::Up], KeyCode::Down),
    ("up", &[KeyCode::End], KeyCode::Up),
    ("page-down", &[], KeyCode::PageDown),
    ("page-up", &[KeyCode::End], KeyCode::PageUp),
    ("last", &[], KeyCode::End),
    ("first", &[KeyCode::End], KeyCode::Home),
    ("sort", &[], KeyCode::Char('s')),
    ("symptoms", &[], KeyCode::Tab),
    ("help", &[], KeyCode::Char('?')),
    ("palette", &[], KeyCode::Char(':')),
    ("profile-and-region", &[], KeyCode::Char('p')),
    ("login-details", &[], KeyCode::Char('t')),
    ("fleet", &[], KeyCode::Char('f')),
    ("reload", &[], KeyCode::Char('r')),
    ("open", &[KeyCode::End], KeyCode::Enter),
];

fn listing(c: &mut Criterion) {
    for count in [5_000, 20_000] {
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("a screen");
        let mut group = c.benchmark_group(format!("list/{count}"));
        // Each needs a list of its own: making them is most of the time, and is not measured.
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for (name, before, key) in KEYS {
            group.bench_function(*name, |b| {
                b.iter_batched_ref(
                    || {
                        let mut model = listed(count);
                        before.iter().for_each(|key| press(&mut model, *key));
                        model
                    },
                    |model| {
                        press(model, *key);
                        terminal.draw(|frame| view::draw(model, frame)).expect("a frame");
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        // A page of a thousand that comes in while a filter is typed.
        group.bench_function("page-arrives-under-filter", |b| {
            b.iter_batched_ref(
                || {
                    let mut model = listed(count);
                    [KeyCode::Char('/'), KeyCode::Char('g')].into_iter().for_each(|key| press(&mut model, key));
                    (model, instances(count..count + 1_000))
                },
                |(model, page)| {
                    let load = model.start.load;
                    update(model, Msg::Inventory { load, event: InventoryEvent::Page(std::mem::take(page)) });
                    terminal.draw(|frame| view::draw(model, frame)).expect("a frame");
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

fn diagnosing(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    for delay in [0, 100] {
        let lab = lab(&runtime, delay);
        let world = Arc::new(runtime.block_on(RealWorld::new(lab_settings(&lab))));
        let once = runtime.block_on(diagnose(&world, &lab, AWS_ONLY));
        println!("diagnose/aws-part/{delay}ms: {} API calls", once.api_calls);
        let mut group = c.benchmark_group("diagnose");
        group.sample_size(20).bench_function(format!("aws-part/{delay}ms"), |b| {
            b.iter(|| runtime.block_on(diagnose(&world, &lab, AWS_ONLY)));
        });
        group.finish();
        runtime.block_on(lab.stop());
    }
}

criterion_group!(benches, judging, recognising, listing, diagnosing);
criterion_main!(benches);
