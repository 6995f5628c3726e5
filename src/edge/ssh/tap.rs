//! The server's first packet, noted while it passes by.
//!
//! It lists the server's algorithms in clear ([`crate::core::kexinit`]). Must not keep anything after it, and must
//! neither delay nor change what passes.

use super::watch::lock;
use crate::core::kexinit::{self, KexLists};
use std::sync::{Arc, Mutex};

/// What has been noted of the packet. Clones note into the same place.
#[derive(Debug, Clone, Default)]
pub(super) struct Tap(Arc<Mutex<Vec<u8>>>);

impl Tap {
    /// Notes bytes that follow the identification string, as far as they belong to the first packet.
    pub fn hear(&self, mut bytes: &[u8]) {
        let mut noted = lock(&self.0);
        // The length field tells how much more there is, so one look may not be enough.
        loop {
            let missing = kexinit::wanted(&noted).saturating_sub(noted.len()).min(bytes.len());
            if missing == 0 {
                return;
            }
            let (mine, rest) = bytes.split_at(missing);
            noted.extend_from_slice(mine);
            bytes = rest;
        }
    }

    /// The lists, when the packet came whole and is the one that lists them.
    pub fn lists(&self) -> Option<KexLists> {
        kexinit::parse(&lock(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_packet_is_noted_however_it_comes() {
        let stream = [&[0, 0, 0, 3, 1, 2, 3][..], b"what follows"].concat();
        for size in 1..stream.len() {
            let tap = Tap::default();
            stream.chunks(size).for_each(|bytes| tap.hear(bytes));
            assert_eq!(*lock(&tap.0), stream[..7], "in pieces of {size}");
            assert_eq!(tap.lists(), None);
        }
    }

    #[test]
    fn a_length_that_cannot_be_ends_it() {
        let tap = Tap::default();
        tap.hear(b"HTTP/1.1 400 Bad Request");
        tap.hear(&vec![7; 100_000]);
        assert_eq!(*lock(&tap.0), b"HTTP");
        let tap = Tap::default();
        tap.hear(&u32::try_from(kexinit::LONGEST - 4).unwrap().to_be_bytes());
        tap.hear(&vec![7; 100_000]);
        assert_eq!(lock(&tap.0).len(), kexinit::LONGEST);
    }
}
