//! Recognises client output: which message decides, who printed it, what it names.
//!
//! The most specific message wins (rank), among equals the last one; a login that worked makes the
//! failures before it history. Debug lines of `ssh -v` only decide if nothing else does.

use super::command_line::{self, command_line as find_command};
use super::elsewhere::Others;
use super::flat::Flat;
use super::tables::{CLIENTS, groups};
use super::{Kind, Recognised, address, causes, explain, extract, login, loose, names, probe};
use std::collections::{HashMap, HashSet};

/// A message that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    pub symptom: &'static str,
    pub rank: u8,
    pub pos: usize,
    pub also: &'static [&'static str],
}

/// Who speaks on a line.
#[derive(Clone, Copy)]
enum Voice {
    /// A client's chatter, or what was typed: decides nothing.
    Noise,
    Debug,
    /// The person who asks.
    Prose,
    Message,
}

impl Voice {
    fn of(flat: &Flat, pos: usize) -> Self {
        let line = flat.line_at(pos);
        if is_noise(line) {
            Self::Noise
        } else if flat.is_debug(pos) {
            Self::Debug
        } else if is_prose(line) {
            Self::Prose
        } else {
            Self::Message
        }
    }
}

/// A rank that a debug line keeps: below every message proper.
const DEBUG_RANK: u8 = 25;
/// What a person's own sentence keeps: it tells of a message, it is none.
const PROSE_RANK: u8 = 36;
/// What a line keeps that only says what it is about, in words that no table knows.
const LOOSE_RANK: u8 = 38;
/// What the bare name of an error keeps: a sentence says more.
const NAME_RANK: u8 = 37;
/// The same of a person's own sentence.
const LOOSE_PROSE_RANK: u8 = 32;
/// Hits of one pattern that are kept, besides the last.
const MOST: usize = 6;

pub fn recognise(text: &str) -> Recognised {
    let (flat, parted) = Flat::of_client(text);
    let command = find_command(text);
    let others = Others::of(&flat, is_aside);
    let mut hits = find(&flat, &others);
    let mut source = &flat;
    if let Some(other) = &parted {
        let theirs = find(other, &Others::of(other, is_aside));
        let best = |h: &[Hit]| h.iter().map(|h| h.rank).max().unwrap_or(0);
        if best(&theirs) > best(&hits) {
            hits = theirs;
            source = other;
        }
    }
    let (symptom, also, evidence) = decide(source, hits);
    let ours = |pos: usize| !others.speak(pos) && !probe::is_elsewhere(flat.line_at(pos));
    let mut extract = extract::from_message(&flat, ours);
    extract::narrow(&mut extract, symptom);
    extract::key_of_evidence(&mut extract, symptom, &evidence);
    extract::from_command(&mut extract, command.as_ref());
    address::fill(&flat, symptom, &evidence, &mut extract);
    // The serial console's gateway is another host, with other keys.
    let command = if extract::through_serial_gateway(&mut extract) { None } else { command };
    let login_user_hint = extract::login_hint(&flat);
    Recognised {
        kind: Kind::Ssh,
        symptom: symptom.to_owned(),
        also,
        client: client(&flat, text).to_owned(),
        explanation: explain::ssh(symptom).to_owned(),
        causes: causes::proven(&flat, symptom, &extract).into_iter().map(str::to_owned).collect(),
        extract,
        login_user_hint,
        command,
        host_keys: Vec::new(),
        console_user: None,
        console_key_fingerprints: Vec::new(),
        evidence,
        host_public_keys: Vec::new(),
        os_name: None,
        client_version: extract::client_version(&flat),
    }
}

/// A line that no program says about this login: chatter, or the person's own words.
fn is_aside(line: &str) -> bool {
    is_prose(line) || is_noise(line)
}

