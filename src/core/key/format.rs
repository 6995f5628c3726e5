//! The lenient reader: finds the key in a file whatever was done to the file.
//!
//! It undoes encodings, finds the marker lines, takes the base64 text apart and notes every
//! [`Damage`] on the way. It must not judge whether a program would still load the file (`strict`
//! does) nor look inside the key (`content` does).

use super::damage::Damage;
use super::{KeyFormat, content, ppk, public};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Files above this are not read as keys (`MAX_KEY_FILE_SIZE` of OpenSSH).
pub(super) const MAX_BYTES: usize = 1024 * 1024;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file holds.
pub(super) enum Shape {
    /// Nothing but white space.
    Empty,
    /// A block between BEGIN and END lines.
    Block(Block),
    /// A PPK file, its lines cleaned.
    Ppk(String),
    /// A public key or OpenSSH certificate in one line.
    PublicLine(String),
    /// Something else, as text where it is text.
    Other(Vec<u8>),
}

/// A block between BEGIN and END lines.
pub(super) struct Block {
    /// What BEGIN names, such as `RSA PRIVATE KEY`.
    pub label: String,
    /// `Proc-Type` and `DEK-Info` of an encrypted traditional key.
    pub dek_info: Option<String>,
    /// The text of the body, for formats with header lines of their own.
    pub text: String,
    /// The decoded body.
    pub data: Vec<u8>,
}

/// A file, read.
pub(super) struct Reading {
    /// What it holds.
    pub shape: Shape,
    /// What is wrong with it.
    pub damage: Vec<Damage>,
}

/// The key format that a PEM label names.
pub(super) fn pem_format(label: &str) -> Option<KeyFormat> {
    Some(match label {
        "OPENSSH PRIVATE KEY" => KeyFormat::OpenSsh,
        "RSA PRIVATE KEY" => KeyFormat::Pkcs1,
        "PRIVATE KEY" => KeyFormat::Pkcs8,
        "ENCRYPTED PRIVATE KEY" => KeyFormat::Pkcs8Encrypted,
        "EC PRIVATE KEY" => KeyFormat::Sec1,
        "DSA PRIVATE KEY" => KeyFormat::Dsa,
        "PUBLIC KEY" | "RSA PUBLIC KEY" => KeyFormat::PublicSpki,
        "SSH2 PUBLIC KEY" => KeyFormat::PublicRfc4716,
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => KeyFormat::Certificate,
        _ => return None,
    })
}

/// The PEM label of a private-key format.
fn pem_label(format: KeyFormat) -> Option<&'static str> {
    Some(match format {
        KeyFormat::OpenSsh => "OPENSSH PRIVATE KEY",
        KeyFormat::Pkcs1 => "RSA PRIVATE KEY",
        KeyFormat::Pkcs8 => "PRIVATE KEY",
        KeyFormat::Pkcs8Encrypted => "ENCRYPTED PRIVATE KEY",
        KeyFormat::Sec1 => "EC PRIVATE KEY",
        KeyFormat::Dsa => "DSA PRIVATE KEY",
        _ => return None,
    })
}

/// Reads any bytes.
pub(super) fn read(bytes: &[u8]) -> Reading {
    let mut damage = Vec::new();
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let shape = read_into(bytes, &mut damage, true);
    damage.sort_unstable();
    damage.dedup();
    Reading { shape, damage }
}

