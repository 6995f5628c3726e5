//! What the channel needs from the control plane, so that tests of the socket need no AWS.

use std::fmt;
use std::future::Future;

/// A bearer secret: not shown, and overwritten when it is dropped.
pub struct Token(String);

impl Token {
    /// Keeps a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// The right to open the channel once.
#[derive(Debug)]
pub struct Grant {
    /// Address of the data channel; empty in an answer that keeps the old one.
    pub url: String,
    /// Opens it, once, for a short time.
    pub token: Token,
}

/// Why the control plane gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// What it said, for the user.
    pub text: String,
    /// Whether asking again is of no use.
    pub last: bool,
}

/// The control plane of one session.
pub trait Service: Send + Sync + 'static {
    /// A new right to open the channel (`ResumeSession`), with credentials resolved anew.
    fn resume(&self) -> impl Future<Output = Result<Grant, ServiceError>> + Send;

    /// Ends the session (`TerminateSession`). What it answers changes nothing.
    fn terminate(&self) -> impl Future<Output = ()> + Send;

    /// Headers that sign the upgrade request to this address, made anew for each dial. Empty without credentials.
    fn sign(&self, url: &str) -> impl Future<Output = Result<Vec<(String, String)>, ServiceError>> + Send;

    /// Whether the user chose another endpoint than AWS's own.
    fn is_custom(&self) -> bool;
}
