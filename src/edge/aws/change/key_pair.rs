//! Key pairs imported, created, deleted.
//!
//! A private half goes from EC2's answer into a file of mode 0600 and nowhere else. Must not delete a pair that is not
//! the one that the plan saw.

use super::{TAG, dry};
use crate::core::key::{inspect, matches_fingerprint, public_of, same_public};
use crate::core::plan::{Action, Gate, KeyPairAction, Outputs};
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::edge::change::files;
use crate::edge::tcp::os_words;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ec2::types::{KeyFormat, KeyPairInfo, KeyType, ResourceType, Tag, TagSpecification};
use std::path::Path;
use zeroize::Zeroizing;

const IMPORT: &str = "ec2:ImportKeyPair";
const CREATE: &str = "ec2:CreateKeyPair";
const DELETE: &str = "ec2:DeleteKeyPair";
/// Tag with the token of the step.
const STEP: &str = "port22-step";

fn tags(token: &str) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    TagSpecification::builder()
        .resource_type(ResourceType::KeyPair)
        .tags(tag(TAG.0, TAG.1))
        .tags(tag(STEP, token))
        .build()
}

fn is_of(pair: &KeyPairInfo, token: &str) -> bool {
    pair.tags().iter().any(|t| t.key() == Some(STEP) && t.value() == Some(token))
}

/// Whether EC2's pair is this key: by the public half where EC2 tells it, else by the fingerprint in any of its forms.
fn same(pair: &KeyPairInfo, content: &[u8]) -> Option<bool> {
    let key = inspect(content);
    match (pair.public_key(), key.public.as_deref()) {
        (Some(theirs), Some(mine)) => Some(same_public(theirs, mine)),
        _ => pair.key_fingerprint().and_then(|print| matches_fingerprint(&key, print)),
    }
}

fn changed(text: String, undo: Option<KeyPairAction>) -> Performed {
    Performed { text, undo: undo.map(Action::KeyPair), changed: true, ..Performed::default() }
}

fn refused(doing: &str, reason: impl Into<String>, next: &str) -> Failure {
    Failure::new(FailureKind::Refused, doing, reason, next)
}

impl Aws {
    async fn pair_named(&self, region: &str, name: &str, doing: &str) -> Result<Option<KeyPairInfo>, Failure> {
        let asked = self.ec2(region).describe_key_pairs().key_names(name).include_public_key(true).send().await;
        match asked {
            Ok(answer) => Ok(answer.key_pairs().iter().find(|p| p.key_name() == Some(name)).cloned()),
            Err(e) if error::code(&e) == "InvalidKeyPair.NotFound" => Ok(None),
            Err(e) => Err(error::failure(&e, "ec2:DescribeKeyPairs", doing)),
        }
    }

    pub(super) async fn key_pair_deed(&self, action: &KeyPairAction, step: &StepContext) -> Result<Performed, Failure> {
        match action {
            KeyPairAction::Import { region, name, public } => self.import_pair(region, name, public, step).await,
            KeyPairAction::Create { region, name, kind, path } => {
                self.create_pair(region, name, kind, path, step).await
            }
            KeyPairAction::Delete { region, name, id, public, file } => {
                self.delete_pair(region, name, id.as_deref(), public.as_deref(), file.as_ref()).await
            }
        }
    }

    async fn import_pair(
        &self,
        region: &str,
        name: &str,
        public: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("import key pair {name} in {region}");
        let undo = |id: Option<&str>| {
            Some(KeyPairAction::Delete {
                region: region.to_owned(),
                name: name.to_owned(),
                id: id.map(str::to_owned),
                public: Some(public.to_owned()),
                file: None,
            })
        };
        if let Some(there) = self.pair_named(region, name, &doing).await? {
            return match same(&there, public.as_bytes()) {
                Some(true) if is_of(&there, &step.token) => {
                    Ok(changed(format!("key pair {name} was imported already"), undo(there.key_pair_id())))
                }
                Some(true) => {
                    Ok(Performed { text: format!("key pair {name} is there already"), ..Performed::default() })
                }
                _ => {
                    Err(refused(&doing, format!("another key pair is called {name} now"), "run the same command again"))
                }
            };
        }
        let made = self
            .ec2_once(region)
            .import_key_pair()
            .key_name(name)
            .public_key_material(aws_sdk_ec2::primitives::Blob::new(public.as_bytes()))
            .tag_specifications(tags(&step.token))
            .send()
            .await
            .map_err(|e| error::failure(&e, IMPORT, &doing))?;
        let stored = self.pair_named(region, name, &doing).await.ok().flatten();
        let told = match stored.as_ref().map(|pair| same(pair, public.as_bytes())) {
            Some(Some(true)) => "and EC2 has the same key",
            Some(Some(false)) => "but EC2 shows another key for it: look at it in the console",
            _ => "and its fingerprint could not be compared",
        };
        let print = made.key_fingerprint().unwrap_or("not told");
        let text = format!("key pair {name} is imported (fingerprint {print}), {told}");
        Ok(changed(text, undo(made.key_pair_id())))
    }

