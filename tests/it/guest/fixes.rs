//! Repairs inside, end to end: a guest is broken, port22 names the cause, repairs it, the ssh client logs in, and the undo
//! leaves the guest exactly as it was broken.

use super::{Fault, Guests, Stage, left_out, table};
use crate::contract::check_plan;
use crate::program::Run;
use serde_json::{Value, json};

/// Every file with kind, mode, owner, link and content, the attributes of the login files, and the packet filter; not what
/// a login writes, and not the copies that the tools for accounts keep of their last change.
const STATE: &str = r"
find / -xdev \( -path /var/log -o -path /var/lib/port22 \) -prune -o -printf '%p %y %m %U %G %l\n' | sort
find /etc /home /root /srv -xdev -type f ! -path '/etc/shadow-' ! -path '/etc/passwd-' -exec sha256sum {} + | sort -k2
nft list ruleset 2>/dev/null | sed 's/packets [0-9]* bytes [0-9]*//'
ls -lan /run | grep -v -e ' \.$' -e ' \.\.$' -e pid -e motd -e eic | awk '{ print $1, $3, $4, $9 }'
lsattr -d /home/* /home/*/.ssh /home/*/.ssh/* 2>/dev/null";

impl Guests {
    fn state(&self) -> String {
        let answer = self.moto.ask(&json!({"do": "sh", "script": STATE}));
        answer[0].as_str().expect("the state of the guest").to_owned()
    }

    fn fix(&self, fix: &str, stage: &Stage, user: &str, more: &[&str]) -> Run {
        let key = stage.key.display().to_string();
        self.home.fix(fix, &stage.world, &[&["-i", &key, "-l", user], more].concat())
    }

    /// What is wrong with the repair of one fault.
    fn unrepaired(&self, fault: &Fault, fix: &str) -> Option<String> {
        let stage = self.stage(fault);
        let before = self.state();
        if self.login(&stage, &fault.user).0 {
            return Some("the guest is not broken".to_owned());
        }
        let report = self.diagnose(&stage, &["--inside"]);
        let named = report.list("causes").iter().any(|cause| {
            cause["id"].as_str().is_some_and(|id| id == fault.expect || fault.or.iter().any(|other| other == id))
                && cause["fixes"].as_array().is_some_and(|all| all.iter().any(|f| f["id"] == fix))
        });
        if !named {
            return Some(format!("no cause names {fix}: {:?}", report.causes()));
        }
        // A login whose key is taken and whose session ends at once is seen only inside.
        let plan = self.fix(fix, &stage, &fault.user, &["--inside", "--dry-run", "--json"]).exits(0).json();
        check_plan(&plan);
        if self.state() != before {
            return Some("a preview changed the guest".to_owned());
        }
        let run = self.fix(fix, &stage, &fault.user, &["--inside", "--yes", "--json"]);
        if run.exit != 0 {
            return Some(format!("{run:#?}"));
        }
        let done = run.json();
        if done["verified"] != true || done["login_works"] != true {
            return Some(format!("not verified: {done:#}"));
        }
        let (works, text) = self.login(&stage, &fault.user);
        if !works {
            return Some(format!("the login still fails: {text}"));
        }
        let mended = self.state();
        let again = self.fix(fix, &stage, &fault.user, &["--inside", "--yes", "--json"]).exits(0).json();
        if again["entry"] != Value::Null || self.state() != mended {
            return Some(format!("a second run does something: {again:#}"));
        }
        self.home.run(&["undo", "--yes"]).exits(0);
        let after = self.state();
        if after != before {
            let gone: Vec<_> = before.lines().filter(|l| !after.lines().any(|m| m == *l)).collect();
            let new: Vec<_> = after.lines().filter(|l| !before.lines().any(|m| m == *l)).collect();
            return Some(format!("the undo left something: {gone:?} {new:?}"));
        }
        self.login(&stage, &fault.user).0.then(|| "after the undo the login works".to_owned())
    }

    fn repairs(fix: &str, names: &[&str]) {
        if left_out() {
            return;
        }
        let all = table();
        let faults: Vec<&Fault> = names
            .iter()
            .map(|name| all.iter().find(|f| f.name == *name).unwrap_or_else(|| panic!("no fault {name}")))
            .collect();
        let half = |faults: &[&Fault]| -> Vec<String> {
            let guests = Self::start();
            faults.iter().filter_map(|f| guests.unrepaired(f, fix).map(|why| format!("{}: {why}", f.name))).collect()
        };
        let (left, right) = faults.split_at(faults.len() / 2);
        let wrong = std::thread::scope(|scope| {
            let other = scope.spawn(|| half(right));
            let mut wrong = half(left);
            wrong.extend(other.join().expect("the other half"));
            wrong
        });
        assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), names.len(), wrong.join("\n\n"));
    }
}

#[test]
fn owner_and_rights_are_repaired_and_put_back() {
    Guests::repairs(
        "remote-repair-permissions",
        &[
            "home-777",
            "home-775-of-a-private-group-with-a-guest",
            "home-of-a-third-user",
            "ssh-dir-without-x",
            "ssh-dir-of-root-700",
            "authkeys-666",
            "authkeys-of-root-600",
            "slash-home-of-root-700",
            "immutable-and-open-home",
        ],
    );
}

#[test]
fn a_key_is_added_and_taken_out_again() {
    Guests::repairs(
        "remote-add-key",
        &[
            "ssh-dir-missing",
            "authkeys-empty",
            "authkeys-joined-line",
            "authkeys-utf16",
            "authkeys-another-key",
            "immutable-and-another-key",
        ],
    );
}

#[test]
fn sshd_is_repaired_and_broken_again() {
    Guests::repairs(
        "remote-sshd-repair",
        &[
            "allow-users-from-elsewhere",
            "pubkey-authentication-no-for-him",
            "authorized-keys-file-of-another-name",
            "config-unknown-word",
            "config-broken-in-a-drop-in",
            "host-keys-missing",
            "host-keys-666",
            "privsep-directory-777",
            "port-2222",
            "sshd-masked",
            "etc-nologin",
        ],
    );
}

#[test]
fn dates_shell_and_lock_of_an_account_are_set_and_set_back() {
    Guests::repairs(
        "remote-sshd-repair",
        &[
            "account-locked-without-pam",
            "account-expired",
            "account-inactive-after-its-password",
            "password-change-forced",
            "password-aged-out",
            "shell-nologin",
            "shell-missing",
        ],
    );
}

#[test]
fn an_address_that_was_kept_out_inside_passes_and_is_kept_out_again() {
    Guests::repairs(
        "remote-sshd-repair",
        &[
            "hosts-deny-all",
            "hosts-deny-with-others-allowed",
            "nft-drops",
            "nft-accepts-others-only",
            "iptables-policy-drop",
            "iptables-rejects-by-reset",
        ],
    );
}

fn fault(name: &str) -> Fault {
    table().into_iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no fault {name}"))
}

#[test]
fn what_a_script_must_not_touch_is_said_and_nothing_is_changed() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    for (name, fix, words) in [
        ("authkeys-link-into-an-open-directory", "remote-repair-permissions", "symbolic link"),
        ("home-not-mounted", "remote-add-key", "not mounted"),
        ("authkeys-from-elsewhere", "remote-add-key", "options that limit it"),
        ("port-taken-by-a-web-server", "remote-sshd-repair", "busybox listens at the port"),
        ("sshd-not-installed", "remote-sshd-repair", "not installed"),
    ] {
        let stage = guests.stage(&fault(name));
        let before = guests.state();
        let run = guests.fix(fix, &stage, "admin", &["--yes"]);
        assert_eq!(run.exit, 1, "{name}: {run:#?}");
        assert!(run.stderr.contains(words), "{name}: {}", run.stderr);
        assert_eq!(guests.state(), before, "{name}");
    }
    let stage = guests.stage(&fault("home-777"));
    let run = guests.fix("remote-repair-permissions", &stage, "nobody-here", &["--yes"]);
    assert!(run.exit == 1 && run.stderr.contains("there is no user nobody-here"), "{run:#?}");
    guests.fix("remote-repair-permissions", &stage, "a;b", &["--yes"]).exits(1).one_sentence();
    guests.fix("remote-repair-permissions", &stage, "admin", &["--yes", "--read-only"]).exits(4);
    guests.fix("remote-repair-permissions", &stage, "admin", &[]).exits(5);
}

#[test]
fn what_somebody_changed_since_is_not_taken_back() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let stage = guests.stage(&fault("authkeys-another-key"));
    guests.fix("remote-add-key", &stage, "admin", &["--yes"]).exits(0);
    let more = "printf '# somebody else\\n' >> /home/admin/.ssh/authorized_keys";
    guests.moto.ask(&json!({"do": "sh", "script": more}));
    let state = guests.state();
    let run = guests.home.run(&["undo", "--yes"]);
    assert!(run.exit == 4 && run.stderr.contains("authorized_keys"), "{run:#?}");
    assert_eq!(guests.state(), state);
}

#[test]
fn without_an_agent_or_a_login_nothing_is_run() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let stage = guests.stage_with(&fault("home-777"), "");
    let run = guests.fix("remote-repair-permissions", &stage, "admin", &["--yes"]);
    assert!(run.exit == 4 && run.stderr.contains("no way to run anything inside"), "{run:#?}");
    assert_eq!(guests.commands(), 0);
}

/// What stands for sudo in a guest, which has none: a program that makes its words run as root.
const SUDO: &str = r#"
cp /bin/bash /usr/local/bin/rootbash && chmod 4755 /usr/local/bin/rootbash
printf '#!/usr/local/bin/rootbash -p\nshift\nexec setpriv --reuid 0 --regid 0 --clear-groups "$@"\n' > /usr/bin/sudo
chmod 755 /usr/bin/sudo
"#;

#[test]
fn another_users_login_carries_the_repair_where_no_agent_is() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let broken = Fault { user: "deploy".to_owned(), breaks: format!("{SUDO} chmod 777 \"$H\""), ..fault("home-777") };
    let stage = guests.stage_with(&broken, "");
    let before = guests.state();
    assert!(!guests.login(&stage, "deploy").0);
    let done = guests.fix("remote-repair-permissions", &stage, "deploy", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["login_works"], true, "{done:#}");
    assert!(guests.login(&stage, "deploy").0);
    assert_eq!(guests.commands(), 0);
    guests.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(guests.state(), before);
}

/// A second sshd of the guest, at which only one user may pass on: the jump host.
const GATE: &str = "
/usr/sbin/sshd -p 2200 -E /tmp/gate.log -o PidFile=/tmp/gate.pid -o LogLevel=DEBUG1 -o AllowUsers=admin";

#[test]
fn a_repair_and_its_undo_go_over_the_jump_host_of_the_login() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let broken = Fault { user: "deploy".to_owned(), breaks: format!("{SUDO} chmod 777 \"$H\""), ..fault("home-777") };
    // The other user is let in, there and at the instance.
    let broken = Fault { after: GATE.to_owned(), ..broken };
    let stage = guests.stage_with(&broken, "");
    let (key, address) = (stage.key.display().to_string(), stage.world.place.ip.to_string());
    let path = guests.home.path().join("ssh_config");
    let own = std::fs::read_to_string(&path).expect("ssh_config");
    let gate = format!(
        "Host gate\n  HostName {address}\n  Port 2200\n  User admin\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
    );
    std::fs::write(&path, format!("{gate}\nHost *\n{own}")).expect("ssh_config");
    let config = path.display().to_string();
    let log = || {
        let answer = guests.moto.ask(&json!({"do": "sh", "script": "cat /tmp/gate.log"}));
        let text = answer[0].as_str().expect("a log").to_owned();
        (text.matches("server_request_direct_tcpip").count(), text.matches("Starting session").count())
    };
    let before = guests.state();
    let words = ["-i", &key, "-J", "gate", "-F", &config, "--source-ip", crate::moto::CLIENT];
    let plan = guests.home.run(
        &[&["fix", "remote-repair-permissions", &format!("deploy@{address}"), "--dry-run", "--json"], &words[..]]
            .concat(),
    );
    let plan = plan.exits(0).json();
    check_plan(&plan);
    let command = plan["steps"][0]["command"].as_str().expect("a command");
    assert!(command.contains("-J gate"), "{command}");
    assert_eq!(guests.state(), before, "a preview changes nothing");
    let seen = log();
    let done = guests.home.run(
        &[&["fix", "remote-repair-permissions", &format!("deploy@{address}"), "--yes", "--json"], &words[..]].concat(),
    );
    let done = done.exits(0).json();
    assert_eq!(done["login_works"], true, "{done:#}");
    let mended = log();
    assert!(mended.0 > seen.0 && mended.1 == 0, "{seen:?} {mended:?}");
    // Nothing but the journal knows the way now.
    guests.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(guests.state(), before);
    assert!(log().0 > mended.0 && log().1 == 0, "{:?}", log());
    assert_eq!(guests.commands(), 0);
}

#[test]
fn a_repair_whose_process_was_killed_is_gone_on_with_or_taken_back() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let stage = guests.stage(&fault("authkeys-another-key"));
    let before = guests.state();
    let journal = guests.home.path().join("state/port22/journal.jsonl");
    // The deed was done, or not, and nobody wrote down which.
    let cut = || {
        let text = std::fs::read_to_string(&journal).expect("the journal");
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().rposition(|line| line.contains("step_begun")).expect("a step that was begun");
        std::fs::write(&journal, lines[..=last].join("\n") + "\n").expect("the journal");
    };
    guests.fix("remote-add-key", &stage, "admin", &["--yes"]).exits(0);
    let mended = guests.state();
    cut();
    let resumed = guests.home.run(&["resume", "--yes"]);
    assert_eq!(resumed.exit, 0, "{resumed:#?}");
    assert_eq!(guests.state(), mended, "nothing is done twice");
    cut();
    guests.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(guests.state(), before);
    // Cut short before anything was done: there is nothing to take back.
    cut();
    guests.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(guests.state(), before);
}

/// The key command of EC2 Instance Connect, which here reads what was pushed from a file.
const CONNECT: &str = r#"
printf '#!/bin/sh\ncat "/run/eic/$1" 2>/dev/null\n' > /usr/local/bin/pushed && chmod 755 /usr/local/bin/pushed
printf 'AuthorizedKeysCommand /usr/local/bin/pushed %%u\nAuthorizedKeysCommandUser nobody\n' > "$C"
"#;

#[test]
fn a_pushed_key_logs_in() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let broken =
        Fault { breaks: format!("{CONNECT} printf '%s\\n' \"$OTHER\" > \"$A\""), ..fault("authkeys-another-key") };
    let stage = guests.stage(&broken);
    let before = guests.state();
    let plan = guests.fix("eic-push-key", &stage, "admin", &["--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert!(!guests.login(&stage, "admin").0, "a preview pushes nothing");
    let done = guests.fix("eic-push-key", &stage, "admin", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["login_works"], true, "{done:#}");
    assert!(guests.login(&stage, "admin").0, "within the minute");
    assert_eq!(guests.state(), before, "nothing is left in the guest's files");
    // Without a key of one's own one is made for the login.
    let bare = guests.home.fix("eic-push-key", &stage.world, &["-l", "admin", "--yes"]);
    assert!(bare.exit == 0 && bare.stderr.contains("a key made for this login"), "{bare:#?}");

    let stage = guests.stage(&fault("authkeys-another-key"));
    let run = guests.fix("eic-push-key", &stage, "admin", &["--yes"]);
    assert!(run.exit == 1 && run.stderr.contains("did not take the pushed key"), "{run:#?}");
}
