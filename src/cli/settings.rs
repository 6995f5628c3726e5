//! The settings in force: command line, environment, file, default, in this order; and `port22 settings`.
//!
//! Reads the environment and the file and gives both to [`crate::core::settings`]; must not know what a value means.

use super::args::{Cli, Command, Global, Lang, SettingsArgs};
use super::output::{self, Exit};
use crate::core::settings::parse::{Trouble, parse};
use crate::core::settings::table::{KEYS, Key, Wrong, key_of};
use crate::core::settings::{Given, InForce, Layer, Source, Value, resolve, schema};
use crate::edge::settings_file;
use crate::engine::failure::Failure;
use crate::tui::text::width;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Finds the settings and puts them where the command line left something open.
///
/// Fails (exit 2) on a file that is wrong, and on a value of option or environment that is not allowed.
pub fn apply(cli: &mut Cli, environment: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let needless = match &cli.command {
        Some(Command::Completions { .. } | Command::Man { .. }) => true,
        Some(Command::Settings(args)) => args.schema || args.check.is_some(),
        _ => false,
    };
    if needless {
        cli.global.ascii = cli.global.ascii_said.unwrap_or_default();
        return Ok(());
    }
    let file = file_of(&cli.global, &environment);
    let read = file.as_ref().map_or_else(|| Ok(Layer::new()), |(path, named)| layer(path, *named));
    let from_file = match (read, &cli.command) {
        (Ok(layer), _) => layer,
        // The user's ssh runs untouched, whatever is wrong with settings.
        (Err(_), Some(Command::Ssh(_))) => Layer::new(),
        (Err(failure), Some(command)) if is_way(command) && !file.as_ref().is_some_and(|(path, _)| chooses(path)) => {
            output::note(&format!("port22: {}; it goes on without the settings", failure.reason));
            Layer::new()
        }
        (Err(failure), _) => return Err(failure),
    };
    let from_environment = match (variables(&environment), &cli.command) {
        (Err(_), Some(Command::Ssh(_))) => Layer::new(),
        (read, _) => read?,
    };
    let all = resolve(&[&options(&cli.global)?, &from_environment, &from_file]);
    fill(cli, all, file.map(|(path, _)| path));
    Ok(())
}

/// Ways in and ways back: a word that is not known must not stand in them.
fn is_way(command: &Command) -> bool {
    matches!(
        command,
        Command::Proxy(_)
            | Command::Forward(_)
            | Command::Shell(_)
            | Command::Undo(_)
            | Command::Resume(_)
            | Command::Journal(_)
    )
}

/// Whether a file that cannot be read says, or may say, whose instances are meant: without it others could be.
fn chooses(path: &Path) -> bool {
    let text = settings_file::read(path).ok().flatten();
    text.is_none_or(|text| text.contains("profile") || text.contains("region"))
}