fn read_into(bytes: &[u8], damage: &mut Vec<Damage>, outermost: bool) -> Shape {
    if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
        return Shape::Empty;
    }
    if bytes.first() == Some(&0x30)
        && let Some(format) = content::sniff(bytes)
        && let Some(label) = pem_label(format)
    {
        damage.push(Damage::Der);
        return Shape::Block(Block {
            label: label.to_owned(),
            dek_info: None,
            text: String::new(),
            data: bytes.to_vec(),
        });
    }
    let mut text = decode(bytes, damage);
    let start = text.trim_start().get(..64).unwrap_or(text.trim_start()).to_ascii_lowercase();
    if ["<!doctype", "<html", "<?xml", "<head", "<error"].iter().any(|tag| start.starts_with(tag)) {
        damage.push(Damage::Html);
        return Shape::Other(clean(&text));
    }
    if start.starts_with("{\\rtf") {
        damage.push(Damage::RichText);
    }
    if outermost && text.trim_start().starts_with("LS0t") {
        // "---" in base64.
        let inner: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if let Ok(inner) = LENIENT.decode(inner) {
            damage.push(Damage::Base64Wrapped);
            return read_into(&inner, damage, false);
        }
    }
    if text.contains("BEGIN ") && text.contains("\\n") && text.matches('\n').count() < 6 {
        damage.push(Damage::EscapedNewlines);
        text = text.replace("\\r", "").replace("\\n", "\n").replace("\\/", "/");
    }
    line_ends(&text, damage);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if text.contains(ppk::HEADER) {
        return read_ppk(&text, damage);
    }
    if let Some(block) = find_block(&text, damage) {
        return Shape::Block(block);
    }
    if let Some(line) = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
        && public::parse_line(line).is_some()
    {
        return Shape::PublicLine(line.to_owned());
    }
    if let Some(block) = without_begin(&text, damage) {
        return Shape::Block(block);
    }
    let strange = text.chars().filter(|c| c.is_control() && !c.is_whitespace() || *c == '\u{fffd}').count();
    if strange * 20 > text.len() {
        damage.push(Damage::Binary);
        return Shape::Other(bytes.to_vec());
    }
    Shape::Other(clean(&text))
}

/// Bytes to text: UTF-8 or UTF-16, with or without byte order mark.
fn decode(bytes: &[u8], damage: &mut Vec<Damage>) -> String {
    let utf16 = |bytes: &[u8], little: bool| {
        let units = bytes.chunks_exact(2).map(|pair| {
            if little { u16::from_le_bytes([pair[0], pair[1]]) } else { u16::from_be_bytes([pair[0], pair[1]]) }
        });
        char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect::<String>()
    };
    let zeros =
        |first: usize| bytes.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count() * 10 > bytes.len() * 4;
    let (text, wide) = match bytes {
        [0xff, 0xfe, rest @ ..] => (utf16(rest, true), true),
        [0xfe, 0xff, rest @ ..] => (utf16(rest, false), true),
        _ if zeros(1) => (utf16(bytes, true), true),
        _ if zeros(0) => (utf16(bytes, false), true),
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            damage.push(Damage::Bom);
            (String::from_utf8_lossy(rest).into_owned(), false)
        }
        _ => (String::from_utf8_lossy(bytes).into_owned(), false),
    };
    if wide {
        damage.push(Damage::Utf16);
    }
    text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned)
}

/// Notes what is unusual about line ends.
fn line_ends(text: &str, damage: &mut Vec<Damage>) {
    let windows = text.matches("\r\n").count();
    if windows > 0 {
        damage.push(Damage::Crlf);
    }
    if text.matches('\r').count() > windows {
        damage.push(Damage::Cr);
    }
    if !text.ends_with(['\n', '\r']) {
        damage.push(Damage::NoFinalNewline);
    }
    if text.lines().any(|line| line.trim_end_matches('\r').ends_with([' ', '\t']) && !line.starts_with("Comment:")) {
        damage.push(Damage::TrailingSpaces);
    }
}

/// Notes what comes before and after the key.
fn around(before: &str, after: &str, damage: &mut Vec<Damage>) {
    let (above, same_line) = before.rsplit_once('\n').unwrap_or(("", before));
    match above.trim() {
        "" if before.contains('\n') => damage.push(Damage::LeadingBlank),
        "" => {}
        _ => damage.push(Damage::LeadingText),
    }
    match same_line.trim() {
        "" if same_line.is_empty() => {}
        "" => damage.push(Damage::Indented),
        _ => damage.push(Damage::ForeignCharacters),
    }
    let (same_line, below) = after.split_once('\n').unwrap_or((after, ""));
    if !below.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty() {
        damage.push(Damage::TrailingText);
    }
    if !same_line.trim().is_empty() {
        damage.push(Damage::ForeignCharacters);
    }
}

