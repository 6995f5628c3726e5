//! The repair through user data against the practice account over HTTP: its hosts really change.

use crate::lab_cli::serve;
use serde_json::Value;

#[test]
fn a_practice_host_is_repaired_and_keeps_its_own_user_data() {
    let lab = serve(&["--scenario", "web-perms", "--transition", "120"]);
    assert_eq!(lab.diagnose_with("web-perms", &["--timeout", "2"]).exit, 1);
    let plan = lab.fix("user-data-repair", "web-perms", &["--dry-run", "--json"]).exits(0).json();
    crate::contract::check_plan(&plan);
    let done = lab.fix("user-data-repair", "web-perms", &["--yes", "--json", "--timeout", "2"]).exits(0).json();
    assert_eq!((&done["applied"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    assert_eq!(lab.diagnose_with("web-perms", &["--timeout", "2"]).json["verdict"], "healthy");
    // What was mended inside stays; user data and state are as before already.
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(lab.diagnose_with("web-perms", &["--timeout", "2"]).json["verdict"], "healthy");
    let again: Value = lab.fix("user-data-restore", "web-perms", &["--dry-run", "--json"]).json();
    assert_eq!(again["steps"], Value::Array(Vec::new()), "{again}");
}

#[test]
fn a_lost_key_is_added_at_the_next_boot() {
    let lab = serve(&["--scenario", "web-keyabsent", "--transition", "120"]);
    let key = lab.key_file("practice.pem");
    let more = ["-i", &key, "--yes", "--json", "--timeout", "2", "--choose", "restore=later"];
    let done = lab.fix("user-data-repair", "web-keyabsent", &more).exits(0).json();
    assert_eq!(done["login_works"], true, "{done}");
    let back = lab.fix("user-data-restore", "web-keyabsent", &["--yes", "--json", "--timeout", "2"]).exits(0).json();
    assert_eq!(back["applied"], true, "{back}");
    assert_eq!(lab.diagnose_with("web-keyabsent", &["--timeout", "2"]).json["verdict"], "healthy");
}
