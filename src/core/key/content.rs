//! The decoded content of private-key containers: openssh-key-v1, PKCS#1, PKCS#8, SEC1, DSA.
//!
//! It takes the public half and the little else that a report needs, and tells what OpenSSH would
//! reject. It must not decrypt anything and must not keep private numbers: only
//! [`Content::pkcs1`] carries some, to a digest and no further.

use super::der::{self, BIT_STRING, Der, OCTET_STRING, OID, SEQUENCE};
use super::wire::Wire;
use super::{KeyFormat, Problem, num, public};
use ssh_key::private::Ed25519Keypair;

/// 1.2.840.113549.1.1.1, rsaEncryption (RFC 8017).
pub(super) const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.3.101.112, Ed25519 (RFC 8410).
pub(super) const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.10045.2.1, id-ecPublicKey (RFC 5480).
pub(super) const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10040.4.1, DSA (RFC 3279).
const OID_DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
/// What openssh-key-v1 begins with (OpenSSH PROTOCOL.key).
pub(super) const V1_MAGIC: &[u8] = b"openssh-key-v1\0";
/// The smallest RSA key that OpenSSH loads (`SSH_RSA_MINIMUM_MODULUS_SIZE` in sshkey.h).
pub(super) const RSA_MIN_BITS: u32 = 1024;

/// What was found inside a container.
#[derive(Default)]
pub(super) struct Content {
    /// Whether the private half is encrypted.
    pub encrypted: bool,
    /// Public half as wire blob, where it can be known without a passphrase.
    pub blob: Option<Vec<u8>>,
    /// Comment, where the container has one in clear.
    pub comment: Option<String>,
    /// PKCS#1 DER of an RSA private key, for the one fingerprint that needs it.
    pub pkcs1: Option<Vec<u8>>,
    /// Why OpenSSH could not use it.
    pub problem: Option<Problem>,
}

impl Content {
    /// A container of which nothing but the fault is known.
    fn broken(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }
}

/// Reads the content of a container of this format.
pub(super) fn read(format: KeyFormat, data: &[u8]) -> Content {
    let result = match format {
        KeyFormat::OpenSsh => Ok(openssh_v1(data)),
        KeyFormat::Pkcs1 => pkcs1(data),
        KeyFormat::Pkcs8 => pkcs8(data),
        KeyFormat::Sec1 => sec1(data, None),
        KeyFormat::Dsa => dsa(data),
        KeyFormat::Pkcs8Encrypted => encrypted_pkcs8(data),
        _ => Err(Problem::Bad("it holds no private key")),
    };
    let mut content = result.unwrap_or_else(Content::broken);
    if content.problem.is_none()
        && let Some(blob) = &content.blob
        && public::algorithm(blob) == Some("ssh-rsa")
        && public::bits(blob).is_none_or(|bits| bits < RSA_MIN_BITS)
    {
        content.problem = Some(Problem::Unsupported("it is shorter than the 1024 bits that OpenSSH asks of RSA keys"));
    }
    content
}

/// The format that decoded bytes have, when they are a private key (possibly cut off).
pub(super) fn sniff(data: &[u8]) -> Option<KeyFormat> {
    if data.starts_with(V1_MAGIC) {
        return Some(KeyFormat::OpenSsh);
    }
    let fits = |format| match read(format, data).problem {
        None | Some(Problem::Unsupported(_)) => true,
        // A cut-off structure is at least long enough to have shown its kind.
        Some(Problem::Short) => data.len() > 64,
        Some(Problem::Bad(_)) => false,
    };
    let whole = |format| fits(format) && !matches!(read(format, data).problem, Some(Problem::Short));
    let formats = [KeyFormat::Pkcs8, KeyFormat::Pkcs8Encrypted, KeyFormat::Pkcs1, KeyFormat::Sec1, KeyFormat::Dsa];
    let order = formats.iter().copied();
    order.clone().find(|format| whole(*format)).or_else(|| {
        // The outer length is all that a cut-off DER key is sure to still have right: look inside it.
        let mut inner = Der::new(outer_of_cut(data)?);
        match (inner.element().ok()?.1, inner.peek()?) {
            ([0 | 1], SEQUENCE) => Some(KeyFormat::Pkcs8),
            ([0], der::INTEGER) => Some(KeyFormat::Pkcs1),
            ([1], OCTET_STRING) => Some(KeyFormat::Sec1),
            _ => None,
        }
    })
}

