//! Scripts run as root on an instance: through Run Command, a login that works, or a pushed key; and the repairs that
//! are made of them.
//!
//! Only for a look that the user agreed to, or for a deed of a confirmed plan. Must not send a private key anywhere, and
//! must not send a script twice where nobody knows whether it ran: the engine looks first.

use super::keys;
use super::real_world::RealWorld;
use super::ssh::{self, SshKey, SshRequest, Through};
use crate::core::fact::{Fact, Why};
use crate::core::facts::wire::{Answer, SshServer};
use crate::core::inside::mend::{self, End, Mended};
use crate::core::plan::{Action, Dial, Door, Job, Outputs, RemoteAction};
use crate::core::rules::looking;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled, StepContext};
use russh::keys::ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::time::Duration;

/// Seconds that a repair may take: host keys and a service that starts slowly.
const REPAIR_LIMIT: u64 = 240;
/// Seconds that a login may take after the key was pushed: the key is good for 60.
const LOGIN_LIMIT: Duration = Duration::from_secs(40);

/// What a script is run for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errand<'a> {
    /// In words that follow "run".
    pub what: &'a str,
    /// Comment of the command, as its history shows it.
    pub comment: &'a str,
    /// Seconds that it may run.
    pub limit: u64,
}

/// Why a script gave no output.
#[derive(Debug)]
pub(super) struct Unrun {
    /// The reason.
    pub why: Why,
    /// Whether it may have run all the same.
    pub begun: bool,
}

impl Unrun {
    /// Nothing was run.
    pub fn not(why: Why) -> Self {
        Self { why, begun: false }
    }

    /// Nobody knows whether it was run, or how far.
    pub fn perhaps(why: Why) -> Self {
        Self { why, begun: true }
    }
}

impl RealWorld {
    /// Runs a script as root through one door and gives its standard output; `jump` connects for a login, if one does.
    pub(super) async fn enter(
        &self,
        (region, instance): (&str, &str),
        door: &Door,
        errand: Errand<'_>,
        script: &str,
        jump: Option<Through>,
    ) -> Result<String, Unrun> {
        match door {
            Door::Agent => self.aws().run_script(region, instance, script, errand).await,
            Door::Login { user, key, dial } => {
                let private = keys::load_private(key).map_err(|e| Unrun::not(Why::failed(format!("read {key}"), e)))?;
                let key =
                    SshKey { path: key.clone(), public: None, private: Some(private), encrypted: false, held: false };
                let request = SshRequest { through: jump, ..request_of(dial, key, errand.limit) };
                ssh::run_for(request, user, script, errand.what).await
            }
            Door::Push { user, dial } => {
                let (key, public) = fresh().map_err(Unrun::not)?;
                self.aws().push_key(region, instance, user, &public).await.map_err(Unrun::not)?;
                let request = SshRequest { through: jump, ..request_of(dial, key, errand.limit) };
                ssh::run_for(request, user, script, errand.what).await
            }
        }
    }

    /// Performs a deed inside an instance.
    pub(super) async fn perform_remote(&self, action: &RemoteAction, step: &StepContext) -> Result<Performed, Failure> {
        match action {
            RemoteAction::Run { region, instance, doors, job } => {
                let done = self.mend(region, instance, doors, mend::Errand::Do(job), &step.token, step).await?;
                let undo = RemoteAction::TakeBack {
                    region: region.clone(),
                    instance: instance.clone(),
                    doors: doors.clone(),
                    token: step.token.clone(),
                };
                Ok(performed(instance, job, done, undo))
            }
            RemoteAction::TakeBack { region, instance, doors, token } => {
                let done = self.mend(region, instance, doors, mend::Errand::TakeBack, token, step).await?;
                let text = match done.end {
                    End::Nothing => format!("inside {instance} it was taken back already"),
                    _ => format!("inside {instance}: {}", done.did.join("; ")),
                };
                Ok(Performed { text, changed: true, ..Performed::default() })
            }
            RemoteAction::PushKey { region, instance, user, key, dial } => {
                self.push_and_log_in((region, instance), user, key.as_deref(), dial, step).await
            }
        }
    }

    /// What became of a deed inside an instance of which no answer is known.
    pub(super) async fn settle_remote(&self, action: &RemoteAction, step: &StepContext) -> Settled {
        match action {
            RemoteAction::Run { region, instance, doors, job } => {
                match self.mend(region, instance, doors, mend::Errand::Status, &step.token, step).await {
                    Ok(done) if done.end == End::Nothing => Settled::NotDone,
                    Ok(done) => {
                        let undo = RemoteAction::TakeBack {
                            region: region.clone(),
                            instance: instance.clone(),
                            doors: doors.clone(),
                            token: step.token.clone(),
                        };
                        Settled::Done(performed(instance, job, done, undo))
                    }
                    Err(failure) => Settled::CannotTell(failure.reason),
                }
            }
            RemoteAction::TakeBack { .. } => Settled::CannotTell("port22 undo looks again".to_owned()),
            // Whether or not it was pushed: nothing is left of it after a minute.
            RemoteAction::PushKey { .. } => Settled::NotDone,
        }
    }

