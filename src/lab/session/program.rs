//! What the agent runs for a session: a shell, a command, or connections to a port.
//!
//! Nothing runs on this machine: the shell is the practice shell, and ports are those that `host` acts out.

use super::channel::LONGEST;
use super::frame::content;
use super::mux::{self, Reader};
use crate::lab::Shared;
use crate::lab::host;
use crate::lab::session::SessionRecord;
use crate::lab::shell::{Reply, Shell};
use bytes::Bytes;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc, watch};

/// Pieces that wait on the way to a port.
const WAITING: usize = 64;

/// What comes out of a program.
pub(super) enum Out {
    Bytes(u32, Vec<u8>),
    /// It is over, with these words for the client.
    End(String),
}

enum Kind {
    Terminal(Shell),
    /// A command that has been run already.
    Command,
    Raw(mpsc::Sender<Bytes>),
    Many {
        reader: Reader,
        streams: HashMap<u32, mpsc::Sender<Bytes>>,
    },
    Over,
}

/// Where a port session leads.
#[derive(Clone)]
struct Way {
    shared: Arc<Shared>,
    instance: String,
    host: Option<String>,
    port: u16,
    power: watch::Receiver<bool>,
}

impl Way {
    async fn open(&self) -> Result<DuplexStream, String> {
        let host = self.host.as_deref();
        host::open_inside(&self.shared, &self.instance, host, self.port, self.power.clone()).await
    }
}

/// A running program.
pub(super) struct Program {
    kind: Kind,
    way: Option<Way>,
    ready: VecDeque<Out>,
    from: mpsc::Receiver<Out>,
    to: mpsc::Sender<Out>,
}

impl Program {
    /// Starts what a session asks for. `power` turns to true when the instance's power goes.
    pub async fn start(shared: &Arc<Shared>, record: &SessionRecord, power: watch::Receiver<bool>) -> Self {
        let (to, from) = mpsc::channel(WAITING);
        let mut program = Self { kind: Kind::Over, way: None, ready: VecDeque::new(), from, to };
        let port = record.parameter("portNumber").and_then(|port| port.parse().ok()).unwrap_or(22);
        let host = record.parameter("host").map(str::to_owned);
        let way = Way { shared: shared.clone(), instance: record.instance.clone(), host, port, power };
        match record.kind() {
            "Port" if record.forwards() => {
                program.kind = Kind::Many { reader: Reader::default(), streams: HashMap::new() };
                program.way = Some(way);
            }
            "Port" => match way.open().await {
                Ok(stream) => program.kind = Kind::Raw(carry(stream, program.to.clone(), None)),
                Err(why) => program.ready.push_back(Out::End(format!("Unable to connect to specified port: {why}"))),
            },
            "NonInteractiveCommands" => {
                program.kind = Kind::Command;
                program.run(shared, record);
            }
            "InteractiveCommands" => {
                let done = agent_shell(shared, record).run(record.parameter("command").unwrap_or_default());
                let text = format!("{}{}", done.out, done.err).replace('\n', "\r\n");
                program.kind = Kind::Command;
                program.ready.push_back(Out::Bytes(content::DATA, text.into_bytes()));
                program.ready.push_back(Out::End(String::new()));
            }
            _ => {
                let mut shell = agent_shell(shared, record);
                let greeting = shell.greet();
                program.kind = Kind::Terminal(shell);
                program.say(greeting);
            }
        }
        program
    }

