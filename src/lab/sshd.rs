//! The SSH server of one host: who may log in, judged as OpenSSH's sshd judges it, and a small
//! shell for those who may.
//!
//! Used by `host`. StrictModes after OpenSSH `misc.c` (`safe_path`): the file, its directory and the
//! home directory must belong to root or the user and must not be writable for others; Debian and
//! Ubuntu tolerate the user's own group.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipnet::Ipv4Net;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, MethodKind, MethodSet, Preferred, Pty, SshId, kex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};

use super::Shared;
use super::ids;
use super::reach::{self, Mode};
use super::scenario::KeyFile;
use super::script;
use super::shell::{Reply, Shell};
use super::world::{Instance, Node, User, World};

/// How long a jump host waits for a host that does not answer; Linux waits two minutes.
pub(super) const LOST_FOR: Duration = Duration::from_secs(20);

/// How long the forced command of cloud images holds a root login open; they take ten seconds.
const TOLD_FOR: Duration = Duration::from_secs(2);

/// A script that is longer is cut, and its end is missed.
const LONGEST: usize = 256 * 1024;

/// Serves one connection until it ends or the host's power goes.
///
/// `stream` comes from a client's socket, or through another host.
pub(super) async fn serve<S>(stream: S, shared: Arc<Shared>, instance: String, mut power: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some((config, limit)) = settings(&shared, &instance) else {
        return;
    };
    let too_many = Arc::new(Notify::new());
    let handler = Login {
        power: power.clone(),
        shared,
        instance,
        limit,
        failures: 0,
        too_many: too_many.clone(),
        user: String::new(),
        told: None,
        shell: None,
        script: None,
        terminal: false,
        size: (80, 24),
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

/// Serves a connection that came through a jump host. A type of its own keeps the two from being one endless type.
fn onward(
    channel: Channel<Msg>,
    shared: Arc<Shared>,
    instance: String,
    power: watch::Receiver<bool>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(serve(channel.into_stream(), shared, instance, power))
}

/// Ends when the host's power goes, or the lab does.
pub(super) async fn power_off(power: &mut watch::Receiver<bool>) {
    let _ = power.wait_for(|off| *off).await;
}

/// The line with which sshd greets.
pub(super) fn greeting(shared: &Shared, instance: &str) -> String {
    let world = shared.world();
    let found = world.instance(instance).and_then(|instance| world.image_of(instance));
    format!("SSH-2.0-{}\r\n", found.map_or("OpenSSH_9.6", |image| image.spec.banner.as_str()))
}

fn settings(shared: &Shared, instance: &str) -> Option<(Config, usize)> {
    let world = shared.world();
    let instance = world.instance(instance)?;
    let version = world.image_of(instance).map_or("OpenSSH_9.6", |image| image.spec.banner.as_str());
    let mut preferred = Preferred::default();
    if instance.sshd.old_kex {
        preferred.kex = Cow::Borrowed(&[kex::DH_G1_SHA1]);
    }
    let config = Config {
        server_id: SshId::Standard(format!("SSH-2.0-{version}").into()),
        methods: methods(instance),
        auth_rejection_time: Duration::ZERO,
        keys: vec![instance.host_key.private.clone()],
        preferred,
        // Counted here, so that the words and the number are those of OpenSSH.
        max_auth_attempts: 0,
        inactivity_timeout: Some(Duration::from_hours(1)),
        nodelay: true,
        ..Config::default()
    };
    Some((config, instance.sshd.max_auth_tries))
}

fn methods(instance: &Instance) -> MethodSet {
    if instance.sshd.pubkey { MethodSet::from([MethodKind::PublicKey].as_slice()) } else { MethodSet::empty() }
}

/// What comes of a key that a user offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next key, please.
    Refused,
    /// The key is good, and PAM's account stage says no: the connection ends.
    Closed,
    In,
}

/// Judges a key as sshd does: the account, the list of those who may, the file, the key, then PAM.
pub(super) fn judge(world: &World, instance: &Instance, name: &str, key: &[u8]) -> Verdict {
    let (sshd, os) = (&instance.sshd, &instance.os);
    let Some(user) = instance.users.iter().find(|user| user.name == name) else {
        return Verdict::Refused;
    };
    let family = world.image_of(instance).map_or("", |image| image.spec.family.as_str());
    let debian = matches!(family, "debian" | "ubuntu");
    let root = user.uid == 0;
    let allowed = (sshd.allow_users.is_empty() || sshd.allow_users.iter().any(|known| known == name))
        && !sshd.deny_users.iter().any(|known| known == name)
        && (!root || sshd.permit_root);
    // The faults of a scenario are those of the default user.
    let account = root || !(os.shell_missing || (os.locked && !sshd.use_pam));
    let ed25519 = key.get(4..15).is_some_and(|kind| kind == b"ssh-ed25519");
    let method = sshd.pubkey && !(sshd.fips && ed25519);
    let usual = sshd.authorized_keys_file.as_deref();
    let usual = usual.is_none_or(|words| words.split_whitespace().any(|word| word.ends_with(".ssh/authorized_keys")));
    let open = root || (!os.home_unmounted && os.selinux.as_ref().is_none_or(|kind| kind == "ssh_home_t"));
    let file = root || (user.form == KeyFile::Good && usual);
    let safe =
        !sshd.strict_modes || [&user.file, &user.ssh, &user.home].into_iter().all(|node| safe(node, name, debian));
    let known = user.keys.iter().any(|known| known == key) && options_allow(&user.options, instance.client);
    let added = user.added.iter().any(|known| known == key);
    let listed = open && safe && readable(user, instance.parent_mode) && ((file && known) || added);
    // The helper of Instance Connect asks the metadata service, and no file.
    let helper =
        matches!(family, "al2023" | "ubuntu") && os.instance_connect && !os.broken_helper && instance.machine.imds;
    let now = Instant::now();
    let pushed = |(whom, blob, until): &(String, Vec<u8>, Instant)| whom == name && blob == key && *until > now;
    let good = allowed && account && method && (listed || (helper && instance.pushed.iter().any(pushed)));
    if !good {
        Verdict::Refused
    } else if !root && (os.expired || os.nologin || os.access.iter().any(|line| line.starts_with('-'))) {
        Verdict::Closed
    } else {
        Verdict::In
    }
}

/// `from="…"` with addresses and blocks, and `expiry-time="YYYYMMDD"` (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
fn options_allow(options: &str, client: Ipv4Addr) -> bool {
    let value = |name: &str| {
        let rest = options.split_once(&format!("{name}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value)
    };
    let from = value("from").is_none_or(|list| {
        list.split(',').any(|one| {
            one.parse::<Ipv4Addr>() == Ok(client) || one.parse::<Ipv4Net>().is_ok_and(|net| net.contains(&client))
        })
    });
    let today = ids::time_text(SystemTime::now())[..10].replace('-', "");
    from && value("expiry-time").is_none_or(|day| day.get(..8).is_some_and(|day| day > today.as_str()))
}

fn safe(node: &Node, user: &str, debian: bool) -> bool {
    let group = if debian && node.owner == user { 0 } else { 0o020 };
    (node.owner == "root" || node.owner == user) && node.mode & (0o002 | group) == 0
}

/// sshd opens the file as the user: it needs `x` on the directories and `r` on the file.
fn readable(user: &User, parent: u32) -> bool {
    let may = |node: &Node, bit: u32| {
        let shift = if node.owner == user.name || user.uid == 0 { 6 } else { 0 };
        user.uid == 0 || node.mode >> shift & bit != 0
    };
    (user.uid == 0 || parent & 1 != 0) && may(&user.home, 1) && may(&user.ssh, 1) && may(&user.file, 4)
}

/// What a session shows instead of a shell, its exit status and how long it stays open.
fn words(instance: &Instance, name: &str) -> Option<Told> {
    let user = instance.users.iter().find(|user| user.name == name)?;
    if let Some(text) = &user.only_told {
        return Some((text.clone(), 142, TOLD_FOR));
    }
    if instance.os.change_password {
        let text = "WARNING: Your password has expired.\nPassword change required but no TTY available.";
        return Some((text.to_owned(), 1, Duration::ZERO));
    }
    (instance.os.shell.ends_with("nologin") || instance.os.shell.ends_with("/false")).then(|| {
        let text = if instance.os.shell.ends_with("nologin") { "This account is currently not available." } else { "" };
        (text.to_owned(), 1, Duration::ZERO)
    })
}

/// A text, an exit status, and how long the channel stays open.
type Told = (String, u32, Duration);

/// One client.
struct Login {
    power: watch::Receiver<bool>,
    shared: Arc<Shared>,
    instance: String,
    limit: usize,
    failures: usize,
    too_many: Arc<Notify>,
    user: String,
    told: Option<Told>,
    shell: Option<Shell>,
    /// What root's shell reads, where sudo has begun one.
    script: Option<String>,
    terminal: bool,
    /// Columns and rows, where there is a terminal.
    size: (u16, u16),
}

impl Login {
    /// The answer, and whether the connection is to end after it.
    fn judge(&mut self, user: &str, key: &russh::keys::PublicKey) -> (Auth, bool) {
        let blob = key.to_bytes().unwrap_or_default();
        let (verdict, methods) = {
            let world = self.shared.world();
            world.instance(&self.instance).map_or((Verdict::Refused, MethodSet::empty()), |instance| {
                (judge(&world, instance, user, &blob), methods(instance))
            })
        };
        if verdict != Verdict::Refused {
            return (Auth::Accept, verdict == Verdict::Closed);
        }
        self.failures += 1;
        if self.failures >= self.limit {
            self.too_many.notify_one();
        }
        (Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }, false)
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

    /// A forced command or a shell that only says something: says it, waits, ends.
    fn tell(channel: ChannelId, told: &Told, terminal: bool, session: &mut Session) -> Result<(), russh::Error> {
        let (text, status, wait) = told.clone();
        let end = if terminal { "\r\n" } else { "\n" };
        if !text.is_empty() {
            session.data(channel, format!("{}{end}{end}", text.replace('\n', end)))?;
        }
        let handle = session.handle();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = handle.exit_status_request(channel, status).await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
        Ok(())
    }
}

impl Handler for Login {
    type Error = russh::Error;

    /// What PAM's account stage has to say. sshd says it after a good key and before it hangs up; here it can be said
    /// only before the first key.
    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        let world = self.shared.world();
        let text = world.instance(&self.instance).and_then(|instance| match &instance.os {
            os if os.expired => Some("Your account has expired; please contact your system administrator.\n"),
            os if os.nologin => Some(
                "System is going down. Unprivileged users are not permitted to log in anymore. For technical details, see pam_nologin(8).\n",
            ),
            _ => None,
        });
        Ok(text.map(str::to_owned))
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key).0)
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let (verdict, closed) = self.judge(user, key.public_key);
        if closed {
            return Err(russh::Error::Disconnect);
        }
        if verdict == Auth::Accept {
            user.clone_into(&mut self.user);
            let world = self.shared.world();
            self.told = world.instance(&self.instance).and_then(|instance| words(instance, user));
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

    /// A jump host: the connection goes on to another host of the VPC, by its private address.
    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _from: &str,
        _from_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let mode = {
            let world = self.shared.world();
            let port = u16::try_from(port).unwrap_or_default();
            world.instance(&self.instance).and_then(|here| reach::onward(&world, here, host.parse().ok()?, port))
        };
        match mode {
            Some((Mode::Sshd, target)) => {
                reply.accept().await;
                // The next host is of another machine; its connection ends with this one.
                tokio::spawn(onward(channel, self.shared.clone(), target, self.power.clone()));
            }
            Some((Mode::Blocked, _)) => {
                // Nothing comes back: the jump host waits, and the client with it.
                tokio::spawn(async move {
                    tokio::time::sleep(LOST_FOR).await;
                    reply.reject(ChannelOpenFailure::ConnectFailed).await;
                });
            }
            _ => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.terminal = true;
        self.size = (columns as u16, rows as u16);
        session.channel_success(channel)
    }

    async fn window_change_request(
        &mut self,
        _channel: ChannelId,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.size = (columns as u16, rows as u16);
        if let Some(shell) = &mut self.shell {
            shell.resize(self.size.0, self.size.1);
        }
        Ok(())
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
        if let Some(told) = &self.told {
            return Self::tell(channel, told, self.terminal, session);
        }
        let mut shell = Shell::new(&self.shared, &self.instance, &self.user, self.terminal);
        shell.resize(self.size.0, self.size.1);
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
        if let Some(told) = &self.told {
            return Self::tell(channel, told, self.terminal, session);
        }
        let command = String::from_utf8_lossy(data).into_owned();
        // The default users of images may do everything by sudo.
        if command == "sudo -n sh -s" || (command == "sh -s" && self.user == "root") {
            self.script = Some(String::new());
            return Ok(());
        }
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
        if let Some(script) = &mut self.script {
            if script.len() < LONGEST {
                script.push_str(&String::from_utf8_lossy(data));
            }
            return Ok(());
        }
        let reply = self.shell.as_mut().map(|shell| shell.input(data));
        reply.map_or(Ok(()), |reply| Self::answer(channel, reply, session))
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        if let Some(script) = self.script.take() {
            let (out, err, code) = script::run(&mut self.shared.world(), &self.instance, &script);
            self.shared.changed.notify_one();
            return Self::answer(channel, Reply { out, err, exit: Some(code.cast_unsigned()) }, session);
        }
        let reply = self.shell.as_mut().map(Shell::end);
        reply.map_or(Ok(()), |reply| Self::answer(channel, reply, session))
    }
}
