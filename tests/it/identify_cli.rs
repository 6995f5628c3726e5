//! `port22 identify`: the contract of its JSON, what it recognises, and how it ends.

use crate::contract::{check_extract, check_recognised};
use crate::program::Home;

const REFUSED: &str = "$ ssh -i ~/keys/web.pem ubuntu@203.0.113.7 -p 2222\nubuntu@203.0.113.7: Permission denied (publickey,gssapi-keyex).\n";
const CONSOLE: &str = "[    1.234567] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\n[    1.234999] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0 #1\n";

#[test]
fn json_of_client_output() {
    let answer = Home::new().run_with(&["identify", "--json"], REFUSED.as_bytes()).exits(0).json();
    check_recognised(&answer);
    assert_eq!(
        (&answer["kind"], &answer["symptom"], &answer["client"]),
        (&"ssh".into(), &"permission_denied".into(), &"openssh".into())
    );
    let extract = &answer["extract"];
    assert_eq!(
        (&extract["user"], &extract["host"], &extract["key_path"]),
        (&"ubuntu".into(), &"203.0.113.7".into(), &"~/keys/web.pem".into())
    );
    assert_eq!(extract["port"], 2222, "{extract}");
    assert_eq!(extract["methods"], serde_json::json!(["publickey", "gssapi-keyex"]));
}

#[test]
fn every_field_of_the_extract_is_there() {
    let home = Home::new();
    for text in [REFUSED, CONSOLE, "a recipe for pancakes: two eggs, some flour"] {
        check_extract(&home.run_with(&["identify", "--json"], text.as_bytes()).json());
    }
}

#[test]
fn json_of_a_console_log() {
    let home = Home::new();
    let answer = home.run_with(&["identify", "--json"], CONSOLE.as_bytes()).exits(0).json();
    check_recognised(&answer);
    assert_eq!((&answer["kind"], &answer["symptom"]), (&"console".into(), &"kernel_panic".into()));
    let told = home.run_with(&["identify", "-", "--json", "--as", "console"], CONSOLE.as_bytes()).exits(0).json();
    assert_eq!(told["symptom"], "kernel_panic");
}

#[test]
fn a_file_and_a_pipe_give_the_same_answer() {
    let home = Home::new();
    let file = home.file("pasted.txt", REFUSED).display().to_string();
    let piped = home.run_with(&["identify", "-"], REFUSED.as_bytes()).exits(0);
    assert_eq!(home.run(&["identify", &file]).exits(0).stdout, piped.stdout);
    assert!(piped.stdout.contains("Permission denied") || piped.stdout.contains("permission_denied"), "{piped:#?}");
}

#[test]
fn unknown_text_is_not_recognised() {
    let answer =
        Home::new().run_with(&["identify", "--json"], b"a recipe for pancakes: two eggs, some flour\n").exits(3).json();
    check_recognised(&answer);
    assert_eq!(answer["symptom"], "other");
}

#[test]
fn what_is_no_text_is_bad_usage() {
    let home = Home::new();
    let noise: Vec<u8> =
        (0..60_000u32).map(|n| u8::try_from((n.wrapping_mul(2_654_435_761) >> 13) & 0xff).unwrap_or(0)).collect();
    let elf = [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0"[..], &[0; 4000]].concat();
    for bytes in [&noise[..], &elf, b"", b" \n\t\n", &[0; 4096]] {
        let run = home.run_with(&["identify"], bytes).exits(2);
        run.one_sentence();
        assert_eq!(run.stdout, "");
    }
    home.run(&["identify", "/nowhere/at/all"]).exits(2).one_sentence();
    let directory = home.path().display().to_string();
    home.run(&["identify", &directory]).exits(2).one_sentence();
    home.run(&["identify", "--as", "poem"]).exits(2);
}

#[test]
fn control_sequences_of_a_paste_stay_out() {
    let text = "\u{1b}[2J\u{1b}]0;owned\u{7}ec2-user@203.0.113.7\u{1b}[31m: Permission denied (publickey).\r\n\u{9b}31m\u{202e}";
    let home = Home::new();
    let answer = home.run_with(&["identify", "--json"], text.as_bytes()).exits(0).json();
    check_recognised(&answer);
    assert_eq!(answer["symptom"], "permission_denied");
    let text = home.run_with(&["identify"], text.as_bytes()).exits(0).stdout;
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
}

#[test]
fn a_huge_paste_is_read_in_time() {
    let line = "debug1: Reading configuration data /etc/ssh/ssh_config\n".repeat(100_000);
    let text = format!("{REFUSED}{line}");
    let answer = Home::new().run_with(&["identify", "--json"], text.as_bytes());
    assert!(matches!(answer.exit, 0 | 3), "{}", answer.stderr);
}