/// The content of an outer SEQUENCE that is longer than the data.
fn outer_of_cut(data: &[u8]) -> Option<&[u8]> {
    match data {
        [SEQUENCE, 0x82, _, _, inner @ ..] | [SEQUENCE, 0x81, _, inner @ ..] => Some(inner),
        [SEQUENCE, length, inner @ ..] if *length < 0x80 => Some(inner),
        _ => None,
    }
}

/// The AlgorithmIdentifier of RSA.
pub(super) fn rsa_algorithm() -> Vec<u8> {
    der::element(SEQUENCE, &[der::element(OID, OID_RSA), vec![5, 0]].concat())
}

/// SSH's name of a curve, by its OID (RFC 5656, section 10.1).
pub(super) fn curve(oid: &[u8]) -> Option<&'static str> {
    match oid {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => Some("nistp256"),
        [0x2b, 0x81, 0x04, 0x00, 0x22] => Some("nistp384"),
        [0x2b, 0x81, 0x04, 0x00, 0x23] => Some("nistp521"),
        _ => None,
    }
}

/// RSAPrivateKey (RFC 8017, appendix A.1.2).
fn pkcs1(data: &[u8]) -> Result<Content, Problem> {
    let mut outer = Der::new(data);
    let (tag, inner, whole) = outer.element()?;
    if tag != SEQUENCE {
        return Err(Problem::Bad("the structure inside is not that of an RSA key"));
    }
    let mut numbers = Der::new(inner);
    if numbers.unsigned()?.len() > 1 {
        return Err(Problem::Bad("the version number inside is not that of an RSA key"));
    }
    let (n, e) = (numbers.unsigned()?, numbers.unsigned()?);
    for _ in 0..6 {
        numbers.unsigned()?;
    }
    Ok(Content { blob: Some(public::rsa(n, e)), pkcs1: Some(whole.to_vec()), ..Content::default() })
}

/// PrivateKeyInfo and OneAsymmetricKey (RFC 5958).
fn pkcs8(data: &[u8]) -> Result<Content, Problem> {
    let mut info = Der::new(Der::new(data).expect(SEQUENCE)?);
    info.unsigned()?;
    let mut algorithm = Der::new(info.expect(SEQUENCE)?);
    let oid = algorithm.expect(OID)?;
    let key = info.expect(OCTET_STRING)?;
    match oid {
        OID_RSA => pkcs1(key),
        OID_EC => sec1(key, Some(algorithm.expect(OID)?)),
        OID_ED25519 => {
            let seed = Der::new(key).expect(OCTET_STRING)?;
            let seed: &[u8; 32] =
                seed.try_into().map_err(|_| Problem::Bad("the Ed25519 key inside has a wrong length"))?;
            let pair = Ed25519Keypair::from_seed(seed);
            Ok(Content { blob: Some(public::ed25519(pair.public.as_ref())), ..Content::default() })
        }
        OID_DSA => Err(Problem::Unsupported("DSA keys are no longer used in SSH")),
        _ => Err(Problem::Unsupported("its key type is not used in SSH")),
    }
}

