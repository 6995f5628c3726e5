//! The shell of a practice host: a prompt and the handful of commands that show who and where one is.
//!
//! Used by `sshd`, `script` and `session`. Must not run anything on this machine.

use super::Shared;
use super::world::{Instance, World};

/// What to send back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub out: String,
    pub err: String,
    /// The exit status, if the shell has ended.
    pub exit: Option<u32>,
}

/// One login shell.
pub(super) struct Shell {
    user: String,
    uid: u32,
    host: String,
    release: String,
    terminal: bool,
    line: String,
    status: u32,
    ended: bool,
    kernel: &'static str,
    /// The agent's shell says nothing else before a command.
    prompt: Option<&'static str>,
    /// Columns and rows of the terminal.
    size: (u16, u16),
}

/// What a terminal has that was told no size.
const USUAL_SIZE: (u16, u16) = (80, 24);
/// Longest list that `seq` prints.
const LONGEST_LIST: u32 = 200_000;

impl Shell {
    /// The shell of a user who logged in by SSH.
    pub fn new(shared: &Shared, instance: &str, user: &str, terminal: bool) -> Self {
        let world = shared.world();
        let found = world.instance(instance);
        let known = found.and_then(|instance| instance.users.iter().find(|known| known.name == user));
        let base = found.map_or_else(Self::of_nobody, |instance| Self::of_root(&world, instance));
        Self { user: user.to_owned(), uid: known.map_or(1000, |known| known.uid), terminal, ..base }
    }

    /// The shell in which Systems Manager runs commands.
    pub fn of_root(world: &World, instance: &Instance) -> Self {
        Self {
            user: "root".to_owned(),
            host: format!("ip-{}", instance.private.to_string().replace('.', "-")),
            release: world.image_of(instance).map_or_else(|| "Linux".to_owned(), |image| image.spec.pretty.clone()),
            ..Self::of_nobody()
        }
    }

    /// The shell of Session Manager: `sh` of the user `ssm-user`, which the agent makes.
    pub fn of_agent(world: &World, id: &str) -> Self {
        let Some(instance) = world.instance(id) else { return Self { terminal: true, ..Self::of_nobody() } };
        let dash =
            world.image_of(instance).is_some_and(|image| matches!(image.spec.family.as_str(), "ubuntu" | "debian"));
        Self {
            user: "ssm-user".to_owned(),
            uid: 1001,
            terminal: true,
            prompt: Some(if dash { "$ " } else { "sh-5.2$ " }),
            ..Self::of_root(world, instance)
        }
    }

    /// A shell on a host that is gone.
    fn of_nobody() -> Self {
        Self {
            user: String::new(),
            uid: 0,
            host: "localhost".to_owned(),
            release: "Linux".to_owned(),
            terminal: false,
            line: String::new(),
            status: 0,
            ended: false,
            kernel: "6.1.147-172.266",
            prompt: None,
            size: USUAL_SIZE,
        }
    }

    /// A command whose output is a pipe.
    pub fn without_terminal(&mut self) {
        self.terminal = false;
    }

