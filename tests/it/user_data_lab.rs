//! The repair through user data against the practice account over HTTP: its hosts really change.

use crate::lab_cli::{Serving, serve};
use crate::moto::CLIENT;
use serde_json::Value;

/// A practice host as it is named by its instance, without the practising user's ssh_config: that has the address of
/// before, and an address changes with a stop.
struct Practice {
    lab: Serving,
    host: String,
    port: String,
    key: String,
}

impl Practice {
    fn start(name: &str) -> Self {
        let lab = serve(&["--scenario", name, "--transition", "120"]);
        let report = lab.diagnose_with(name, &["--timeout", "2"]);
        assert_eq!(report.exit, 1, "{}", report.brief());
        let target = &report.json["target"];
        let host = format!("ec2-user@{}", target["instance_id"].as_str().expect("an instance"));
        let (port, key) = (target["port"].to_string(), lab.key_file("practice.pem"));
        Self { lab, host, port, key }
    }

    /// Runs a command on the host; its answer.
    fn run(&self, words: &[&str], more: &[&str]) -> Value {
        let about =
            [&self.host, "-F", "none", "-i", &self.key, "-p", &self.port, "--source-ip", CLIENT, "--timeout", "2"];
        self.lab.home.run(&[words, &about, more, &["--json"]].concat()).exits(0).json()
    }

    fn healthy(&self) -> bool {
        self.run(&["diagnose"], &[])["verdict"] == "healthy"
    }
}

#[test]
fn a_practice_host_is_repaired_and_keeps_its_own_user_data() {
    let host = Practice::start("web-perms");
    crate::contract::check_plan(&host.run(&["fix", "user-data-repair"], &["--dry-run"]));
    let done = host.run(&["fix", "user-data-repair"], &["--yes"]);
    assert_eq!((&done["applied"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    assert!(host.healthy());
    let back = host.run(&["fix", "user-data-restore"], &["--dry-run"]);
    assert_eq!(back["steps"], Value::Array(Vec::new()), "{back}");
    // What was mended inside stays; user data and state are as before already.
    host.lab.home.run(&["undo", "--yes"]).exits(0);
    assert!(host.healthy());
}

#[test]
fn a_lost_key_is_added_at_the_next_boot() {
    let host = Practice::start("web-keyabsent");
    let done = host.run(&["fix", "user-data-repair"], &["--yes", "--choose", "restore=later"]);
    assert_eq!(done["login_works"], true, "{done}");
    let back = host.run(&["fix", "user-data-restore"], &["--yes"]);
    assert_eq!((&back["applied"], back["steps"].as_array().map(Vec::len)), (&Value::Bool(true), Some(4)), "{back}");
}
