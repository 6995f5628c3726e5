//! Key files, as a plan to convert them needs to know them. Must not keep a passphrase or a key beyond the look.

use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::local::KeyFileState;
use crate::core::facts::own_files::{KeyToConvert, Passphrase};
use crate::edge::change::files::sha256;
use crate::edge::convert::{self, Trouble};
use crate::edge::keys::{expand, load_private};
use crate::edge::passphrase::{self, Source};
use zeroize::Zeroizing;

/// Where a typed passphrase comes from, in words.
const TYPED: &str = "as typed";

/// Reads every key file of the login that can be read.
pub(super) async fn read(facts: &Facts) -> Fact<Vec<KeyToConvert>> {
    let mut out = Vec::new();
    for probe in &facts.local.keys {
        let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { continue };
        let Ok(full) = std::path::absolute(expand(&probe.path)) else { continue };
        let Ok(bytes) = load_private(&probe.path).map(Zeroizing::new) else { continue };
        let full = full.display().to_string();
        let passphrase = if key.encrypted { passphrase(&full, &bytes).await } else { unlocked(&bytes, key.repairable) };
        out.push(KeyToConvert {
            path: probe.path.clone(),
            sha256: sha256(&bytes),
            beside: beside(&full),
            passphrase,
            full,
        });
    }
    Fact::known(out, "the key files")
}

/// A file without passphrase: what of it cannot be written again is told before the plan is made.
fn unlocked(bytes: &[u8], repairable: bool) -> Passphrase {
    match convert::open(bytes, None) {
        Ok(_) => Passphrase::NotNeeded,
        Err(_) if repairable => Passphrase::NotNeeded,
        Err(trouble) => Passphrase::Hopeless(trouble.text()),
    }
}

async fn passphrase(full: &str, bytes: &[u8]) -> Passphrase {
    let from = match passphrase::source(full) {
        None => return Passphrase::Missing,
        Some(Source::Terminal) => return Passphrase::ToType { again: false },
        // A preview must not ask the user anything.
        Some(Source::Program(program)) => {
            return Passphrase::WillAsk(format!("by {} (SSH_ASKPASS)", program.display()));
        }
        Some(Source::Typed) => TYPED.to_owned(),
        Some(Source::Variable) => format!("from {}", passphrase::VARIABLE),
    };
    let Ok(secret) = passphrase::get(full).await else { return Passphrase::Missing };
    let bytes = Zeroizing::new(bytes.to_vec());
    let opened = tokio::task::spawn_blocking(move || convert::open(&bytes, Some(&secret)).map(drop)).await;
    match opened {
        Ok(Ok(())) => Passphrase::Opens(from),
        // What was typed can be typed again; what comes from elsewhere will be the same again.
        Ok(Err(Trouble::WrongPassphrase)) if from == TYPED => {
            passphrase::forget(full);
            Passphrase::ToType { again: true }
        }
        Ok(Err(Trouble::WrongPassphrase)) => Passphrase::Wrong(from.trim_start_matches("from ").to_owned()),
        Ok(Err(trouble)) => Passphrase::Hopeless(trouble.text()),
        Err(error) => Passphrase::Hopeless(error.to_string()),
    }
}

/// Names in the same directory that begin with the same letters.
fn beside(full: &str) -> Vec<String> {
    let Some((directory, name)) = full.rsplit_once('/') else { return Vec::new() };
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase();
    let directory = if directory.is_empty() { "/" } else { directory };
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|n| n.to_lowercase().starts_with(&stem)).collect();
    names.sort();
    names
}
