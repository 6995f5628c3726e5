//! The deeds of a repair through user data.
//!
//! They name user data by file and digest: its content, which may hold secrets, is in no plan and in no journal.

use super::Action;
use serde::{Deserialize, Serialize};

/// A deed of the repair through user data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum UserDataAction {
    /// Copies the user data of now into a file of the journal's entry (`ec2:DescribeInstanceAttribute`). Its outputs
    /// are `user_data_file`, `user_data_sha256` and `nonce`, a mark that no other repair has.
    Save {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Directory of the journal.
        directory: String,
        /// SHA-256 of the raw content that the plan saw.
        seen: String,
    },
    /// Sets the repair as user data (`ec2:ModifyInstanceAttribute`); the content is made of these values.
    Set {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Whose login is repaired.
        user: String,
        /// Public key to add, as `type base64`.
        key: Option<String>,
        /// Mark of this repair.
        nonce: String,
        /// File of the saved user data.
        file: String,
        /// SHA-256 of what is replaced: nothing else may be.
        replaces: String,
    },
    /// Waits until the repair has said on the console what it did, or the login is let in.
    Await {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Mark of the repair.
        nonce: String,
        /// Whether the type shows the console of this moment (Nitro) and not only a late copy.
        live: bool,
        /// The login that should work then, where it can be tried from here.
        login: Option<Login>,
    },
    /// Puts the saved user data back (`ec2:ModifyInstanceAttribute`). Stops the instance first if it runs, and does not
    /// start it again; leaves everything as it is where the user data is the saved one already.
    Restore {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// File of the saved user data.
        file: String,
        /// SHA-256 of the saved content.
        sha256: String,
        /// Mark of the repair that is replaced: nothing else may be.
        nonce: String,
    },
    /// Starts or stops the instance between the other deeds.
    Power {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Whether it shall run.
        up: bool,
        /// Whether an undo of the whole repair takes this deed back: those that only bring the instance
        /// back to where it was before are not.
        back: bool,
    },
}

/// A login that is asked about without a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// User.
    pub user: String,
    /// Port.
    pub port: u16,
    /// Key files, by path.
    pub keys: Vec<String>,
}

impl From<UserDataAction> for Action {
    fn from(action: UserDataAction) -> Self {
        Self::UserData(action)
    }
}
