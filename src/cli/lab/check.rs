//! `port22 lab check`: is a lesson of a running practice account solved? A real login tells, whoever mended it: this
//! program, the aws CLI, an editor.

use super::progress::{known, lessons, record};
use crate::cli::args::{CheckArgs, Cli};
use crate::cli::output::{self, Exit};
use crate::cli::{diagnose, input};
use crate::core::catalogue;
use crate::core::check::Verdict;
use crate::core::diagnosis::{Diagnosis, Overall};
use crate::core::practice::progress::{Best, Solved};
use crate::core::practice::score::{Bill, FULL, Tally, bill};
use crate::core::practice::{Goal, Lesson, NOTHING, hand};
use crate::core::target::Target;
use crate::core::words::{tr, tr_with};
use crate::edge::practice::{self, Account};
use crate::edge::{RealWorld, Settings, aws::AwsSettings};
use crate::engine::failure::Failure;
use crate::engine::world::World;
use serde_json::json;
use std::sync::Arc;

/// What came out.
struct Found {
    solved: bool,
    /// Whether a login works, by what, and what was said where it does not; `None` where it was not tried.
    login: Option<(bool, &'static str, String)>,
    /// What a diagnosis still finds; `None` where there was none.
    left: Option<Vec<String>>,
}

/// The credentials of the practice account.
const KEYS: &str = "practice";

pub async fn run(cli: &Cli, args: &CheckArgs) -> Result<Exit, Failure> {
    let endpoint =
        args.endpoint.clone().or_else(|| std::env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty()));
    let asked = match &endpoint {
        Some(url) => practice::account(url).await.map(|account| (url.clone(), account)),
        None => Err("no endpoint is named".to_owned()),
    };
    let alone = asked.as_ref().ok().and_then(|(_, account)| account.scenario.clone());
    let Some(id) = args.scenario.clone().or_else(|| alone.clone()) else {
        return Err(match asked {
            Err(why) => absent(why),
            Ok(_) => Failure::usage("check a scenario", "the account has many", "name one: port22 lab list shows them"),
        });
    };
    let seed = asked.as_ref().map_or(0, |(_, account)| account.seed);
    let has_it_alone = alone.as_ref() == Some(&id);
    let lesson = lessons(seed, has_it_alone)?.into_iter().find(|one| one.id == id).ok_or_else(|| {
        Failure::usage("check a scenario", format!("there is no practice scenario {id}"), "port22 lab list shows them")
    })?;
    let named = named(args, &lesson)?;
    // A cause that is named needs no account where naming it is all that can be done.
    let found = match &asked {
        _ if named == Some(true) && lesson.goal() == Goal::Named => Found { solved: true, login: None, left: None },
        Err(why) => return Err(absent(why.clone())),
        Ok((url, account)) => look(cli, args, &lesson, url, account).await?,
    };
    let account = asked.ok().map(|(_, account)| account);
    let calls: Vec<_> =
        account.iter().flat_map(|a| &a.calls).filter(|c| c.instances.contains(&lesson.name)).cloned().collect();
    let mut tally = Tally { named: named == Some(true), by_hand: hand::weigh(&calls), ..Tally::default() };
    if let (Some(false), Some(cause)) = (named, &args.cause) {
        tally.wrong_causes.insert(cause.clone());
    }
    let bill = bill(&lesson, &tally);
    let mut best = known().of(&lesson.id).cloned();
    if found.solved {
        // The same run of the account counts once, unless it is better now.
        let begun = account.as_ref().map_or(i64::MIN, |a| a.begun);
        if best.as_ref().is_none_or(|b| b.last < begun || b.points < bill.points) {
            best = keep(&lesson, seed, &bill)?.or(best);
        }
    }
    if args.json {
        output::print_json(&json!({
            "schema": 1, "scenario": lesson.id, "title": lesson.title, "goal": lesson.goal(), "solved": found.solved,
            "login": found.login.as_ref().map(|(works, by, why)| json!({"works": works, "by": by, "why": why})),
            "cause": named.map(|right| json!({"named": args.cause, "right": right})),
            "causes_left": found.left, "calls": calls,
            "score": found.solved.then_some(&bill), "best": best,
        }));
    } else {
        tell(cli.global.ascii, &lesson, &found, named, &bill, best.as_ref());
        for call in calls.iter().filter(|call| call.opens_to_world()) {
            output::print(&tr_with("{action} let the whole world in.", &[("action", &call.action)]));
        }
    }
    Ok(if found.solved { Exit::Ok } else { Exit::Found })
}

fn absent(why: String) -> Failure {
    let next = "start one with port22 lab serve, and set AWS_ENDPOINT_URL as it says, or give --endpoint";
    Failure::usage("ask the practice account", why, next)
}

/// Whether the cause that was named is right; `None` where none was.
fn named(args: &CheckArgs, lesson: &Lesson) -> Result<Option<bool>, Failure> {
    let Some(cause) = &args.cause else { return Ok(None) };
    if cause != NOTHING && !catalogue::get().causes.contains_key(cause) {
        let next = "port22 explain lists them; none says that nothing is wrong";
        return Err(Failure::usage("read --cause", format!("'{cause}' is no cause id"), next));
    }
    Ok(Some(lesson.is_right(cause)))
}

