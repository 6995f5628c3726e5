//! The algorithms that an SSH server offers: its `SSH_MSG_KEXINIT` (RFC 4253, section 7.1), read from bytes.
//!
//! It is the first packet after the identification string, and comes in clear. Total on any bytes: what is no such
//! packet gives nothing. Must not judge whether a client gets along with the lists; that is in `rules`.

use serde::{Deserialize, Serialize};

/// Longest packet that is looked at, its length field included (RFC 4253, section 6.1).
pub const LONGEST: usize = 35_000;
/// Longest name (RFC 4251, section 6), in characters.
const LONGEST_NAME: usize = 64;
/// Names in one list. A longer one is no list of algorithms, and cutting it would make up a difference.
const MOST_NAMES: usize = 400;
/// Bytes of the length field.
const LENGTH: usize = 4;
/// `SSH_MSG_KEXINIT`.
const KEXINIT: u8 = 20;
/// Bytes of the cookie.
const COOKIE: usize = 16;

/// Name-lists of a server's first packet, each in the server's order. Names are as sent, cleaned: what no algorithm
/// can be called stands as `?`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KexLists {
    /// `kex_algorithms`, without the markers of extensions (`ext-info-s`, `kex-strict-s-v00@openssh.com`).
    pub kex: Vec<String>,
    /// `server_host_key_algorithms`.
    pub host_keys: Vec<String>,
    /// `encryption_algorithms_*`.
    pub ciphers: BothWays,
    /// `mac_algorithms_*`.
    pub macs: BothWays,
    /// `compression_algorithms_*`.
    pub compression: BothWays,
}

/// A list for each direction; nearly every server sends the same one twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BothWays {
    /// From the client to the server.
    pub to_server: Vec<String>,
    /// From the server to the client.
    pub to_client: Vec<String>,
}

/// Whether a name in `kex_algorithms` only announces an extension (RFC 8308, section 2.1; OpenSSH PROTOCOL, strict key exchange).
pub fn is_marker(name: &str) -> bool {
    name.starts_with("ext-info-") || name.starts_with("kex-strict-")
}

/// How many bytes the first packet has, its length field included, as far as `seen` (its beginning) tells: the length
/// field alone while that is not complete, and nothing more when the packet is too long to be what is looked for.
pub fn wanted(seen: &[u8]) -> usize {
    let Some((length, _)) = seen.split_first_chunk::<LENGTH>() else { return LENGTH };
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length) if length <= LONGEST - LENGTH => LENGTH + length,
        _ => LENGTH,
    }
}

/// Reads the packet: its length field, padding length, payload and padding (RFC 4253, section 6). `None` when it is
/// cut, or is another message.
pub fn parse(packet: &[u8]) -> Option<KexLists> {
    let body = packet.get(LENGTH..wanted(packet))?;
    let (padding, rest) = body.split_first()?;
    let payload = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
    let mut rest = payload.strip_prefix(&[KEXINIT])?.get(COOKIE..)?;
    let mut list = || -> Option<Vec<String>> {
        let (length, after) = rest.split_first_chunk::<LENGTH>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        rest = after.get(length..)?;
        names(&after[..length])
    };
    let (mut kex, host_keys) = (list()?, list()?);
    kex.retain(|name| !is_marker(name));
    let mut both = || Some(BothWays { to_server: list()?, to_client: list()? });
    let (ciphers, macs, compression) = (both()?, both()?, both()?);
    // Languages, a flag and a reserved number follow; without them the packet is cut.
    both()?;
    (rest.len() >= 5).then_some(KexLists { kex, host_keys, ciphers, macs, compression })
}

/// The names of a list (RFC 4251, section 5).
fn names(list: &[u8]) -> Option<Vec<String>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    let out: Vec<String> = list.split(|byte| *byte == b',').take(MOST_NAMES + 1).map(name).collect();
    (out.len() <= MOST_NAMES).then_some(out)
}