fn find(flat: &Flat, others: &Others) -> Vec<Hit> {
    let mut hits = Vec::new();
    // What kind of line each one is, asked once: a line may hold many hits.
    let mut kinds: HashMap<usize, Voice> = HashMap::new();
    let foreign = probe::foreign_lines(flat);
    let is_foreign = |pos: usize| !foreign.is_empty() && foreign.contains(&flat.line_bounds(pos).0);
    for group in groups() {
        for rule in group.rules {
            for pos in flat.find(rule.pattern, MOST) {
                let voice = *kinds.entry(flat.line_index(pos)).or_insert_with(|| Voice::of(flat, pos));
                let rank = match voice {
                    Voice::Noise => continue,
                    _ if is_foreign(pos) => continue,
                    _ if OF_A_PORT.contains(&group.symptom) && probe::is_elsewhere(flat.line_at(pos)) => continue,
                    Voice::Debug if !rule.pattern.starts_with("debug1:") => rule.rank.min(DEBUG_RANK),
                    Voice::Prose => rule.rank.min(PROSE_RANK),
                    Voice::Debug | Voice::Message => rule.rank,
                };
                hits.push(Hit { symptom: group.symptom, rank, pos, also: rule.also });
            }
        }
    }
    special(flat, &mut hits);
    probe::hits(flat, &mut hits);
    login::hits(flat, &mut hits);
    hits.retain(|h| !others.rule_out(h.symptom, flat.line_bounds(h.pos).0));
    let source = source_lines(flat);
    let told = |pos: usize, line: &str| {
        !is_noise(line)
            && !is_code(line)
            && !source.contains(&pos)
            && !foreign.contains(&pos)
            && !others.speak(pos)
            && !probe::is_elsewhere(line)
    };
    let in_handshake = flat.lines().any(|(pos, line)| source.contains(&pos) && line.contains("handshake"));
    for guess in names::guesses(flat, told) {
        let (symptom, also): (_, &[&str]) = match guess.symptom {
            "timeout" if in_handshake => ("banner_timeout", &["timeout"]),
            symptom => (symptom, guess.also),
        };
        hits.push(Hit { symptom, rank: NAME_RANK, pos: guess.pos, also });
    }
    let only_prose = flat.lines().all(|(_, line)| line.is_empty() || is_prose(line) || !line.contains([':', '(', '$']));
    for guess in loose::guesses(flat, told) {
        let line = flat.line_at(guess.pos);
        let prose = is_prose(line);
        // "I cannot log in" is no message of any program.
        let vague = guess.symptom == "permission_denied"
            && !["uthentic", "enied", "認証", "拒否"].iter().any(|w| line.contains(w));
        if prose && (vague || !only_prose) {
            continue;
        }
        let rank = if prose { LOOSE_PROSE_RANK } else { LOOSE_RANK };
        hits.push(Hit { symptom: guess.symptom, rank, pos: guess.pos, also: guess.also });
    }
    hits
}

/// Lines of a client's chatter, and command lines: their words decide nothing.
fn is_noise(line: &str) -> bool {
    const NOISE: &[&str] = &[
        "ssh_strict_fopen:",
        "Control socket connect(",
        "Got some output, clearing connection timeout",
        "Running script with connection command",
        "Failed to add the host to the list of known hosts",
        "hostfile_replace_entries",
        "update_known_hosts:",
        "No Kerberos credentials available",
        "dbclient: Failed to connect to agent",
        "Failed to connect to bus:",
        "Failed to get D-Bus connection",
        "Cannot connect to the Docker daemon",
        "docker:",
        "mysql:",
        "mysqldump:",
        "pg_dump:",
        "mount.nfs",
        "mount:",
        "Err:",
        "W: ",
        "Could not connect to Redis",
        "ERROR 2002",
        "ERROR 1045",
        "fatal: unable to access 'http",
        "WARNING: Retrying (Retry(",
        "** WARNING: connection is not using a post-quantum",
        "** This session may",
        "** The server may need",
        "WARNING: connection is not using a post-quantum",
        "debug1: identity file",
        "debug1: Reading configuration data",
        "debug1: load_hostkeys:",
        "debug1: hostkeys_find_by_key",
        "setsockopt ",
        "sudo: unable to resolve host",
        "psql:",
        "nginx:",
        "npm ERR!",
        "npm error",
        "kubectl:",
        "certbot:",
        "ERROR 2003",
        "E: ",
        // ssh-keygen and puttygen make a key: nothing was opened.
        "Generating public/private",
        "Enter passphrase (empty",
        "Enter same passphrase",
        "Enter new passphrase",
        "Enter passphrase to save key",
        "Re-enter passphrase",
        "Passphrases do not match",
        "Key has comment",
        "Your identification has been saved",
        "Your public key has been saved",
        "The key fingerprint is",
        "The key's randomart",
        "パスフレーズを入力してください (空",
        "同じパスフレーズを",
    ];
    NOISE.iter().any(|n| line.starts_with(n))
        || line.starts_with("File \"")
        || line.starts_with("class ") && line.ends_with([':', '{'])
        || line.contains("(using password: ")
        || line.contains("(empty for no passphrase)")
        || line.contains("inverse host lookup failed")
        || line.contains("Is borg working on the server") && line.starts_with("Connection")
        || (line.starts_with("debug")
            && (line.contains("Applying options") || line.contains("matched no files") || line.contains(": include ")))
        || command_line::is_typed(line)
}