/// The file, and whether somebody named it.
fn file_of(global: &Global, environment: impl Fn(&str) -> Option<String>) -> Option<(PathBuf, bool)> {
    let named =
        global.settings.clone().or_else(|| environment("PORT22_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from));
    match named {
        Some(path) => Some((path, true)),
        None => settings_file::place().map(|path| (path, false)),
    }
}

/// What a file says; nothing when there is none and nobody named it.
fn layer(path: &Path, named: bool) -> Result<Layer, Failure> {
    let doing = || format!("read the settings {}", path.display());
    match settings_file::read(path) {
        Ok(Some(text)) => parse(&text).map_err(|troubles| wrong_file(path, &troubles)),
        Ok(None) if named => Err(Failure::usage(
            doing(),
            "there is no such file",
            "correct --settings or PORT22_CONFIG, or leave it out",
        )),
        Ok(None) => Ok(Layer::new()),
        Err(reason) => Err(Failure::usage(doing(), reason, "correct the file, or name another with --settings FILE")),
    }
}

fn wrong_file(path: &Path, troubles: &[Trouble]) -> Failure {
    let path = path.display();
    match troubles {
        [one] => {
            let reason = format!("{path}:{}:{}: {}", one.line, one.column, one.reason);
            Failure::usage("read the settings", reason, one.next.clone())
        }
        several => {
            let lines: Vec<String> = several.iter().map(|t| format!("\n  {path}:{t}")).collect();
            let lines = lines.concat();
            let next = format!("correct them; port22 settings --check {path} reads the file again");
            Failure::usage("read the settings", format!("{} errors{lines}", several.len()), next)
        }
    }
}

fn wrong_words(place: &str, wrong: Wrong) -> Failure {
    Failure::usage(format!("read {place}"), wrong.reason, wrong.next)
}

/// What the options say.
fn options(global: &Global) -> Result<Layer, Failure> {
    let text = |value: &Option<String>| value.clone().map(Value::Text);
    let mut regions = global.region.clone();
    regions.dedup();
    let lang = global.lang.map(|lang| match lang {
        Lang::Auto => "auto",
        Lang::En => "en",
        Lang::Ja => "ja",
    });
    let said: [(&str, Option<Value>); 12] = [
        ("theme", if global.no_color { Some(Value::Text("none".to_owned())) } else { text(&global.theme) }),
        ("lang", lang.map(|l| Value::Text(l.to_owned()))),
        ("mouse", global.mouse.map(Value::Flag)),
        ("ascii", global.ascii_said.map(Value::Flag)),
        ("regions", (!regions.is_empty()).then_some(Value::Texts(regions))),
        ("profile", (!global.profile.is_empty()).then(|| Value::Text(global.profile.join(",")))),
        ("columns", (!global.columns.is_empty()).then(|| Value::Texts(global.columns.clone()))),
        ("sort", text(&global.sort)),
        ("timeout", global.timeout.and_then(|t| i64::try_from(t).ok()).map(Value::Whole)),
        ("mode", text(&global.mode)),
        ("notify", text(&global.notify)),
        ("assets", global.assets.as_ref().map(|p| Value::Text(p.display().to_string()))),
    ];
    let mut layer = Layer::new();
    for (name, value) in said {
        let (Some(key), Some(value)) = (key_of(name), value) else { continue };
        let option = if name == "theme" && global.no_color { "--no-color" } else { key.option };
        key.check(&value).map_err(|wrong| wrong_words(option, wrong))?;
        layer.insert(key.name, Given { value: Some(value), from: Source::Option(option) });
    }
    Ok(layer)
}

/// What the environment says.
fn variables(environment: impl Fn(&str) -> Option<String>) -> Result<Layer, Failure> {
    let mut layer = Layer::new();
    for key in KEYS {
        let said = key.environment.iter().find_map(|name| Some((*name, environment(name).filter(|v| !v.is_empty())?)));
        let Some((name, words)) = said else { continue };
        let value = match (name, key.name) {
            ("NO_COLOR", _) => Some(Value::Text("none".to_owned())),
            // Whoever gives keys wants them, not those of a profile in a file.
            ("AWS_ACCESS_KEY_ID", _) => None,
            (name, "regions") if of_aws(name) => Some(Value::Texts(vec![words])),
            (name, _) if of_aws(name) => Some(Value::Text(words)),
            _ => Some(key.of_words(&words).map_err(|wrong| wrong_words(name, wrong))?),
        };
        layer.insert(key.name, Given { value, from: Source::Environment(name) });
    }
    Ok(layer)
}

/// Whether the AWS SDK reads this variable by itself.
fn of_aws(name: &str) -> bool {
    name.starts_with("AWS_")
}

/// Puts what is in force into the options.
fn fill(cli: &mut Cli, all: InForce, file: Option<PathBuf>) {
    let mut chosen = all.settings();
    let source = |name: &str| all.of(name).map_or(Source::Default, |given| given.from.clone());
    if source("assets") != Source::Default {
        // As the file means it, not as the current directory happens to be.
        let beside = file.as_deref().and_then(Path::parent).filter(|_| matches!(source("assets"), Source::File { .. }));
        chosen.assets = chosen.assets.map(|path| whole(&path, beside));
    }
    let ours = |name: &str| match source(name) {
        Source::Default => false,
        Source::Environment(name) => !of_aws(name),
        Source::File { .. } | Source::Option(_) => true,
    };
    let (everywhere, everyone) = match &cli.command {
        Some(Command::Fleet(args)) => (args.all_regions, args.all_profiles),
        _ => (false, false),
    };
    let global = &mut cli.global;
    if global.region.is_empty() && ours("regions") && !everywhere {
        global.region.clone_from(&chosen.regions);
    }
    if global.profile.is_empty() && ours("profile") && !everyone {
        global.profile.extend(chosen.profile.clone());
    }
    global.timeout = chosen.timeout;
    global.ascii = chosen.ascii;
    global.chosen = chosen;
    global.in_force = Some(all);
    global.settings = file;
}

/// A path with the home directory in the place of `~`, and below a directory when it is relative.
fn whole(path: &Path, beside: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), settings_file::home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => beside.map_or_else(|| path.to_path_buf(), |dir| dir.join(path)),
    }
}

/// The settings file as people name it: `~` for the home directory.
pub fn file_name(global: &Global) -> String {
    let path = global.settings.clone().or_else(settings_file::place).unwrap_or_else(|| PathBuf::from("config.toml"));
    let below = settings_file::home().and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf));
    below.map_or_else(|| path.display().to_string(), |rest| format!("~/{}", rest.display()))
}

