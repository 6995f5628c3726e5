use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnzMHvZSx6ugfHAtjJ8Xl2FLGhDlUDCcq8yLzDCVFGA";

fn add(user: &str, key: &str) -> Job {
    Job::AddKey { user: user.to_owned(), address: None, key: key.to_owned(), replace: None }
}

#[test]
fn only_checked_values_reach_the_shell() {
    let good = add("ec2-user", &format!("{KEY} mia@laptop"));
    let text = script(Errand::Do(&good), "port22-20261121-0").unwrap();
    assert!(text.starts_with("P22_JOB='add-key'\nP22_TOKEN='port22-20261121-0'\nP22_USER='ec2-user'\n"), "{text}");
    assert!(text.len() < 48 * 1024, "{} bytes are much for one command", text.len());
    assert!(text.ends_with("}\np22_main </dev/null 2>/dev/null\n"));
    for user in ["", "a b", "a'b", "Admin", "-x", "a;b", "$(x)", "a\nb", &"a".repeat(33)] {
        assert!(script(Errand::Do(&add(user, KEY)), "t").is_err(), "{user:?}");
    }
    for key in ["", "ssh-ed25519", "ssh-ed25519 AAAA' x", "ssh-ed25519 AAAA x'y", "ssh-ed25519 AAAA\nAAAA", "a b c d"] {
        assert!(script(Errand::Do(&add("admin", key)), "t").is_err(), "{key:?}");
    }
    for token in ["", "../x", "a b", "a'b", "a/b", &"t".repeat(81)] {
        assert!(script(Errand::TakeBack, token).is_err(), "{token:?}");
    }
    let old = |old: &str| Job::AddKey {
        user: "admin".to_owned(),
        address: None,
        key: KEY.to_owned(),
        replace: Some(old.to_owned()),
    };
    assert!(script(Errand::Do(&old("AAAAC3Nza'")), "t").is_err());
    assert!(script(Errand::Do(&old("AAAAC3Nza+/=")), "t").is_ok());
}

#[test]
fn a_comment_is_made_harmless() {
    let line = |text: &str| key_line(text, "port22").unwrap();
    assert_eq!(line(KEY), format!("{KEY} port22"));
    assert_eq!(line(&format!("{KEY} mia's key $(rm) é")), format!("{KEY} mia_s_key___rm___"));
    assert!(is_key_line(&line(&format!("{KEY} {}", "x".repeat(300)))));
    assert_eq!(key_line("no key at all", "port22"), None);
}

#[test]
fn the_end_decides() {
    let job = Job::Permissions { user: "admin".to_owned(), address: None };
    let read = |text: &str| parse(text, Errand::Do(&job), "t1");
    let done = read(
        "Welcome!\nport22-fix 1 permissions t1\nattribute i /home/a\nbefore d:777:0:0 /home/a\ndid mode 777 755 /home/a\nport22-fix-end ok 1\n",
    )
    .unwrap();
    assert_eq!(done.end, End::Changed);
    assert_eq!(done.did, ["mode of /home/a: 0777 → 0755"]);
    assert_eq!((done.before.len(), done.notes.len()), (1, 1));
    assert_eq!(read("port22-fix 1 permissions t1\nport22-fix-end nothing 0\n").unwrap().end, End::Nothing);
    let failed = read("port22-fix 1 permissions t1\nport22-fix-end fail 0 no-such-user bob\n").unwrap().end;
    assert_eq!(failed, End::Failed("there is no user bob on the instance".to_owned()));
    let stuck = read("port22-fix 1 permissions t1\nport22-fix-end fail 2 not-put-back cannot-write /x\n").unwrap().end;
    assert!(matches!(stuck, End::Stuck(text) if text.contains("/x")));
    for cut in [
        "",
        "sudo: a password is required",
        "port22-fix 1 permissions t1\ndid mode 777 755 /home/a\n",
        "port22-fix 1 permissions t2\nport22-fix-end ok 1\n",
        "port22-fix 1 sshd t1\nport22-fix-end ok 1\n",
        "port22-fix 2 permissions t1\nport22-fix-end ok 1\n",
        "port22-fix 1 permissions t1\nport22-fix-end perhaps 1\n",
    ] {
        assert!(read(cut).is_err(), "{cut:?}");
    }
}

#[test]
fn a_name_in_the_undo_says_who_changed_it() {
    let text = "port22-fix 1 undo t1\nleft /home/a/.ssh\nport22-fix-end fail 0 changed-since\n";
    let end = parse(text, Errand::TakeBack, "t1").unwrap().end;
    assert_eq!(end, End::Failed("somebody changed it since: /home/a/.ssh".to_owned()));
}