/// ECPrivateKey (RFC 5915); the curve is outside when it is wrapped in PKCS#8.
fn sec1(data: &[u8], outer_curve: Option<&[u8]>) -> Result<Content, Problem> {
    let mut fields = Der::new(Der::new(data).expect(SEQUENCE)?);
    if fields.unsigned()? != [1] {
        return Err(Problem::Bad("the version number inside is not that of an EC key"));
    }
    fields.expect(OCTET_STRING)?;
    let (mut oid, mut point) = (outer_curve, None);
    while !fields.is_empty() {
        match fields.element()? {
            (0xa0, content, _) => oid = Some(Der::new(content).expect(OID)?),
            (0xa1, content, _) => point = Der::new(content).expect(BIT_STRING)?.strip_prefix(&[0]),
            _ => {}
        }
    }
    let name = curve(oid.unwrap_or_default()).ok_or(Problem::Unsupported("its curve is not used in SSH"))?;
    Ok(Content { blob: point.map(|point| public::ecdsa(name, point)), ..Content::default() })
}

/// DSA in OpenSSL's traditional form: 0, p, q, g, y, x.
fn dsa(data: &[u8]) -> Result<Content, Problem> {
    let mut numbers = Der::new(Der::new(data).expect(SEQUENCE)?);
    numbers.unsigned()?;
    let mut blob = Vec::new();
    super::wire::put_string(&mut blob, b"ssh-dss");
    for _ in 0..4 {
        super::wire::put_unsigned(&mut blob, numbers.unsigned()?);
    }
    numbers.unsigned()?;
    Ok(Content { blob: Some(blob), ..Content::default() })
}

/// EncryptedPrivateKeyInfo (RFC 5958, section 3).
fn encrypted_pkcs8(data: &[u8]) -> Result<Content, Problem> {
    let mut info = Der::new(Der::new(data).expect(SEQUENCE)?);
    Der::new(info.expect(SEQUENCE)?).expect(OID)?;
    info.expect(OCTET_STRING)?;
    Ok(Content { encrypted: true, ..Content::default() })
}

/// Encrypted traditional PEM (RFC 1421 headers): nothing is in clear but the length, which must be
/// whole cipher blocks.
pub(super) fn encrypted_pem(dek_info: &str, data: &[u8]) -> Content {
    let block = if dek_info.trim_start().starts_with("AES") { 16 } else { 8 };
    let whole = !data.is_empty() && data.len().is_multiple_of(block);
    Content { encrypted: true, problem: (!whole).then_some(Problem::Short), ..Content::default() }
}

/// openssh-key-v1 (OpenSSH PROTOCOL.key and `sshkey_parse_private2` in sshkey.c). The public half
/// is in clear and is given even when the rest is damaged.
fn openssh_v1(data: &[u8]) -> Content {
    let mut content = Content::default();
    content.problem = openssh_v1_into(data, &mut content).err();
    content
}

fn openssh_v1_into(data: &[u8], content: &mut Content) -> Result<(), Problem> {
    let mut wire = match data.strip_prefix(V1_MAGIC) {
        Some(rest) => Wire::new(rest),
        None if V1_MAGIC.starts_with(data) => return Err(Problem::Short),
        None => return Err(Problem::Bad("the content is not an OpenSSH key")),
    };
    let cipher = wire.text()?;
    let kdf = wire.text()?;
    wire.string()?;
    content.encrypted = cipher != "none";
    let (block, tag) = match cipher {
        "none" | "3des-cbc" => (8, 0),
        "aes128-cbc" | "aes192-cbc" | "aes256-cbc" | "aes128-ctr" | "aes192-ctr" | "aes256-ctr" => (16, 0),
        "rijndael-cbc@lysator.liu.se" => (16, 0),
        "aes128-gcm@openssh.com" | "aes256-gcm@openssh.com" => (16, 16),
        "chacha20-poly1305@openssh.com" => (8, 16),
        _ => {
            return Err(Problem::Bad("it is encrypted with a cipher that OpenSSH does not know"));
        }
    };
    if (kdf != "bcrypt" && kdf != "none") || (kdf == "none" && content.encrypted) {
        return Err(Problem::Bad("its passphrase is derived in a way that OpenSSH does not know"));
    }
    if wire.u32()? != 1 {
        return Err(Problem::Bad("it holds more than one key"));
    }
    let blob = wire.string()?;
    public::algorithm(blob).ok_or(Problem::Bad("the public half inside is unreadable"))?;
    content.blob = Some(blob.to_vec());
    let section = wire.string()?;
    if section.len() < block || !section.len().is_multiple_of(block) {
        return Err(Problem::Bad("the private half inside has a wrong length"));
    }
    match wire.rest().len() {
        left if left == tag => {}
        left if left < tag => return Err(Problem::Short),
        _ => return Err(Problem::Bad("there is more inside than one key")),
    }
    if content.encrypted { Ok(()) } else { private_section(section, blob, content) }
}

