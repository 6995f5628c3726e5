//! What an error is about whose class or constant is all that a program prints.
//!
//! `ssh2.exceptions.SocketDisconnectError` has no sentence behind it, but its name is one. A name is
//! taken apart at its humps and underscores and told by two words of it. It ranks below every
//! sentence and must not look into source code or stack frames. Used by `ssh.rs`.

use super::flat::Flat;
use super::loose::Guess;

/// Words of a name: one of the first and one of the second, none of the third.
struct Name {
    symptom: &'static str,
    also: &'static [&'static str],
    about: &'static str,
    trouble: &'static str,
    unless: &'static str,
}

const ENDS: &str = "error|exception|timeout|timedout|timed out|failure|failed|fault|refused|reset|closed|lost|denied|\
                    rejected|mismatch|unknown|unreachable|disconnect|disconnected|invalid|missing|not found|expired|eof|\
                    unverified|unsupported|required|changed";

/// Words with which a name of an error may begin, if it ends with none of the above.
const STARTS: &str =
    "invalid|unknown|unable|failed|missing|unsupported|untrusted|incompatible|no common|no matching|no supported";

/// In order: the first that fits decides.
const NAMES: &[Name] = &[
    name("too_many_failures", &["permission_denied"], "too many", "auth|attempt|login|tries", ""),
    name(
        "host_key_changed",
        &["host_key_unknown"],
        "host key|hostkey|known host|fingerprint",
        "mismatch|changed|differ|bad host|conflict|revoked",
        "algorithm",
    ),
    name(
        "host_key_unknown",
        &["host_key_changed"],
        "host key|hostkey|known host|knownhost|server key|fingerprint",
        "unknown|not found|missing|untrusted|not trusted|verif|reject|invalid|validation|check|error|not accepted",
        "algorithm",
    ),
    name(
        "agent_error",
        &["permission_denied"],
        "ssh agent|auth agent|agent|pageant",
        "error|fail|not|missing|refus|lock",
        "user agent",
    ),
    name(
        "proxy_failure",
        &["timeout", "connection_refused"],
        "proxy|jump host|bastion|socks",
        "error|fail|exception|refus|timeout",
        "",
    ),
    name(
        "passphrase_needed",
        &["invalid_key_format"],
        "passphrase|key encrypted|encrypted key|key decrypt|decrypt key|key password",
        "error|exception|required|missing|invalid|wrong|incorrect|need|fail|encrypted|bad",
        "",
    ),
    name(
        "key_file_missing",
        &["invalid_key_format"],
        "key file|private key|identity file|ssh key|pem file|key",
        "not found|missing|not exist|no such",
        "host|public|api|access|primary|foreign|map|index|cache",
    ),
    name(
        "invalid_key_format",
        &["passphrase_needed", "key_file_missing"],
        "private key|key file|key format|ssh key|pem|key pars|key load|key decod|key import|invalid key|bad key",
        "invalid|format|pars|load|decod|corrupt|malformed|unsupported|bad|import|error|exception",
        "host|public|api|access|exchange",
    ),
    name(
        "algorithm_mismatch",
        &["connection_reset", "other"],
        "algorithm|algo|cipher|kex|key exchange|negotiation|hmac|key type",
        "mismatch|no common|no match|not match|unsupported|not support|incompatible|fail|error|exception",
        "timeout",
    ),
    name(
        "session_dropped",
        &["connection_reset", "timeout"],
        "keepalive|keep alive|idle|inactiv|heartbeat",
        "timeout|time out|timed out|lost|fail|error|expired",
        "",
    ),
    name(
        "banner_timeout",
        &["timeout"],
        "banner|handshake|kex|key exchange|version exchange|negotiation|identification",
        "timeout|time out|timed out|timedout",
        "",
    ),
    name(
        "timeout",
        &["banner_timeout", "other"],
        "connect|ssh|socket|host|dial|network|net",
        "timeout|time out|timed out|timedout",
        "command|read|http|query|job|lock",
    ),
    name("connection_refused", &[], "connect|host|socket", "refused", ""),
    name("no_route", &[], "host|network|net|route", "unreachable|no route|not reachable", ""),
    name(
        "dns_failure",
        &[],
        "unknown host|host not found|host lookup|name resolution|resolve|resolution|dns|hostname",
        "error|exception|fail|unknown|not found|lookup",
        "dependency|module|key|conflict|symbol",
    ),
    name(
        "permission_denied",
        &["no_supported_auth", "refused_key"],
        "authentication|authorization|authenticate|auth|userauth|login|public key|publickey|credential",
        "error|exception|fail|denied|rejected|refused|invalid|incorrect|exhausted|unauthorized",
        "http|aws|oauth|token|sts|authority|author ",
    ),
    name(
        "not_ssh_server",
        &["connection_reset", "algorithm_mismatch"],
        "banner|protocol version|version string|identification|ident string|ssh version|protocol identification",
        "error|exception|invalid|mismatch|unsupported|incompatible|bad|fail|missing",
        "",
    ),
    name(
        "connection_reset",
        &["session_dropped", "banner_timeout", "other"],
        "connect|socket|transport|session|peer|remote|server|ssh|channel",
        "disconnect|closed|reset|lost|eof|abort|dropped|hangup|hung up|terminated|broken",
        "by user|by application|http|database|sql",
    ),
];