    /// Runs a repair script through the first door that opens, and reads what it says.
    async fn mend(
        &self,
        region: &str,
        instance: &str,
        doors: &[Door],
        errand: mend::Errand<'_>,
        token: &str,
        step: &StepContext,
    ) -> Result<Mended, Failure> {
        let (what, comment) = match errand {
            mend::Errand::Do(job) => (what_of(job), format!("port22: {} ({token})", job.name())),
            mend::Errand::TakeBack => ("the script that takes the change back", format!("port22: undo of {token}")),
            mend::Errand::Status => ("the script that looks for the change", format!("port22: state of {token}")),
        };
        let doing = format!("run {what} inside {instance}");
        let script = mend::script(errand, token).map_err(|reason| Failure::usage(&doing, reason, "correct it"))?;
        let running = Errand { what, comment: &comment, limit: REPAIR_LIMIT };
        let mut first: Option<Why> = None;
        for door in doors {
            step.say(match door {
                Door::Agent => format!("running {what} by Run Command"),
                Door::Login { user, .. } => format!("running {what} as {user} over SSH"),
                Door::Push { user, .. } => format!("running {what} as {user} with a key of 60 seconds"),
            });
            let way = match door {
                Door::Agent => Ok(None),
                Door::Login { dial, .. } | Door::Push { dial, .. } => self.way_to(dial).await,
            };
            let entered = match way {
                Ok(way) => {
                    let entered = self.enter((region, instance), door, running, &script, way.clone()).await;
                    leave(way).await;
                    entered
                }
                Err(why) => Err(Unrun::not(why)),
            };
            match entered {
                Ok(output) => return read(&output, errand, token, &doing),
                Err(unrun) if unrun.begun => {
                    let mut failure = Failure::failed(
                        &doing,
                        unrun.why.text(),
                        "nobody knows how far it came: what it changed is written down on the instance",
                    );
                    failure.outcome_unknown = true;
                    return Err(failure);
                }
                Err(unrun) => first = first.or(Some(unrun.why)),
            }
        }
        let why = first.unwrap_or_else(|| Why::needs("a way in"));
        let mut failure = Failure::failed(&doing, why.text(), "run the diagnosis again: it says which doors are open");
        if let Why::Denied { action, reason } = &why {
            failure.next = format!("ask for the permission {action} (port22 policy prints it)");
            failure.cause = Some(looking::denied_fix(action, reason).id);
        }
        Err(failure)
    }

    /// The way over the jump hosts that a login needs, if it needs any.
    async fn way_to(&self, dial: &Dial) -> Result<Option<Through>, Why> {
        match &dial.over {
            Some(over) => self.go_over(over, dial.address).await.map(Some),
            None => Ok(None),
        }
    }

    async fn push_and_log_in(
        &self,
        (region, instance): (&str, &str),
        user: &str,
        key: Option<&str>,
        dial: &Dial,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("log in to {instance} as {user} with a key of 60 seconds");
        let failed = |why: Why| Failure::failed(&doing, why.text(), "run the diagnosis again");
        let (ssh_key, public) = match key {
            Some(path) => own(path).map_err(failed)?,
            None => fresh().map_err(failed)?,
        };
        let way = self.way_to(dial).await.map_err(failed)?;
        self.aws().push_key(region, instance, user, &public).await.map_err(|why| {
            let mut failure = failed(why.clone());
            if let Why::Denied { action, reason } = &why {
                failure.next = format!("ask for the permission {action} (port22 policy prints it)");
                failure.cause = Some(looking::denied_fix(action, reason).id);
            }
            failure
        })?;
        step.say(format!("the key is pushed for 60 seconds; logging in as {user}"));
        let mut request = request_of(dial, ssh_key, LOGIN_LIMIT.as_secs());
        request.users = vec![user.to_owned()];
        request.sign = true;
        request.cap = 1;
        request.through.clone_from(&way);
        let (server, offers, _) = ssh::probe(request).await;
        leave(way).await;
        let answer = offers.first().map(|o| o.answer.clone());
        if answer == Some(Answer::LoggedIn) {
            let text = match key {
                Some(path) => {
                    format!("pushed the public half of {path} for {user} for 60 seconds, and logged in with it")
                }
                None => format!("pushed a key made for this login for {user}, and logged in with it"),
            };
            return Ok(Performed { text, ..Performed::default() });
        }
        let (reason, next) = match (&server, answer) {
            (_, Some(Answer::Refused)) => (
                format!("sshd did not take the pushed key for {user}"),
                "EC2 Instance Connect is not installed inside or does not work, or there is no such user: \
                 use remote-add-key through Systems Manager, or another user",
            ),
            (_, Some(Answer::AcceptedThenRefused { reason } | Answer::Failed { reason })) => {
                (reason, "run port22 diagnose --inside: the account is kept out by something else than the key")
            }
            (Fact::Known { value: SshServer::Ready { .. }, .. }, _) => (
                "the host key contradicts known_hosts, so nothing was signed".to_owned(),
                "see the cause host-key-changed first",
            ),
            (Fact::Unknown { why }, _) => (why.text(), "run the diagnosis again"),
            _ => ("the server did not come as far as a login".to_owned(), "run the diagnosis again"),
        };
        Err(Failure::failed(&doing, reason, next))
    }
}

