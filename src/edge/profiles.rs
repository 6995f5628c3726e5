//! The profiles of the AWS configuration and credentials files: names, Regions, and where their credentials come from.
//!
//! Must not keep or show what a profile holds beyond that.

use crate::engine::failure::Failure;
use crate::engine::scope::{Profile, ProfileKind};
use aws_config::profile::ProfileSet;

async fn read() -> Result<ProfileSet, Failure> {
    let (fs, env) = (aws_types::os_shim_internal::Fs::real(), aws_types::os_shim_internal::Env::real());
    #[allow(clippy::default_trait_access, reason = "the type is of a crate that is not named here")]
    let found = aws_config::profile::load(&fs, &env, &Default::default(), None).await;
    found.map_err(|e| {
        Failure::usage("read the AWS profiles", e.to_string(), "correct the AWS configuration file, or name --profile")
    })
}

/// The names of the profiles, in order.
pub async fn profiles() -> Result<Vec<String>, Failure> {
    let mut all: Vec<String> = read().await?.profiles().map(str::to_owned).collect();
    all.sort();
    Ok(all)
}

/// The profiles, in the order of their names.
pub async fn described() -> Result<Vec<Profile>, Failure> {
    let found = read().await?;
    let describe = |name: &str| {
        let profile = found.get_profile(name);
        Profile {
            name: name.to_owned(),
            region: profile.and_then(|p| p.get("region")).map(str::to_owned),
            kind: ProfileKind::of(|setting| profile.is_some_and(|p| p.get(setting).is_some())),
        }
    };
    let mut all: Vec<Profile> = found.profiles().map(describe).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// One profile; `None` when the files do not know it.
///
/// # Errors
/// The files cannot be read.
pub(super) async fn named(name: &str) -> Result<Option<Profile>, Failure> {
    Ok(described().await?.into_iter().find(|p| p.name == name))
}
