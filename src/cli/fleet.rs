//! `port22 fleet`: every instance of the chosen Regions and profiles, one line each as it is settled, or a table by cause.

use super::args::{Cli, FleetArgs};
use super::input;
use super::output::{self, Exit};
use crate::core::fleet::{self, Asked, Group, Reach, Row, Tally};
use crate::core::recognise::strip_controls;
use crate::core::target::Target;
use crate::core::text::{millis, pad, shorten};
use crate::core::words::tr_with;
use crate::edge::{Chosen, RealFleet, profiles};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::fleet::{FleetEvent, FleetWorld, Progress, Whom, Wish, run as look};
use crate::signals::Signals;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// How the rows leave the program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Table,
}

pub async fn run(cli: &Cli, args: &FleetArgs) -> Result<Exit, Failure> {
    let global = &cli.global;
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let mut base = Target::default();
    input::options(&mut base, &args.ssh(), global)?;
    let inside = match &args.inside_tag {
        Some(tag) => Some(whom(tag)?),
        None => global.inside.then_some(Whom::Everyone),
    };
    let profiles = if args.all_profiles { profiles().await? } else { global.profile.clone() };
    if args.all_profiles && profiles.is_empty() {
        return Err(Failure::usage(
            "read the AWS profiles",
            "the AWS configuration names none",
            "make one (aws configure), or leave --all-profiles out",
        ));
    }
    let chosen = Chosen {
        profiles,
        regions: global.region.clone(),
        all_regions: args.all_regions,
        config_file: base.config_file.clone(),
        limit: global.timeout.map(Duration::from_secs),
    };
    let world: Arc<dyn FleetWorld> = Arc::new(RealFleet::load(&chosen).await?);
    let asked = Asked {
        port: base.port,
        user: base.user.clone(),
        jump: base.jump.clone(),
        source_ip: base.source_ip,
        now: input::now(),
    };
    let wish = Wish { asked, probe: !args.no_probe, inside };
    Ok(show(world, wish, form, global.ascii).await)
}

fn whom(tag: &str) -> Result<Whom, Failure> {
    match tag.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Whom::Tag(key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage("read --inside-tag", format!("'{tag}' is no tag"), "write it as KEY=VALUE")),
    }
}

/// What was told so far.
struct Told {
    form: Form,
    /// Rows by where and what they are; those of a table, and those that are not final yet.
    rows: BTreeMap<(Option<String>, String, String), Row>,
    listed: usize,
    failures: Vec<Failure>,
}

/// Writes a line of the result; false when nobody reads any more.
fn line(text: &str) -> bool {
    writeln!(std::io::stdout(), "{}", strip_controls(text)).is_ok()
}

impl Told {
    fn row(&self, row: &Row) -> bool {
        match self.form {
            Form::Json => line(&fleet::json_line(row)),
            Form::Csv => line(&fleet::csv_line(row)),
            Form::Table => true,
        }
    }

    /// Takes rows in; false when nobody reads any more.
    fn take(&mut self, rows: Vec<(Row, bool)>) -> bool {
        for (row, settled) in rows {
            let key = (row.profile.clone(), row.region.clone(), row.id.clone());
            let new = !self.rows.contains_key(&key);
            self.listed += usize::from(new);
            if settled && self.form != Form::Table {
                self.rows.remove(&key);
                if !self.row(&row) {
                    return false;
                }
                continue;
            }
            self.rows.insert(key, row);
        }
        true
    }

    fn failed(&mut self, failure: Failure, bar: &mut Bar) {
        bar.clear();
        if self.form == Form::Json {
            line(&serde_json::json!({"schema": 1, "error": failure}).to_string());
        }
        output::note(&format!("port22: {failure}"));
        self.failures.push(failure);
    }
}

async fn show(world: Arc<dyn FleetWorld>, wish: Wish, form: Form, ascii: bool) -> Exit {
    let (out, mut events) = unbounded_channel();
    let cancel = CancellationToken::new();
    let running = tokio::spawn(look(world, wish, out, cancel.clone()));
    let mut told = Told { form, rows: BTreeMap::new(), listed: 0, failures: Vec::new() };
    let mut bar = Bar::new();
    let mut read = form != Form::Csv || line(fleet::CSV_HEADER);
    let mut signals = Signals::listen();
    let mut end = Progress::default();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = signals.next(), if !cancel.is_cancelled() => {
                cancel.cancel();
                continue;
            }
        };
        match event {
            None => break,
            Some(FleetEvent::Rows(rows)) => {
                bar.clear();
                read = read && told.take(rows);
                if !read {
                    cancel.cancel();
                }
            }
            Some(FleetEvent::Failed(failure)) => told.failed(failure, &mut bar),
            Some(FleetEvent::Progress(progress)) => bar.draw(&progress),
            Some(FleetEvent::Ended(progress)) => end = progress,
        }
    }
    bar.clear();
    let _ = running.await;
    // Where it was stopped, the rest is told as the lists alone let it be judged.
    let rows: Vec<Row> = std::mem::take(&mut told.rows).into_values().collect();
    if read && form == Form::Table {
        table(&rows, &end, ascii);
    } else if read {
        let _ = rows.iter().all(|row| told.row(row));
    }
    if end.cancelled && read {
        output::note("port22: stopped before the end: what was not tried is told as the lists of AWS have it");
        return Exit::Unclear;
    }
    let hopeless = told.listed == 0 && !told.failures.is_empty();
    if hopeless { exit_of(&told.failures) } else { Exit::Ok }
}

