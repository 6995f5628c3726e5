//! Key files against what ssh-keygen, openssl and PuTTY say about them.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

macro_rules! key_files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../../../tests/keys/", $name)))),*];
    };
}

key_files!(
    "rsa.pem",
    "rsa_openssh",
    "rsa_encrypted.pem",
    "rsa_pkcs8_encrypted.pem",
    "rsa_v3.ppk",
    "rsa.rfc4716",
    "ed25519_openssh",
    "ed25519_openssh_encrypted",
    "ed25519_pkcs8.pem",
    "ed25519_v2_encrypted.ppk",
    "ed25519.pub",
    "ecdsa.pem",
);

fn file(name: &str) -> &'static [u8] {
    FILES.iter().find(|(found, _)| *found == name).unwrap_or_else(|| panic!("no test key {name}")).1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    file: String,
    format: String,
    encrypted: bool,
    comment: Option<String>,
    bits: Option<u32>,
    public: Option<String>,
    sha256: Option<String>,
    imported: Option<String>,
    created: Option<String>,
}

#[derive(Deserialize)]
struct Vectors {
    key: Vec<Vector>,
}

fn vectors() -> Vec<Vector> {
    let vectors: Vectors =
        toml::from_str(include_str!("../../../tests/keys/vectors.toml")).expect("vectors.toml is well formed");
    assert_eq!(vectors.key.len(), FILES.len());
    vectors.key
}

fn format_name(format: KeyFormat) -> &'static str {
    match format {
        KeyFormat::OpenSsh => "open_ssh",
        KeyFormat::Pkcs1 => "pkcs1",
        KeyFormat::Pkcs8 => "pkcs8",
        KeyFormat::Pkcs8Encrypted => "pkcs8_encrypted",
        KeyFormat::Sec1 => "sec1",
        KeyFormat::Ppk { .. } => "ppk",
        KeyFormat::PublicOpenSsh => "public_open_ssh",
        KeyFormat::PublicRfc4716 => "public_rfc4716",
        _ => "other",
    }
}

#[test]
fn files_are_described_as_ssh_keygen_and_openssl_do() {
    for vector in vectors() {
        let key = inspect(file(&vector.file));
        let name = &vector.file;
        assert_eq!(format_name(key.format), vector.format, "{name}");
        assert_eq!(key.encrypted, vector.encrypted, "{name}");
        assert_eq!((&key.public, &key.sha256, key.bits), (&vector.public, &vector.sha256, vector.bits), "{name}");
        assert_eq!(
            key.algorithm.as_deref(),
            vector.public.as_deref().and_then(|line| line.split(' ').next()),
            "{name}"
        );
        if vector.comment.is_some() {
            assert_eq!(key.comment, vector.comment, "{name}");
        }
        assert_eq!((key.parse_error.clone(), key.damage.clone()), (None, vec![]), "{name}");
        assert_eq!(key.is_usable_key(), !vector.format.starts_with("public"), "{name}");
        assert!(!key.is_damaged_for_openssh(), "{name}");
        assert_eq!(key.loads_in.putty, vector.format == "ppk", "{name}");
        assert_eq!(key.loads_in.openssh, key.format.is_private() && vector.format != "ppk", "{name}");
        assert_eq!(key.loads_in.openssh_before_9_6, key.loads_in.openssh && name != "ed25519_pkcs8.pem", "{name}");
    }
}

