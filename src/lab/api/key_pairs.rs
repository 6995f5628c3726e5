//! Key pairs made and unmade: imported, created, deleted.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::ids::hex;
use crate::lab::keys::{Format, Pair};
use crate::lab::world::{ImportedPair, KeyPair, World};
use crate::lab::xml::Xml;

fn name<'a>(world: &World, params: &'a Params) -> Result<&'a str, Problem> {
    let name = params.required("KeyName")?;
    let taken = world.key_pairs.iter().any(|k| !k.deleted && k.pair.name == name)
        || world.imported.iter().any(|k| k.name == name);
    if taken {
        return Err(Problem::new("InvalidKeyPair.Duplicate", format!("The keypair already exists: {name}")));
    }
    if name.len() > 255 || !name.is_ascii() {
        return Err(Problem::new("InvalidParameterValue", format!("Value ({name}) for parameter KeyName is invalid.")));
    }
    Ok(name)
}

/// Takes over the tags of a request.
fn tag(world: &mut World, params: &Params, id: &str) {
    for spec in params.indices("TagSpecification") {
        for number in params.indices(&format!("TagSpecification.{spec}.Tag")) {
            let at = format!("TagSpecification.{spec}.Tag.{number}");
            let (key, value) = (params.get(&format!("{at}.Key")), params.get(&format!("{at}.Value")));
            if let Some(key) = key {
                let (key, value) = (key.to_owned(), value.unwrap_or_default().to_owned());
                world.tag(id, &key, &value);
            }
        }
    }
}

/// The SPKI form of an RSA public half (RFC 5280): EC2 shows its MD5 for imported ones.
fn spki(blob: &[u8]) -> Option<Vec<u8>> {
    let mut rest = blob;
    let mut part = || -> Option<Vec<u8>> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (content, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        rest = after;
        Some(content.to_vec())
    };
    (part()? == b"ssh-rsa").then_some(())?;
    let (e, n) = (part()?, part()?);
    let der = |tag: u8, content: &[u8]| -> Vec<u8> {
        let length = content.len();
        let mut out = match length {
            0..=0x7f => vec![tag, length as u8],
            0x80..=0xff => vec![tag, 0x81, length as u8],
            _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        out.extend_from_slice(content);
        out
    };
    let key = der(0x30, &[der(0x02, &n), der(0x02, &e)].concat());
    let kind = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    Some(der(0x30, &[&kind[..], &der(0x03, &[&[0][..], &key].concat())].concat()))
}

pub(super) fn import(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let name = name(world, params)?.to_owned();
    let bad = || Problem::new("InvalidKey.Format", "Key is not in valid OpenSSH public key format");
    let material = STANDARD.decode(params.required("PublicKeyMaterial")?).map_err(|_| bad())?;
    let text = String::from_utf8(material).map_err(|_| bad())?;
    let mut words = text.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let blob =
        STANDARD.decode(blob).ok().filter(|b| b.get(4..4 + kind.len()) == Some(kind.as_bytes())).ok_or_else(bad)?;
    let (kind, fingerprint) = match kind {
        "ssh-ed25519" => ("ed25519", STANDARD.encode(Sha256::digest(&blob))),
        "ssh-rsa" => {
            let digest = hex(&Md5::digest(spki(&blob).ok_or_else(bad)?));
            let pairs: Vec<&str> = (0..digest.len()).step_by(2).map(|at| &digest[at..at + 2]).collect();
            ("rsa", pairs.join(":"))
        }
        _ => return Err(bad()),
    };
    if dry {
        return Err(Problem::dry_run());
    }
    let id = world.fresh_id("key");
    tag(world, params, &id);
    xml.put("keyName", &name).put("keyFingerprint", &fingerprint).put("keyPairId", &id);
    write_tags(world, &id, xml);
    let line = format!("{} {name}", text.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    world.imported.push(ImportedPair { id, name, line, fingerprint, kind, created: SystemTime::now() });
    Ok(())
}

pub(super) fn create(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let name = name(world, params)?.to_owned();
    let failed = |reason: String| Problem::new("InternalError", reason);
    let mut pair = match params.get("KeyType") {
        // The account has two RSA keys, and gives out the one that fewer know.
        None | Some("rsa") => Pair::rsa(&name, true).map_err(failed)?,
        Some("ed25519") => Pair::ed25519(world.seed, &format!("{name} {}", world.key_pairs.len())).map_err(failed)?,
        Some(other) => {
            return Err(Problem::new("InvalidParameterValue", format!("Invalid value '{other}' for keyType.")));
        }
    };
    pair.name.clone_from(&name);
    let format = if params.get("KeyFormat") == Some("ppk") { Format::Ppk } else { Format::Pem };
    let material = pair.file(format).map_err(failed)?;
    if dry {
        return Err(Problem::dry_run());
    }
    let id = world.fresh_id("key");
    tag(world, params, &id);
    xml.put("keyName", &name)
        .put("keyFingerprint", pair.fingerprint())
        .put("keyMaterial", material)
        .put("keyPairId", &id);
    write_tags(world, &id, xml);
    world.key_pairs.push(KeyPair { id, pair, created: SystemTime::now(), deleted: false });
    Ok(())
}

pub(super) fn delete(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    if dry {
        return Err(Problem::dry_run());
    }
    let (name, id) = (params.get("KeyName"), params.get("KeyPairId"));
    if name.is_none() && id.is_none() {
        return Err(Problem::new("MissingParameter", "The request must contain the parameter KeyName or KeyPairId"));
    }
    // Deleting what is not there is no error.
    let is_it = |n: &str, i: &str| name.is_none_or(|name| name == n) && id.is_none_or(|id| id == i);
    world.key_pairs.iter_mut().filter(|k| is_it(&k.pair.name, &k.id)).for_each(|k| k.deleted = true);
    world.imported.retain(|k| !is_it(&k.name, &k.id));
    xml.put("return", true);
    Ok(())
}