/// Lines of debug output, stack traces and quoted source: they name things that did not go wrong.
fn is_code(line: &str) -> bool {
    const STARTS: &[&str] = &[
        "debug",
        "DEBUG",
        "at ",
        "File \"",
        "from /",
        "raise ",
        "return ",
        "throw ",
        "await ",
        "self.",
        "#",
        "//",
        "*",
        "class ",
        "def ",
        "except ",
        "catch ",
        "} catch",
        "import ",
        "const ",
        "let ",
        "var ",
        "func ",
        "fn ",
        "public class ",
    ];
    STARTS.iter().any(|s| line.starts_with(s))
        || line.ends_with(['{', '(', ';', '^'])
        || (line.starts_with("[20") && line.contains("] ssh_"))
}

/// Where the lines begin that a Python traceback quotes from a source file.
fn source_lines(flat: &Flat) -> HashSet<usize> {
    let mut quoted = HashSet::new();
    let mut frame = false;
    for (pos, line) in flat.lines() {
        if frame && !is_raised(line) {
            quoted.insert(pos);
        }
        frame = line.starts_with("File \"") && line.contains(", line ");
    }
    quoted
}

/// `package.SomeError: message` or the name alone: what a traceback ends with. A frame of compiled code
/// has no source line between.
fn is_raised(line: &str) -> bool {
    let name = line.split_once(": ").map_or(line, |(name, _)| name).trim_end_matches(':');
    let named = name.contains('.') || ["Error", "Exception", "Timeout"].iter().any(|e| name.ends_with(e));
    named && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')
}

/// A sentence of the person who asks. Programs do not say "I" or "my", nor ask for help.
fn is_prose(line: &str) -> bool {
    const STARTS: &[&str] = &[
        "Hi ",
        "Hi,",
        "Hello",
        "Hey ",
        "Trying to",
        "Tried ",
        "Getting ",
        "Got ",
        "When ",
        "After ",
        "Since ",
        "Why ",
        "How ",
        "Any idea",
        "Anyone",
        "Has anyone",
        "Can someone",
        "Can anyone",
        "Yesterday",
        "Today",
        "Thanks",
        "Our ",
        "We are ",
        "We have ",
        "Now ",
        "Followed ",
    ];
    const WORDS: &[&str] =
        &["I", "I'm", "I've", "I'd", "My", "my", "me", "yesterday", "anyone", "somebody", "colleague", "coworker"];
    const JAPANESE: &[&str] = &[
        "のですが",
        "んですが",
        "ようとすると",
        "ようとしたところ",
        "したところ",
        "困って",
        "教えて",
        "どうすれば",
        "でしょうか",
        "エラーが出",
        "エラーになり",
        "と表示され",
        "と言われ",
        "お願いします",
        "つながりません",
        "繋がりません",
        "繋がらない",
        "つながらない",
        "できなくなりました",
        "昨日",
        "わかりません",
    ];
    if line.contains(": ") && !line.ends_with(['?', '。']) {
        return false;
    }
    STARTS.iter().any(|s| line.starts_with(s))
        || line.split([' ', ',', '.', '(']).any(|w| WORDS.contains(&w))
        || (line.ends_with('?') && line.contains(' ') && !is_program_question(line))
        || JAPANESE.iter().any(|w| line.contains(w))
}

