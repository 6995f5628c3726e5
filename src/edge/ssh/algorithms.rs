//! Which algorithms are offered to a server.
//!
//! Broad on purpose; whether the user's own client would agree is said in `rules`.

use russh::keys::Algorithm;
use russh::{Preferred, SshId, cipher, client, kex, mac};
use std::borrow::Cow;
use std::time::Duration;

/// The own identification (RFC 4253, section 4.2).
pub(super) const CLIENT: &str = concat!("SSH-2.0-port22_", env!("CARGO_PKG_VERSION"));
/// A connection on which nothing came for so long ends by itself, even if nobody waits for it any more.
const ABANDONED: Duration = Duration::from_mins(1);
/// Between two questions whether a silent server is still there; three without an answer mean that it is not.
const ALIVE: Duration = Duration::from_secs(15);
/// Output that may be under way: little, so that an interrupt is felt at once, and enough for a long way
/// (1 MiB in a round trip of 100 ms is 80 Mbit/s).
const WINDOW: u32 = 1 << 20;

/// Broad preferences: the question is who is there, not whether its algorithms are modern. Old ones
/// come last. Known host key types come first, as OpenSSH has it (`order_hostkeyalgs` in sshconnect2.c).
pub(super) fn config(known_types: &[String]) -> client::Config {
    let mut preferred = Preferred::DEFAULT;
    let extensions = [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];
    let old = [
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
        kex::DH_GEX_SHA1,
        kex::DH_G14_SHA1,
        kex::DH_G1_SHA1,
    ];
    preferred.kex = Cow::Owned(preferred.kex.iter().copied().chain(old).chain(extensions).fold(Vec::new(), push_new));
    let old = [cipher::AES_128_GCM, cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];
    preferred.cipher = Cow::Owned(preferred.cipher.iter().copied().chain(old).fold(Vec::new(), push_new));
    let old = [mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];
    preferred.mac = Cow::Owned(preferred.mac.iter().copied().chain(old).fold(Vec::new(), push_new));
    let mut host_keys: Vec<Algorithm> = preferred.key.to_vec();
    host_keys.sort_by_key(|algorithm| !known_types.iter().any(|known| is_of_type(algorithm, known)));
    preferred.key = Cow::Owned(host_keys);
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(CLIENT)),
        preferred,
        inactivity_timeout: Some(ABANDONED),
        ..client::Config::default()
    }
}

/// For a terminal: silence ends nothing, a server that is gone does.
pub(super) fn lasting(config: &mut client::Config) {
    config.inactivity_timeout = None;
    config.keepalive_interval = Some(ALIVE);
    config.keepalive_max = 3;
    config.window_size = WINDOW;
}

fn push_new<T: PartialEq>(mut list: Vec<T>, item: T) -> Vec<T> {
    if !list.contains(&item) {
        list.push(item);
    }
    list
}

/// Whether a signature algorithm goes with a key type: all RSA ones go with `ssh-rsa`.
fn is_of_type(algorithm: &Algorithm, key_type: &str) -> bool {
    if matches!(algorithm, Algorithm::Rsa { .. }) { key_type == "ssh-rsa" } else { algorithm.as_str() == key_type }
}

/// Whether a server is an OpenSSH that does not know RSA signatures with SHA-2 (added in 7.2).
pub(super) fn is_before_rsa_sha2(banner: &str) -> bool {
    let Some((_, version)) = banner.split_once("OpenSSH_") else {
        return false;
    };
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (7, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_host_key_types_come_first() {
        let first = |known: &str| config(&[known.to_owned()]).preferred.key[0].to_string();
        assert_eq!(first("ecdsa-sha2-nistp256"), "ecdsa-sha2-nistp256");
        assert_eq!(first("ssh-rsa"), "rsa-sha2-512");
        assert_eq!(first("unheard-of"), "ssh-ed25519");
    }

    #[test]
    fn old_algorithms_come_after_the_safe_ones() {
        let preferred = config(&[]).preferred;
        let at = |name: kex::Name| preferred.kex.iter().position(|n| *n == name).expect("in the list");
        assert!(at(kex::CURVE25519) < at(kex::DH_G14_SHA256) && at(kex::DH_G14_SHA256) < at(kex::DH_G1_SHA1));
        assert!(preferred.cipher.contains(&cipher::AES_128_CBC));
    }

    #[test]
    fn sha1_is_used_only_with_servers_that_know_nothing_else() {
        for (banner, old) in [
            ("SSH-2.0-OpenSSH_6.6.1p1 Ubuntu-2ubuntu2", true),
            ("SSH-2.0-OpenSSH_7.1", true),
            ("SSH-2.0-OpenSSH_7.4", false),
            ("SSH-2.0-OpenSSH_10.0", false),
            ("SSH-2.0-dropbear_2019.78", false),
        ] {
            assert_eq!(is_before_rsa_sha2(banner), old, "{banner}");
        }
    }
}
