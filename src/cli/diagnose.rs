//! `port22 diagnose`: one diagnosis, headless.

use super::args::{Cli, DiagnoseArgs};
use super::input;
use super::journal;
use super::output::{self, Exit};
use crate::core::catalogue;
use crate::core::diagnosis::{Diagnosis, Overall};
use crate::core::facts::Facts;
use crate::core::probe::ProbeId;
use crate::core::recognise;
use crate::core::redact;
use crate::core::report::Run;
use crate::core::report::compare::{Outline, compare};
use crate::core::words::{tr, tr_with};
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{ProbeState, RunId, Snapshot};
use crate::engine::failure::Failure;
use crate::engine::journal::Journal as _;
use crate::engine::report::{self, Form};
use crate::engine::world::World;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

pub async fn run(cli: &Cli, args: &DiagnoseArgs) -> Result<Exit, Failure> {
    let before = args.compare.as_deref().map(earlier).transpose()?;
    if let Some(file) = &args.replay {
        return replay(cli, args, file, before.as_ref());
    }
    let name = args.target.as_deref().unwrap_or_default();
    let target = input::target(name, &args.ssh, &cli.global)?;
    let mut request = input::request(target, &cli.global);
    request.symptom = symptom(args.symptom.as_deref())?;
    let mut piped = input::Piped::begin();
    if let Some(paste) = piped.text(WAIT).await.and_then(|text| recognised(&text)) {
        take_from_paste(&mut request, &paste);
        request.paste = Some(paste);
    }
    let world: Arc<dyn World> = Arc::new(input::world(&cli.global).await);
    if let Some(exit) = hopeless_keys(&world, &request, args).await {
        return exit;
    }
    let mut snapshot = observe(world, request).await;
    if snapshot.facts.paste.is_none() && piped.is_open() {
        match piped.text(WAIT).await {
            Some(text) => late_paste(&mut snapshot, &text),
            None => output::note("port22: standard input was still open and is not waited for"),
        }
    }
    if let Some(file) = &args.record {
        record(file, &snapshot.facts)?;
    }
    if let Some(failure) = input::unknown_target(&snapshot.facts) {
        return Err(failure);
    }
    let entries = journal::open().and_then(|j| j.entries()).unwrap_or_else(|failure| {
        output::note(&format!("port22: {failure}"));
        Vec::new()
    });
    let done = report::done_for(&snapshot.facts, &entries);
    let run = Run { done, ..report::run_of(&snapshot) };
    tell(cli, args, &snapshot.facts, &snapshot.diagnosis, run, before.as_ref());
    Ok(exit_of(snapshot.diagnosis.overall))
}

/// Prints the report in the form that was asked for.
fn tell(cli: &Cli, args: &DiagnoseArgs, facts: &Facts, diagnosis: &Diagnosis, run: Run, before: Option<&Outline>) {
    let compared = before.map(|before| compare(before, &Outline::of(facts, diagnosis)));
    let run = Run { compared, redacted: args.redact, ..run };
    if args.json {
        output::print_json(&crate::core::report::json(facts, diagnosis, &run));
    } else {
        let form = if args.markdown { Form::Markdown } else { Form::Text };
        output::print(&report::write(form, facts, diagnosis, &run, cli.global.ascii));
    }
}

/// The earlier diagnosis to compare with.
fn earlier(file: &Path) -> Result<Outline, Failure> {
    let doing = format!("read the earlier diagnosis {}", file.display());
    let next = "name a file of --record, or what diagnose --json printed";
    let bytes = input::record(file).map_err(|e| Failure::usage(&doing, e.to_string(), next))?;
    report::earlier(&bytes).map_err(|reason| Failure::usage(&doing, reason, next))
}

/// How long a pipe is waited for: another program may have left its own standard input open.
const WAIT: Duration = Duration::from_millis(700);

fn recognised(text: &str) -> Option<recognise::Recognised> {
    Some(recognise::identify(text, None)).filter(|found| found.symptom != "other")
}

/// A paste that came while the probes ran: it is judged with what they found.
fn late_paste(snapshot: &mut Snapshot, text: &str) {
    let Some(paste) = recognised(text) else { return };
    let mut facts = (*snapshot.facts).clone();
    facts.paste = Some(paste);
    let (facts, diagnosis) = diagnose::replay(facts);
    snapshot.facts = Arc::new(facts);
    snapshot.diagnosis = Arc::new(diagnosis);
}

