//! `port22 lab`: the practice account. The wizard that runs on it is the same program with other addresses.

use super::args::{Cli, LabArgs, LabCommand};
use super::output::{self, Exit};
use super::{diagnose, input, wizard};
use crate::core::recognise;
use crate::core::target::Target;
use crate::edge::{RealWorld, Settings, aws::AwsSettings, journal_file::JournalFile};
use crate::engine::diagnose::Request;
use crate::engine::failure::Failure;
use crate::engine::journal::Journal;
use crate::engine::world::World;
use crate::lab::{Lab, LabOptions, scenario_list};
use crate::signals::Signals;
use futures_util::FutureExt;
use futures_util::future::ready;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub async fn run(cli: &Cli, args: &LabArgs) -> Result<Exit, Failure> {
    match &args.command {
        Some(LabCommand::List { json }) => list(*json),
        Some(LabCommand::Serve { port, scenario, delay, transition }) => {
            let base = LabOptions::default();
            let options = LabOptions {
                scenario: scenario.clone(),
                port: *port,
                delay: delay.map_or(base.delay, Duration::from_millis),
                transition: transition.map_or(base.transition, Duration::from_millis),
                ..base
            };
            serve(options).await
        }
        None => practise(cli, args.scenario.clone()).await,
    }
}

fn list(as_json: bool) -> Result<Exit, Failure> {
    let all = scenario_list().map_err(|e| Failure::usage("read the scenarios", e, "report this"))?;
    if as_json {
        output::print_json(&json!({"schema": 1, "scenarios": all}));
    } else {
        for s in &all {
            output::print(&format!("{:<8} {} {:<18} {:<26} {}", s.group, s.difficulty, s.id, s.symptom, s.title));
        }
    }
    Ok(Exit::Ok)
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

async fn practise(cli: &Cli, scenario: Option<String>) -> Result<Exit, Failure> {
    let lab = start(LabOptions { scenario: scenario.clone(), ..LabOptions::default() }).await?;
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
    let exit = wizard::show(cli, ready(world).boxed(), journal, base, chosen, true).await;
    lab.stop().await;
    exit
}
