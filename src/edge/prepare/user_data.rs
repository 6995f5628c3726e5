//! Reads for the repair through user data: its digest, and what the journal keeps of it.

use crate::core::boothook;
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::{SavedUserData, UserDataState};
use crate::core::plan::{Action, UserDataAction};
use crate::edge::journal_file::JournalFile;
use crate::edge::real_world::RealWorld;
use crate::engine::journal::{Entry, EntryState, Journal as _};

/// The user data of now, by its digest, and what the journal keeps of it.
pub(super) async fn read(world: &RealWorld, instance: &Instance) -> Fact<UserDataState> {
    let doing = "look for the state directory";
    let Some(directory) = world.state_directory() else {
        return Fact::unknown(Why::failed(doing, "there is no home directory: set HOME or XDG_STATE_HOME"));
    };
    let now = match world.aws().user_data_now(&instance.region, &instance.id).await {
        Ok(now) => now.raw,
        Err(failure) => return Fact::unknown(Why::failed(failure.doing, failure.reason)),
    };
    let entries = match JournalFile::new(&directory).entries() {
        Ok(entries) => entries,
        Err(failure) => return Fact::unknown(Why::failed(failure.doing, failure.reason)),
    };
    let repair = boothook::nonce_of(&now);
    let of = |undone: bool| {
        let those = entries.iter().rev().filter(move |entry| (entry.state == EntryState::Undone) == undone);
        those.filter_map(|entry| saved(entry, &instance.id))
    };
    let kept: Vec<SavedUserData> = of(false).collect();
    // Of the repair that is there now; else the latest.
    let ours = kept.iter().find(|s| Some(&s.nonce) == repair.as_ref()).or_else(|| kept.first()).cloned();
    let state = UserDataState {
        directory: directory.display().to_string(),
        sha256: boothook::digest(&now),
        bytes: now.len(),
        repair,
        saved: ours,
        taken_back: of(true).next(),
    };
    Fact::known(state, format!("DescribeInstanceAttribute userData {}", instance.id))
}

/// What an entry keeps of the instance's user data.
fn saved(entry: &Entry, instance: &str) -> Option<SavedUserData> {
    let of_it = entry.plan.steps.iter().any(|step| {
        matches!(&step.action, Some(Action::UserData(UserDataAction::Save { instance: i, .. })) if i == instance)
    });
    let output = |name: &str| entry.outputs.get(name).cloned();
    of_it.then_some(())?;
    Some(SavedUserData {
        entry: entry.id.clone(),
        file: output("user_data_file")?,
        sha256: output("user_data_sha256")?,
        nonce: output("nonce")?,
    })
}
