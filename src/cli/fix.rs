//! `port22 fix`: plan, confirm, apply, verify, headless.

use super::args::{Cli, FixArgs};
use super::output::{self, Exit};
use super::{diagnose, input, journal, passphrase};
use crate::core::catalogue;
use crate::core::fixes;
use crate::core::plan::{Choices, Confirmed, Consent, Gate, Plan};
use crate::core::report;
use crate::core::report::compare::Compared;
use crate::core::rules;
use crate::core::words::{tr, tr_with};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, RunId, Snapshot, StepState};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::journal::Journal;
use crate::engine::repair::{self, Means};
use crate::engine::world::World;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;

pub async fn run(cli: &Cli, args: &FixArgs) -> Result<Exit, Failure> {
    let doing = format!("plan {}", args.fix);
    if !catalogue::get().fixes.contains_key(&args.fix) {
        return Err(Failure::usage(
            doing,
            format!("there is no fix '{}'", args.fix),
            format!("fixes: {}", fixes::all().collect::<Vec<_>>().join(", ")),
        ));
    }
    if !fixes::applicable(&args.fix) {
        return Err(Failure::usage(
            doing,
            "this version cannot apply it",
            format!("port22 explain {} tells how to do it by hand", args.fix),
        ));
    }
    if cli.global.read_only && !args.dry_run {
        return Err(Failure::new(
            FailureKind::Refused,
            format!("apply {}", args.fix),
            "--read-only refuses every change",
            "leave it out to apply the plan",
        ));
    }
    let target = input::target(&args.target, &args.ssh, &cli.global)?;
    let request = input::request(target, &cli.global);
    let world: Arc<dyn World> = Arc::new(input::world(&cli.global).await);
    let before = diagnose::observe(Arc::clone(&world), request.clone()).await;
    if let Some(failure) = input::unknown_target(&before.facts) {
        return Err(failure);
    }
    if let Some(failure) = input::refuse_hopeless_keys(&before.facts.local.keys).filter(|_| args.fix == "key-chmod") {
        return Err(failure);
    }
    let choices = choices(args)?;
    crate::edge::passphrase::may_ask_on_terminal();
    let plan = repair::plan(world.as_ref(), &args.fix, &before.facts, &choices).await.map_err(|reason| {
        let unread = !["key-chmod", "key-convert", "ssh-config-entry"].contains(&args.fix.as_str())
            && before.facts.source_ip().is_some();
        let next = format!("port22 diagnose {} shows what is known", args.target);
        if unread { Failure::failed(&doing, reason, next) } else { Failure::usage(&doing, reason, next) }
    })?;
    if let Some(stranger) = plan.stranger_among(&choices) {
        let next = format!("port22 fix {} {} --dry-run lists the choices", args.fix, args.target);
        return Err(Failure::usage(&doing, stranger, next));
    }
    if args.dry_run {
        if args.json {
            output::print_json(&report::plan_json(&plan));
        } else {
            output::print(&report::plan_text(&plan, cli.global.ascii));
        }
        return match plan.refused() {
            Some(gate) => Err(refused(&plan, gate)),
            None => Ok(Exit::Ok),
        };
    }
    if let Some(gate) = plan.refused() {
        return Err(refused(&plan, gate));
    }
    if plan.steps.iter().all(|s| s.action.is_none()) {
        let why = plan.gates.iter().map(|g| g.why.clone()).collect::<Vec<_>>().join("; ");
        tell(args.json, &plan, true, None, &why, (None, None), &Said::new());
        return Ok(Exit::Ok);
    }
    output::note(&report::plan_text(&plan, cli.global.ascii));
    let confirmed = confirm(plan, args.yes)?;
    passphrase::gather(confirmed.plan())?;
    let journal: Arc<dyn Journal> = Arc::new(journal::open()?);
    // Somebody may have thought about it for a while.
    let reread = !args.yes;
    let run = follow(world, journal, request, |means| repair::apply(means, confirmed, reread));
    let (result, said) = Box::pin(run).await;
    finish(args.json, result, &said, Some(&before))
}