#[test]
fn ec2_fingerprints_are_those_of_openssl() {
    let other = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff";
    for vector in vectors() {
        let key = inspect(file(&vector.file));
        let name = &vector.file;
        let known = vector.public.is_some();
        for fingerprint in [&vector.created, &vector.imported, &vector.sha256].into_iter().flatten() {
            assert_eq!(matches_fingerprint(&key, fingerprint), Some(true), "{name}");
            if let Some(base64) = fingerprint.strip_prefix("SHA256:") {
                assert_eq!(matches_fingerprint(&key, &format!("{base64}=")), Some(true), "{name}");
            } else {
                assert_eq!(matches_fingerprint(&key, &fingerprint.to_uppercase()), Some(true), "{name}");
            }
        }
        assert_eq!(matches_fingerprint(&key, other), known.then_some(false), "{name}");
        assert_eq!(matches_fingerprint(&key, "not a fingerprint"), None, "{name}");
        // A SHA-1 that does not fit proves nothing unless the private half was read.
        let sha1 = format!("{other}:01:02:03:04");
        let rsa = key.algorithm.as_deref() == Some("ssh-rsa");
        let told = vector.created.is_some() || (known && !rsa);
        assert_eq!(matches_fingerprint(&key, &sha1), told.then_some(false), "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    does: String,
    damage: Vec<String>,
    pem: Option<bool>,
    headers: Option<bool>,
    openssh: Option<bool>,
    ppk: Option<bool>,
    #[serde(default)]
    lost: bool,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

/// Does to a file what the case is named for.
fn damage(does: &str, bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("test keys are text");
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let body = &lines[1..lines.len() - 1];
    let each = |change: &dyn Fn(&str) -> String| lines.iter().map(|line| change(line) + "\n").collect::<String>();
    let out = match does {
        "plain" => text.clone(),
        "crlf" => text.replace('\n', "\r\n"),
        "cr" => text.replace('\n', "\r"),
        "no_final_newline" => text.trim_end().to_owned(),
        "bom" => format!("\u{feff}{text}"),
        "utf16le_bom" => {
            return format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        }
        "utf16be" => return text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "leading_blank" => format!("\n{text}"),
        "leading_text" => format!("here is the key\n{text}"),
        "trailing_text" => format!("{text}that was the key\n"),
        "indent" => each(&|line| {
            if line.is_empty() { String::new() } else { format!("    {line}") }
        }),
        "indent_body" => format!("{first}\n  {}\n{last}\n", body.join("\n  ")),
        "one_line" => text.trim_end().replace('\n', " ") + "\n",
        "joined" => text.replace('\n', "") + "\n",
        "json" => format!("{{\"KeyName\": \"a\", \"KeyMaterial\": \"{}\"}}\n", text.replace('\n', "\\n")),
        "quoted" => format!("\"{}\"\n", text.trim_end()),
        "trailing_spaces" => each(&|line| format!("{line} ")),
        "double_spaced" => text.replace('\n', "\n\n"),
        "long_lines" => format!("{first}\n{}\n{last}\n", body.concat()),
        "no_end" => text.replace(last, ""),
        "no_begin" => text.replace(&format!("{first}\n"), ""),
        "four_hyphens" => text.replacen('-', "", 1),
        "en_dashes" => text.replace("-----BEGIN", "–––BEGIN"),
        "base64_once_more" => STANDARD.encode(&text) + "\n",
        "half" => text[..text.len() / 2].to_owned(),
        "lost_line" => format!("{first}\n{}\n{last}\n", [&body[..1], &body[2..]].concat().join("\n")),
        other => panic!("unknown damage {other}"),
    };
    out.into_bytes()
}

#[test]
fn damage_stops_exactly_the_formats_that_it_stops_in_openssh_and_putty() {
    let cases: Cases =
        toml::from_str(include_str!("../../../tests/cases/key/damage.toml")).expect("damage.toml is well formed");
    for case in &cases.case {
        let groups: [(&[&str], Option<bool>); 4] = [
            (&["rsa.pem", "rsa_pkcs8_encrypted.pem", "ed25519_pkcs8.pem", "ecdsa.pem"], case.pem),
            (&["rsa_encrypted.pem"], case.headers),
            (&["rsa_openssh", "ed25519_openssh", "ed25519_openssh_encrypted"], case.openssh),
            (&["rsa_v3.ppk", "ed25519_v2_encrypted.ppk"], case.ppk),
        ];
        for (names, expected) in groups {
            let Some(expected) = expected else { continue };
            for name in names {
                let at = format!("{} of {name}", case.does);
                // An Ed25519 key in PKCS#8 is one line: that cannot be lost without losing all.
                if case.does == "lost_line" && *name == "ed25519_pkcs8.pem" {
                    continue;
                }
                let bytes = damage(&case.does, file(name));
                let (key, good) = (inspect(&bytes), inspect(file(name)));
                if matches!(good.format, KeyFormat::Ppk { .. }) {
                    assert_eq!(key.loads_in.putty, expected, "{at}: {key:?}");
                    assert!(!key.loads_in.openssh, "{at}");
                    continue;
                }
                assert_eq!(key.loads_in.openssh, expected, "{at}: {key:?}");
                assert_eq!(key.is_damaged_for_openssh(), !expected, "{at}: {key:?}");
                let found: Vec<String> = key.damage.iter().map(|d| serde_name(*d)).collect();
                for wanted in &case.damage {
                    assert!(wanted.split('|').any(|one| found.iter().any(|f| f == one)), "{at}: {found:?}");
                }
                if case.damage.is_empty() {
                    assert_eq!(found, Vec::<String>::new(), "{at}");
                }
                assert_eq!(key.repairable, !case.lost, "{at}");
                assert_eq!(key.format, good.format, "{at}");
                if !case.lost {
                    let clean = inspect(&normalise(&bytes));
                    assert_eq!(clean, good, "{at}");
                    assert_eq!((&key.public, key.encrypted), (&good.public, good.encrypted), "{at}");
                }
            }
        }
    }
}

/// The name under which a value is recorded.
fn serde_name(damage: Damage) -> String {
    serde_json::to_string(&damage).unwrap_or_default().trim_matches('"').to_owned()
}

#[test]
fn files_that_are_no_keys_are_told_apart() {
    let cases: &[(&[u8], KeyFormat, Option<Damage>, bool)] = &[
        (b"", KeyFormat::Empty, None, true),
        (b" \n\t\n", KeyFormat::Empty, None, true),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", KeyFormat::Unknown, Some(Damage::Html), true),
        (
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            KeyFormat::Unknown,
            Some(Damage::Html),
            true,
        ),
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08",
            KeyFormat::Unknown,
            Some(Damage::Binary),
            true,
        ),
        (b"Host web\n  HostName 192.0.2.1\n", KeyFormat::Unknown, None, false),
        (b"To BEGIN with, mail the PRIVATE KEY to nobody.\n", KeyFormat::Unknown, None, false),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", KeyFormat::Certificate, None, false),
        (b"-----BEGIN RSA PRIVATE KEY-----\n", KeyFormat::Pkcs1, Some(Damage::Truncated), true),
    ];
    for (bytes, format, damage, damaged) in cases {
        let key = inspect(bytes);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(key.format, *format, "{text}");
        assert!(damage.is_none_or(|damage| key.damage.contains(&damage)), "{text}: {:?}", key.damage);
        assert_eq!(key.is_damaged_for_openssh(), *damaged, "{text}: {key:?}");
        assert_eq!(key.loads_in, LoadsIn::default(), "{text}");
    }
}

#[test]
fn labels_and_binary_forms_can_be_mended() {
    let der = STANDARD.decode(
        String::from_utf8_lossy(file("rsa.pem")).lines().filter(|line| !line.starts_with('-')).collect::<String>(),
    );
    let der = der.expect("rsa.pem is base64");
    let key = inspect(&der);
    assert_eq!(
        (key.format, key.damage.as_slice(), key.loads_in.openssh, key.repairable),
        (KeyFormat::Pkcs1, &[Damage::Der][..], false, true)
    );
    assert_eq!(normalise(&der), file("rsa.pem"));

    let relabelled = String::from_utf8_lossy(file("ed25519_openssh")).replace("OPENSSH PRIVATE", "RSA PRIVATE");
    let key = inspect(relabelled.as_bytes());
    assert_eq!(
        (key.format, key.damage.as_slice(), key.loads_in.openssh),
        (KeyFormat::OpenSsh, &[Damage::WrongLabel][..], false)
    );
    assert_eq!(normalise(relabelled.as_bytes()), file("ed25519_openssh"));
}

#[test]
fn whole_keys_that_ssh_cannot_use_are_not_called_damaged() {
    // A DSA key of OpenSSL's form with small numbers, and an RSA key of 512 bits.
    let number = |bytes: &[u8]| der::unsigned(bytes);
    let dsa =
        der::element(der::SEQUENCE, &[0_u8, 7, 5, 3, 4, 2].iter().flat_map(|n| number(&[*n])).collect::<Vec<_>>());
    let rsa: Vec<u8> = [&[0][..], &[0xc1; 64], &[3], &[5; 64], &[7; 32], &[9; 32], &[1; 32], &[1; 32], &[1; 32]]
        .iter()
        .flat_map(|n| number(n))
        .collect();
    let rsa = der::element(der::SEQUENCE, &rsa);
    for (label, data, says) in [("DSA", dsa, "DSA"), ("RSA", rsa, "1024 bits")] {
        let text = format!(
            "-----BEGIN {label} PRIVATE KEY-----\n{}\n-----END {label} PRIVATE KEY-----\n",
            STANDARD.encode(data)
        );
        let key = inspect(text.as_bytes());
        assert!(!key.loads_in.openssh && !key.is_damaged_for_openssh() && !key.is_usable_key(), "{key:?}");
        assert!(key.parse_error.as_deref().is_some_and(|error| error.contains(says)), "{key:?}");
        assert_eq!(key.damage, [], "{key:?}");
    }
}

#[test]
fn a_changed_ppk_is_noticed_by_its_checksum() {
    let text = String::from_utf8_lossy(file("rsa_v3.ppk")).replace("Comment: ", "Comment: other");
    let key = inspect(text.as_bytes());
    assert!(!key.loads_in.putty && key.damage.contains(&Damage::Corrupt) && key.is_damaged_for_openssh(), "{key:?}");
    assert!(key.public.is_some(), "the public half is still in clear");
}

#[test]
fn public_lines_compare_by_type_and_data() {
    let line = String::from_utf8_lossy(file("ed25519.pub"));
    let (bare, sha256) = public_of(&line).expect("a public key");
    assert_eq!(bare.split(' ').count(), 2);
    assert!(sha256.starts_with("SHA256:"));
    assert!(same_public(&line, &bare));
    assert!(same_public(&format!("no-pty,from=\"192.0.2.1\" {bare} someone else"), &line));
    let rsa = inspect(file("rsa.pem")).public.expect("a public half");
    assert!(!same_public(&rsa, &bare));
    for junk in ["", "ssh-ed25519", "ssh-rsa AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA==", "# comment"] {
        assert_eq!(public_of(junk), None, "{junk}");
        assert!(!same_public(junk, junk), "{junk}");
    }
}

#[test]
fn modes_are_judged_as_openssh_judges_them() {
    for (mode, owner, me, open) in [
        (0o600, 1000, 1000, false),
        (0o400, 1000, 1000, false),
        (0o700, 1000, 1000, false),
        (0o640, 1000, 1000, true),
        (0o644, 1000, 1000, true),
        (0o601, 1000, 1000, true),
        (0o100_777, 1000, 1000, true),
        (0o644, 0, 1000, false),
        (0o644, 1000, 0, false),
    ] {
        assert_eq!(mode_too_open(mode, owner, me), open, "{mode:o} {owner} {me}");
    }
}

#[test]
fn no_private_number_is_held() {
    // Any 12 bytes of the private half, in base64 as the file has them, must not come out.
    let text = String::from_utf8_lossy(file("rsa.pem")).replace('\n', "");
    let shown = format!("{:?}", inspect(file("rsa.pem")));
    let private = &text[text.len() / 2..text.len() - 40];
    assert!((0..private.len() - 16).all(|at| !shown.contains(&private[at..at + 16])));
}

mod any_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let key = inspect(&bytes);
            prop_assert!(!key.loads_in.openssh);
            let _ = normalise(&bytes);
        }

        #[test]
        fn changed_keys_never_panic_and_stay_consistent(
            which in 0..FILES.len(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6),
        ) {
            let mut bytes = FILES[which].1.to_vec();
            for (at, byte, kind) in edits {
                if bytes.is_empty() { break; }
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => bytes.truncate(at),
                }
            }
            let key = inspect(&bytes);
            if key.loads_in.openssh {
                prop_assert!(key.format.is_private() && !key.is_damaged_for_openssh());
            }
            prop_assert_eq!(key.repairable, key.format.is_private() && inspect(&normalise(&bytes)).loads_in.openssh);
        }
    }
}