    async fn create_pair(
        &self,
        region: &str,
        name: &str,
        kind: &str,
        path: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("create key pair {name} in {region}");
        if let Some(there) = self.pair_named(region, name, &doing).await? {
            if !is_of(&there, &step.token) {
                return Err(refused(&doing, format!("a key pair is called {name} now"), "run the same command again"));
            }
            let saved = files::content(Path::new(path)).ok().flatten().map(Zeroizing::new);
            if let Some(saved) = saved.filter(|bytes| same(&there, bytes) == Some(true)) {
                let undo = created_undo(region, name, there.key_pair_id(), path, &saved);
                return Ok(with_path(changed(format!("key pair {name} was created already"), Some(undo)), path));
            }
            // Its private half was handed out to a process that ended before it was saved: nobody has it.
            step.say(format!("{name} was created before and its private half is lost: it is made anew"));
            self.delete_pair(region, name, there.key_pair_id(), there.public_key(), None).await?;
        }
        if Path::new(path).symlink_metadata().is_ok() {
            return Err(refused(&doing, format!("{path} is there, and is not overwritten"), "move it away"));
        }
        let asked = self
            .ec2_once(region)
            .create_key_pair()
            .key_name(name)
            .key_type(KeyType::from(kind))
            .key_format(KeyFormat::Pem)
            .tag_specifications(tags(&step.token))
            .send();
        let made = asked.await.map_err(|e| error::failure(&e, CREATE, &doing))?;
        let material = made.key_material().map(|text| Zeroizing::new(text.as_bytes().to_vec()));
        let saved = match &material {
            Some(bytes) => save(path, bytes, &step.token),
            None => Err("the answer holds no private half".to_owned()),
        };
        if let Err(reason) = saved {
            // A pair whose private half nobody has is of no use.
            let end = match self.delete_pair(region, name, made.key_pair_id(), None, None).await {
                Ok(_) => "the pair was deleted again: nothing is left behind".to_owned(),
                Err(failure) => format!("the pair could not be deleted again: {}", failure.reason),
            };
            return Err(Failure::failed(format!("save the private half in {path}"), reason, end));
        }
        let bytes = material.unwrap_or_default();
        let mut mode = String::new();
        if let Some(print) = made.key_fingerprint() {
            let told = matches_fingerprint(&inspect(&bytes), print);
            let fits = if told == Some(true) { "which is that of the file" } else { "which could not be compared" };
            mode = format!(" (fingerprint {print}, {fits})");
        }
        let undo = created_undo(region, name, made.key_pair_id(), path, &bytes);
        let text = format!("key pair {name} is created{mode}; its private half is in {path}, mode 0600");
        Ok(with_path(changed(text, Some(undo)), path))
    }

    async fn delete_pair(
        &self,
        region: &str,
        name: &str,
        id: Option<&str>,
        public: Option<&str>,
        file: Option<&(String, String)>,
    ) -> Result<Performed, Failure> {
        let doing = format!("delete key pair {name} in {region}");
        let there = self.pair_named(region, name, &doing).await?;
        if let Some(there) = &there {
            let other = id.is_some_and(|id| there.key_pair_id().is_some_and(|now| now != id))
                || public.is_some_and(|public| same(there, public.as_bytes()) == Some(false));
            if other {
                let reason = format!("{name} is another key pair now");
                return Err(refused(&doing, reason, "nothing was changed; run the same command again"));
            }
            let asked = self.ec2_once(region).delete_key_pair().key_name(name).send().await;
            asked.map_err(|e| error::failure(&e, DELETE, &doing))?;
        }
        let mut text = match there {
            Some(_) => format!("key pair {name} is deleted"),
            None => format!("key pair {name} is gone already"),
        };
        if let Some((path, digest)) = file {
            match files::remove(path, digest) {
                Ok(done) => text.push_str(&format!("; {}", done.text)),
                Err(failure) => text.push_str(&format!("; {path} stays: {}", failure.reason)),
            }
        }
        let undo = public.map(|public| KeyPairAction::Import {
            region: region.to_owned(),
            name: name.to_owned(),
            public: public.to_owned(),
        });
        Ok(Performed { text, changed: there.is_some(), undo: undo.map(Action::KeyPair), ..Performed::default() })
    }

