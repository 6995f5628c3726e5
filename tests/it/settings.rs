//! The settings file, from the command line: what is in force, where it comes from, and errors.

use crate::program::Home;
use serde_json::Value;

fn value<'a>(shown: &'a Value, key: &str) -> &'a Value {
    let rows = shown["settings"].as_array().expect("settings");
    rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key} in {shown}"))
}

/// A home with this file where the program looks for it.
fn home(text: &str) -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path().join("config/port22")).expect("a directory");
    home.file("config/port22/config.toml", text);
    home
}

#[test]
fn what_is_in_force_is_shown_with_its_source() {
    let home = home("schema = 1\ntheme = \"light\"\ntimeout = 9\nsort = \"name\"\n").set("PORT22_SORT", "-launched");
    let shown = home.run(&["settings", "--json", "--theme", "high-contrast"]).exits(0).json();
    assert_eq!(shown["schema"], 1);
    assert_eq!(shown["file"]["exists"], true);
    let row = value(&shown, "theme");
    assert_eq!(
        (&row["value"], &row["from"], &row["where"]),
        (&"high-contrast".into(), &"option".into(), &"--theme".into())
    );
    let row = value(&shown, "sort");
    assert_eq!((&row["value"], &row["where"]), (&"-launched".into(), &"PORT22_SORT".into()));
    let row = value(&shown, "timeout");
    assert_eq!((&row["value"], &row["from"]), (&9.into(), &"file".into()));
    assert!(row["where"].as_str().is_some_and(|at| at.ends_with("config/port22/config.toml:3")), "{row}");
    assert_eq!(value(&shown, "profile")["value"], Value::Null);
    let text = home.run(&["settings"]).exits(0).stdout;
    assert!(
        text.lines().any(|l| l.starts_with("theme") && l.contains("light") && l.ends_with("config.toml:2")),
        "{text}"
    );
    assert!(text.lines().any(|l| l.starts_with("mode") && l.contains("triage") && l.ends_with("default")), "{text}");
}

#[test]
fn a_wrong_file_stops_commands_with_its_place_and_a_way_on() {
    let home = home("theme = \"light\"\ncolour = \"red\"\n");
    let words = "config.toml:2:1: unknown key 'colour'\nnext: did you mean 'theme'?";
    for line in [&["diagnose", "web-1"][..], &["settings"], &["fleet"], &["lab", "list"]] {
        let run = home.run(line).exits(2);
        assert!(run.stderr.contains(words) && run.stdout.is_empty(), "{line:?}: {run:?}");
    }
    let run = home.run(&["diagnose", "web-1", "--json"]).exits(2);
    assert!(run.json()["error"]["reason"].as_str().is_some_and(|r| r.contains("2:1: unknown key")), "{run:?}");
    // Ways in and ways back go on, unless the file chooses whose instances are meant.
    let run = home.run(&["journal"]).exits(0);
    assert!(run.stderr.contains("unknown key 'colour'") && run.stderr.contains("goes on without"), "{run:?}");
    home.file("chooses.toml", "profile = \"prod\"\ncolour = 1\n");
    home.run(&["--settings", "chooses.toml", "journal"]).exits(2);
    // Another file, and none.
    home.file("other.toml", "sort = \"launched\"");
    home.run(&["--settings", "other.toml", "lab", "list"]).exits(0);
    home.run(&["--settings", "missing.toml", "lab", "list"]).exits(2);
    home.run(&["completions", "bash"]).exits(0);
}

#[test]
fn a_file_is_checked_and_the_schema_printed() {
    let home = home("wrong = 1");
    home.file("right.toml", "region = \"eu-west-1\"\n");
    home.file("wrong.toml", "timeout = 0\n\nthme = 1\n");
    assert!(home.run(&["settings", "--check", "right.toml"]).exits(0).stdout.contains("no errors"));
    let run = home.run(&["settings", "--check", "wrong.toml"]).exits(2);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{run:?}");
    assert!(lines[0].starts_with("wrong.toml:1:11: timeout: 0 is out of range: write"), "{run:?}");
    assert!(lines[1].starts_with("wrong.toml:3:1: unknown key 'thme': did you mean 'theme'?"), "{run:?}");
    let errors = home.run(&["settings", "--check", "wrong.toml", "--json"]).exits(2).json();
    assert_eq!(errors["errors"][1]["line"], 3);
    let schema = home.run(&["settings", "--schema"]).exits(0);
    assert_eq!(schema.stdout, include_str!("../../assets/settings.schema.json"));
    assert_eq!(schema.json()["additionalProperties"], false);
}