/// Nothing could be listed anywhere.
fn exit_of(failures: &[Failure]) -> Exit {
    match failures.first().map(|f| f.kind) {
        Some(FailureKind::Usage | FailureKind::Failed) => Exit::Usage,
        _ => Exit::Unclear,
    }
}

/// The progress on stderr, on one line that is drawn over; nothing where nobody watches.
struct Bar {
    on: bool,
    drawn: bool,
}

impl Bar {
    fn new() -> Self {
        Self { on: std::io::stderr().is_terminal(), drawn: false }
    }

    fn draw(&mut self, progress: &Progress) {
        if self.on {
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", shorten(&words(progress), 78));
            let _ = std::io::stderr().flush();
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn words(progress: &Progress) -> String {
    let mut parts =
        vec![tr_with("{done} of {total} Regions", &[("done", &progress.places.0), ("total", &progress.places.1)])];
    parts.push(tr_with("{count} instances", &[("count", &progress.judged)]));
    if progress.knocks.1 > 0 {
        parts.push(tr_with(
            "{done} of {total} ports tried",
            &[("done", &progress.knocks.0), ("total", &progress.knocks.1)],
        ));
    }
    if progress.looks.1 > 0 {
        parts.push(tr_with(
            "{done} of {total} looked into",
            &[("done", &progress.looks.0), ("total", &progress.looks.1)],
        ));
    }
    if let Some(left) = progress.left_ms.filter(|ms| *ms >= 1000) {
        parts.push(tr_with("about {time} left", &[("time", &millis(left / 1000 * 1000))]));
    }
    parts.join("  ")
}

/// Rows of a group that a table shows; an incident is seen in the first ones.
fn table(rows: &[Row], end: &Progress, ascii: bool) {
    let tally = Tally::of(rows);
    for group in fleet::groups(rows, |_, _| true) {
        heading(&group, ascii);
        let several = |value: fn(&Row) -> Option<&str>| rows.iter().any(|r| value(r) != value(&rows[0]));
        let profiles = several(|r| r.profile.as_deref());
        let regions = several(|r| Some(r.region.as_str()));
        for at in &group.rows {
            let row = &rows[*at];
            let address = row.address.map_or_else(|| "-".to_owned(), |a| a.to_string());
            let mut text = format!("    {} {:<19} {address:<15}", pad(&shorten(row.label(), 22), 22), row.id);
            if profiles {
                text.push_str(&format!(" {}", pad(&shorten(row.profile.as_deref().unwrap_or("-"), 12), 12)));
            }
            if regions {
                text.push_str(&format!(" {:<14}", row.region));
            }
            if let Some(door) = row.door.as_deref().filter(|d| *d != "ssh") {
                text.push_str(&format!(" {door}"));
            }
            output::print(&plain(text.trim_end(), ascii));
        }
    }
    output::print(&tr_with(
        "{all} instances: {yes} reachable by SSH, {no} not, {unknown} cannot tell; {calls} AWS calls, {time}",
        &[
            ("all", &tally.all()),
            ("yes", &tally.yes),
            ("no", &tally.no),
            ("unknown", &tally.unknown),
            ("calls", &end.api_calls),
            ("time", &millis(end.millis)),
        ],
    ));
}

fn heading(group: &Group, ascii: bool) {
    let mark = match group.reachable {
        Reach::Yes => '✓',
        Reach::No => '✗',
        Reach::Unknown => '?',
    };
    output::print(&plain(&format!("{mark} {} × {}", group.rows.len(), group.title), ascii));
}

fn plain(text: &str, ascii: bool) -> String {
    if !ascii {
        return text.to_owned();
    }
    let one = |c: char| match c {
        '✓' => '+',
        '✗' | '×' => 'x',
        '…' => '.',
        '–' | '—' => '-',
        '’' | '‘' => '\'',
        // Names of other scripts cannot be shown; JSON and CSV have them whole.
        c if !c.is_ascii() => '?',
        c => c,
    };
    text.chars().map(one).collect()
}