/// Shows the settings, checks a file, or prints the schema.
pub fn run(cli: &Cli, args: &SettingsArgs) -> Result<Exit, Failure> {
    if args.schema {
        output::print(schema::COMMITTED.trim_end());
        return Ok(Exit::Ok);
    }
    if let Some(path) = &args.check {
        return check(path, args.json);
    }
    let Some(all) = &cli.global.in_force else { return Ok(Exit::Ok) };
    let file = cli.global.settings.as_deref();
    if args.json {
        output::print_json(&as_json(all, file));
        return Ok(Exit::Ok);
    }
    let shown = |path: &Path| {
        if path.exists() { path.display().to_string() } else { format!("{} (there is none)", path.display()) }
    };
    output::print(&format!("file: {}\n", file.map_or_else(|| "no home directory".to_owned(), shown)));
    let rows: Vec<(&Key, String, String)> =
        all.all().map(|(key, given)| (key, words(key, given), place(given, file))).collect();
    let longest = rows.iter().map(|(_, words, _)| width(words)).max().unwrap_or_default().min(60);
    for (key, words, place) in rows {
        let gap = " ".repeat(longest.saturating_sub(width(&words)));
        output::print(&format!("{:<8}  {words}{gap}  {place}", key.name));
    }
    output::print(
        "\nCommand line before environment before file before default. port22 settings --schema prints the keys of the file.",
    );
    Ok(Exit::Ok)
}

fn words(key: &Key, given: &Given) -> String {
    given.value.as_ref().map_or_else(|| format!("({})", key.otherwise), ToString::to_string)
}

/// Where a value comes from, in words.
fn place(given: &Given, file: Option<&Path>) -> String {
    match given.from {
        Source::Default => "default".to_owned(),
        Source::File { line } => format!("{}:{line}", file.map_or_else(String::new, |p| p.display().to_string())),
        Source::Environment(name) | Source::Option(name) => name.to_owned(),
    }
}

fn as_json(all: &InForce, file: Option<&Path>) -> Json {
    let rows: Vec<Json> = all
        .all()
        .map(|(key, given)| {
            let from = match given.from {
                Source::Default => "default",
                Source::File { .. } => "file",
                Source::Environment(_) => "environment",
                Source::Option(_) => "option",
            };
            let value = given.value.as_ref().map(|value| match value {
                Value::Text(text) => json!(text),
                Value::Flag(on) => json!(on),
                Value::Whole(number) => json!(number),
                Value::Texts(all) => json!(all),
            });
            json!({"key": key.name, "value": value, "from": from, "where": place(given, file)})
        })
        .collect();
    let file = file.map(|path| json!({"path": path.display().to_string(), "exists": path.exists()}));
    json!({"schema": 1, "file": file, "settings": rows})
}