async fn look(cli: &Cli, args: &CheckArgs, lesson: &Lesson, url: &str, account: &Account) -> Result<Found, Failure> {
    let mut login = None;
    if lesson.is_about_login() {
        login = practice::ssh_login(&arguments(args, account), &lesson.name).await.map(|result| match result {
            Ok(()) => (true, "ssh", String::new()),
            Err(why) => (false, "ssh", why),
        });
        if let Some((true, ..)) = login {
            return Ok(Found { solved: true, login, left: None });
        }
    }
    // Without an ssh here, or where its configuration has an old address: this program tries as well.
    let mut target = Target { name: lesson.name.clone(), ..Target::default() };
    input::options(&mut target, &args.ssh, &cli.global)?;
    target.config_file.get_or_insert_with(|| account.config.clone());
    target.source_ip = target.source_ip.or(Some(account.source_ip));
    let mut request = input::request(target, &cli.global);
    request.symptom = diagnose::symptom(Some(&lesson.symptom))?;
    let aws = AwsSettings {
        profile: None,
        regions: vec![account.region.clone()],
        endpoint: Some(url.to_owned()),
        keys: Some((KEYS.to_owned(), KEYS.to_owned())),
    };
    let settings = Settings { aws, source_ip: request.target.source_ip, limit: request.limit, ..Settings::default() };
    let world: Arc<dyn World> = Arc::new(RealWorld::new(settings).await);
    let snapshot = diagnose::observe(world, request).await;
    let diagnosis = &snapshot.diagnosis;
    let healthy = diagnosis.overall == Overall::Healthy;
    if lesson.is_about_login() && (healthy || login.is_none()) {
        let why = if healthy { "" } else { "the diagnosis proves no login" };
        login = Some((healthy, "port22", why.to_owned()));
    }
    let left: Vec<String> = diagnosis.causes.iter().map(|cause| cause.id.clone()).collect();
    let solved = match lesson.goal() {
        Goal::CauseGone => is_gone(lesson, diagnosis),
        Goal::Login | Goal::Named => lesson.is_about_login() && healthy,
    };
    Ok(Found { solved, login, left: Some(left) })
}

/// Whether the lesson's cause is gone, and the check that would show it has said so.
fn is_gone(lesson: &Lesson, diagnosis: &Diagnosis) -> bool {
    let check = catalogue::get().causes.get(&lesson.cause).and_then(|words| words.check.as_deref());
    let verdict = diagnosis.checks.iter().find(|c| Some(c.id.as_str()) == check).map(|c| c.verdict);
    let open = matches!(verdict, Some(Verdict::Fail | Verdict::CannotTell | Verdict::Skipped));
    !open && diagnosis.causes.iter().all(|cause| cause.id != lesson.cause)
}

/// What ssh is given: the account's configuration, and what the user says besides.
fn arguments(args: &CheckArgs, account: &Account) -> Vec<String> {
    let ssh = &args.ssh;
    let mut all = vec!["-F".to_owned(), ssh.config.clone().unwrap_or_else(|| account.config.clone())];
    let mut add = |flag: &str, value: &str| all.extend([flag.to_owned(), value.to_owned()]);
    ssh.identity.iter().for_each(|file| add("-i", file));
    ssh.option.iter().for_each(|option| add("-o", option));
    ssh.login.iter().for_each(|user| add("-l", user));
    ssh.jump.iter().for_each(|host| add("-J", host));
    ssh.port.iter().for_each(|port| add("-p", &port.to_string()));
    all
}

/// Keeps what was solved; what is known of the lesson now.
fn keep(lesson: &Lesson, seed: u64, bill: &Bill) -> Result<Option<Best>, Failure> {
    let solved = Solved {
        schema: 1,
        at: input::now(),
        lesson: lesson.id.clone(),
        seed,
        points: bill.points,
        checks: None,
        hints: 0,
        fix: None,
    };
    match record()?.add(&solved) {
        Ok(()) => Ok(known().of(&lesson.id).cloned()),
        Err(why) => {
            output::note(&tr_with("port22: what was solved could not be kept: {why}", &[("why", &why)]));
            Ok(None)
        }
    }
}

fn tell(ascii: bool, lesson: &Lesson, found: &Found, named: Option<bool>, bill: &Bill, best: Option<&Best>) {
    let mark = match (found.solved, ascii) {
        (true, false) => "✓",
        (true, true) => "+",
        (false, false) => "✗",
        (false, true) => "x",
    };
    let state = if found.solved { tr("solved") } else { tr("not solved yet") };
    output::print(&format!("{mark} {}  {state}: {}", lesson.id, lesson.title));
    match &found.login {
        Some((true, by, _)) => output::print(&tr_with("  the login works ({program})", &[("program", by)])),
        Some((false, by, why)) => {
            output::print(&tr_with("  no login ({program}): {why}", &[("program", by), ("why", why)]));
        }
        None => {}
    }
    match named {
        Some(true) => output::print(tr("  the cause is right")),
        Some(false) => output::print(tr("  that is not the cause")),
        None if !found.solved && lesson.goal() == Goal::Named => {
            output::print(tr("  no plan mends it: name its cause with --cause"));
        }
        None => {}
    }
    if found.solved {
        output::print(&tr_with("  {points} of {most} points", &[("points", &bill.points), ("most", &FULL)]));
        for line in &bill.lines {
            output::print(&format!("    {:>+4}  {}", -line.cost, line.text()));
        }
        if let Some(best) = best.filter(|best| best.points > bill.points) {
            output::print(&tr_with("  best so far: {points}", &[("points", &best.points)]));
        }
    }
}