/// Key files that cannot be keys end the run before anything is asked of the network.
async fn hopeless_keys(
    world: &Arc<dyn World>,
    request: &Request,
    args: &DiagnoseArgs,
) -> Option<Result<Exit, Failure>> {
    let mut facts = Facts { target: request.target.clone(), now: request.now, ..Facts::default() };
    if facts.target.keys.is_empty() {
        return None;
    }
    world.observe(ProbeId::Keys, Arc::new(facts.clone())).await.into_iter().for_each(|o| o.apply(&mut facts));
    let failure = input::refuse_hopeless_keys(&facts.local.keys)?;
    if !args.json {
        return Some(Err(failure));
    }
    // JSON readers get the cause as well, from the file alone.
    let (facts, diagnosis) = diagnose::replay(facts);
    let run = Run { redacted: args.redact, ..Run::default() };
    output::print_json(&crate::core::report::json(&facts, &diagnosis, &run));
    output::note(&format!("port22: {failure}"));
    Some(Ok(Exit::Usage))
}

/// A symptom id, checked.
pub fn symptom(given: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(id) = given else { return Ok(None) };
    let known = &catalogue::get().symptoms;
    if known.contains_key(id) {
        return Ok(Some(id.to_owned()));
    }
    let all = known.iter().filter(|(_, s)| s.kind == "ssh").map(|(id, _)| id.clone()).collect::<Vec<_>>().join(", ");
    Err(Failure::usage("read --symptom", format!("'{id}' is no symptom id"), format!("choose one of: {all}")))
}

/// What the paste names and the command line does not.
pub fn take_from_paste(request: &mut Request, paste: &recognise::Recognised) {
    let target = &mut request.target;
    let command = paste.command.as_ref();
    target.user = target.user.take().or_else(|| paste.extract.user.clone());
    target.port = target.port.or(paste.extract.port.filter(|p| *p != 65535));
    if target.keys.is_empty() {
        target.keys = command.map(|c| c.keys.clone()).unwrap_or_default();
    }
    target.jump = target.jump.take().or_else(|| command.and_then(|c| c.jump.clone()));
}

/// Runs the diagnosis; checks stream to stderr when it is a terminal.
pub async fn observe(world: Arc<dyn World>, request: Request) -> Snapshot {
    let (sender, mut receiver) = unbounded_channel::<Snapshot>();
    let watch = async {
        let mut shown: Vec<ProbeId> = Vec::new();
        let mut waiting: Vec<ProbeId> = Vec::new();
        while let Some(snapshot) = receiver.recv().await {
            for (probe, state) in &snapshot.probes {
                if let (ProbeState::Running { slowed: true, .. }, false) = (state, waiting.contains(probe)) {
                    waiting.push(*probe);
                    output::progress(&tr_with(
                        "  {probe}: waiting, AWS asks to slow down",
                        &[("probe", &tr(probe.title()))],
                    ));
                }
                if let (ProbeState::Ended { millis, note }, false) = (state, shown.contains(probe)) {
                    shown.push(*probe);
                    let note =
                        note.as_ref().map(|n| tr_with(": cannot tell, {why}", &[("why", n)])).unwrap_or_default();
                    output::progress(&format!("  {} {millis} ms{note}", tr(probe.title())));
                }
            }
        }
    };
    let run = diagnose::run(world, request, RunId(1), sender, CancellationToken::new());
    tokio::join!(run, watch).0
}

fn exit_of(overall: Overall) -> Exit {
    match overall {
        Overall::Healthy => Exit::Ok,
        Overall::CauseFound => Exit::Found,
        Overall::Inconclusive => Exit::Unclear,
    }
}

fn record(file: &Path, facts: &Facts) -> Result<(), Failure> {
    let doing = format!("write the record {}", file.display());
    let unwritable = |e: serde_json::Error| Failure::failed(&doing, e.to_string(), "report this as a bug");
    let mut value = serde_json::to_value(facts).map_err(unwritable)?;
    redact::json(&mut value);
    let json = serde_json::to_vec_pretty(&value).map_err(unwritable)?;
    // The record holds console output: for its owner only.
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut f| std::io::Write::write_all(&mut f, &json));
    written.map_err(|e| Failure::usage(doing, e.to_string(), "name a file that you may write"))
}

fn replay(cli: &Cli, args: &DiagnoseArgs, file: &Path, before: Option<&Outline>) -> Result<Exit, Failure> {
    let doing = format!("read the record {}", file.display());
    let bytes =
        input::record(file).map_err(|e| Failure::usage(&doing, e.to_string(), "name a file written by --record"))?;
    let facts: Facts = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::usage(&doing, format!("it is no record: {e}"), "name a file written by --record"))?;
    let (facts, diagnosis) = diagnose::replay(facts);
    tell(cli, args, &facts, &diagnosis, Run::default(), before);
    Ok(exit_of(diagnosis.overall))
}
