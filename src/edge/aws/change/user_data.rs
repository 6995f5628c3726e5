//! User data saved, set, and put back.
//!
//! Must not lose the owner's user data: nothing is set before its copy is on the disk, and nothing is overwritten that
//! is neither the owner's copy nor this program's own repair. Content goes to EC2 and to the copy alone.

mod wait;

use super::{Dry, dry};
use crate::core::boothook;
use crate::core::plan::{Action, Outputs, UserDataAction};
use crate::core::text::hex;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::edge::kept_file;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{InstanceAttributeName, SecureBlobAttributeValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

const READ: &str = "ec2:DescribeInstanceAttribute";
const MODIFY: &str = "ec2:ModifyInstanceAttribute";
/// How long an instance may be on its way between two states.
const LIMIT: Duration = Duration::from_mins(10);
/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(1500);

/// User data as EC2 gave it.
pub(crate) struct Current {
    /// The base64 text, exactly.
    text: String,
    /// Decoded.
    pub raw: Vec<u8>,
}

impl Aws {
    /// Performs a deed of the repair through user data.
    pub(super) async fn user_data_deed(
        &self,
        action: &UserDataAction,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        match action {
            UserDataAction::Save { region, instance, directory, seen } => {
                self.save(region, instance, directory, seen, step).await
            }
            UserDataAction::Set { .. } => self.set(action, step).await,
            UserDataAction::Await { region, instance, nonce, live, login } => {
                self.await_repair(region, instance, nonce, *live, login.as_ref(), step).await
            }
            UserDataAction::Restore { region, instance, file, sha256, nonce } => {
                self.restore((region, instance), file, sha256, nonce, step).await
            }
            UserDataAction::Power { region, instance, up, back } => {
                self.at_rest(region, instance, step).await?;
                let mut done = self.set_running(region, instance, *up, step).await?;
                if *back {
                    done.undo = Some(power(region, instance, !up));
                } else {
                    (done.undo, done.changed) = (None, false);
                }
                Ok(done)
            }
        }
    }

    /// What became of a deed of which no answer is known.
    pub(super) async fn settle_user_data(&self, action: &UserDataAction) -> Settled {
        match action {
            UserDataAction::Power { region, instance, up, back: true } => {
                match self.settle_power(region, instance, *up).await {
                    Settled::Done(done) => {
                        Settled::Done(Performed { undo: Some(power(region, instance, !up)), ..done })
                    }
                    other => other,
                }
            }
            UserDataAction::Set { region, instance, nonce, replaces, .. } => {
                match self.user_data_now(region, instance).await {
                    Err(failure) => Settled::CannotTell(failure.reason),
                    Ok(now) if boothook::nonce_of(&now.raw).as_ref() == Some(nonce) => Settled::Done(set_done(action)),
                    Ok(now) if boothook::digest(&now.raw) == *replaces => Settled::NotDone,
                    Ok(_) => Settled::CannotTell("somebody has set other user data meanwhile".to_owned()),
                }
            }
            // The others leave nothing that an undo would have to take back.
            _ => Settled::NotDone,
        }
    }

    /// Asks DryRun, with the user data of now: an endpoint that performs what it was only asked about changes nothing.
    pub(super) async fn dry_run_user_data(&self, action: &UserDataAction) -> Option<(&'static str, Dry)> {
        match action {
            UserDataAction::Set { region, instance, .. } | UserDataAction::Restore { region, instance, .. } => {
                let now = match self.user_data_now(region, instance).await {
                    Ok(now) => now,
                    Err(failure) => {
                        return Some((
                            MODIFY,
                            Dry::Unclear(format!("cannot tell whether you may call {MODIFY}: {}", failure.reason)),
                        ));
                    }
                };
                let call = self.ec2_once(region).modify_instance_attribute().instance_id(instance);
                let answer = call.user_data(blob(now.raw)).dry_run(true).send().await;
                // The permission is looked at before the state is.
                if answer.as_ref().is_err_and(|e| error::code(e) == "IncorrectInstanceState") {
                    return Some((MODIFY, Dry::Done(format!("you may call {MODIFY} (DryRun, while it runs)"))));
                }
                Some((MODIFY, dry(answer.map(drop), MODIFY)))
            }
            UserDataAction::Power { region, instance, up: true, .. } => {
                let call = self.ec2_once(region).start_instances().instance_ids(instance).dry_run(true);
                Some(("ec2:StartInstances", dry(call.send().await.map(drop), "ec2:StartInstances")))
            }
            UserDataAction::Power { region, instance, up: false, .. } => {
                let call = self.ec2_once(region).stop_instances().instance_ids(instance).dry_run(true);
                Some(("ec2:StopInstances", dry(call.send().await.map(drop), "ec2:StopInstances")))
            }
            UserDataAction::Save { .. } | UserDataAction::Await { .. } => None,
        }
    }

    /// The user data of now.
    pub(crate) async fn user_data_now(&self, region: &str, instance: &str) -> Result<Current, Failure> {
        let doing = format!("read the user data of {instance} in {region}");
        let call = self.ec2(region).describe_instance_attribute().instance_id(instance);
        let answer = call.attribute(InstanceAttributeName::UserData).send().await;
        let answer = answer.map_err(|e| error::failure(&e, READ, &doing))?;
        let text = answer.user_data().and_then(|u| u.value()).unwrap_or_default().to_owned();
        match STANDARD.decode(text.split_whitespace().collect::<String>()) {
            Ok(raw) => Ok(Current { text, raw }),
            Err(_) => Err(Failure::failed(
                doing,
                "EC2's answer is not base64, so what would be put back later is not known",
                "look at the user data in the console",
            )),
        }
    }

    async fn save(
        &self,
        region: &str,
        instance: &str,
        directory: &str,
        seen: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("save the user data of {instance}");
        let now = self.user_data_now(region, instance).await?;
        let sha256 = boothook::digest(&now.raw);
        if sha256 != *seen {
            return Err(Failure::new(
                FailureKind::Refused,
                doing,
                "it was changed after the plan was made",
                "make the plan again",
            ));
        }
        let entry = entry_of(step);
        let path = kept_file::save(directory, &entry, "user-data.b64", &now.text)
            .map_err(|reason| Failure::failed(&doing, reason, "nothing is set before a copy is on the disk"))?;
        let path = path.display().to_string();
        let nonce = hex(&rand::random::<[u8; 8]>());
        Ok(Performed {
            text: format!("the user data ({} bytes, SHA-256 {sha256}) is saved in {path}", now.raw.len()),
            undo: None,
            changed: false,
            outputs: Outputs::from([
                ("user_data_file".to_owned(), path),
                ("user_data_sha256".to_owned(), sha256),
                ("nonce".to_owned(), nonce),
            ]),
        })
    }

    async fn set(&self, action: &UserDataAction, step: &StepContext) -> Result<Performed, Failure> {
        let UserDataAction::Set { region, instance, user, key, nonce, file, replaces } = action else {
            return Err(Failure::usage("set the repair", "another action was given", "report this as a bug"));
        };
        let doing = format!("set the repair as user data of {instance}");
        let body = boothook::body(user, key.as_deref(), nonce)
            .map_err(|reason| Failure::new(FailureKind::Refused, &doing, reason, "name another user or key"))?;
        let now = self.user_data_now(region, instance).await?;
        if now.raw == body {
            return Ok(set_done(action));
        }
        if boothook::digest(&now.raw) != *replaces {
            return Err(Failure::new(
                FailureKind::Refused,
                doing,
                format!("the user data is not the one that was saved in {file}: somebody has changed it since"),
                "run the diagnosis again for a fresh plan",
            ));
        }
        // Without a copy that can be read again nothing is replaced.
        copy(file, replaces)
            .map_err(|reason| Failure::failed(&doing, reason, "nothing is replaced that is not saved"))?;
        step.say("setting the user data");
        self.write(region, instance, body, &doing).await?;
        Ok(set_done(action))
    }

    /// Looks whether the user data could be put back now.
    pub(super) async fn foresee_user_data(&self, undo: &UserDataAction) -> Result<(), Failure> {
        let UserDataAction::Restore { region, instance, file, sha256, nonce } = undo else { return Ok(()) };
        let doing = format!("put the user data of {instance} back");
        self.to_restore((region, instance), file, sha256, nonce, &doing).await.map(drop)
    }

    /// What is to be put back; `None` where it is there already. Fails where somebody else has set it since, and where
    /// the copy is not what was saved.
    async fn to_restore(
        &self,
        (region, instance): (&str, &str),
        file: &str,
        sha256: &str,
        nonce: &str,
        doing: &str,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let now = self.user_data_now(region, instance).await?;
        if boothook::digest(&now.raw) == *sha256 {
            return Ok(None);
        }
        if boothook::nonce_of(&now.raw).as_deref() != Some(nonce) {
            return Err(Failure::new(
                FailureKind::Refused,
                doing,
                "somebody has set other user data since, and it is not overwritten",
                format!("compare it with the saved copy: base64 -d {}", crate::core::text::shell_quote(file)),
            ));
        }
        let found = copy(file, sha256).map_err(|reason| {
            Failure::failed(doing, reason, "the journal names the copy; bring it back from a backup")
        })?;
        Ok(Some(found))
    }

    async fn restore(
        &self,
        (region, instance): (&str, &str),
        file: &str,
        sha256: &str,
        nonce: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("put the user data of {instance} back");
        let Some(raw) = self.to_restore((region, instance), file, sha256, nonce, &doing).await? else {
            return Ok(Performed {
                text: format!("the user data of {instance} is its owner's, byte for byte"),
                ..Performed::default()
            });
        };
        self.at_rest(region, instance, step).await?;
        self.set_running(region, instance, false, step).await?;
        let bytes = raw.len();
        self.write(region, instance, raw, &doing).await?;
        Ok(Performed {
            text: format!("the user data of {instance} is its owner's again, byte for byte ({bytes} bytes)"),
            ..Performed::default()
        })
    }

    /// Sets raw bytes (the SDK encodes them, once) and reads them back.
    async fn write(&self, region: &str, instance: &str, raw: Vec<u8>, doing: &str) -> Result<(), Failure> {
        let call = self.ec2_once(region).modify_instance_attribute().instance_id(instance);
        match call.user_data(blob(raw.clone())).send().await {
            Ok(_) => {}
            Err(e) if error::code(&e) == "IncorrectInstanceState" => {
                return Err(Failure::failed(
                    doing,
                    "the instance does not stand: somebody has started it meanwhile, and user data is set only while it stands",
                    "",
                ));
            }
            Err(e) => return Err(error::failure(&e, MODIFY, doing)),
        }
        // What was just written may be seen a moment later, and a look may fail: from here on it may be set, whatever
        // is seen, and an undo has to look.
        let mut seen = Ok(());
        for _ in 0..10 {
            seen = match self.user_data_now(region, instance).await {
                Ok(now) if now.raw == raw => return Ok(()),
                Ok(_) => Ok(()),
                Err(failure) => Err(failure.reason),
            };
            tokio::time::sleep(PAUSE).await;
        }
        let reason = match seen {
            Ok(()) => "EC2 took it, and shows other user data than what was set".to_owned(),
            Err(why) => format!("EC2 took it, and does not show it: {why}"),
        };
        Err(Failure::failed(doing, reason, "look at it in the console").after_asking())
    }

    /// Waits while the instance is on its way between two states: it can then be neither started nor stopped.
    async fn at_rest(&self, region: &str, instance: &str, step: &StepContext) -> Result<(), Failure> {
        let began = tokio::time::Instant::now();
        loop {
            let state = self.state_of(region, instance).await?;
            if !matches!(state.as_str(), "pending" | "stopping") {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                return Err(Failure::failed(
                    format!("wait for {instance}"),
                    format!("it is {state} for 10 minutes"),
                    "look at the instance's state reason in the console",
                ));
            }
            step.say(format!("{instance} is {state}"));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn blob(raw: Vec<u8>) -> SecureBlobAttributeValue {
    SecureBlobAttributeValue::builder().value(Blob::new(raw)).build()
}

/// The entry that a step belongs to, from its token `port22-ENTRY-STEP`.
fn entry_of(step: &StepContext) -> String {
    let token = step.token.strip_prefix("port22-").unwrap_or(&step.token);
    token.rsplit_once('-').map_or(token, |(entry, _)| entry).to_owned()
}

/// The saved content, if it still is what was saved.
fn copy(file: &str, sha256: &str) -> Result<Vec<u8>, String> {
    let text = kept_file::load(file)?;
    let raw = STANDARD.decode(text.split_whitespace().collect::<String>());
    match raw {
        Ok(raw) if boothook::digest(&raw) == *sha256 => Ok(raw),
        _ => Err(format!("the saved copy {file} is not what was saved (SHA-256 {sha256})")),
    }
}

fn power(region: &str, instance: &str, up: bool) -> Action {
    UserDataAction::Power { region: region.to_owned(), instance: instance.to_owned(), up, back: false }.into()
}

/// The repair is set; its undo puts the owner's back.
fn set_done(action: &UserDataAction) -> Performed {
    let UserDataAction::Set { region, instance, nonce, file, replaces, .. } = action else {
        return Performed::default();
    };
    Performed {
        text: format!("the user data of {instance} is the repair {nonce}; the owner's is in {file}"),
        undo: Some(
            UserDataAction::Restore {
                region: region.clone(),
                instance: instance.clone(),
                file: file.clone(),
                sha256: replaces.clone(),
                nonce: nonce.clone(),
            }
            .into(),
        ),
        changed: true,
        ..Performed::default()
    }
}