/// A PPK file: everything from its header on, lines trimmed.
fn read_ppk(text: &str, damage: &mut Vec<Damage>) -> Shape {
    let (before, key) = text.split_at(text.find(ppk::HEADER).unwrap_or(0));
    around(before, "", damage);
    if key.lines().any(|line| line.starts_with([' ', '\t'])) {
        damage.push(Damage::Indented);
    }
    if key.trim_end().contains("\n\n") {
        damage.push(Damage::BlankLines);
    }
    let mut lines: Vec<&str> = Vec::new();
    for line in key.lines() {
        // The comment may end with a space, and the checksum covers it.
        let line = if line.trim_start().starts_with("Comment: ") { line.trim_start() } else { line.trim() };
        if line.is_empty() {
            continue;
        }
        lines.push(line);
        if line.starts_with("Private-MAC:") || line.starts_with("Private-Hash:") {
            break;
        }
    }
    Shape::Ppk(lines.join("\n") + "\n")
}

/// Where a marker is and what it says.
struct Marker<'a> {
    /// Where its hyphens begin.
    start: usize,
    /// Where its hyphens end.
    end: usize,
    /// What it names.
    label: &'a str,
    /// Whether it is exactly as it must be.
    exact: bool,
}

/// The next `BEGIN …` or `END …` at or after `from`, however damaged its hyphens are.
fn marker<'a>(text: &'a str, word: &str, from: usize) -> Option<Marker<'a>> {
    let dash = |c: char| matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let mut at = from;
    loop {
        let found = at + text.get(at..)?.find(word)?;
        let name = &text[found + word.len()..];
        let length =
            name.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ')).unwrap_or(name.len());
        let label = name[..length].trim();
        let left = text[..found].trim_end_matches(' ');
        let start = left.trim_end_matches(dash).len();
        let after = found + word.len() + length;
        let end = after + (text[after..].len() - text[after..].trim_start_matches(dash).len());
        // Base64 has no hyphens, so a word without any beside it is not a marker but chance or prose.
        if label.is_empty() || (start == left.len() && end == after) {
            at = found + word.len();
            continue;
        }
        let exact = if label.starts_with("SSH2 ") {
            text[start..].starts_with("---- ") && name[..length].ends_with(' ') && &text[after..end] == "----"
        } else {
            &text[start..found] == "-----" && &text[after..end] == "-----" && name[..length].len() == label.len()
        };
        return Some(Marker { start, end, label, exact });
    }
}

/// Finds the block that matters: the first private key, else the first of a known kind.
fn find_block(text: &str, damage: &mut Vec<Damage>) -> Option<Block> {
    let mut at = 0;
    let mut known = None;
    let mut begin = None;
    while let Some(found) = marker(text, "BEGIN ", at) {
        at = found.end;
        if found.label.ends_with("PRIVATE KEY") {
            begin = Some(found);
            break;
        }
        if known.is_none() && (pem_format(found.label).is_some() || found.exact) {
            known = Some(found);
        }
    }
    let begin = begin.or(known)?;
    let end = marker(text, "END ", begin.end);
    if !begin.exact || end.as_ref().is_some_and(|end| !end.exact || end.label != begin.label) {
        damage.push(Damage::BrokenMarker);
    }
    let (mut body, after) = if let Some(end) = &end {
        (&text[begin.end..end.start], &text[end.end..])
    } else {
        damage.push(Damage::NoEndLine);
        (&text[begin.end..], "")
    };
    around(&text[..begin.start], after, damage);
    layout(body, end.is_some(), damage);
    let mut dek_info = None;
    if let Some(found) = body.find("DEK-Info:") {
        let value = body[found + 9..].trim_start();
        let length = value.find(char::is_whitespace).unwrap_or(value.len());
        dek_info = Some(value[..length].to_owned());
        body = &value[length..];
    }
    let data =
        if pem_format(begin.label) == Some(KeyFormat::PublicRfc4716) { Vec::new() } else { base64_text(body, damage) };
    Some(Block { label: begin.label.to_owned(), dek_info, text: body.to_owned(), data })
}

/// Notes what is unusual about the lines between the markers.
fn layout(body: &str, has_end: bool, damage: &mut Vec<Damage>) {
    let (same_line, rest) = body.split_once('\n').unwrap_or((body, ""));
    let last = rest.rsplit('\n').next().unwrap_or_default();
    if !same_line.trim().is_empty() || (has_end && !last.trim().is_empty()) {
        damage.push(Damage::OneLine);
    }
    if rest.lines().any(|line| line.starts_with([' ', '\t'])) || (has_end && last.starts_with([' ', '\t'])) {
        damage.push(Damage::Indented);
    }
    let inner = match rest.split_once("DEK-Info:").and_then(|(_, after)| after.split_once("\n\n")) {
        Some((_, data)) => data,
        None => rest,
    };
    let blank = |line: &str| line.trim().is_empty();
    if inner.strip_suffix(last).unwrap_or(inner).lines().any(blank) {
        damage.push(Damage::BlankLines);
    }
}

