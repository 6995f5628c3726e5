//! The serial console of the practice account: an SSH server at the endpoint's port, for keys that were pushed.
//!
//! Used by `http`, which hands over connections that begin as SSH does. The user name is `INSTANCE.port0`; what the line
//! shows is the host's getty: a prompt after Enter, a password, and then its shell. Hosts whose user has a password take
//! "practice". Must not run anything on this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Pty, SshId};
use tokio::net::TcpStream;

use super::Shared;
use super::keys::{self, Pair};
use super::shell::Shell;

/// How a connection of SSH begins.
pub(super) const BEGINNING: &[u8] = b"SSH-";
/// What users with a password type.
const PASSWORD: &str = "practice";

/// The console's own host key.
pub(super) fn host_key(seed: u64) -> Result<Pair, String> {
    keys::host_key(seed, "the serial console")
}

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let seed = shared.world().seed;
    let Ok(key) = host_key(seed) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let config = Config {
        server_id: SshId::Standard("SSH-2.0-SerialConsole".into()),
        methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
        auth_rejection_time: Duration::ZERO,
        keys: vec![key.private.clone()],
        // A session lasts an hour at most.
        inactivity_timeout: Some(Duration::from_hours(1)),
        nodelay: true,
        ..Config::default()
    };
    let handler = Line { shared: shared.clone(), instance: None, at: At::Dark, typed: String::new() };
    if let Ok(session) = run_stream(Arc::new(config), stream, handler).await {
        let _ = session.await;
    }
}

/// What the line shows.
enum At {
    /// Nothing yet: nobody has pressed a key.
    Dark,
    /// `login:`.
    Login,
    /// `Password:`, for this user.
    Password(String),
    /// A shell.
    In(Shell),
}

/// One client.
struct Line {
    shared: Arc<Shared>,
    /// The instance, after the login. It is the only session of it.
    instance: Option<String>,
    at: At,
    typed: String,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(instance) = &self.instance {
            self.shared.world().serial_sessions.remove(instance);
        }
    }
}

impl Line {
    /// The instance of a user name whose key was pushed and still holds.
    fn pushed(&self, user: &str, key: &russh::keys::PublicKey) -> Option<String> {
        let id = user.strip_suffix(".port0")?;
        let blob = key.to_bytes().ok()?;
        let world = self.shared.world();
        let now = Instant::now();
        let good = world.serial_keys.iter().any(|(known, key, until)| known == id && *key == blob && *until > now);
        (good && !world.serial_sessions.contains(id)).then(|| id.to_owned())
    }

    fn host(&self) -> (String, String, Option<String>) {
        let world = self.shared.world();
        let found = self.instance.as_deref().and_then(|id| world.instance(id));
        let name = found.map(|instance| format!("ip-{}", instance.private.to_string().replace('.', "-")));
        let image = found.and_then(|instance| world.image_of(instance));
        // The default user is the one with the password.
        let user = found.filter(|instance| instance.password).and(image).map(|image| image.spec.user.clone());
        (name.unwrap_or_default(), image.map_or_else(String::new, |image| image.spec.pretty.clone()), user)
    }

    fn prompt(&mut self) -> String {
        self.at = At::Login;
        self.typed.clear();
        let (host, release, _) = self.host();
        format!("\r\n\r\n{release}\r\nKernel 6.1.147-172.266 on an x86_64 (-)\r\n\r\n{host} login: ")
    }

    /// Enter: the next thing that the line shows.
    fn enter(&mut self) -> String {
        let typed = std::mem::take(&mut self.typed);
        match &self.at {
            At::Dark => self.prompt(),
            At::Login if typed.trim().is_empty() => self.prompt(),
            At::Login => {
                self.at = At::Password(typed.trim().to_owned());
                "\r\nPassword: ".to_owned()
            }
            At::Password(user) => {
                let (user, (_, _, known)) = (user.clone(), self.host());
                if known.as_ref() == Some(&user) && typed == PASSWORD {
                    let instance = self.instance.clone().unwrap_or_default();
                    let mut shell = Shell::new(&self.shared, &instance, &user, true);
                    let greeting = shell.greet().out;
                    self.at = At::In(shell);
                    return format!("\r\n{greeting}");
                }
                format!("\r\nLogin incorrect\r\n{}", self.prompt().trim_start())
            }
            At::In(_) => String::new(),
        }
    }
}

impl Handler for Line {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.pushed(user, offer.public_key).is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let Some(instance) = self.pushed(user, key.public_key) else {
            return Ok(Auth::reject());
        };
        self.shared.world().serial_sessions.insert(instance.clone());
        self.instance = Some(instance);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let mut out = String::new();
        for letter in String::from_utf8_lossy(data).chars() {
            if let At::In(shell) = &mut self.at {
                let reply = shell.input(letter.encode_utf8(&mut [0; 4]).as_bytes());
                out.push_str(&reply.out);
                out.push_str(&reply.err.replace('\n', "\r\n"));
                if reply.exit.is_some() {
                    // getty begins anew: a line has no end.
                    let prompt = self.prompt();
                    out.push_str(&prompt);
                }
                continue;
            }
            match letter {
                '\r' | '\n' => out.push_str(&self.enter()),
                '\u{7f}' | '\u{8}' if self.typed.pop().is_some() && matches!(self.at, At::Login) => {
                    out.push_str("\u{8} \u{8}");
                }
                letter if letter.is_control() || matches!(self.at, At::Dark) => {}
                letter if self.typed.len() < 256 => {
                    self.typed.push(letter);
                    if matches!(self.at, At::Login) {
                        out.push(letter);
                    }
                }
                _ => {}
            }
        }
        if out.is_empty() { Ok(()) } else { session.data(channel, out) }
    }
}