    /// A command without a terminal: the agent splits it into words and runs them without a shell.
    fn run(&mut self, shared: &Shared, record: &SessionRecord) {
        let apart = record.parameter("separateOutputStream") == Some("True");
        let words = split(record.parameter("command").unwrap_or_default());
        let mut shell = agent_shell(shared, record);
        shell.without_terminal();
        let line = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["sh" | "bash" | "/bin/sh" | "/bin/bash", "-c", line, ..] => line.to_owned(),
            _ => words.join(" "),
        };
        let done = shell.run(&line);
        let errors = if apart { content::ERRORS } else { content::DATA };
        self.ready.push_back(Out::Bytes(content::DATA, done.out.into_bytes()));
        self.ready.push_back(Out::Bytes(errors, done.err.into_bytes()));
        if apart {
            let text = format!("EXIT_CODE: {}", done.exit.unwrap_or(0));
            self.ready.push_back(Out::Bytes(content::EXIT_CODE, text.into_bytes()));
        }
        self.ready.push_back(Out::End(String::new()));
    }

    fn say(&mut self, reply: Reply) {
        if !reply.out.is_empty() || !reply.err.is_empty() {
            self.ready.push_back(Out::Bytes(content::DATA, format!("{}{}", reply.out, reply.err).into_bytes()));
        }
        if reply.exit.is_some() {
            self.ready.push_back(Out::End(String::new()));
            self.kind = Kind::Over;
        }
    }

    /// What comes out next.
    pub async fn next(&mut self) -> Out {
        if let Some(out) = self.ready.pop_front() {
            return out;
        }
        match self.from.recv().await {
            Some(out) => out,
            None => std::future::pending().await,
        }
    }

    /// Whether another message can be taken.
    pub fn has_room(&self) -> bool {
        match &self.kind {
            Kind::Raw(input) => input.capacity() > 0 || input.is_closed(),
            Kind::Many { streams, .. } => streams.values().all(|input| input.capacity() > 0 || input.is_closed()),
            Kind::Terminal(_) | Kind::Command | Kind::Over => true,
        }
    }

    /// Takes the client's bytes.
    pub fn take(&mut self, bytes: &Bytes) {
        match &mut self.kind {
            Kind::Terminal(shell) => {
                let reply = shell.input(bytes);
                self.say(reply);
            }
            Kind::Raw(input) => {
                let _ = input.try_send(bytes.clone());
            }
            Kind::Many { reader, streams } => {
                reader.push(bytes);
                loop {
                    let piece = match reader.next() {
                        Ok(Some(piece)) => piece,
                        Ok(None) => return,
                        Err(()) => break,
                    };
                    match piece {
                        (mux::OPEN, id, _) => {
                            if let Some(way) = &self.way {
                                let (input, typed) = mpsc::channel(WAITING);
                                streams.insert(id, input);
                                tokio::spawn(stream(way.clone(), id, typed, self.to.clone()));
                            }
                        }
                        (mux::CLOSE, id, _) => {
                            streams.remove(&id);
                        }
                        (mux::DATA, id, bytes) => {
                            if let Some(input) = streams.get(&id) {
                                let _ = input.try_send(bytes);
                            }
                        }
                        _ => {}
                    }
                }
                self.kind = Kind::Over;
                self.ready.push_back(Out::End(String::new()));
            }
            Kind::Command | Kind::Over => {}
        }
    }

    /// The client's terminal has this size.
    pub fn resize(&mut self, payload: &[u8]) {
        let size: Value = serde_json::from_slice(payload).unwrap_or_default();
        let number = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
        if let (Kind::Terminal(shell), Some(columns), Some(rows)) = (&mut self.kind, number("cols"), number("rows")) {
            shell.resize(columns, rows);
        }
    }
}

fn agent_shell(shared: &Shared, record: &SessionRecord) -> Shell {
    Shell::of_agent(&shared.world(), &record.instance)
}

/// Joins a connection and the session; gives where its input goes. A stream of many says its own number.
fn carry(connection: DuplexStream, to: mpsc::Sender<Out>, id: Option<u32>) -> mpsc::Sender<Bytes> {
    let (input, typed) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        moved(connection, typed, &to, id).await;
        let _ = to.send(Out::End(String::new())).await;
    });
    input
}

/// Moves bytes both ways until either side is done.
async fn moved(connection: DuplexStream, mut typed: mpsc::Receiver<Bytes>, to: &mpsc::Sender<Out>, id: Option<u32>) {
    let (mut reader, mut writer) = tokio::io::split(connection);
    let up = async {
        while let Some(bytes) = typed.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; LONGEST];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            let bytes = match id {
                Some(id) => mux::write(mux::DATA, id, &buffer[..count]),
                None => buffer[..count].to_vec(),
            };
            if to.send(Out::Bytes(content::DATA, bytes)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}

/// One stream of many: dialled when it is opened, closed both ways as soon as either side is done.
async fn stream(way: Way, id: u32, typed: mpsc::Receiver<Bytes>, to: mpsc::Sender<Out>) {
    match way.open().await {
        Ok(connection) => moved(connection, typed, &to, Some(id)).await,
        Err(_) => {
            // ConnectToPortError.
            let _ = to.send(Out::Bytes(content::FLAG, vec![0, 0, 0, 3])).await;
        }
    }
    let _ = to.send(Out::Bytes(content::DATA, mux::write(mux::CLOSE, id, b""))).await;
}

/// Splits a command as the agent does (github.com/google/shlex): quotes, backslashes, comments.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut letters) = (Vec::new(), None::<String>, text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                letters.by_ref().find(|letter| *letter == '\n');
            }
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(letters.by_ref().take_while(|letter| *letter != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                    word.extend(if letter == '\\' { letters.next() } else { Some(letter) });
                }
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_the_agent_splits_them() {
        assert_eq!(split("id  -u"), ["id", "-u"]);
        assert_eq!(split(r"sh -c 'echo '\''a b'\'' | wc'"), ["sh", "-c", "echo 'a b' | wc"]);
        assert_eq!(split(r#"a "b \"c\" 'd'" '' e\ f # g"#), ["a", "b \"c\" 'd'", "", "e f"]);
        assert_eq!(split(""), Vec::<String>::new());
    }
}
