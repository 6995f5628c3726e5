//! Whose instances are listed: a profile and its Regions, and those that one may change to.

use crate::engine::failure::Failure;

/// A profile and Regions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Profile of the AWS configuration; `None` for the credentials that the program was started with.
    pub profile: Option<String>,
    /// Regions; empty for those that the profile, or the start of the program, names.
    pub regions: Vec<String>,
}

/// A profile of the AWS configuration: its name and what it is, never what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Name.
    pub name: String,
    /// Region that it names.
    pub region: Option<String>,
    /// Where its credentials come from.
    pub kind: ProfileKind,
}

/// Where the credentials of a profile come from, in the order in which the AWS SDKs look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProfileKind {
    /// It takes on a role (`role_arn`).
    Role,
    /// IAM Identity Center (`sso_session`, `sso_start_url`).
    Sso,
    /// Access keys in a file.
    Keys,
    /// A program gives them (`credential_process`).
    Process,
    /// `aws login` (`login_session`).
    Login,
    /// It names none: those of the environment or of the machine are used.
    #[default]
    None,
}

impl ProfileKind {
    /// Reads which settings a profile has; `has` tells whether a setting is there.
    pub fn of(has: impl Fn(&str) -> bool) -> Self {
        if has("role_arn") {
            Self::Role
        } else if has("sso_session") || has("sso_start_url") {
            Self::Sso
        } else if has("aws_access_key_id") {
            Self::Keys
        } else if has("credential_process") {
            Self::Process
        } else if has("login_session") {
            Self::Login
        } else {
            Self::None
        }
    }
}

/// What there is to choose from, as it becomes known.
#[derive(Debug, Clone)]
pub enum ScopeEvent {
    /// The profiles, by name; or why the files cannot be read.
    Profiles(Result<Vec<Profile>, Failure>),
    /// The Regions that are switched on in the account; or why that cannot be told.
    Regions(Result<Vec<String>, Failure>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_outranks_the_keys_beside_it() {
        let of = |names: &[&str]| ProfileKind::of(|name| names.contains(&name));
        assert_eq!(of(&["role_arn", "source_profile", "aws_access_key_id"]), ProfileKind::Role);
        assert_eq!(of(&["sso_session", "region"]), ProfileKind::Sso);
        assert_eq!(of(&["sso_start_url", "sso_region"]), ProfileKind::Sso);
        assert_eq!(of(&["aws_access_key_id"]), ProfileKind::Keys);
        assert_eq!(of(&["credential_process"]), ProfileKind::Process);
        assert_eq!(of(&["region", "output"]), ProfileKind::None);
    }
}
