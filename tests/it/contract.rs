//! The shape of the reports, as other programs rely on it.

use serde_json::Value;

const CERTAINTIES: &[&str] = &["proven", "likely", "possible"];
const LAYERS: &[&str] = &["local", "client", "vpc", "instance", "os", "aws", "windows"];
const VERDICTS: &[&str] = &["pass", "fail", "cannot_tell", "skipped", "not_applicable"];
const HOPS: &[&str] = &["client", "internet", "igw", "route", "nacl", "security_group", "eni", "sshd", "auth"];
const STATES: &[&str] = &["open", "blocked", "unknown", "not_reached"];
const RISKS: &[&str] = &["low", "medium", "high"];

/// Symptom ids of pasted client output, and of console logs.
pub const SSH_SYMPTOMS: &[&str] = &[
    "timeout",
    "connection_refused",
    "connection_reset",
    "no_route",
    "dns_failure",
    "host_key_changed",
    "host_key_unknown",
    "refused_key",
    "too_many_failures",
    "no_supported_auth",
    "permission_denied",
    "unprotected_key",
    "invalid_key_format",
    "passphrase_needed",
    "wrong_login_user",
    "algorithm_mismatch",
    "account_locked_or_expired",
    "booting_nologin",
    "shell_or_home_missing",
    "ssm_not_connected",
    "ssm_plugin_missing",
    "aws_credentials",
    "eic_error",
    "proxy_failure",
    "rdp_error",
    "ping_failure",
    "banner_timeout",
    "not_ssh_server",
    "key_file_missing",
    "agent_error",
    "config_error",
    "session_dropped",
    "success",
    "other",
];
pub const CONSOLE_SYMPTOMS: &[&str] = &[
    "kernel_panic",
    "fstab_emergency",
    "disk_full",
    "oom",
    "cloud_init_failure",
    "sshd_failed",
    "network_failure",
    "bootloader",
    "healthy",
    "selinux_relabel",
    "other",
];

#[track_caller]
fn one_of(value: &Value, all: &[&str], what: &str) {
    let word = value.as_str().unwrap_or_else(|| panic!("{what} is {value}"));
    assert!(all.contains(&word), "{what} is '{word}', and not one of {all:?}");
}

#[track_caller]
fn text(value: &Value, what: &str) {
    assert!(value.as_str().is_some_and(|t| !t.is_empty()), "{what} is {value}, and not a text");
}

#[track_caller]
fn list<'a>(value: &'a Value, what: &str) -> &'a [Value] {
    value.as_array().unwrap_or_else(|| panic!("{what} is {value}, and not a list"))
}

#[track_caller]
fn fields(value: &Value, names: &[&str], what: &str) {
    for name in names {
        assert!(value.get(name).is_some(), "{what} has no {name}: {value}");
    }
}

/// Checks `diagnose --json`, and that the exit status says the same.
#[track_caller]
pub fn check(report: &Value, exit: i32) {
    assert!(report.get("error").is_none(), "exit {exit}: {report}");
    assert_eq!(report["schema"], 1);
    assert!(report["tool"].as_str().is_some_and(|t| t.starts_with("port22 ")), "{}", report["tool"]);
    fields(
        &report["target"],
        &["instance_id", "name", "address", "port", "user", "keys", "source_ip", "region", "account"],
        "target",
    );
    assert!(report["target"]["port"].is_u64() && report["target"]["keys"].is_array(), "{}", report["target"]);
    one_of(&report["symptom"], SSH_SYMPTOMS, "symptom");
    one_of(&report["verdict"], &["cause_found", "healthy", "inconclusive"], "verdict");
    list(&report["causes"], "causes").iter().for_each(cause);
    list(&report["checks"], "checks").iter().for_each(answer);
    let hops: Vec<&str> = list(&report["path"], "path").iter().map(hop).collect();
    assert_eq!(hops, HOPS, "the path has all hops in order");
    for step in list(&report["tree"], "tree") {
        text(step, "a step of the tree");
    }
    for door in list(&report["doors"], "doors") {
        fields(door, &["id", "state", "why", "cost"], "a door");
        one_of(&door["state"], &["open", "closed", "unknown"], "state of a door");
    }
    assert!(report["api_calls"].is_u64() && report["millis"].is_u64(), "{report}");
    let expected = match report["verdict"].as_str() {
        Some("healthy") => 0,
        Some("cause_found") => 1,
        _ => 3,
    };
    // A key file that cannot be one is bad usage, whatever else is found.
    assert!(exit == expected || exit == 2, "verdict {} and exit {exit}", report["verdict"]);
    assert_eq!(report["verdict"] == "healthy", report["causes"] == Value::Array(Vec::new()) && exit == 0, "{report}");
    no_controls(report);
}

