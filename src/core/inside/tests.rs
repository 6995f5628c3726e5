use super::*;
use std::process::Command;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3C0b8EwWwSGZyKLcTvNHhlLnDwbMRU6xNJdmqqP2xy";

fn good() -> Params {
    Params {
        user: Some("ec2-user".to_owned()),
        address: "198.51.100.7".parse().ok(),
        port: 22,
        keys: vec![KEY.to_owned()],
    }
}

#[test]
fn parameters_are_checked_before_they_reach_a_shell() {
    assert!(script(&good()).is_ok());
    for user in ["", "-x", "a b", "a'b", "$(id)", "a\nb", "Root", "1a", "a$", "\u{e9}", &"a".repeat(33)] {
        assert!(script(&Params { user: Some(user.to_owned()), ..good() }).is_err(), "{user:?}");
    }
    for key in [
        "",
        "ssh-rsa",
        "ssh-rsa AAAA x",
        "ssh-rsa AA'AA",
        "ssh-rsa AAAA\n",
        "a;b AAAA",
        &format!("ssh-rsa {}", "A".repeat(9000)),
    ] {
        assert!(script(&Params { keys: vec![key.to_owned()], ..good() }).is_err(), "{key:?}");
    }
    assert!(script(&Params { keys: vec![KEY.to_owned(); 5], ..good() }).is_err());
    assert!(script(&Params { port: 0, ..good() }).is_err());
}

#[test]
fn the_script_fits_systems_manager() {
    let text = script(&good()).unwrap();
    assert!(text.starts_with("P22_USER='ec2-user'\nP22_ADDR='198.51.100.7'\nP22_PORT='22'\nP22_KEY1='ssh-ed25519 "));
    // Double braces would be read as a parameter of Systems Manager's own.
    assert!(!text.contains("{{") && !text.contains("}}"));
    assert!(text.len() < 40_000 && text.is_ascii(), "{} bytes", text.len());
    // A function that is called at the very end: a script cut on its way does nothing.
    assert!(text.trim_end().lines().rev().take(12).any(|l| l.starts_with("p22_main ")));
}

/// What would write, or use the network, has no business in the script.
#[test]
fn the_script_only_reads() {
    let text = script(&good()).unwrap();
    for word in [
        "mktemp",
        "curl",
        "wget",
        "169.254",
        "tee ",
        "rm ",
        "chmod",
        "chown",
        "restart",
        "kill -HUP",
        "--reset",
        "unbanip",
        "ssh-keyscan",
        "/etc/shadow-",
        "ssh-keygen -A",
        "sudo ",
    ] {
        assert!(!text.contains(word), "{word}");
    }
    let redirections = text.match_indices('>').filter_map(|(at, _)| text.get(at + 1..at + 12));
    for to in redirections.filter(|to| to.trim_start().starts_with('/')) {
        assert!(to.trim_start().starts_with("/dev/null"), "writes to {to}");
    }
}

/// The script really runs here, in every shell that there is, and its output is read whole.
#[test]
fn the_script_runs_in_the_shells_of_this_machine() {
    let text = script(&Params { user: Some("root".to_owned()), ..good() }).unwrap();
    let mut ran = 0;
    for shell in [&["sh", "-c"][..], &["dash", "-c"], &["bash", "-c"], &["busybox", "ash", "-c"]] {
        let Ok(output) = Command::new(shell[0]).args(&shell[1..]).arg(&text).output() else { continue };
        let printed = String::from_utf8(output.stdout).unwrap();
        let inside = parse(&printed);
        assert_eq!(inside.version, VERSION, "{shell:?}: {printed}");
        assert_eq!(inside.end, crate::core::facts::inside::End::Whole, "{shell:?}: {printed}");
        assert!(printed.len() <= MAX_OUTPUT, "{shell:?}: {} characters", printed.len());
        assert_eq!(inside.asked.user, "root");
        assert!(inside.account.entry().is_some_and(|e| e.uid == 0 && e.home == "/root"), "{shell:?}: {printed}");
        assert!(
            inside.paths.get("/").is_some_and(crate::core::facts::inside::PathState::is_dir),
            "{shell:?}: {printed}"
        );
        ran += 1;
    }
    assert!(ran > 0, "no shell");
}

#[test]
fn any_text_is_read_without_harm() {
    let base = include_str!("../../../tests/cases/inside/base-al2023.txt");
    let whole = parse(base);
    assert_eq!(whole.left_out, 0);
    assert_eq!(whole.boot, Some(1_799_910_000));
    assert_eq!(whole.key_files[0].entries.len(), 1);
    // Cut anywhere: read as far as it goes, and the missing end is noticed.
    for at in (0..base.len() - 30).step_by(37) {
        let cut = parse(&base[..at]);
        assert_eq!(cut.end, crate::core::facts::inside::End::Missing, "cut at {at}");
    }
    // Every line shortened and with foreign characters.
    for line in base.lines() {
        for end in 0..line.len() {
            parse(&format!("port22-inside 1\n{}\u{1b}[2J\u{202e}\n", &line[..end]));
        }
    }
    let noisy = parse("port22-inside 1\nos.name a\u{1b}[2Jb\u{202e}c\nos.id \n\nnonsense\n");
    assert_eq!(noisy.os.name, "a?[2Jb?c");
    let long = format!("port22-inside 1\n{}", "path - /x\n".repeat(100_000));
    assert!(parse(&long).left_out > 0);
}

/// A diagnosis is recorded and replayed as JSON.
#[test]
fn facts_survive_being_written_down() {
    use crate::core::fact::Fact;
    use crate::core::facts::inside::Inside;
    for base in [
        include_str!("../../../tests/cases/inside/base-al2023.txt"),
        include_str!("../../../tests/cases/inside/base-ubuntu.txt"),
        include_str!("../../../tests/cases/inside/base-freebsd.txt"),
    ] {
        let fact = Fact::known(parse(base), "SSM");
        let text = serde_json::to_string(&fact).unwrap();
        let back: Fact<Inside> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, fact);
        assert!(back.value().is_some_and(|i| !i.groups.is_empty() && i.account.entry().is_some()));
    }
}
