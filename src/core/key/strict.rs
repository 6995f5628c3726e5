//! The readers of the programs themselves, byte for byte: would this file load as it is?
//!
//! Models of OpenSSH's `private2_uudecode` (sshkey.c) and of OpenSSL 3's `PEM_read_bio`
//! (crypto/pem/pem_lib.c), which OpenSSH asks for everything else, and of PuTTY's own reader
//! (sshpubk.c). Unlike `format`, nothing here is lenient.

use super::content::{self, Content};
use super::format::pem_format;
use super::{KeyFormat, ppk, public};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

const V1_BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----\n";
const V1_END: &[u8] = b"-----END OPENSSH PRIVATE KEY-----\n";

/// OpenSSL ignores bits after the last whole byte; OpenSSH does not.
const OPENSSL_BASE64: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The container that OpenSSH would take from this file, and its content.
pub(super) fn openssh(bytes: &[u8]) -> Option<(KeyFormat, Content)> {
    if let Some(data) = v1(bytes) {
        return Some((KeyFormat::OpenSsh, content::read(KeyFormat::OpenSsh, &data)));
    }
    pem(bytes)
}

/// openssh-key-v1: the BEGIN line must be the very first bytes, the END line must begin a line and
/// end with LF.
fn v1(bytes: &[u8]) -> Option<Vec<u8>> {
    let body = bytes.strip_prefix(V1_BEGIN)?;
    let end = (1..body.len()).find(|at| body[at - 1] == b'\n' && body[*at..].starts_with(V1_END))?;
    let text: Vec<u8> =
        body[..end].iter().copied().filter(|byte| !byte.is_ascii_whitespace() && *byte != 0x0b).collect();
    STANDARD.decode(text).ok()
}

/// Cuts off what OpenSSL takes for the end of a line: everything up to a space, and bytes above
/// ASCII, which are negative there.
fn right_trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| (0x21..0x80).contains(byte)).map_or(0, |at| at + 1);
    &line[..end]
}

/// OpenSSL's line reader: at most 254 bytes at a time.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let limit = rest.len().min(254);
    let end = rest[..limit].iter().position(|byte| *byte == b'\n').map_or(limit, |at| at + 1);
    let (line, after) = rest.split_at(end);
    *rest = after;
    Some(line)
}

/// The first private key in a PEM file.
fn pem(bytes: &[u8]) -> Option<(KeyFormat, Content)> {
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    loop {
        let line = right_trimmed(next_line(&mut rest)?);
        let Some(name) = line.strip_prefix(b"-----BEGIN ").and_then(|name| name.strip_suffix(b"-----")) else {
            continue;
        };
        let format = std::str::from_utf8(name).ok().and_then(pem_format);
        let block = pem_block(&mut rest, name);
        if let Some(format) = format.filter(|format| format.is_private() && *format != KeyFormat::OpenSsh) {
            let (header, body) = block?;
            return private_pem(format, &header, &OPENSSL_BASE64.decode(&body).ok()?);
        }
    }
}

/// A PEM private key by its label, as OpenSSL's decoders take it.
fn private_pem(format: KeyFormat, header: &[String], data: &[u8]) -> Option<(KeyFormat, Content)> {
    match header {
        [] => {
            let content = content::read(format, data);
            if content.problem.is_some() && matches!(format, KeyFormat::Pkcs1 | KeyFormat::Sec1 | KeyFormat::Dsa) {
                // A label of a type may also stand before PKCS#8 of that type.
                let inner = content::read(KeyFormat::Pkcs8, data);
                let prefix = if format == KeyFormat::Pkcs1 { "ssh-rsa" } else { "ecdsa-" };
                if inner.blob.as_deref().and_then(public::algorithm).is_some_and(|name| name.starts_with(prefix)) {
                    return Some((KeyFormat::Pkcs8, inner));
                }
            }
            Some((format, content))
        }
        [proc_type, rest @ ..] if proc_type == "Proc-Type: 4,ENCRYPTED" && format.is_traditional() => {
            let dek_info = rest.iter().find_map(|line| line.strip_prefix("DEK-Info:"))?;
            Some((format, content::encrypted_pem(dek_info, data)))
        }
        _ => None,
    }
}

/// The lines between BEGIN and END: header lines and base64 text (`get_header_and_data`).
fn pem_block(rest: &mut &[u8], name: &[u8]) -> Option<(Vec<String>, Vec<u8>)> {
    #[derive(PartialEq)]
    enum At {
        Unknown,
        Header,
        Data,
    }
    let (mut at, mut before_blank, mut after_blank, mut short_seen, mut partial) =
        (At::Unknown, Vec::new(), Vec::new(), false, false);
    loop {
        let raw = next_line(rest)?;
        let was_partial = std::mem::replace(&mut partial, raw.len() == 254 && raw[253] != b'\n');
        if at == At::Unknown && raw.contains(&b':') {
            at = At::Header;
        }
        let line = right_trimmed(raw);
        if line.is_empty() {
            if !was_partial {
                if at == At::Data {
                    return None;
                }
                at = At::Data;
            }
            continue;
        }
        if let Some(end) = line.strip_prefix(b"-----END ") {
            if end.strip_prefix(name) != Some(b"-----") {
                return None;
            }
            break;
        }
        if short_seen {
            return None;
        }
        if at == At::Data {
            after_blank.push(line);
            if line.len() > 64 {
                return None;
            }
            short_seen = line.len() < 64;
        } else {
            before_blank.push(line);
        }
    }
    let text = |line: &&[u8]| String::from_utf8_lossy(line).into_owned();
    let (header, data) = match at {
        At::Unknown => (Vec::new(), before_blank),
        At::Data => (before_blank.iter().map(text).collect(), after_blank),
        At::Header => return None,
    };
    let data = data.concat().into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Some((header, data))
}

/// Whether PuTTY would read this file as a key: PPK from the first byte on. LF, CR LF and CR all
/// end a line there.
pub(super) fn putty(bytes: &[u8]) -> Option<Content> {
    let text = std::str::from_utf8(bytes).ok()?;
    ppk::version(text).filter(|version| (1..=3).contains(version))?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let exact = text
        .lines()
        .take_while(|line| !line.starts_with("Private-MAC"))
        .all(|line| line.starts_with("Comment:") || !(line.starts_with([' ', '\t']) || line.ends_with([' ', '\t'])));
    exact.then(|| ppk::read(&text))
}