/// The private half in clear: check numbers, key, comment, padding 1, 2, 3, ….
#[expect(clippy::many_single_char_names, reason = "the names of RFC 8017")]
fn private_section(section: &[u8], blob: &[u8], content: &mut Content) -> Result<(), Problem> {
    const DAMAGED: Problem = Problem::Bad("the private half inside is damaged");
    const MISMATCH: Problem = Problem::Bad("the private half inside does not belong to the public half");
    let mut wire = Wire::new(section);
    if wire.u32()? != wire.u32()? {
        return Err(DAMAGED);
    }
    let inside = |short| {
        if short == Problem::Short { DAMAGED } else { short }
    };
    let name = wire.text().map_err(inside)?;
    let found = match name {
        "ssh-ed25519" => {
            let point = wire.string().map_err(inside)?;
            let pair = wire.string().map_err(inside)?;
            if point.len() != 32 || pair.len() != 64 {
                return Err(DAMAGED);
            }
            public::ed25519(point)
        }
        "ssh-rsa" => {
            let mut number = || wire.unsigned().map_err(inside);
            let (n, e, d, iqmp, p, q) = (number()?, number()?, number()?, number()?, number()?, number()?);
            content.pkcs1 = rebuild_pkcs1(n, e, d, p, q, iqmp);
            public::rsa(n, e)
        }
        "ssh-dss" => {
            let mut found = Vec::new();
            super::wire::put_string(&mut found, b"ssh-dss");
            for _ in 0..4 {
                super::wire::put_unsigned(&mut found, wire.unsigned().map_err(inside)?);
            }
            wire.unsigned().map_err(inside)?;
            found
        }
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
            let curve = wire.text().map_err(inside)?;
            let point = wire.string().map_err(inside)?;
            wire.unsigned().map_err(inside)?;
            public::ecdsa(curve, point)
        }
        // Keys of a hardware token have no private half here; their fields are not needed.
        "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com" => return Ok(()),
        _ => {
            return Err(Problem::Unsupported("its key type is not one that OpenSSH knows"));
        }
    };
    if found != blob {
        content.pkcs1 = None;
        return Err(MISMATCH);
    }
    content.comment = Some(wire.text().map_err(inside)?.to_owned()).filter(|comment| !comment.is_empty());
    if wire.rest().iter().zip(1_u8..=255).any(|(found, wanted)| *found != wanted) {
        return Err(DAMAGED);
    }
    Ok(())
}

/// The PKCS#1 structure from the numbers that OpenSSH's format and PPK keep, p and q in their order.
#[expect(clippy::many_single_char_names, reason = "the names of RFC 8017")]
pub(super) fn rebuild_pkcs1(n: &[u8], e: &[u8], d: &[u8], p: &[u8], q: &[u8], iqmp: &[u8]) -> Option<Vec<u8>> {
    let (dp, dq) = (num::rem_minus_one(d, p)?, num::rem_minus_one(d, q)?);
    let numbers = [&[][..], n, e, d, p, q, &dp, &dq, iqmp];
    Some(der::element(SEQUENCE, &numbers.iter().flat_map(|number| der::unsigned(number)).collect::<Vec<_>>()))
}
