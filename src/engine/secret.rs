//! What the user types and nobody may see: a passphrase on its way to the edge.
//!
//! Must not be shown, logged or written: it has no form that can be printed.

use std::fmt;
use zeroize::Zeroizing;

/// Longest passphrase, in bytes. Room for it is taken at once: a text that grows leaves copies behind.
pub const LONGEST: usize = 4096;

/// A secret; wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text that is being typed.
    pub fn text_mut(&mut self) -> &mut String {
        &mut self.0
    }

    /// Characters typed.
    pub fn count(&self) -> usize {
        self.0.chars().count()
    }

    /// The secret itself, for the edge.
    pub fn into_inner(self) -> Zeroizing<String> {
        self.0
    }

    /// Takes what was typed, and leaves an empty one.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self(Zeroizing::new(String::with_capacity(LONGEST)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_cannot_be_printed() {
        let mut secret = Secret::default();
        secret.text_mut().push_str("open sesame");
        assert_eq!((format!("{secret:?}").as_str(), secret.count()), ("Secret(..)", 11));
        let taken = secret.take();
        assert_eq!((secret.count(), taken.into_inner().as_str()), (0, "open sesame"));
    }
}
