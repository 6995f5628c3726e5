//! `port22 check-assets` and `--assets`, as another program sees them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn port22(arguments: &[&str], assets: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_port22"));
    command.args(arguments).env_remove("PORT22_ASSETS").env("LC_ALL", "C.UTF-8");
    if let Some(dir) = assets {
        command.env("PORT22_ASSETS", dir);
    }
    command.output().expect("the program runs")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/example-team")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_example_is_clean_and_its_words_are_shown() {
    let dir = example();
    let name = dir.to_str().expect("a path");
    let checked = port22(&["check-assets", name, "--json"], None);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked.stdout));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((report["ok"].as_bool(), report["errors"].as_array().map(Vec::len)), (Some(true), Some(0)));
    for shown in
        [port22(&["explain", "sg-no-rule", "--assets", name], None), port22(&["explain", "sg-no-rule"], Some(&dir))]
    {
        let page = said(&shown.stdout);
        assert!(page.contains("Your team's runbook: https://wiki.example.com/runbooks/ssh-timeout"), "{page}");
        assert!(page.contains("Ask in #network") && page.contains("Proven by:"), "{page}");
    }
    let plain = said(&port22(&["explain", "sg-no-rule", "--assets", "none"], Some(&dir)).stdout);
    assert!(!plain.contains("Your team"), "{plain}");
    assert!(said(&port22(&["explain", "timeout"], Some(&dir)).stdout).contains("vpn-on → instance-found"));
}

#[test]
fn errors_are_told_all_at_once_and_who_judges_stops() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("a.toml"),
        "[cause.sg-no-rul]\ntitle = \"x\"\n[link.cause]\nkey-lost = \"http://x\"\n",
    )
    .expect("a file");
    std::fs::write(dir.path().join("b.toml"), "tre = 1\n").expect("a file");
    let name = dir.path().to_str().expect("a path");
    let checked = port22(&["check-assets", name], None);
    let text = said(&checked.stdout);
    assert_eq!(checked.status.code(), Some(2), "{text}");
    for part in ["a.toml:1:8: there is no cause 'sg-no-rul'", "next: write sg-no-rule", "a.toml:4:12: ", "b.toml:1:1: "]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let json = port22(&["check-assets", name, "--json"], None);
    assert_eq!(json.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let first = &report["errors"][0];
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64(), first["nearest"].as_str()),
        (Some(1), Some(8), Some("sg-no-rule"))
    );
    let explained = port22(&["explain", "sg-no-rule"], Some(dir.path()));
    assert_eq!(explained.status.code(), Some(2), "{}", said(&explained.stdout));
    assert!(
        explained.stdout.is_empty() && said(&explained.stderr).contains("check-assets"),
        "{}",
        said(&explained.stderr)
    );
    // Nobody is kept from looking at what was changed.
    let state = tempfile::tempdir().expect("a directory");
    let journal = Command::new(env!("CARGO_BIN_EXE_port22"))
        .args(["journal", "--assets", name])
        .envs([("HOME", state.path()), ("XDG_STATE_HOME", state.path())])
        .output()
        .expect("the program runs");
    assert_eq!(journal.status.code(), Some(0), "{}", said(&journal.stderr));
    assert!(said(&journal.stderr).contains("own words"), "{}", said(&journal.stderr));
    let nowhere = port22(&["check-assets", "/nowhere/at/all"], None);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(said(&nowhere.stderr).contains("there is no such directory"));
}

#[test]
fn every_command_has_its_page() {
    let page = said(&port22(&["man"], None).stdout);
    let named: Vec<&str> =
        page.split("port22\\-").skip(1).filter_map(|rest| rest.split_once("(1)")).map(|(n, _)| n).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named.into_iter().filter(|n| *n != "help") {
        let name = name.replace('\\', "");
        let page = port22(&["man", &name], None);
        assert_eq!(page.status.code(), Some(0), "{name}");
        assert!(said(&page.stdout).contains(&format!(".TH port22-{name} 1")), "{name}: {}", said(&page.stdout));
    }
    assert_eq!(port22(&["man", "no-such-command"], None).status.code(), Some(2));
}