/// Decodes base64 text and notes characters that do not belong there.
fn base64_text(body: &str, damage: &mut Vec<Damage>) -> Vec<u8> {
    let mut text = String::with_capacity(body.len());
    for c in body.chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' => text.push(c),
            '=' | '-' if text.is_empty() => damage.push(Damage::Corrupt),
            '=' | '-' => break,
            c if c.is_ascii_whitespace() => {}
            // What programs, mail and chat put around lines.
            '"' | '\'' | '`' | '\\' | ',' | ';' | '>' | '|' | '\0' => {
                damage.push(Damage::ForeignCharacters);
            }
            c if c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}') => {
                damage.push(Damage::ForeignCharacters);
            }
            _ => damage.push(Damage::Corrupt),
        }
    }
    if text.len() % 4 == 1 {
        text.pop();
        damage.push(Damage::Truncated);
    }
    LENIENT.decode(text).unwrap_or_default()
}

/// A key whose BEGIN line is lost: base64 text that begins as keys begin.
fn without_begin(text: &str, damage: &mut Vec<Damage>) -> Option<Block> {
    let start = text.trim_start();
    // 0x30, with which DER begins, is `M` in base64.
    if !start.starts_with('M') && !start.starts_with("b3BlbnNzaC1rZXktdjEA") {
        return None;
    }
    let end = marker(start, "END ", 0);
    let body = &start[..end.as_ref().map_or(start.len(), |end| end.start)];
    let mut noted = Vec::new();
    let data = base64_text(body, &mut noted);
    let label = pem_label(content::sniff(&data)?)?;
    damage.append(&mut noted);
    damage.push(Damage::NoBeginLine);
    if end.is_none() {
        damage.push(Damage::NoEndLine);
    }
    Some(Block { label: label.to_owned(), dek_info: None, text: body.to_owned(), data })
}

/// Text with LF line ends and a final one.
fn clean(text: &str) -> Vec<u8> {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    let mut out = lines.join("\n").replace(['\r', '\0'], "\n").into_bytes();
    out.push(b'\n');
    out
}

/// The format of a block: what its content is, else what its label says.
pub(super) fn block_format(block: &Block) -> KeyFormat {
    let labelled = pem_format(&block.label);
    if labelled.is_none_or(KeyFormat::is_private)
        && block.dek_info.is_none()
        && labelled
            .is_none_or(|format| matches!(content::read(format, &block.data).problem, Some(super::Problem::Bad(_))))
        && block.label.ends_with("PRIVATE KEY")
        && let Some(found) = content::sniff(&block.data)
    {
        return found;
    }
    labelled.unwrap_or(KeyFormat::Unknown)
}

/// The file as it should be: clean lines, the right label, a final line end.
pub(super) fn render(shape: &Shape) -> Vec<u8> {
    match shape {
        Shape::Empty => Vec::new(),
        Shape::Ppk(text) => text.clone().into_bytes(),
        Shape::PublicLine(line) => format!("{line}\n").into_bytes(),
        Shape::Other(bytes) => bytes.clone(),
        Shape::Block(block) => {
            let format = block_format(block);
            let label = pem_label(format).unwrap_or(&block.label);
            if format == KeyFormat::PublicRfc4716 {
                let text = String::from_utf8(clean(&block.text)).unwrap_or_default();
                return format!("---- BEGIN {label} ----\n{text}---- END {label} ----\n").into_bytes();
            }
            let mut out = format!("-----BEGIN {label}-----\n");
            if let Some(dek_info) = &block.dek_info {
                out.push_str("Proc-Type: 4,ENCRYPTED\nDEK-Info: ");
                out.push_str(dek_info);
                out.push_str("\n\n");
            }
            let width = if format == KeyFormat::OpenSsh { 70 } else { 64 };
            for chunk in STANDARD.encode(&block.data).as_bytes().chunks(width) {
                out.extend(chunk.iter().map(|byte| char::from(*byte)));
                out.push('\n');
            }
            out.push_str("-----END ");
            out.push_str(label);
            out.push_str("-----\n");
            out.into_bytes()
        }
    }
}
