//! The full screen in a real terminal: tmux types, and reads what is on the screen.

use std::process::Command;
use std::time::{Duration, Instant};

/// A tmux server of its own with one shell in it; ends with the test.
struct Terminal {
    socket: String,
    home: tempfile::TempDir,
}

impl Terminal {
    fn open(name: &str, columns: u16, rows: u16) -> Self {
        let home = tempfile::tempdir().expect("a temporary home");
        let socket = format!("port22-{name}-{}", std::process::id());
        let terminal = Self { socket, home };
        let path = terminal.home.path().display().to_string();
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let environment = [
            format!("HOME={path}"),
            format!("XDG_STATE_HOME={path}/state"),
            "AWS_EC2_METADATA_DISABLED=true".to_owned(),
            "PS1=prompt> ".to_owned(),
        ];
        let mut arguments =
            vec!["new-session", "-d", "-s", "t", "-x", &columns, "-y", &rows, "env", "-u", "SSH_AUTH_SOCK"];
        arguments.extend(environment.iter().map(String::as_str));
        arguments.extend(["sh", "-i"]);
        terminal.tmux(&arguments);
        terminal.wait("prompt>");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.socket, "-f", "/dev/null"])
            .args(arguments)
            .output()
            .expect("tmux is installed (tests/run installs it)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys", "-t", "t"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-t", "t", "-p"])
    }

    /// Waits until the screen shows a text; fails with the last screen.
    fn wait(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(begun.elapsed() < Duration::from_secs(40), "'{text}' did not appear; the screen is:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start(&self, arguments: &str) {
        let program = env!("CARGO_BIN_EXE_port22");
        self.keys(&[&format!("{program} {arguments}; echo left with $?"), "Enter"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn from_the_start_to_an_applied_and_verified_fix() {
    let terminal = Terminal::open("journey", 80, 24);
    terminal.start("lab");
    // It comes with the first page, as the wanted one does further down.
    terminal.wait("web-elastic");
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "web-moved"]);
    terminal.keys(&["Enter"]);
    terminal.wait("web-moved");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait("CAUSE proven");
    assert!(screen.contains("Your address changed"), "{screen}");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait("y apply");
    assert!(screen.contains("modify-security-group-rules"), "{screen}");
    terminal.keys(&["y"]);
    terminal.wait("the login works");
    terminal.keys(&["q"]);
    terminal.wait("left with 0");
}

#[test]
fn a_paste_picks_instance_and_symptom() {
    let terminal = Terminal::open("paste", 120, 40);
    terminal.start("lab web-keymode");
    // The run is over: while it runs, the first Esc stops it and the second one leaves.
    terminal.wait("✓ Server accepts the key");
    terminal.wait("CAUSE proven");
    std::thread::sleep(Duration::from_millis(300));
    terminal.keys(&["Escape"]);
    terminal.wait("What did you see?");
    // Bracketed paste, as a terminal sends it.
    terminal.tmux(&["set-buffer", "ec2-user@web-keymode: Permission denied (publickey)."]);
    terminal.tmux(&["paste-buffer", "-p", "-t", "t"]);
    let screen = terminal.wait("Recognised");
    assert!(screen.contains("web-keymode"), "{screen}");
    terminal.keys(&["Enter"]);
    terminal.wait("mode 0644");
    terminal.keys(&["q"]);
    terminal.wait("left with 0");
}

#[test]
fn a_shell_in_the_pane_and_back_to_the_same_place() {
    let terminal = Terminal::open("pane", 80, 24);
    terminal.start("lab web-refused");
    terminal.wait("CAUSE proven");
    terminal.wait("Esc back");
    terminal.keys(&["s"]);
    terminal.wait("sh-5.2$");
    terminal.keys(&["stty size", "Enter"]);
    // Header, finding, three commands, a rule and the footer are the rest of 24 rows.
    terminal.wait("17 80");
    terminal.keys(&["C-]", "c"]);
    let screen = terminal.wait("$ sudo sshd -t && sudo systemctl");
    assert!(!screen.contains("command not found"), "put at the prompt, not run: {screen}");
    terminal.keys(&["C-c", "C-]", "z"]);
    terminal.keys(&["stty size", "Enter"]);
    let screen = terminal.wait("23 80");
    assert!(!screen.contains("CAUSE proven"), "{screen}");
    terminal.keys(&["C-]", "q"]);
    terminal.wait("End the session?");
    terminal.keys(&["y"]);
    let screen = terminal.wait("r runs the checks again");
    assert!(screen.contains("CAUSE proven"), "{screen}");
    terminal.keys(&["q"]);
    terminal.wait("left with 0");
}

#[test]
fn a_signal_and_a_small_window_leave_the_terminal_as_it_was() {
    let terminal = Terminal::open("term", 80, 24);
    terminal.start("lab");
    terminal.wait("What did you see?");
    terminal.tmux(&["resize-window", "-t", "t", "-x", "60", "-y", "15"]);
    terminal.wait("80");
    terminal.tmux(&["resize-window", "-t", "t", "-x", "100", "-y", "30"]);
    terminal.wait("What did you see?");
    let pane = terminal.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]);
    let children = Command::new("pgrep").args(["-P", pane.trim()]).output().expect("pgrep");
    let child = String::from_utf8_lossy(&children.stdout).trim().to_owned();
    assert!(Command::new("kill").args(["-TERM", &child]).status().is_ok_and(|s| s.success()));
    let screen = terminal.wait("left with");
    assert!(!screen.contains("What did you see?"), "{screen}");
    let modes = terminal.tmux(&["display-message", "-p", "-t", "t", "#{alternate_on}"]);
    assert_eq!(modes.trim(), "0");
    terminal.keys(&["echo still usable", "Enter"]);
    terminal.wait("still usable");
}