/// One name for people to read. A byte that is taken out must not make it equal to another name, so it leaves a mark.
fn name(bytes: &[u8]) -> String {
    let shown = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    crate::core::text::shorten(&bytes.iter().take(LONGEST_NAME + 1).map(shown).collect::<String>(), LONGEST_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LISTS: [&str; 10] = [
        "curve25519-sha256,ext-info-s,kex-strict-s-v00@openssh.com",
        "rsa-sha2-512,ssh-ed25519",
        "aes128-ctr",
        "aes256-ctr",
        "hmac-sha2-256",
        "umac-64@openssh.com",
        "none,zlib@openssh.com",
        "none",
        "",
        "",
    ];

    fn packet(lists: &[&str], padding: u8) -> Vec<u8> {
        let mut body = vec![padding, KEXINIT];
        body.extend([7; COOKIE]);
        for list in lists {
            body.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            body.extend(list.as_bytes());
        }
        body.extend([0; 5]);
        body.extend(vec![0xaa; usize::from(padding)]);
        [u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(), body].concat()
    }

    #[test]
    fn the_lists_are_read_and_markers_are_no_algorithms() {
        let mut bytes = packet(&LISTS, 6);
        assert_eq!(wanted(&bytes), bytes.len());
        bytes.extend(b"what comes next");
        let read = parse(&bytes).unwrap();
        assert_eq!((read.kex, read.host_keys.len()), (vec!["curve25519-sha256".to_owned()], 2));
        assert_eq!(
            (read.ciphers.to_server, read.ciphers.to_client),
            (vec!["aes128-ctr".into()], vec!["aes256-ctr".into()])
        );
        assert_eq!(
            (read.macs.to_server[0].as_str(), read.macs.to_client[0].as_str()),
            ("hmac-sha2-256", "umac-64@openssh.com")
        );
        assert_eq!((read.compression.to_server.len(), read.compression.to_client.len()), (2, 1));
    }

    #[test]
    fn what_is_cut_or_another_message_gives_nothing() {
        let whole = packet(&LISTS, 4);
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end} bytes");
        }
        let mut disconnect = whole.clone();
        disconnect[5] = 1;
        assert_eq!(parse(&disconnect), None);
        let mut padded = whole.clone();
        padded[4] = 255;
        assert_eq!(parse(&padded), None, "padding beyond the packet");
        assert_eq!(parse(&packet(&LISTS[..9], 4)), None, "a list is missing");
        assert_eq!(parse(&packet(&["a,".repeat(MOST_NAMES + 1).as_str(); 10], 4)), None, "too many names");
    }

    #[test]
    fn names_from_a_stranger_are_safe_and_equal_no_other() {
        let long = "x".repeat(200);
        let lists = ["a\u{1b}[2Jb,aes128\n-ctr", long.as_str(), "é", "", "", "", "", "", "", ""];
        let read = parse(&packet(&lists, 4)).unwrap();
        assert_eq!(read.kex, ["a?[2Jb", "aes128?-ctr"]);
        assert_eq!(read.host_keys[0].chars().count(), LONGEST_NAME);
        assert_eq!((read.ciphers.to_server, read.ciphers.to_client.len()), (vec!["??".to_owned()], 0));
    }

    #[test]
    fn only_a_packet_of_the_allowed_length_is_waited_for() {
        assert_eq!((wanted(b""), wanted(b"\0\0\0")), (4, 4));
        assert_eq!(wanted(&[0, 0, 1, 0]), 260);
        assert_eq!(wanted(&34_996_u32.to_be_bytes()), LONGEST);
        assert_eq!((wanted(&34_997_u32.to_be_bytes()), wanted(b"HTTP")), (4, 4));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..200_usize, byte: u8) {
            prop_assert!(wanted(&bytes) <= LONGEST);
            let _ = parse(&bytes);
            // A good packet with one byte changed: lengths that lie.
            let mut near = packet(&LISTS, 4);
            let at = at % near.len();
            near[at] = byte;
            if let Some(read) = parse(&near) {
                let all = [read.kex, read.host_keys, read.ciphers.to_client, read.macs.to_client].concat();
                prop_assert!(all.iter().all(|n| n.chars().count() <= LONGEST_NAME && n.chars().all(|c| c.is_ascii_graphic() || c == '…')));
            }
        }
    }
}