/// Messages that need more than a pattern.
fn special(flat: &Flat, hits: &mut Vec<Hit>) {
    for (pos, methods) in extract::denials(flat) {
        let also: &[&str] = if methods.is_empty() { &["no_supported_auth"] } else { &[] };
        hits.push(Hit { symptom: "permission_denied", rank: 66, pos, also });
    }
    for pos in flat.find("error reading ssh protocol banner", MOST) {
        // Paramiko says the same words for silence and for a closed connection; what it caught
        // stands before.
        let before = &flat.lower[..pos];
        let silent = ["timeouterror", "socket.timeout", "queue.empty", "timed out"].iter().any(|w| before.contains(w));
        let closed = flat.contains("eoferror") || flat.contains("connection reset") || flat.contains("forcibly closed");
        let (symptom, also): (_, &[&str]) = match (silent, closed) {
            (_, true) => ("connection_reset", &["banner_timeout"]),
            (true, false) => ("banner_timeout", &["timeout", "connection_reset"]),
            (false, false) => ("banner_timeout", &["connection_reset", "timeout"]),
        };
        hits.push(Hit { symptom, rank: 80, pos, also });
    }
    let mut prompts = flat.find("enter passphrase for", MOST);
    prompts.retain(|pos| !is_noise(flat.line_at(*pos)));
    if let (Some(pos), true) = (prompts.last(), prompts.len() > 1) {
        // Asked again: what was typed did not open the key.
        let also = &["permission_denied"];
        hits.push(Hit { symptom: "passphrase_needed", rank: 70, pos: *pos, also });
    }
    for pos in flat.find("load key*permission denied", MOST) {
        let also = &["key_file_missing", "unprotected_key", "invalid_key_format"];
        hits.push(Hit { symptom: "permission_denied", rank: 67, pos, also });
    }
    if let Some((pos, _)) = flat.lines().find(|(_, line)| line.starts_with("sftp>")) {
        hits.push(Hit { symptom: "success", rank: 48, pos, also: &[] });
    }
    if let Some((pos, _)) = flat.lines().last().filter(|(_, line)| is_idle_prompt(line)) {
        hits.push(Hit { symptom: "success", rank: 44, pos, also: &[] });
    }
    if let Some((pos, _)) = flat.lines().find(|(_, line)| command_line::is_remote_desktop(line)) {
        hits.push(Hit { symptom: "rdp_error", rank: 81, pos, also: &[] });
    }
    if let Some(hit) = hangs(flat) {
        hits.push(hit);
    }
    // The guest's own prompt, over the line to the serial console: only passwords count there.
    if flat.contains("login incorrect")
        && let Some(pos) = flat.find("serial-console.ec2-instance-connect.", 1).first()
    {
        hits.push(Hit { symptom: "eic_error", rank: 90, pos: *pos, also: &["permission_denied"] });
    }
    for (pos, symptom) in extract::printed_into_protocol(flat) {
        hits.push(Hit { symptom, rank: 90, pos, also: &["other"] });
    }
}

/// The prompt of a shell on an instance of EC2, with nothing typed behind it.
fn is_idle_prompt(line: &str) -> bool {
    let Some((head, _)) = line.strip_suffix(['$', '#']).and_then(|l| l.split_once("@ip-")) else { return false };
    head.trim_start_matches('[').chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) && line.len() < 80
}

/// A question that a program asks, not a person.
fn is_program_question(line: &str) -> bool {
    const ASKED: &[&str] =
        &["Do you", "Are you sure", "Would you", "Continue", "Update", "Store", "Accept", "Trust", "(y/n)", "yes/no"];
    ASKED.iter().any(|w| line.contains(w))
}

/// Where a debug log stops, if the client was still waiting then.
fn hangs(flat: &Flat) -> Option<Hit> {
    let (pos, last) = flat.lines().filter(|(_, line)| line.starts_with("debug1: ")).last()?;
    let hit = |symptom, also| Some(Hit { symptom, rank: DEBUG_RANK + 5, pos, also });
    if last.starts_with("debug1: Connecting to ") || last.starts_with("debug1: connect to address") {
        hit("timeout", &["other"])
    } else if last.starts_with("debug1: Connection established") || last.starts_with("debug1: Local version string") {
        hit("banner_timeout", &["timeout"])
    } else if last.contains("expecting SSH2_MSG_KEX") || last.ends_with("SSH2_MSG_KEXINIT sent") {
        hit("banner_timeout", &["timeout", "other"])
    } else {
        None
    }
}

