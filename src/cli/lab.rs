//! `port22 lab`: the practice account. The wizard that runs on it is the same program with other addresses.

mod check;
mod progress;

use super::args::{AccountArgs, Cli, LabArgs, LabCommand};
use super::output::{self, Exit};
use super::{diagnose, input, wizard};
use crate::core::practice::Lesson;
use crate::core::practice::progress::Solved;
use crate::core::recognise;
use crate::core::target::Target;
use crate::core::text::shell_quote;
use crate::edge::practice::Record;
use crate::edge::{RealWorld, Settings, aws::AwsSettings, journal_file::JournalFile};
use crate::engine::diagnose::Request;
use crate::engine::failure::Failure;
use crate::engine::journal::Journal;
use crate::engine::world::World;
use crate::lab::{Lab, LabOptions, ScenarioInfo};
use crate::signals::Signals;
use crate::tui::model::practice::{Keep, Practice};
use futures_util::FutureExt;
use futures_util::future::ready;
use std::sync::Arc;
use std::time::Duration;

pub async fn run(cli: &Cli, args: &LabArgs) -> Result<Exit, Failure> {
    let ascii = cli.global.ascii;
    match &args.command {
        Some(LabCommand::List { json, seed }) => progress::list(*json, ascii, *seed),
        Some(LabCommand::Serve { scenario, account }) => serve(options(scenario.clone(), account)).await,
        Some(LabCommand::Check(args)) => check::run(cli, args).await,
        Some(LabCommand::Progress { reset, json }) => progress::show(*reset, *json, ascii),
        None => Box::pin(practise(cli, args)).await,
    }
}

fn options(scenario: Option<String>, account: &AccountArgs) -> LabOptions {
    let base = LabOptions::default();
    LabOptions {
        scenario,
        port: account.port,
        delay: account.delay.map_or(base.delay, Duration::from_millis),
        transition: account.transition.map_or(base.transition, Duration::from_millis),
        seed: account.seed,
    }
}

/// A scenario as the score and the screens see it, in an account that has it `alone` or among all.
fn lesson(info: ScenarioInfo, alone: bool) -> Lesson {
    Lesson {
        id: info.id,
        title: info.title,
        symptom: info.symptom,
        group: info.group,
        difficulty: info.difficulty,
        story: info.story,
        hints: info.hints,
        cause: info.cause,
        also: info.also,
        fix: info.fix,
        instance: info.instance_id,
        name: info.instance_name,
        elsewhere: !info.said.is_empty() || (info.alone && !alone),
    }
}

async fn start(options: LabOptions) -> Result<Lab, Failure> {
    Lab::start(options)
        .await
        .map_err(|e| Failure::usage("start the practice account", e, "port22 lab list shows the scenarios"))
}

/// Where the journal of practice is kept: with the practice account.
fn practice(lab: &Lab) -> std::path::PathBuf {
    lab.home().join("journal")
}

/// The settings with which the program reaches the practice account: what a user would set by environment.
pub fn settings(lab: &Lab) -> Settings {
    let value = |name: &str| lab.environment().into_iter().find(|(n, _)| n == name).map(|(_, v)| v);
    let keys = value("AWS_ACCESS_KEY_ID").zip(value("AWS_SECRET_ACCESS_KEY"));
    let aws = AwsSettings {
        profile: None,
        regions: value("AWS_REGION").into_iter().collect(),
        endpoint: Some(lab.endpoint()),
        keys,
    };
    Settings { aws, source_ip: Some(lab.source_ip()), state: Some(practice(lab)), ..Settings::default() }
}

async fn serve(options: LabOptions) -> Result<Exit, Failure> {
    let lab = start(options).await?;
    output::print(&lab.endpoint());
    for (name, value) in lab.environment() {
        output::print(&format!("export {name}={}", crate::core::text::shell_quote(&value)));
    }
    output::print(&format!(
        "# ssh -F {} web-healthy",
        crate::core::text::shell_quote(&lab.config_file().display().to_string())
    ));
    output::print(&format!(
        "# port22 diagnose web-timeout -F {} --source-ip {}",
        crate::core::text::shell_quote(&lab.config_file().display().to_string()),
        lab.source_ip()
    ));
    Signals::listen().next().await;
    lab.stop().await;
    Ok(Exit::Ok)
}

/// A lesson's question; what the client said in the story counts as pasted.
fn asked(cli: &Cli, target: Target, said: &str) -> Request {
    let mut request = input::request(target, &cli.global);
    if !said.is_empty() {
        let paste = recognise::identify(said, None);
        diagnose::take_from_paste(&mut request, &paste);
        request.paste = Some(paste);
    }
    request
}

/// Keeps solved lessons in the user's state directory.
#[derive(Debug)]
struct Keeper(Record);

impl Keep for Keeper {
    fn keep(&self, solved: &Solved) -> Result<(), String> {
        self.0.add(solved)
    }
}

/// The practice account as the screens see it.
fn on_screen(lab: &Lab, args: &LabArgs) -> Practice {
    let shell = |name: &str| {
        let value = lab.environment().into_iter().find(|(known, _)| known == name).map(|(_, value)| value);
        format!("{name}={}", shell_quote(&value.unwrap_or_default()))
    };
    let by_hand = format!(
        "export {} {}\nexport {} {}\nssh -F {} LESSON\nport22 lab check LESSON",
        shell("AWS_ENDPOINT_URL"),
        shell("AWS_REGION"),
        shell("AWS_ACCESS_KEY_ID"),
        shell("AWS_SECRET_ACCESS_KEY"),
        shell_quote(&lab.config_file().display().to_string()),
    );
    let alone = args.scenario.is_some();
    Practice {
        lessons: lab.scenarios().into_iter().map(|info| lesson(info, alone)).collect(),
        progress: progress::known(),
        guided: args.guided,
        seed: args.account.seed,
        by_hand,
        // Without a home directory nothing can be kept, which was told already.
        keeper: progress::record().ok().map(|record| Arc::new(Keeper(record)) as Arc<dyn Keep>),
        ..Practice::default()
    }
}

async fn practise(cli: &Cli, args: &LabArgs) -> Result<Exit, Failure> {
    let scenario = args.scenario.clone();
    let lab = start(options(scenario.clone(), &args.account)).await?;
    let screens = on_screen(&lab, args);
    let world: Arc<dyn World> = Arc::new(RealWorld::new(settings(&lab)).await);
    // The journal of practice stays with the practice account.
    let journal: Arc<dyn Journal> = Arc::new(JournalFile::new(practice(&lab)));
    let base = Target {
        config_file: Some(lab.config_file().display().to_string()),
        source_ip: Some(lab.source_ip()),
        ..Target::default()
    };
    let chosen = match scenario {
        Some(id) => {
            let lesson = lab.scenarios().into_iter().find(|s| s.id == id);
            lesson.map(|lesson| asked(cli, Target { name: lesson.instance_name, ..base.clone() }, &lesson.said))
        }
        None => None,
    };
    let exit = Box::pin(wizard::show(cli, ready(world).boxed(), journal, base, chosen, Some(screens))).await;
    lab.stop().await;
    exit
}
