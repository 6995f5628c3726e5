//! Root causes that a client's text, or sshd's log in it, proves by its words alone.
//!
//! Only what the words say: "permission denied" has a dozen causes and so names none. Must not
//! weigh anything against the world; checks do that. Used by `ssh.rs`.

use super::Extract;
use super::flat::Flat;

/// Words that prove a cause whatever the symptom is: sshd's log, and messages with one meaning.
const WORDS: &[(&str, &str)] = &[
    // sshd's log.
    ("not allowed because account is locked", "account-locked"),
    ("not allowed because /etc/nologin exists", "nologin-file"),
    ("not allowed because shell * does not exist", "shell-missing"),
    ("not allowed because shell * is not executable", "shell-missing"),
    ("not allowed because not listed in allowusers", "sshd-allow-deny"),
    ("not allowed because listed in denyusers", "sshd-allow-deny"),
    ("groups are listed in allowgroups", "sshd-allow-deny"),
    ("group is listed in denygroups", "sshd-allow-deny"),
    ("not allowed because not in any group", "sshd-allow-deny"),
    ("root login refused", "root-login-refused"),
    ("signature algorithm ssh-rsa not in pubkeyaccepted", "sha1-signature-refused"),
    ("key type ssh-rsa not in pubkeyaccepted", "sha1-signature-refused"),
    ("no mutual signature", "sha1-signature-refused"),
    ("refusing rsa key: invalid key length", "key-type-unsupported"),
    ("with correct key but not from a permitted host", "authkeys-from-restriction"),
    ("authorized keys * is not a regular file", "authkeys-not-file"),
    ("bad ownership or modes for file *authorized_keys", "authkeys-perms"),
    ("bad ownership or modes for directory *.ssh", "ssh-dir-perms"),
    ("past maxstartups", "maxstartups"),
    ("exceeded maxstartups", "maxstartups"),
    ("beginning maxstartups throttling", "maxstartups"),
    ("drop connection #*maxstartups", "maxstartups"),
    ("drop connection #*penalty:", "persource-penalty"),
    ("not allowed at this time", "persource-penalty"),
    ("refused connect from", "hosts-deny"),
    ("no hostkeys available -- exiting", "hostkeys-missing"),
    ("missing privilege separation directory", "privsep-dir"),
    ("bind to port * failed: address already in use", "port-in-use"),
    ("permissions * for '/etc/ssh/ssh_host_", "hostkeys-perms"),
    ("unsafe authorizedkeyscommand", "akc-broken"),
    ("could not stat authorizedkeyscommand", "akc-broken"),
    ("pam_faillock(sshd:auth): consecutive login failures", "pam-denies"),
    ("pam_sss(sshd:account): access denied", "pam-denies"),
    // Clients.
    ("too many authentication failures", "too-many-agent-keys"),
    ("maximum authentication attempts exceeded", "too-many-agent-keys"),
    ("agent refused operation", "agent-sign-failed"),
    ("agent admitted failure to sign", "agent-sign-failed"),
    ("key file contains public key only", "key-file-is-public"),
    ("contains public key only", "key-file-is-public"),
    ("putty key format too new", "ppk-version-too-new"),
    ("openssh ssh-2 private key (old pem format)", "key-format-pem-with-putty"),
    ("openssh ssh-2 private key (new format)", "key-format-pem-with-putty"),
    ("contains private key in openssh format", "key-format-pem-with-putty"),
    ("contains key in openssh", "key-format-pem-with-putty"),
    ("mindterm", "obsolete-client"),
    ("required by our configuration but remote only provides", "non-ssh-service-on-port"),
    ("client_loop: send disconnect", "session-idle-dropped"),
    ("packet_write_wait: connection to", "session-idle-dropped"),
    ("timed out due to inactivity", "session-idle-dropped"),
    ("control socket connect(*): connection refused", "stale-control-socket"),
    // AWS.
    ("sessionmanagerplugin is not found", "ssm-plugin-missing"),
    ("(targetnotconnected)", "ssm-not-registered"),
    ("targetnotconnected:", "ssm-not-registered"),
    ("(invalidinstanceid.notfound)", "wrong-region-or-account"),
    ("explicit deny in a service control policy", "scp-or-boundary-deny"),
    ("explicit deny in a resource control policy", "scp-or-boundary-deny"),
    ("explicit deny in a permissions boundary", "scp-or-boundary-deny"),
    ("no permissions boundary allows", "scp-or-boundary-deny"),
    ("no service control policy allows", "scp-or-boundary-deny"),
    ("signature expired:", "clock-skew"),
    ("signature not yet current", "clock-skew"),
    ("requesttimetooskewed", "clock-skew"),
    ("is not yet current", "clock-skew"),
    ("requestlimitexceeded", "api-throttled"),
    ("throttlingexception", "api-throttled"),
    ("rate exceeded", "api-throttled"),
    ("could not connect to the endpoint url", "api-endpoint-unreachable"),
    ("connect timeout on endpoint url", "api-endpoint-unreachable"),
    ("no available instance connect endpoints", "eice-missing"),
    ("instance connect endpoint not found", "eice-missing"),
    ("serialconsoleaccessdisabled", "serial-console-disabled"),
    ("not authorized to use the ec2 serial console", "serial-console-disabled"),
    ("ec2instancetypeinvalid", "serial-console-unsupported-type"),
    ("ec2instancestateinvalid", "instance-not-running"),
    ("password not available yet", "windows-password-not-ready"),
];