    /// The terminal has this size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
    }

    fn prompt(&self) -> String {
        if let Some(prompt) = self.prompt.filter(|_| self.terminal) {
            return prompt.to_owned();
        }
        if self.terminal { format!("[{}@{} ~]$ ", self.user, self.host) } else { String::new() }
    }

    fn home(&self) -> String {
        let parent = if self.uid == 0 { "" } else { "/home" };
        format!("{parent}/{}", self.user)
    }

    /// What is shown at login.
    pub fn greet(&mut self) -> Reply {
        let mut reply = Reply::default();
        if self.prompt.is_some() {
            reply.out = self.prompt();
        } else if self.terminal {
            reply.out = format!(
                "{}\r\nYou are in: this is a practice host. \"exit\" leaves it.\r\n{}",
                self.release,
                self.prompt()
            );
        }
        reply
    }

    /// Typed characters, or the bytes of a pipe.
    pub fn input(&mut self, data: &[u8]) -> Reply {
        let mut reply = Reply::default();
        for letter in String::from_utf8_lossy(data).chars() {
            if self.ended {
                break;
            }
            match letter {
                '\r' | '\n' => self.enter(&mut reply),
                '\u{4}' if self.line.is_empty() => {
                    reply.out.push_str(if self.terminal { "logout\r\n" } else { "" });
                    self.finish(&mut reply);
                }
                '\u{3}' => {
                    self.line.clear();
                    let prompt = self.prompt();
                    reply.out.push_str("^C\r\n");
                    reply.out.push_str(&prompt);
                }
                '\u{7f}' | '\u{8}' => {
                    if self.line.pop().is_some() && self.terminal {
                        reply.out.push_str("\u{8} \u{8}");
                    }
                }
                letter if letter.is_control() => {}
                letter => {
                    // A line that long is not meant for this shell.
                    if self.line.len() < 4096 {
                        self.line.push(letter);
                        if self.terminal {
                            reply.out.push(letter);
                        }
                    }
                }
            }
        }
        reply
    }

    /// The end of the input.
    pub fn end(&mut self) -> Reply {
        let mut reply = Reply::default();
        if !self.line.is_empty() && !self.ended {
            self.enter(&mut reply);
        }
        self.finish(&mut reply);
        reply
    }

    fn finish(&mut self, reply: &mut Reply) {
        if !self.ended {
            self.ended = true;
            reply.exit = Some(self.status);
        }
    }

    fn enter(&mut self, reply: &mut Reply) {
        if self.terminal {
            reply.out.push_str("\r\n");
        }
        let line = std::mem::take(&mut self.line);
        let line = line.trim();
        let mut words = line.split_whitespace();
        if let Some("exit" | "logout") = words.next() {
            self.status = words.next().and_then(|code| code.parse().ok()).unwrap_or(self.status);
            self.finish(reply);
            return;
        }
        if !line.is_empty() {
            let done = self.run(line);
            self.status = done.exit.unwrap_or(0);
            let text = if self.terminal { format!("{}{}", done.out, done.err).replace('\n', "\r\n") } else { done.out };
            reply.out.push_str(&text);
            if !self.terminal {
                reply.err.push_str(&done.err);
            }
        }
        let prompt = self.prompt();
        reply.out.push_str(&prompt);
    }

    /// Runs one command line; commands may be joined with `;` or `&&`.
    pub fn run(&self, text: &str) -> Reply {
        let mut all = Reply { exit: Some(0), ..Reply::default() };
        for step in text.replace("&&", ";").split(';') {
            let step = step.trim();
            if step.is_empty() {
                continue;
            }
            let done = self.one(step);
            all.out.push_str(&done.out);
            all.err.push_str(&done.err);
            all.exit = done.exit;
            if step.split_whitespace().next() == Some("exit") {
                break;
            }
        }
        all
    }

    fn one(&self, text: &str) -> Reply {
        let mut words = text.split_whitespace();
        let command = words.next().unwrap_or_default();
        let rest: Vec<_> = words.collect();
        let say = |out: String| Reply { out, exit: Some(0), ..Reply::default() };
        match command {
            "whoami" => say(format!("{}\n", self.user)),
            "id" => say(match rest.first() {
                Some(&"-u") => format!("{}\n", self.uid),
                Some(&"-un") => format!("{}\n", self.user),
                _ => format!("uid={0}({1}) gid={0}({1}) groups={0}({1})\n", self.uid, self.user),
            }),
            "hostname" => say(format!("{}\n", self.host)),
            "uname" => say(match rest.first() {
                None | Some(&"-s") => "Linux\n".to_owned(),
                Some(&"-r") => format!("{}\n", self.kernel),
                _ => format!("Linux {} {} x86_64 GNU/Linux\n", self.host, self.kernel),
            }),
            "pwd" => say(format!("{}\n", self.home())),
            "echo" => say(format!("{}\n", rest.join(" ").replace(['"', '\''], ""))),
            "uptime" => say(" 09:00:00 up 12 days,  1:30,  1 user,  load average: 0.00, 0.01, 0.00\n".to_owned()),
            "cat" if rest == ["/etc/os-release"] => say(format!("PRETTY_NAME=\"{}\"\n", self.release)),
            "stty" if rest == ["size"] && self.terminal => say(format!("{} {}\n", self.size.1, self.size.0)),
            "stty" if rest == ["size"] => Reply {
                err: "stty: 'standard input': Inappropriate ioctl for device\n".to_owned(),
                exit: Some(1),
                ..Reply::default()
            },
            "seq" => {
                let numbers: Vec<u32> = rest.iter().filter_map(|word| word.parse().ok()).collect();
                let (first, last) = match numbers[..] {
                    [last] => (1, last),
                    [first, last] => (first, last),
                    _ => (1, 0),
                };
                let last = last.min(first.saturating_add(LONGEST_LIST));
                say((first..=last).fold(String::new(), |out, n| out + &n.to_string() + "\n"))
            }
            "true" | ":" | "ls" | "cd" | "clear" => say(String::new()),
            "false" => Reply { exit: Some(1), ..Reply::default() },
            "exit" => {
                Reply { exit: Some(rest.first().and_then(|code| code.parse().ok()).unwrap_or(0)), ..Reply::default() }
            }
            "help" => say("Commands here: whoami id hostname uname pwd echo seq stty uptime exit\n".to_owned()),
            other => Reply { err: format!("bash: {other}: command not found\n"), exit: Some(127), ..Reply::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(terminal: bool) -> Shell {
        Shell {
            user: "ec2-user".to_owned(),
            uid: 1000,
            host: "ip-127-122-1-10".to_owned(),
            release: "Amazon Linux 2023".to_owned(),
            terminal,
            line: String::new(),
            status: 0,
            ended: false,
            kernel: "6.1",
            prompt: None,
            size: USUAL_SIZE,
        }
    }

    #[test]
    fn commands_answer_with_their_status() {
        assert_eq!(shell(false).run("whoami").out, "ec2-user\n");
        assert_eq!(shell(false).run("true && hostname; id -u").out, "ip-127-122-1-10\n1000\n");
        assert_eq!(shell(false).run("exit 3").exit, Some(3));
        assert_eq!(shell(false).run("nonsense").exit, Some(127));
    }

    #[test]
    fn a_pipe_sees_no_prompt_and_ends_with_the_last_status() {
        let mut shell = shell(false);
        assert_eq!(shell.input(b"whoami\nfal").out, "ec2-user\n");
        shell.input(b"se");
        assert_eq!(shell.end().exit, Some(1));
    }

    #[test]
    fn a_terminal_echoes_and_edits() {
        let mut shell = shell(true);
        assert_eq!(shell.input(b"wX\x7f").out, "wX\u{8} \u{8}");
        assert!(shell.input(b"hoami\r").out.contains("\r\nec2-user\r\n["));
        assert_eq!(shell.input(b"exit\r").exit, Some(0));
    }
}