/// Keys that were pressed, counted.
fn press(terminal: &Terminal, count: &mut usize, key: &str) {
    *count += 1;
    terminal.keys(&[key]);
}

#[test]
fn three_keys_at_most_from_the_start_to_an_applied_low_risk_fix() {
    // Straight to one instance, as `port22 TARGET` does.
    let terminal = Terminal::open("keys", 80, 24);
    let mut count = 0;
    terminal.start("lab web-keymode");
    terminal.wait("CAUSE proven");
    press(&terminal, &mut count, "Enter");
    terminal.wait("y apply");
    press(&terminal, &mut count, "y");
    let screen = terminal.wait("points");
    assert!(screen.contains("by the safest fix"), "{screen}");
    assert!(count <= 3, "{count} keys");
    terminal.keys(&["q"]);
    terminal.wait("left with 0");
    // From the list: the failing command is pasted, which is no key.
    let mut count = 0;
    terminal.start("lab");
    terminal.wait("web-elastic");
    terminal.tmux(&["set-buffer", "ec2-user@web-keymode: Permission denied (publickey)."]);
    terminal.tmux(&["paste-buffer", "-p", "-t", "t"]);
    terminal.wait("Recognised");
    press(&terminal, &mut count, "Enter");
    terminal.wait("CAUSE proven");
    press(&terminal, &mut count, "Enter");
    terminal.wait("y apply");
    press(&terminal, &mut count, "y");
    let screen = terminal.wait("points");
    assert!(screen.contains("Lesson solved"), "{screen}");
    assert!(count <= 3, "{count} keys");
    terminal.keys(&["Escape"]);
    terminal.wait("the login works");
    terminal.keys(&["q"]);
    terminal.wait("left with 0");
    // Both times were kept.
    let record = terminal.home.path().join("state/port22/practice.jsonl");
    let record = std::fs::read_to_string(record).expect("the record");
    assert_eq!(record.lines().filter(|line| line.contains("\"web-keymode\"")).count(), 2, "{record}");
}

#[test]
fn a_guided_lesson_with_hints_a_named_cause_and_its_score() {
    let terminal = Terminal::open("lesson", 80, 24);
    terminal.start("lab web-timeout --guided --seed 5");
    // The story comes first.
    let screen = terminal.wait("A colleague launched the host");
    assert!(!screen.contains("No answer at all"), "{screen}");
    terminal.keys(&["n"]);
    terminal.wait("No answer at all");
    terminal.keys(&["Escape"]);
    terminal.wait("Question 1");
    terminal.keys(&["c"]);
    let screen = terminal.wait("What is the cause?");
    assert!(screen.contains("▸"), "{screen}");
    terminal.keys(&["Enter"]);
    terminal.wait("That is not it");
    terminal.keys(&["Escape"]);
    terminal.keys(&["q"]);
    terminal.wait("left with 0");
}