/// What `--choose ID=OPTION` says.
fn choices(args: &FixArgs) -> Result<Choices, Failure> {
    args.choose
        .iter()
        .map(|pair| {
            pair.split_once('=').map(|(id, option)| (id.to_owned(), option.to_owned())).ok_or_else(|| {
                Failure::usage(
                    format!("plan {}", args.fix),
                    format!("--choose {pair} is not ID=OPTION"),
                    format!("port22 fix {} TARGET --dry-run lists the choices", args.fix),
                )
            })
        })
        .collect()
}

fn refused(plan: &Plan, gate: &Gate) -> Failure {
    let failure = Failure::new(FailureKind::Refused, format!("apply {}", plan.fix), &gate.why, "nothing was changed");
    if gate.id == "permission" && gate.why.starts_with("you are not allowed") {
        let cause = rules::looking::denied_fix("", &gate.why).id;
        return Failure {
            next: format!("nothing was changed; port22 policy --fix {} prints the permissions to ask for", plan.fix),
            ..failure.caused_by(cause)
        };
    }
    failure
}

/// Asks on the terminal, or takes `--yes`.
pub fn confirm(plan: Plan, yes: bool) -> Result<Confirmed, Failure> {
    let doing = format!("apply {}", plan.fix);
    let not = |reason: String| {
        Failure::new(FailureKind::NotConfirmed, &doing, reason, "nothing was changed; pass --yes to consent")
    };
    let typed = if yes {
        match &plan.consent {
            Consent::Type(word) => Some(word.clone()),
            Consent::Yes => None,
        }
    } else {
        if !std::io::stdin().is_terminal() {
            return Err(not("it was not confirmed".to_owned()));
        }
        match &plan.consent {
            Consent::Yes => output::ask(tr("Apply this plan? [y/N] ")),
            Consent::Type(word) => output::ask(&tr_with("Type {word} to apply this plan: ", &[("word", word)])),
        }
        let mut line = String::new();
        let _ = std::io::stdin().lock().read_line(&mut line);
        let line = line.trim().to_owned();
        if plan.consent == Consent::Yes && !matches!(line.as_str(), "y" | "Y" | "yes") {
            return Err(not("you said no".to_owned()));
        }
        Some(line)
    };
    let gate = plan.refused().map(|g| g.why.clone());
    Confirmed::after_consent(plan, typed.as_deref()).map_err(|reason| match gate {
        Some(why) => Failure::new(FailureKind::Refused, &doing, why, "nothing was changed"),
        None => not(reason),
    })
}

/// What each step said when it was done, by its index in the plan.
pub type Said = BTreeMap<usize, String>;

/// Runs a repair, an undo or a resumed repair, and tells on stderr what goes on. Gives what the steps said as well.
pub async fn follow<F, R>(
    world: Arc<dyn World>,
    journal: Arc<dyn Journal>,
    request: crate::engine::diagnose::Request,
    run: F,
) -> (RepairResult, Said)
where
    F: FnOnce(Means) -> R,
    R: Future<Output = RepairResult>,
{
    let (out, mut receiver) = unbounded_channel();
    let watch = async {
        let mut said = Said::new();
        while let Some(event) = receiver.recv().await {
            match event {
                RepairEvent::Step { index, state: StepState::Done(text) } => {
                    output::progress(&tr_with("  step {number}: {text}", &[("number", &(index + 1)), ("text", &text)]));
                    said.insert(index, text);
                }
                RepairEvent::Step { index, state: StepState::Failed(text) } => {
                    output::progress(&tr_with(
                        "  step {number} failed: {text}",
                        &[("number", &(index + 1)), ("text", &text)],
                    ));
                }
                RepairEvent::Progress { index, text } => {
                    output::progress(&tr_with("  step {number}: {text}", &[("number", &(index + 1)), ("text", &text)]));
                }
                _ => {}
            }
        }
        said
    };
    tokio::join!(run(Means { world, journal, request, run: RunId(2), out }), watch)
}