/// Reads a file and says whether it is right.
fn check(path: &Path, as_json: bool) -> Result<Exit, Failure> {
    let doing = format!("read the settings {}", path.display());
    let text = settings_file::read(path)
        .and_then(|text| text.ok_or_else(|| "there is no such file".to_owned()))
        .map_err(|reason| Failure::usage(doing, reason, "name a settings file"))?;
    let troubles = parse(&text).err().unwrap_or_default();
    if as_json {
        let rows: Vec<Json> = troubles
            .iter()
            .map(|t| json!({"line": t.line, "column": t.column, "reason": t.reason, "next": t.next}))
            .collect();
        output::print_json(&json!({"schema": 1, "file": path.display().to_string(), "errors": rows}));
    } else if troubles.is_empty() {
        output::print(&format!("{}: no errors", path.display()));
    } else {
        troubles.iter().for_each(|trouble| output::note(&format!("{}:{trouble}", path.display())));
    }
    Ok(if troubles.is_empty() { Exit::Ok } else { Exit::Usage })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::settings::ThemeName;
    use clap::Parser;

    /// Settings of a command line, an environment and a file.
    fn settled(line: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Cli, Failure> {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("config.toml");
        std::fs::write(&path, file).expect("written");
        let path = path.display().to_string();
        let mut cli = Cli::try_parse_from([&["port22"], line].concat()).expect("arguments");
        let known = |name: &str| {
            let given = environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            given.or_else(|| (name == "PORT22_CONFIG").then(|| path.clone()))
        };
        apply(&mut cli, known).map(|()| cli)
    }

    #[test]
    fn every_key_goes_by_command_line_environment_file_default() {
        let lines: [(&str, &[&str], &str, &str); 12] = [
            ("theme", &["--theme", "light"], "terminal", "'none'"),
            ("lang", &["--lang", "en"], "ja", "'auto'"),
            ("mouse", &["--mouse=false"], "true", "true"),
            ("ascii", &["--ascii"], "false", "true"),
            ("regions", &["--region", "eu-west-1"], "us-east-1", "['us-west-2']"),
            ("profile", &["--profile", "a"], "b", "'c'"),
            ("columns", &["--columns", "id,tag:a b"], "name", "['vpc']"),
            ("sort", &["--sort", "-launched"], "name", "'zone'"),
            ("timeout", &["--timeout", "7"], "8", "9"),
            ("mode", &["--mode", "guided"], "triage", "'guided'"),
            ("notify", &["--notify", "bell"], "off", "'terminal'"),
            ("assets", &["--assets", "/a"], "/b", "'/c'"),
        ];
        assert_eq!(lines.len(), KEYS.iter().filter(|k| k.is_kept()).count(), "a key is not tried");
        for (name, option, variable, file) in lines {
            let file = format!("{name} = {file}");
            let key = key_of(name).expect(name);
            let environment = [(key.environment[0], variable)];
            let from = |line: &[&str], environment: &[(&str, &str)], file: &str| {
                let cli = settled(line, environment, file).unwrap_or_else(|failure| panic!("{name}: {failure}"));
                cli.global.in_force.expect("settings").of(name).expect("a value").from.clone()
            };
            assert_eq!(from(option, &environment, &file), Source::Option(key.option));
            assert_eq!(from(&[], &environment, &file), Source::Environment(key.environment[0]));
            assert_eq!(from(&[], &[], &file), Source::File { line: 1 });
            assert_eq!(from(&[], &[], ""), Source::Default);
        }
    }

    #[test]
    fn what_is_in_force_is_where_the_commands_look() {
        let file = "region = 'eu-west-1'\nprofile = 'prod'\ntimeout = 9\nascii = true\ntheme = 'light'\nassets = 'own'";
        let global = settled(&["diagnose", "web-1"], &[], file).expect("settings").global;
        assert_eq!(
            (global.region.as_slice(), global.profile.as_slice()),
            (&["eu-west-1".to_owned()][..], &["prod".to_owned()][..])
        );
        assert_eq!((global.timeout, global.ascii, global.chosen.theme), (Some(9), true, ThemeName::Light));
        assert!(global.chosen.assets.is_some_and(|p| p.is_absolute() && p.ends_with("own")), "beside the file");
        // The SDK reads its own variables; what the file says is not put above them.
        let global = settled(&[], &[("AWS_REGION", "us-east-1"), ("AWS_PROFILE", "b")], file).expect("settings").global;
        assert!(global.region.is_empty() && global.profile.is_empty());
        let global = settled(&[], &[("AWS_ACCESS_KEY_ID", "x")], file).expect("settings").global;
        assert!(global.profile.is_empty() && !global.region.is_empty());
        let global = settled(&["fleet", "--all-regions", "--all-profiles"], &[], file).expect("settings").global;
        assert!(global.region.is_empty() && global.profile.is_empty());
        let global = settled(&["--ascii=false"], &[("NO_COLOR", "1")], file).expect("settings").global;
        assert_eq!((global.ascii, global.chosen.theme), (false, ThemeName::None));
        let global = settled(&["--theme", "dark"], &[("NO_COLOR", "1")], file).expect("settings").global;
        assert_eq!(global.chosen.theme, ThemeName::Dark);
        let global = settled(&["--no-color"], &[("PORT22_THEME", "dark")], file).expect("settings").global;
        assert_eq!(global.chosen.theme, ThemeName::None);
    }

    #[test]
    fn errors_name_their_place() {
        let said = |line: &[&str], environment: &[(&str, &str)], file: &str| {
            settled(line, environment, file).expect_err("an error").to_string()
        };
        let one = said(&[], &[], "\ntheme = 'drak'");
        assert!(one.contains("config.toml:2:9: theme: 'drak' is not known\nnext: did you mean 'dark'?"), "{one}");
        let two = said(&[], &[], "thme = 1\nmouse = 1");
        assert!(
            two.contains("2 errors\n") && two.contains("config.toml:1:1: unknown key 'thme': did you mean 'theme'?"),
            "{two}"
        );
        assert!(said(&[], &[("PORT22_TIMEOUT", "0")], "").contains("could not read PORT22_TIMEOUT: 0 is out of range"));
        assert!(
            said(&["--columns", "nmae"], &[], "")
                .contains("could not read --columns: 'nmae' is not known\nnext: did you mean 'name'?")
        );
        assert!(said(&["--settings", "/no/such/file"], &[], "").contains("there is no such file"));
        assert!(settled(&["ssh", "web-1"], &[], "thme = 1").is_ok(), "the user's ssh runs all the same");
        assert!(settled(&["settings", "--schema"], &[], "thme = 1").is_ok());
    }
}