/// Root causes that the text itself proves, the surest first, without repetition.
pub fn proven(flat: &Flat, symptom: &str, extract: &Extract) -> Vec<&'static str> {
    let mut out: Vec<&'static str> = Vec::new();
    if let Some(cause) = by_symptom(flat, symptom, extract) {
        out.push(cause);
    }
    if symptom != "success" {
        for (words, cause) in WORDS {
            if !out.contains(cause) && said(flat, words) && !contradicts(symptom, cause) {
                out.push(cause);
            }
        }
    }
    out
}

/// Whether a program says so: not a debug line, and not the person's own sentence.
fn said(flat: &Flat, words: &str) -> bool {
    flat.find(words, 4).into_iter().any(|pos| !flat.is_debug(pos) || flat.line_at(pos).contains("no mutual signature"))
}

/// A cause of an earlier attempt that the deciding message rules out.
fn contradicts(symptom: &str, cause: &str) -> bool {
    match cause {
        "session-idle-dropped" => symptom != "session_dropped",
        "too-many-agent-keys" => symptom != "too_many_failures",
        // A client that is gone may have met anything on its way.
        "hostkeys-perms" | "obsolete-client" => false,
        // What proves that packets arrived speaks against nothing here.
        _ => {
            matches!(symptom, "timeout" | "no_route" | "dns_failure" | "connection_refused")
                && !matches!(cause, "sshd-config-invalid" | "hostkeys-missing" | "privsep-dir" | "port-in-use")
        }
    }
}

fn by_symptom(flat: &Flat, symptom: &str, extract: &Extract) -> Option<&'static str> {
    let has = |words: &str| !flat.find(words, 1).is_empty();
    Some(match symptom {
        "unprotected_key" if flat.contains("try removing permissions for user") => "key-acl-open-windows",
        "unprotected_key" if flat.contains("/etc/ssh/ssh_host_") => "hostkeys-perms",
        "unprotected_key" if extract.key_mode.is_none() && has("permissions for '*' are too open") => {
            "key-acl-open-windows"
        }
        "unprotected_key" => "key-perms-open",
        "key_file_missing" => "key-file-missing",
        "passphrase_needed" => "key-passphrase-needed",
        "ssm_plugin_missing" => "ssm-plugin-missing",
        "wrong_login_user" => "wrong-user-name",
        "not_ssh_server" => "non-ssh-service-on-port",
        "config_error" => "ssh-config-invalid",
        "agent_error" if has("signing failed") || has("refused operation") || has("declined to sign") => {
            "agent-sign-failed"
        }
        "agent_error" => "agent-unavailable",
        "booting_nologin" => "nologin-file",
        "permission_denied" if has("load key*: permission denied") => "key-unreadable-owner",
        "permission_denied" if extract.methods.as_ref().is_some_and(Vec::is_empty) => "pubkey-disabled",
        "permission_denied" if lacks_publickey(extract) => "pubkey-disabled",
        "account_locked_or_expired" if has("account has expired") || has("account is expired") => "account-expired",
        "account_locked_or_expired" if has("account is locked") => "account-locked",
        "account_locked_or_expired" if has("password") => "password-change-forced",
        "shell_or_home_missing" if has("currently not available") => "shell-nologin",
        "shell_or_home_missing" if has("could not chdir to home directory") => "home-not-mounted",
        "invalid_key_format" if is_ppk(extract) && has("load key") => "key-format-ppk-with-openssh",
        "algorithm_mismatch" if has("no mutual signature") => "sha1-signature-refused",
        "algorithm_mismatch" if names_algorithms(flat) => "crypto-mismatch",
        "proxy_failure" if has("unknown port 65535") || has("stdio forwarding failed") => "proxyjump-broken",
        "aws_credentials" if has("not authorized to perform: ssm:startsession") => "ssm-caller-denied",
        "aws_credentials" if flat.contains("signature expired") => "clock-skew",
        "aws_credentials" if is_denied(flat) => "iam-denied-read",
        "aws_credentials" => "credentials-missing-or-expired",
        _ => return None,
    })
}

/// The server's list of methods is known and has no public keys in it.
fn lacks_publickey(extract: &Extract) -> bool {
    extract.methods.as_ref().is_some_and(|m| !m.iter().any(|m| m.starts_with("publickey") || m == "none"))
}

fn is_ppk(extract: &Extract) -> bool {
    extract.key_path.as_ref().is_some_and(|k| k.to_ascii_lowercase().ends_with(".ppk"))
}

/// The message lists what was offered, so it is about algorithms and not about a bad signature.
fn names_algorithms(flat: &Flat) -> bool {
    ["no matching ", "unable to negotiate with", "couldn't agree", "no common", "no compatible", "could not settle on"]
        .iter()
        .any(|w| flat.contains(w))
}

fn is_denied(flat: &Flat) -> bool {
    ["unauthorizedoperation", "(accessdenied", "not authorized to perform", "explicit deny"]
        .iter()
        .any(|w| flat.contains(w))
}
