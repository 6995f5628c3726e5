//! A script inside an instance that was cut short, and what others changed before it is taken back: run in a directory
//! of its own, by every shell that is here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const FRAME: &str = include_str!("../../assets/remote/frame.sh");
const UNDO: &str = concat!(include_str!("../../assets/remote/values.sh"), include_str!("../../assets/remote/undo.sh"));
/// One file done, another begun, and the end never came.
const CUT: &str = "chmode 600 $AT/a; keep $AT/a c; echo mine >$AT/a; did \"configured $AT/a\"; keep $AT/b c; exit 0\n";
const SEALED: &str = "keep $AT/a c; echo mine >$AT/a; did \"configured $AT/a\"; seal; finish ok\n";
const GIVEN_UP: &str = "keep $AT/a c; echo half >$AT/a; give_up \"cannot-write $AT/a\"\n";

/// What somebody does meanwhile.
type Edit<'a> = &'a dyn Fn(&Path);

fn shells() -> Vec<Vec<&'static str>> {
    let here = |shell: &&[&'static str]| {
        let (name, more) = shell.split_first().expect("a name");
        let asked = Command::new(name).args(more).args(["-c", "exit 0"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let all: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];
    all.iter().filter(|shell| here(shell)).map(|shell| shell.to_vec()).collect()
}

fn run(shell: &[&str], at: &Path, job: &str, script: &str) -> String {
    let frame = FRAME.replace("D=/var/lib/port22/", "D=$AT/record/");
    assert_ne!(frame, FRAME, "the record is kept in a directory of the test");
    let text = format!("AT={}; P22_TOKEN=t1; P22_JOB={job}\n{frame}\n{script}", at.display());
    let file = at.join("script");
    fs::write(&file, text).expect("the script");
    let done = Command::new(shell[0]).args(&shell[1..]).arg(&file).output().expect("a shell");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn look(at: &Path) -> [(String, u32); 2] {
    ["a", "b"].map(|name| {
        let mode = fs::metadata(at.join(name)).expect("a file").permissions().mode();
        (fs::read_to_string(at.join(name)).expect("a file"), mode & 0o777)
    })
}

#[test]
fn what_others_changed_after_a_script_was_cut_short_stays() {
    let add = |at: &Path| fs::write(at.join("a"), "mine\nof the owner\n").expect("write");
    let open = |at: &Path| fs::set_permissions(at.join("a"), PermissionsExt::from_mode(0o640)).expect("chmod");
    let begun = |at: &Path| fs::write(at.join("b"), "of the owner\n").expect("write");
    let nothing = |_: &Path| {};
    let emptied = |at: &Path| fs::write(at.join("b"), "").expect("write");
    let cases: [(&str, &str, Edit, bool); 8] = [
        ("nobody", CUT, &nothing, true),
        ("cut while it wrote", CUT, &emptied, true),
        ("content", CUT, &add, false),
        ("mode", CUT, &open, false),
        ("a file that was only kept", CUT, &begun, false),
        ("nobody, ended", SEALED, &nothing, true),
        ("content, ended", SEALED, &add, false),
        ("given up", GIVEN_UP, &nothing, true),
    ];
    let shells = shells();
    assert!(!shells.is_empty(), "no shell is here");
    for shell in shells {
        for (name, script, edit, back) in &cases {
            for job in ["undo", "again"] {
                if job == "again" && *script != CUT {
                    continue;
                }
                let place = tempfile::tempdir().expect("a directory");
                let at = place.path();
                for file in ["a", "b"] {
                    fs::write(at.join(file), format!("{file} as it was\n")).expect("write");
                    fs::set_permissions(at.join(file), PermissionsExt::from_mode(0o644)).expect("chmod");
                }
                let before = look(at);
                run(&shell, at, "sshd", script);
                edit(at);
                let cut = look(at);
                let said = run(&shell, at, job, if job == "undo" { UNDO } else { "begin\nfinish ok\n" });
                let (wanted, end) = if *back { (&before, " ok ") } else { (&cut, " fail 0 changed-since") };
                assert_eq!(&look(at), wanted, "{shell:?} {name} {job}: {said}");
                let given_up = *script == GIVEN_UP && said.contains("no-record");
                assert!(said.contains(&format!("port22-fix-end{end}")) || given_up, "{shell:?} {name} {job}: {said}");
            }
        }
    }
}