const fn name(
    symptom: &'static str,
    also: &'static [&'static str],
    about: &'static str,
    trouble: &'static str,
    unless: &'static str,
) -> Name {
    Name { symptom, also, about, trouble, unless }
}

/// What the names of errors say that stand alone or before a message, on lines that `keep` lets
/// through.
pub fn guesses(flat: &Flat, keep: impl Fn(usize, &str) -> bool) -> Vec<Guess> {
    let mut out = Vec::new();
    for (pos, line) in flat.lines() {
        if line.len() > 1000 || !keep(pos, line) {
            continue;
        }
        let words = line.split([' ', '(', ')', '"', '\'', ',', '[', ']', '<', '>', '{', '}']);
        let lower = line.to_ascii_lowercase();
        let failed = ["error", "exception", "failed", "reason", "fatal"].iter().any(|w| lower.contains(w));
        let told = |word: &str| {
            // `connectTimeout: 5000` is a setting, `connectTimeout(10 s)` and `error connectTimeout` are errors.
            let small = word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains('.');
            !small || failed || line.strip_prefix(word).is_some_and(|rest| rest.starts_with('('))
        };
        let found = words.filter(|w| told(w)).filter_map(spelled).find_map(|t| NAMES.iter().find(|n| n.fits(&t)));
        if let Some(found) = found {
            out.push(Guess { symptom: found.symptom, also: found.also, pos });
        }
    }
    out
}

impl Name {
    fn fits(&self, text: &str) -> bool {
        let any = |words: &str| words.split('|').any(|w| !w.is_empty() && text.contains(w));
        any(self.about) && any(self.trouble) && !any(self.unless)
    }
}

/// The words of a name such as `Net::SSH::ConnectionTimeout` or `SSH_KEX_FAILURE`, in lower case;
/// `None` for what is no name of an error.
fn spelled(word: &str) -> Option<String> {
    let word = word.trim_end_matches([':', '.', ';', '!']);
    // `ConnectTimeout=5` is an option, `code=KEX_FAILED` an error.
    let word = match word.rsplit_once('=') {
        Some((key, value))
            if ["err", "code", "reason", "type", "exception"].iter().any(|k| key.to_ascii_lowercase().ends_with(k))
                || key.ends_with("error") =>
        {
            value
        }
        _ => word,
    };
    if word.len() > 120 || word.contains(['/', '\\', '@']) {
        return None;
    }
    let mut last = word.rsplit([':', '.', '#', '$']).next()?;
    // `ssh.Error` and `Disconnected` alone say too little; their module helps them.
    if last.len() < 12 && word.len() > last.len() {
        last = word;
    }
    let capitals = last.chars().filter(char::is_ascii_uppercase).count();
    let humps = capitals + usize::from(last.starts_with(|c: char| c.is_ascii_lowercase())) + last.matches('_').count();
    if last.len() < 8
        || humps < 1 + usize::from(!last.contains('.'))
        || !last.chars().all(|c| c.is_ascii_alphanumeric() || "_.:#$-".contains(c))
    {
        return None;
    }
    let shouted = capitals == last.chars().filter(char::is_ascii_alphabetic).count();
    if shouted && !last.contains('_') {
        return None;
    }
    let mut out = String::with_capacity(last.len() + 8);
    let bytes = last.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| bytes[i]);
        let starts = byte.is_ascii_uppercase()
            && !shouted
            && (before.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                || before.is_some_and(|b| b.is_ascii_uppercase())
                    && bytes.get(i + 1).is_some_and(u8::is_ascii_lowercase));
        if (starts || !byte.is_ascii_alphanumeric()) && !out.ends_with(' ') {
            out.push(' ');
        }
        if byte.is_ascii_alphanumeric() {
            out.push(byte.to_ascii_lowercase().into());
        }
    }
    let fits = ENDS.split('|').any(|end| out.ends_with(end))
        || STARTS.split('|').any(|start| out.trim_start_matches("err ").starts_with(start));
    fits.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<&'static str> {
        guesses(&Flat::both(line).0, |_, _| true).first().map(|g| g.symptom)
    }

    #[test]
    fn names_are_sentences() {
        assert_eq!(spelled("Net::SSH::ConnectionTimeout").as_deref(), Some("connection timeout"));
        assert_eq!(spelled("SSHAuthError:").as_deref(), Some("ssh auth error"));
        assert_eq!(told("ssh2.exceptions.SocketDisconnectError"), Some("connection_reset"));
        assert_eq!(told("Unhandled exception: SSHHostKeyMismatchException"), Some("host_key_changed"));
        assert_eq!(told("error=SSH_KEX_FAILED"), Some("algorithm_mismatch"));
    }

    #[test]
    fn other_names_say_nothing() {
        for line in [
            "ValueError: x",
            "raise KeyError",
            "NullPointerException",
            "java.lang.IllegalStateException",
            "ECONNREFUSED",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }
}
