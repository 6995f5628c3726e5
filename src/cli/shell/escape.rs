//! The way out of a terminal that does not answer: `~.` after Enter, as in ssh.
//!
//! Pure. Must not keep what is typed.

/// What is to be done with typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// These go to the remote side.
    Keys(Vec<u8>),
    /// The user wants to leave; these go before.
    Leave(Vec<u8>),
    /// The user asks what the escapes are; these go to the remote side.
    Help(Vec<u8>),
}

/// Where in a line the typing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Within,
    /// A `~` at the start is held back.
    Tilde,
}

/// Reads escapes as OpenSSH does (ssh(1), ESCAPE CHARACTERS).
#[derive(Debug)]
pub struct Escapes {
    at: At,
}

impl Default for Escapes {
    fn default() -> Self {
        Self { at: At::Start }
    }
}

impl Escapes {
    /// Takes typed bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Typed {
        let (mut keys, mut help) = (Vec::with_capacity(bytes.len() + 1), false);
        for byte in bytes {
            self.at = match (self.at, byte) {
                (At::Start, b'~') => At::Tilde,
                (At::Tilde, b'.') => {
                    self.at = At::Start;
                    return Typed::Leave(keys);
                }
                (At::Tilde, b'?') => {
                    help = true;
                    At::Start
                }
                (At::Tilde, b'~') => {
                    keys.push(b'~');
                    At::Within
                }
                (at, other) => {
                    if at == At::Tilde {
                        keys.push(b'~');
                    }
                    keys.push(*other);
                    if matches!(other, b'\r' | b'\n') { At::Start } else { At::Within }
                }
            };
        }
        if help { Typed::Help(keys) } else { Typed::Keys(keys) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tilde_at_the_start_of_a_line_escapes() {
        let mut escapes = Escapes::default();
        let keys = |text: &[u8]| Typed::Keys(text.to_vec());
        assert_eq!(escapes.take(b"ls ~.ssh\r"), keys(b"ls ~.ssh\r"));
        assert_eq!(escapes.take(b"~"), keys(b""));
        assert_eq!(escapes.take(b"/bin\r"), keys(b"~/bin\r"));
        assert_eq!(escapes.take(b"~~.\r"), keys(b"~.\r"));
        assert_eq!(escapes.take(b"~?"), Typed::Help(Vec::new()));
        assert_eq!(escapes.take(b"id\r~."), Typed::Leave(b"id\r".to_vec()));
        assert_eq!(Escapes::default().take(b"~."), Typed::Leave(Vec::new()));
    }
}