#[track_caller]
fn cause(cause: &Value) {
    fields(cause, &["id", "certainty", "layer", "title", "evidence", "fixes"], "a cause");
    one_of(&cause["certainty"], CERTAINTIES, "certainty");
    one_of(&cause["layer"], LAYERS, "layer");
    text(&cause["title"], "the title of a cause");
    let evidence = list(&cause["evidence"], "evidence");
    assert!(!evidence.is_empty(), "{} has no evidence", cause["id"]);
    for one in evidence {
        text(&one["text"], "the text of evidence");
        text(&one["source"], "the source of evidence");
    }
    for fix in list(&cause["fixes"], "fixes") {
        text(&fix["id"], "a fix");
        one_of(&fix["risk"], RISKS, "risk");
        assert!(fix["downtime"].is_boolean() && fix["reversible"].is_boolean(), "{fix}");
    }
}

#[track_caller]
fn answer(check: &Value) {
    fields(check, &["id", "verdict", "reason", "evidence", "millis"], "a check");
    one_of(&check["verdict"], VERDICTS, "verdict of a check");
    assert!(check["millis"].is_u64() && check["evidence"].is_array(), "{check}");
    // Skipped and cannot-tell checks are shown with their reason.
    text(&check["reason"], "the reason of a check");
}

#[track_caller]
fn hop(hop: &Value) -> &str {
    one_of(&hop["hop"], HOPS, "hop");
    one_of(&hop["state"], STATES, "state of a hop");
    assert!(hop["detail"].is_string(), "{hop}");
    hop["hop"].as_str().unwrap_or_default()
}

/// Checks `fix --json` and `fix --dry-run --json`.
#[track_caller]
pub fn check_plan(plan: &Value) {
    fields(plan, &["fix", "target", "gates", "steps", "risk", "downtime", "reversible"], "a plan");
    one_of(&plan["risk"], RISKS, "risk");
    assert!(plan["downtime"].is_boolean() && plan["reversible"].is_boolean(), "{plan}");
    for gate in list(&plan["gates"], "gates") {
        text(&gate["id"], "a gate");
        one_of(&gate["state"], &["ok", "warn", "refuse"], "state of a gate");
        text(&gate["why"], "why of a gate");
    }
    for step in list(&plan["steps"], "steps") {
        text(&step["text"], "a step");
        text(&step["command"], "the command of a step");
        assert!(step.get("undo").is_some(), "{step}");
    }
    no_controls(plan);
}

/// Checks `identify --json`.
#[track_caller]
pub fn check_recognised(answer: &Value) {
    assert_eq!(answer["schema"], 1);
    one_of(&answer["kind"], &["ssh", "console"], "kind");
    let ids = if answer["kind"] == "ssh" { SSH_SYMPTOMS } else { CONSOLE_SYMPTOMS };
    one_of(&answer["symptom"], ids, "symptom");
    for id in list(&answer["also"], "also") {
        one_of(id, ids, "also");
    }
    text(&answer["client"], "client");
    assert!(answer["extract"].is_object(), "{answer}");
    text(&answer["explanation"], "explanation");
    no_controls(answer);
}

/// Checks that `identify --json` has every field of the extract, null where the text does not tell.
#[track_caller]
pub fn check_extract(answer: &Value) {
    fields(&answer["extract"], &["user", "host", "port", "key_path", "key_mode", "methods"], "extract");
}

/// Fails when any text has a control character.
#[track_caller]
pub fn no_controls(value: &Value) {
    match value {
        Value::String(text) => assert!(
            !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')),
            "control characters in {text:?}"
        ),
        Value::Array(all) => all.iter().for_each(no_controls),
        Value::Object(all) => all.values().for_each(no_controls),
        _ => {}
    }
}