/// Troubles of the way to one port: of another service's they tell nothing.
const OF_A_PORT: &[&str] = &["timeout", "connection_refused", "no_route", "connection_reset"];

/// Failures that a later successful login makes history.
const BEFORE_LOGIN: &[&str] = &[
    "timeout",
    "connection_refused",
    "connection_reset",
    "no_route",
    "dns_failure",
    "banner_timeout",
    "host_key_unknown",
    "permission_denied",
    "refused_key",
    "no_supported_auth",
    "too_many_failures",
    "passphrase_needed",
    "agent_error",
    "key_file_missing",
    "invalid_key_format",
];

fn decide(flat: &Flat, mut hits: Vec<Hit>) -> (&'static str, Vec<String>, Vec<String>) {
    let login = hits.iter().filter(|h| h.symptom == "success" && h.rank >= 45).map(|h| h.pos).max();
    if let Some(login) = login {
        hits.retain(|h| h.pos >= login || !BEFORE_LOGIN.contains(&h.symptom));
        let inside = hits.iter().any(|h| h.symptom == "success" && h.rank >= 50 && !flat.is_debug(h.pos));
        for hit in
            hits.iter_mut().filter(|h| inside && h.pos > login && matches!(h.symptom, "connection_reset" | "timeout"))
        {
            hit.also = if hit.symptom == "timeout" { &["timeout"] } else { &["connection_reset"] };
            hit.symptom = "session_dropped";
        }
    }
    drop_consequences(flat, &mut hits);
    let Some(best) = hits.iter().max_by_key(|h| (h.rank, h.pos)).cloned() else {
        return ("other", Vec::new(), Vec::new());
    };
    let mut also: Vec<String> = Vec::new();
    let equals = hits.iter().filter(|h| h.rank == best.rank && h.symptom != best.symptom).map(|h| h.symptom);
    for id in best.also.iter().copied().chain(equals) {
        if id != best.symptom && !also.iter().any(|a| a == id) {
            also.push(id.to_owned());
        }
    }
    let mut evidence: Vec<String> = Vec::new();
    let mut places: Vec<&Hit> = hits.iter().filter(|h| h.symptom == best.symptom && h.rank + 8 >= best.rank).collect();
    places.sort_by_key(|h| (std::cmp::Reverse(h.rank), h.pos));
    for hit in places {
        // The reason of a denial stands at the end of a long line; the encoded message after it tells nobody anything.
        let line = flat.line_at(hit.pos).split("Encoded authorization failure").next().unwrap_or_default().trim_end();
        let line = super::super::text::shorten(line, 600);
        if !evidence.contains(&line) && evidence.len() < 3 {
            evidence.push(line);
        }
    }
    (best.symptom, also, evidence)
}

/// A program around ssh that says that the connection is gone, after ssh said why.
fn drop_consequences(flat: &Flat, hits: &mut Vec<Hit>) {
    let refused = |h: &&Hit| matches!(h.symptom, "permission_denied" | "too_many_failures") && h.rank >= 60;
    let Some(cause) = hits.iter().filter(refused).map(|h| h.pos).min() else { return };
    hits.retain(|h| {
        let line = flat.line_at(h.pos);
        h.symptom != "connection_reset" || h.pos < cause || line.contains(" port ") || line.contains("xchange_")
    });
}

/// The program: by the words that only it uses, else by the command that was typed. ssh's words come
/// out of many programs that run it, so the command says more than they.
fn client(flat: &Flat, text: &str) -> &'static str {
    let named = CLIENTS.iter().find(|(pattern, _)| !flat.find(pattern, 1).is_empty()).map(|(_, name)| *name);
    let typed = || command_line::typed_program(text);
    match named {
        None => typed().unwrap_or("unknown"),
        Some(generic @ ("openssh" | "putty" | "telnet" | "plink")) => typed().unwrap_or(generic),
        Some(name) => name,
    }
}