/// Tells how it ended, and what changed since the diagnosis before it.
pub fn finish(json: bool, result: RepairResult, said: &Said, before: Option<&Snapshot>) -> Result<Exit, Failure> {
    let after = result.after.as_ref();
    let compared = before.zip(after).map(|(before, after)| {
        crate::engine::report::compared((&before.facts, &before.diagnosis), (&after.facts, &after.diagnosis))
    });
    let tell = |verified: bool, text: &str| {
        tell(json, &result.plan, verified, result.entry.as_deref(), text, (after, compared.as_ref()), said);
    };
    match &result.outcome {
        RepairOutcome::Fixed { login } => {
            let text = if *login {
                tr("fixed: the login works").to_owned()
            } else {
                tr_with("applied and verified; {rest}", &[("rest", &still(&result))])
            };
            tell(true, &text);
            Ok(Exit::Ok)
        }
        RepairOutcome::NotVerified(why) => {
            tell(false, &tr_with("applied, not verified: {why}", &[("why", &why)]));
            Ok(Exit::Found)
        }
        RepairOutcome::Failed(failure) => Err(failure.clone()),
        RepairOutcome::Stale(fresh) => Err(Failure::new(
            FailureKind::Refused,
            format!("apply {}", fresh.fix),
            format!("the world has changed since the plan was shown; now it would be: {}", fresh.title),
            "nothing was changed; run the same command again to see the new plan",
        )),
        RepairOutcome::Undone => Ok(Exit::Ok),
    }
}

/// What still stands between the user and a login.
fn still(result: &RepairResult) -> String {
    let Some(first) = result.after.as_ref().and_then(|a| a.diagnosis.causes.first().cloned()) else {
        return tr("the login itself could not be proven").to_owned();
    };
    let title = catalogue::get().causes.get(&first.id).map_or(first.id.as_str(), |w| w.title.as_str());
    tr_with("the login still fails: {cause} ({id})", &[("cause", &title), ("id", &first.id)])
}

fn tell(
    as_json: bool,
    plan: &Plan,
    verified: bool,
    entry: Option<&str>,
    text: &str,
    (after, compared): (Option<&Snapshot>, Option<&Compared>),
    said: &Said,
) {
    if as_json {
        let mut out = report::plan_json(plan);
        for (index, text) in said {
            if let Some(step) = out["steps"].get_mut(*index) {
                step["result"] = json!(text);
            }
        }
        out["applied"] = json!(true);
        out["verified"] = json!(verified);
        out["entry"] = json!(entry);
        out["message"] = json!(text);
        out["login_works"] =
            json!(after.is_some_and(|a| a.diagnosis.overall == crate::core::diagnosis::Overall::Healthy));
        out["causes"] = json!(
            after.map(|a| a.diagnosis.causes.iter().map(|c| c.id.clone()).collect::<Vec<_>>()).unwrap_or_default()
        );
        if let Some(compared) = compared {
            out["compared"] = json!(compared);
        }
        output::print_json(&out);
    } else {
        // Step by step on stderr only while somebody watches.
        for (index, text) in
            said.iter().filter(|(index, _)| plan.steps.get(**index).is_some_and(|s| s.action.is_some()))
        {
            output::print(&tr_with("step {number}: {text}", &[("number", &(index + 1)), ("text", &text)]));
        }
        output::print(text);
        for line in compared.map(Compared::brief).unwrap_or_default() {
            output::print(&format!("  {line}"));
        }
        if let Some(entry) = entry.filter(|_| plan.steps.iter().any(|s| s.undo.is_some())) {
            output::print(&tr_with("undo: {command}", &[("command", &format!("port22 undo {entry}"))]));
        }
    }
}
