//! `port22 identify`: recognises pasted client output or a console log.

use super::args::{IdentifyArgs, TextKind};
use super::input;
use super::output::{self, Exit};
use crate::core::catalogue;
use crate::core::recognise::{self, Kind, Recognised};
use crate::core::words::tr_with;
use crate::engine::failure::Failure;
use serde_json::json;

pub fn run(args: &IdentifyArgs) -> Result<Exit, Failure> {
    let text = input::text(args.file.as_deref())?;
    let forced = args.kind.map(|k| match k {
        TextKind::Ssh => Kind::Ssh,
        TextKind::Console => Kind::Console,
    });
    let found = recognise::identify(&text, forced);
    if args.json {
        output::print_json(&json(&found));
    } else {
        output::print(&words(&found));
    }
    Ok(if found.symptom == "other" { Exit::Unclear } else { Exit::Ok })
}

fn json(found: &Recognised) -> serde_json::Value {
    json!({
        "schema": 1,
        "kind": found.kind,
        "symptom": found.symptom,
        "also": found.also,
        "client": found.client,
        "extract": {
            "user": found.extract.user, "host": found.extract.host, "port": found.extract.port,
            "key_path": found.extract.key_path, "key_mode": found.extract.key_mode, "methods": found.extract.methods,
        },
        "explanation": found.explanation,
        "causes": found.causes,
        "facts": {"host_keys": found.host_keys, "user": found.console_user, "key_fingerprints": found.console_key_fingerprints},
        "evidence": found.evidence,
        "command": found.command,
    })
}

fn words(found: &Recognised) -> String {
    let title = catalogue::get().symptoms.get(&found.symptom).map_or(found.symptom.as_str(), |s| s.title.as_str());
    let mut lines = vec![format!("{title} ({}), {}", found.symptom, found.client), found.explanation.clone()];
    let e = &found.extract;
    let named: Vec<String> = [
        e.user.as_ref().map(|v| tr_with("user {name}", &[("name", v)])),
        e.host.as_ref().map(|v| tr_with("host {host}", &[("host", v)])),
        e.port.map(|v| tr_with("port {port}", &[("port", &v)])),
        e.key_path.as_ref().map(|v| tr_with("key {key}", &[("key", v)])),
        e.key_mode.as_ref().map(|v| tr_with("mode {mode}", &[("mode", v)])),
        e.methods.as_ref().map(|v| tr_with("server still offers {methods}", &[("methods", &v.join(", "))])),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !named.is_empty() {
        lines.push(named.join("  "));
    }
    if let Some(host) = &e.host {
        lines.push(tr_with(
            "next: {step}",
            &[("step", &format!("port22 diagnose {}", crate::core::text::shell_quote(host)))],
        ));
    }
    lines.join("\n")
}