/// Says good-bye to the jump host.
async fn leave(way: Option<Through>) {
    if let Some(way) = way {
        way.tunnel.close().await;
    }
}

fn what_of(job: &Job) -> &'static str {
    match job {
        Job::Permissions { .. } => "the script that repairs owner and rights",
        Job::AddKey { .. } => "the script that adds the key",
        Job::Sshd { .. } => "the script that repairs sshd",
    }
}

fn read(output: &str, errand: mend::Errand<'_>, token: &str, doing: &str) -> Result<Mended, Failure> {
    let mended = mend::parse(output, errand, token).map_err(|reason| {
        let mut failure = Failure::failed(doing, reason, "what it changed is written down on the instance");
        failure.outcome_unknown = true;
        failure
    })?;
    match &mended.end {
        End::Changed | End::Nothing => Ok(mended),
        End::Failed(reason) => {
            let kind = match errand {
                mend::Errand::TakeBack => FailureKind::Refused,
                _ => FailureKind::Failed,
            };
            Err(Failure::new(kind, doing, reason.clone(), "look inside: port22 diagnose --inside"))
        }
        End::Stuck(reason) => {
            let mut failure = Failure::failed(
                doing,
                format!("{reason}; and not everything could be put back"),
                "what was changed is written down on the instance",
            );
            failure.outcome_unknown = true;
            Err(failure)
        }
    }
}

/// The record of a repair that was made, or was not needed.
fn performed(instance: &str, job: &Job, done: Mended, undo: RemoteAction) -> Performed {
    let changed = done.end == End::Changed;
    let mut text = if changed {
        format!("inside {instance}: {}", done.did.join("; "))
    } else {
        match job {
            Job::Permissions { .. } => format!("inside {instance} owner and rights already are as sshd asks"),
            Job::AddKey { .. } => format!("inside {instance} sshd already reads the key"),
            Job::Sshd { .. } => format!("inside {instance} sshd runs and needs nothing"),
        }
    };
    if !done.notes.is_empty() {
        text.push_str(&format!(" ({})", done.notes.join("; ")));
    }
    let mut outputs = Outputs::new();
    if !done.before.is_empty() {
        outputs.insert("before".to_owned(), done.before.join("\n"));
    }
    Performed { text, undo: changed.then_some(Action::Remote(undo)), changed, outputs }
}

/// A key made for one login and forgotten with it, and its public half.
pub(super) fn fresh() -> Result<(SshKey, String), Why> {
    let failed = |e: russh::keys::ssh_key::Error| Why::failed("make a key", e.to_string());
    let fresh = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(failed)?;
    let public = fresh.public_key().to_openssh().map_err(failed)?;
    let private = fresh.to_openssh(LineEnding::LF).map_err(failed)?;
    let key = SshKey {
        path: "the pushed key".to_owned(),
        public: Some(public.clone()),
        private: Some(private.as_bytes().to_vec()),
        encrypted: false,
        held: false,
    };
    Ok((key, public))
}

/// The user's own key, and its public half.
fn own(path: &str) -> Result<(SshKey, String), Why> {
    let doing = || format!("read {path}");
    let private = keys::load_private(path).map_err(|e| Why::failed(doing(), e))?;
    let public =
        crate::core::key::inspect(&private).public.ok_or_else(|| Why::failed(doing(), "it has no public half"))?;
    let (public, _) =
        crate::core::key::public_of(&public).ok_or_else(|| Why::failed(doing(), "its public half cannot be read"))?;
    let key = SshKey {
        path: path.to_owned(),
        public: Some(public.clone()),
        private: Some(private),
        encrypted: false,
        held: false,
    };
    Ok((key, public))
}

fn request_of(dial: &Dial, key: SshKey, limit: u64) -> SshRequest {
    let mut request = SshRequest::new(dial.address, dial.port);
    request.keys = vec![key];
    request.total_limit = Duration::from_secs(limit + 10);
    request.banner_limit = request.total_limit;
    request.known_types = dial.known.iter().map(|(kind, _)| kind.clone()).collect();
    request.known.clone_from(&dial.known);
    request.revoked.clone_from(&dial.revoked);
    request
}
