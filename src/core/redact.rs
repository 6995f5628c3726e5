//! Takes secrets out of text before it is kept: console logs, log lines, recordings, reports.
//!
//! Works line by line, in time linear in the length. It removes what is surely a secret by its form (private keys, AWS
//! keys and tokens, bearer tokens) and what a line itself calls one (`password=…`). It may remove too much, and
//! cannot know a secret that looks like any other word. Public keys and fingerprints stay: they are what is compared.

pub mod collect;
pub mod hide;

use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What stands where a secret was.
pub const REMOVED: &str = "[removed]";

struct Patterns {
    whole: Vec<Regex>,
    named: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let build = |p: &str| Regex::new(p).expect("a constant pattern");
    Patterns {
        whole: [
            // IAM identifiers, "Unique ID prefixes": access keys of users and of sessions. The id is half of the secret.
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
            // JSON Web Tokens (RFC 7519) and bearer tokens (RFC 6750).
            r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
            r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{16,}=*",
            // Tokens whose issuers gave them a prefix.
            r"\bgh[pousr]_[A-Za-z0-9]{30,}\b",
            r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
            // crypt(5) hashes.
            r"\$(?:1|2[aby]|5|6|7|y|gy)\$[./A-Za-z0-9$=,]{20,}",
            // user:password@ in a URL.
            r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/@:]+:[^\s/@]+@",
        ]
        .iter()
        .map(|p| build(p))
        .collect(),
        named: build(
            r#"(?i)\b([a-z0-9_.-]*(?:passwd|password|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[a-z0-9_.-]*["']?\s*(?:=|:|\bis\b)\s*)("[^"]*"|'[^']*'|[^\s,;"'}]+)"#,
        ),
    }
});

/// The text without what is a secret by its form or its name.
pub fn secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        let begins = line.contains("-----BEGIN ") && line.contains("PRIVATE KEY");
        let ends = line.contains("-----END ") && line.contains("PRIVATE KEY");
        // PuTTY's private half has a heading and no end mark; its lines are bare base64 (PuTTY manual, appendix C).
        let putty = line.trim_start().starts_with("Private-Lines:");
        if begins || putty {
            in_key = true;
            out.push_str(REMOVED);
            out.push('\n');
        }
        if !in_key {
            out.push_str(&line_without(line));
        }
        if ends || (in_key && !begins && !putty && !looks_like_key_material(line)) {
            if !ends {
                out.push_str(&line_without(line));
            }
            in_key = false;
        }
    }
    out
}

/// The same for every text in a JSON value; names of fields stay.
pub fn json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = secrets(text),
        serde_json::Value::Array(all) => all.iter_mut().for_each(json),
        serde_json::Value::Object(all) => all.values_mut().for_each(json),
        _ => {}
    }
}

/// Base64 or the headers of an encrypted PEM body.
fn looks_like_key_material(line: &str) -> bool {
    // A console log puts a prefix such as `ec2: ` or a time in front of each line.
    let word = line.trim().rsplit(' ').next().unwrap_or_default();
    line.contains("Proc-Type:")
        || line.contains("DEK-Info:")
        || line.trim().is_empty()
        || (word.len() >= 16 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)))
        || (word.ends_with('=') && word.len() >= 4)
}

fn line_without(line: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(line);
    for pattern in &PATTERNS.whole {
        if pattern.is_match(&out) {
            out = Cow::Owned(pattern.replace_all(&out, REMOVED).into_owned());
        }
    }
    // "Password: " of a login prompt, and the options of ssh, name no secret.
    if PATTERNS.named.is_match(&out) {
        let replaced = PATTERNS.named.replace_all(&out, |found: &regex::Captures<'_>| {
            let value = &found[2];
            if is_harmless(value) { found[0].to_owned() } else { format!("{}{REMOVED}", &found[1]) }
        });
        out = Cow::Owned(replaced.into_owned());
    }
    out
}

/// Values that settings of that name have and that tell nothing.
fn is_harmless(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']).to_ascii_lowercase();
    value.is_empty()
        || value.starts_with(REMOVED)
        || value.starts_with('/')
        || [
            "yes",
            "no",
            "true",
            "false",
            "none",
            "null",
            "required",
            "optional",
            "for",
            "not",
            "denied",
            "expired",
            "set",
            "unset",
            "authentication",
            "publickey",
            "prohibit-password",
            "without-password",
            "failed",
            "changed",
        ]
        .contains(&value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn private_keys_go_and_what_stands_around_them_stays() {
        let text = "before\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7Zq1\nAbc=\n-----END RSA PRIVATE KEY-----\nafter\n";
        assert_eq!(secrets(text), "before\n[removed]\nafter\n");
        // Cut before its end: what is no key material any more is kept.
        let cut = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nlogin: ready\nmore\n";
        assert_eq!(secrets(cut), "[removed]\nlogin: ready\nmore\n");
        let ppk = "Public-Lines: 1\nAAAAC3NzaC1lZDI1NTE5AAAAI\nPrivate-Lines: 1\nAAAAIH1sZm9vYmFyYmF6cXV4\nPrivate-MAC: 00ff\n";
        assert!(secrets(ppk).contains("AAAAC3NzaC1lZDI1NTE5AAAAI"), "the public half stays");
        assert!(!secrets(ppk).contains("AAAAIH1sZm9vYmFyYmF6cXV4"));
    }

    #[test]
    fn what_a_line_calls_a_secret_goes() {
        for (line, kept) in [
            ("DB_PASSWORD=hunter2 HOST=db", "DB_PASSWORD=[removed] HOST=db"),
            ("{\"api_key\": \"abc123def\"}", "{\"api_key\": [removed]}"),
            ("root password is Xy-12345", "root password is [removed]"),
            ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [removed]"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key [removed] used"),
            ("curl https://bob:pw1@example.org/x", "curl [removed]example.org/x"),
            ("root:$6$saltsalt$0123456789abcdefghijABCDEFGHIJ:1:", "root:[removed]:1:"),
        ] {
            assert_eq!(secrets(line), kept);
        }
    }

    #[test]
    fn what_a_diagnosis_needs_stays() {
        for line in [
            "Permission denied (publickey,password).",
            "PasswordAuthentication no",
            "256 SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEFG root@ip-10-0-0-1 (ED25519)",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0a web",
            "Enter passphrase for key 'web.pem': ",
            "password: required",
            "Load key \"/home/a/web.pem\": bad permissions",
            "pam_unix(sshd:account): password for user web changed in 0 days",
            "ci-info: | ssh-rsa | ab:cd:ef | - | web |",
        ] {
            assert_eq!(secrets(line), line);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_a_second_time_changes_nothing(text in "\\PC{0,200}(\n\\PC{0,80}){0,5}") {
            let once = secrets(&text);
            prop_assert_eq!(secrets(&once), once);
        }
    }
}