    pub(super) async fn settle_key_pair(&self, action: &KeyPairAction, step: &StepContext) -> Settled {
        let (KeyPairAction::Import { region, name, .. }
        | KeyPairAction::Create { region, name, .. }
        | KeyPairAction::Delete { region, name, .. }) = action;
        let there = match self.pair_named(region, name, "look at the key pair").await {
            Ok(there) => there,
            Err(failure) => return Settled::CannotTell(failure.reason),
        };
        let delete = |id: Option<&str>, file| KeyPairAction::Delete {
            region: region.clone(),
            name: name.clone(),
            id: id.map(str::to_owned),
            public: None,
            file,
        };
        match (action, there) {
            (KeyPairAction::Delete { public, .. }, None) => {
                let undo = public.as_ref().map(|public| KeyPairAction::Import {
                    region: region.clone(),
                    name: name.clone(),
                    public: public.clone(),
                });
                Settled::Done(changed(format!("key pair {name} was deleted"), undo))
            }
            (KeyPairAction::Delete { .. }, Some(_)) | (_, None) => Settled::NotDone,
            (_, Some(pair)) if !is_of(&pair, &step.token) => Settled::NotDone,
            (KeyPairAction::Create { path, .. }, Some(pair)) => {
                let saved = files::content(Path::new(path)).ok().flatten().map(Zeroizing::new);
                let file = saved.filter(|b| same(&pair, b) == Some(true)).map(|b| (path.clone(), files::sha256(&b)));
                Settled::Done(changed(format!("key pair {name} was created"), Some(delete(pair.key_pair_id(), file))))
            }
            (_, Some(pair)) => {
                Settled::Done(changed(format!("key pair {name} was imported"), Some(delete(pair.key_pair_id(), None))))
            }
        }
    }

    /// Asks DryRun for a deed on a key pair.
    pub(super) async fn dry_run_key_pair(&self, action: &KeyPairAction) -> Gate {
        match action {
            KeyPairAction::Import { region, name, public } => {
                let blob = aws_sdk_ec2::primitives::Blob::new(public.as_bytes());
                let call = self.ec2_once(region).import_key_pair().key_name(name).public_key_material(blob);
                dry(call.dry_run(true).send().await.map(drop), IMPORT).gate(IMPORT)
            }
            KeyPairAction::Create { region, name, .. } => {
                let call = self.ec2_once(region).create_key_pair().key_name(name).dry_run(true);
                dry(call.send().await.map(drop), CREATE).gate(CREATE)
            }
            KeyPairAction::Delete { region, name, .. } => {
                let call = self.ec2_once(region).delete_key_pair().key_name(name).dry_run(true);
                dry(call.send().await.map(drop), DELETE).gate(DELETE)
            }
        }
    }
}

/// The public half of a file that was made stays out of the plan: the pair's id says which it is.
fn created_undo(region: &str, name: &str, id: Option<&str>, path: &str, bytes: &[u8]) -> KeyPairAction {
    KeyPairAction::Delete {
        region: region.to_owned(),
        name: name.to_owned(),
        id: id.map(str::to_owned),
        public: inspect(bytes).public.as_deref().and_then(public_of).map(|(line, _)| line),
        file: Some((path.to_owned(), files::sha256(bytes))),
    }
}

fn with_path(performed: Performed, path: &str) -> Performed {
    Performed { outputs: Outputs::from([("key_file".to_owned(), path.to_owned())]), ..performed }
}

/// Writes a private key, mode 0600, and the directory for it, mode 0700.
fn save(path: &str, bytes: &[u8], token: &str) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = Path::new(path);
    if let Some(directory) = path.parent().filter(|d| !d.exists()) {
        std::fs::DirBuilder::new().mode(0o700).create(directory).map_err(|e| os_words(&e))?;
    }
    files::make(path, bytes, 0o600, token).map_err(|e| os_words(&e))
}
