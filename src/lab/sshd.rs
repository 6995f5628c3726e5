//! The SSH server of one host: who may log in, judged as OpenSSH's sshd judges it, and a small
//! shell for those who may.
//!
//! Used by `host`. StrictModes after OpenSSH `misc.c` (`safe_path`): the file, its directory and the
//! home directory must belong to root or the user and must not be writable for others; Debian and
//! Ubuntu tolerate the user's own group.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, Disconnect, MethodKind, MethodSet, Pty, SshId};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::Shared;
use super::shell::{Reply, Shell};
use super::world::{Instance, Node, User, World};

/// How long the forced command of cloud images holds a root login open; they take ten seconds.
const TOLD_FOR: Duration = Duration::from_secs(2);

/// Serves one connection until it ends or the host's power goes.
pub(super) async fn serve(
    stream: TcpStream,
    _peer: SocketAddr,
    shared: Arc<Shared>,
    instance: String,
    mut power: watch::Receiver<bool>,
) {
    let Some((config, limit)) = settings(&shared, &instance) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let too_many = Arc::new(Notify::new());
    let handler = Login {
        shared,
        instance,
        limit,
        failures: 0,
        too_many: too_many.clone(),
        user: String::new(),
        told: None,
        shell: None,
        terminal: false,
    };
    let start = tokio::select! {
        started = run_stream(Arc::new(config), stream, handler) => started,
        () = power_off(&mut power) => return,
    };
    let Ok(session) = start else {
        return;
    };
    let handle = session.handle();
    tokio::select! {
        _ = session => {}
        () = too_many.notified() => {
            let text = "Too many authentication failures".to_owned();
            let _ = handle.disconnect(Disconnect::ProtocolError, text, String::new()).await;
        }
        () = power_off(&mut power) => {
            let _ = handle.disconnect(Disconnect::ByApplication, "power off".to_owned(), String::new()).await;
        }
    }
}

/// Ends when the host's power goes, or the lab does.
pub(super) async fn power_off(power: &mut watch::Receiver<bool>) {
    let _ = power.wait_for(|off| *off).await;
}

fn settings(shared: &Shared, instance: &str) -> Option<(Config, usize)> {
    let world = shared.world();
    let instance = world.instance(instance)?;
    let version = world.image_of(instance).map_or("OpenSSH_9.6", |image| image.spec.banner.as_str());
    let config = Config {
        server_id: SshId::Standard(format!("SSH-2.0-{version}").into()),
        methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
        auth_rejection_time: Duration::ZERO,
        keys: vec![instance.host_key.private.clone()],
        // Counted here, so that the words and the number are those of OpenSSH.
        max_auth_attempts: 0,
        inactivity_timeout: Some(Duration::from_hours(1)),
        nodelay: true,
        ..Config::default()
    };
    Some((config, instance.max_auth_tries))
}

/// True if sshd takes this key for this user.
pub(super) fn takes(world: &World, instance: &Instance, name: &str, key: &[u8]) -> bool {
    let Some(user) = instance.users.iter().find(|user| user.name == name) else {
        return false;
    };
    let debian =
        world.image_of(instance).is_some_and(|image| matches!(image.spec.family.as_str(), "debian" | "ubuntu"));
    let allowed = instance.allow_users.is_empty() || instance.allow_users.iter().any(|known| known == name);
    let safe =
        !instance.strict_modes || [&user.file, &user.ssh, &user.home].into_iter().all(|node| safe(node, name, debian));
    allowed && safe && readable(user) && user.keys.iter().any(|known| known == key)
}

fn safe(node: &Node, user: &str, debian: bool) -> bool {
    let group = if debian && node.owner == user { 0 } else { 0o020 };
    (node.owner == "root" || node.owner == user) && node.mode & (0o002 | group) == 0
}

/// sshd opens the file as the user: it needs `x` on the directories and `r` on the file.
fn readable(user: &User) -> bool {
    let may = |node: &Node, bit: u32| {
        let shift = if node.owner == user.name || user.uid == 0 { 6 } else { 0 };
        user.uid == 0 || node.mode >> shift & bit != 0
    };
    may(&user.home, 1) && may(&user.ssh, 1) && may(&user.file, 4)
}

/// One client.
struct Login {
    shared: Arc<Shared>,
    instance: String,
    limit: usize,
    failures: usize,
    too_many: Arc<Notify>,
    user: String,
    told: Option<String>,
    shell: Option<Shell>,
    terminal: bool,
}

impl Login {
    fn judge(&mut self, user: &str, key: &russh::keys::PublicKey) -> Auth {
        let blob = key.to_bytes().unwrap_or_default();
        let good = {
            let world = self.shared.world();
            world.instance(&self.instance).is_some_and(|instance| takes(&world, instance, user, &blob))
        };
        if good {
            return Auth::Accept;
        }
        self.failures += 1;
        if self.failures >= self.limit {
            self.too_many.notify_one();
        }
        Auth::Reject {
            proceed_with_methods: Some(MethodSet::from([MethodKind::PublicKey].as_slice())),
            partial_success: false,
        }
    }

    /// Sends what the shell answers; ends the channel if the shell has ended.
    fn answer(channel: ChannelId, reply: Reply, session: &mut Session) -> Result<(), russh::Error> {
        if !reply.out.is_empty() {
            session.data(channel, reply.out)?;
        }
        if !reply.err.is_empty() {
            session.extended_data(channel, 1, reply.err)?;
        }
        if let Some(code) = reply.exit {
            session.exit_status_request(channel, code)?;
            session.eof(channel)?;
            session.close(channel)?;
        }
        Ok(())
    }

    /// The forced command of cloud images for root: says the right name, waits, ends.
    fn tell(channel: ChannelId, text: &str, terminal: bool, session: &mut Session) -> Result<(), russh::Error> {
        let end = if terminal { "\r\n" } else { "\n" };
        session.data(channel, format!("{text}{end}{end}"))?;
        let handle = session.handle();
        tokio::spawn(async move {
            tokio::time::sleep(TOLD_FOR).await;
            let _ = handle.exit_status_request(channel, 142).await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
        Ok(())
    }
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let verdict = self.judge(user, key.public_key);
        if verdict == Auth::Accept {
            user.clone_into(&mut self.user);
            let world = self.shared.world();
            self.told = world
                .instance(&self.instance)
                .and_then(|instance| instance.users.iter().find(|known| known.name == user))
                .and_then(|known| known.only_told.clone());
        }
        Ok(verdict)
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
        self.terminal = true;
        session.channel_success(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        if let Some(text) = &self.told {
            return Self::tell(channel, text, self.terminal, session);
        }
        let mut shell = Shell::new(&self.shared, &self.instance, &self.user, self.terminal);
        let reply = shell.greet();
        self.shell = Some(shell);
        Self::answer(channel, reply, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        if let Some(text) = &self.told {
            return Self::tell(channel, text, self.terminal, session);
        }
        let command = String::from_utf8_lossy(data).into_owned();
        let shell = Shell::new(&self.shared, &self.instance, &self.user, self.terminal);
        Self::answer(channel, shell.run(&command), session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let reply = self.shell.as_mut().map(|shell| shell.input(data));
        reply.map_or(Ok(()), |reply| Self::answer(channel, reply, session))
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let reply = self.shell.as_mut().map(Shell::end);
        reply.map_or(Ok(()), |reply| Self::answer(channel, reply, session))
    }
}
