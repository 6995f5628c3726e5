//! Reads user, host, port, key file, file mode and methods off a message.
//!
//! Only what the text names: a wrong value is worse than none, so every pattern is tied to the words
//! of a program. The message counts more than the command line that was pasted with it.

use super::flat::Flat;
use super::probe::KEY_FILE;
use super::{Extract, SshCommand};
use regex::Regex;
use std::sync::{LazyLock, OnceLock};

/// Authentication methods of RFC 4252, RFC 4256, RFC 4462 and OpenSSH.
const METHODS: &[&str] = &[
    "publickey",
    "password",
    "keyboard-interactive",
    "hostbased",
    "gssapi-keyex",
    "gssapi-with-mic",
    "gssapi",
    "none",
    "publickey-hostbound-v00@openssh.com",
    "external-keyx",
    "s/key",
    "challenge-response",
    "otp",
    "keyboard-interactive/pam",
];

/// Named groups: user, host, port, key, mode, methods. Earlier ones count more; of several matches
/// of one pattern the last.
const PATTERNS: &[&str] = &[
    // OpenSSH: what failed, and where.
    r#"(?P<user>[^\s@:"'(\[>=]+)@(?P<host>[0-9A-Za-z_.:%\[\]-]+?): [Pp]ermission denied"#,
    r"\((?P<user>[^\s@()]+)@(?P<host>[^\s()]+)\) [A-Z][\w ]{0,30}:",
    r"(?P<user>[^\s@:(\[>]+)@(?P<host>[0-9A-Za-z_.:%-]+)'s password:",
    r"connect to host (?P<host>\S+) port (?P<port>\d+)",
    r"(?:Could not|Couldn't) resolve hostname (?P<host>[^\s:]+)",
    r"Unable to negotiate with (?P<host>\S+) port (?P<port>\d+)",
    r"Unable to negotiate with (?P<host>[0-9A-Za-z_.-]+): no matching",
    r"Connection (?:closed|reset|timed out) (?:by|to) (?:(?:authenticating|invalid) user (?P<user>\S+) )?(?P<host>\S+) port (?P<port>\d+)",
    r"Connection to (?P<host>\S+) port (?P<port>\d+)",
    r"[Rr]eceived disconnect from (?P<host>\S+) port (?P<port>\d+)",
    r"Disconnected from (?:(?:authenticating|invalid) user (?P<user>\S+) )?(?P<host>\S+) port (?P<port>\d+)",
    r"Disconnecting (?:(?:authenticating|invalid) user (?P<user>\S+) )?(?P<host>\S+) port (?P<port>\d+)",
    r"Timeout, server (?P<host>\S+) not responding",
    r"Read from remote host (?P<host>\S+?):",
    r"[Hh]ost key for (?P<host>\S+) has changed and you have requested",
    r"No \S+ host key is known for (?P<host>\S+) and you have",
    r"authenticity of host '(?P<host>[^\s']+)",
    r"[Cc]onnection to (?P<host>\S+) (?:port \d+ )?closed(?: by remote host)?\.",
    r"Authenticated to (?P<host>\S+) \(\[[^\]]*\]:(?P<port>\d+)\)",
    r"Authenticating to (?P<host>\S+):(?P<port>\d+) as '(?P<user>[^']+)'",
    r"debug1: Connecting to (?P<host>\S+) (?:\[[^\]]*\] )?port (?P<port>\d+)",
    r"connect to address (?P<host>\S+) port (?P<port>\d+)",
    // PuTTY and its kin.
    r#"Using username "(?P<user>[^"]+)""#,
    r"(?:^| )login as: (?P<user>[A-Za-z_][\w.-]*)",
    r"(?:^| )(?P<host>[0-9A-Za-z_.:-]+) \(port (?P<port>\d+)\)",
    r#"Looking up host "(?P<host>[^"]+)""#,
    r"Failed to connect to (?P<host>[0-9A-Za-z_.:-]+): ",
    r"Connecting to (?P<host>[0-9A-Za-z_.:-]+) port (?P<port>\d+)",
    r#"Connection to "(?P<host>[^"]+)" (?:timed out|refused)"#,
    r#"[Hh]ost "(?P<host>[^"\s]+)" (?:does not exist|not found)"#,
    r"dbclient: Connection to (?P<user>[^\s@]+)@(?P<host>[^\s:]+|[0-9a-fA-F:]+):(?P<port>\d+) exited",
    r"host key mismatch for (?P<host>\S+) ",
    r#"[Uu]nable to (?:use|load)(?: private)? key file "(?P<key>[^"]+)""#,
    r#"(?:Authenticating to|Connecting to) "(?P<host>[^"]+)"(?: port |:)"(?P<port>\d+)"(?: as "(?P<user>[^"]+)")?"#,
    r"Could not connect to '(?P<host>[^']+)' \(port (?P<port>\d+)\)",
    r#"No route to host "(?P<host>[^"\s]+)""#,
    r"Connecting to (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)\.\.\.",
    r"Resolving address of (?P<host>[0-9A-Za-z_.-]+)",
    r#"サーバ"(?P<host>[^"]+)"のエントリ"#,
    r"Host '(?P<host>[^']+)' is not in the trusted hosts file",
    r"database for (?P<host>[0-9A-Za-z_.-]+) \([^)]*\), port (?P<port>\d+)",
    r"Login to (?P<host>[0-9A-Za-z_.-]+) failed",
    // Key files.
    r"on file (?P<key>[^\s,]+\.(?:pem|key|ppk))\b",
    r"[Pp]rivate key file '(?P<key>[^']+)'",
    r"Could not find file '(?P<key>[^']+)'",
    r"rb_sysopen - (?P<key>\S+)",
    r#"(?:Failed to read key|[Ee]rror loading key) "(?P<key>[^"]+)""#,
    r"open (?P<key>[^\s:]*[/\\][^\s:]+): no such file",
    r"Error reading private key (?P<key>\S+?):",
    r"PKeyFileError: File (?P<key>\S+) does not exist",
    r"Bad passphrase, try again for (?P<key>\S+?): ",
    r"failed to open ID file '(?P<key>[^']+?)(?:\.pub)?'",
    r#"Permissions (?P<mode>0?\d{3,4}) for (?:'(?P<key>[^']+)'|"(?P<key2>[^"]+)") are too open"#,
    r#"Permissions for (?:'(?P<key>[^']+)'|"(?P<key2>[^"]+)") are too open"#,
    r"Identity file (?P<key>.+?) not accessible",
    r"no such identity: (?P<key>.+?): No such file",
    r#"Load key "(?P<key>[^"]+)": "#,
    r"Enter passphrase for key '(?P<key>[^']+)'",
    r#"Passphrase for key "(?P<key>[^"]*[/\\.][^"]*)""#,
    r"ENOENT: no such file or directory, open '(?P<key>[^']+)'",
    r"FileNotFoundException: (?P<key>\S.*?) \(",
    r"(?:\[Errno 2\]|FileNotFoundError:.*?) No such file or directory: '(?P<key>[^']+)'",
    r"open (?P<key>\S+\.(?:pem|key|ppk)): (?:no such file|The system cannot find)",
    r"Server accepts key: (?P<key>\S+)",
    // Libraries.
    r"problem while connecting to (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)",
    r"parse key (?P<key>\S+): ",
    r"for `(?P<host>[^`]+)` on port (?P<port>\d+)",
    r"Opening SSH connection to (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)\.",
    r"Future\[(?P<user>[^\s@\]]+)@\S*?/(?P<host>[0-9A-Za-z_.:-]+?):(?P<port>\d+)\]",
    r"Cannot connect to (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)\. Error",
    r"Unable to connect to (?P<host>[0-9A-Za-z_.-]+) on port (?P<port>\d+)",
    r"Unable to connect to host: (?P<host>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)+)",
    r"Authentication failed for (?P<user>\S+) using (?:public key|password)",
    r"Exception while executing as (?P<user>[^\s@]+)@(?P<host>[0-9A-Za-z_.-]+):",
    r#"fingerprint \S+ (?:does not match|is unknown) for "(?P<host>[^"\s,]+)"#,
    r"Timeout when waiting for (?:search string .{1,40}? in )?(?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)",
    r"Timeout connecting to (?P<host>[0-9A-Za-z_.-]+)",
    r"'(?:Unknown host %s - %s|Error connecting to host '?%s:%s'? - [^']*)', '(?P<host>[^']+)'(?:, (?P<port>\d+))?",
    r"Failed to authenticate as (?P<user>[^\s.]+)",
    r"SSH address: (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)",
    r"SSH username: (?P<user>\S+)",
    r"connect to ssh server (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)",
    r"with the server for user (?P<user>\S+) failed",
    r"connect to (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)(?:[: ,.]|$)",
    r"authentication failed \((?P<user>[^\s@()]+)@(?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)\)",
    r"remote-exec\): Host: (?P<host>\S+)",
    r"remote-exec\): User: (?P<user>\S+)",
    r"for user (?P<user>\S+) on host (?P<host>[0-9A-Za-z_.:-]+)",
    r"Host key is not trusted for host (?P<host>\S+)",
    r"Server '(?P<host>[^']+)' not found in known_hosts",
    r"Host key for server '?(?P<host>[^\s']+)'? does not match",
    r"HostKey has been changed: (?P<host>\S+)",
    r"UnknownHostKey: (?P<host>\S+?)\. ",
    r"reject HostKey: (?P<host>\S+)",
    r"UnknownHostException: (?P<host>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)+)",
    r"Unable to connect to port (?P<port>\d+) on (?P<host>[0-9A-Za-z_.:-]+)",
    r"connect E[A-Z]+ (?P<host>[0-9A-Za-z_.:-]+?):(?P<port>\d+)",
    r"getaddrinfo E\w+ (?P<host>[0-9A-Za-z_.-]+)",
    r"lookup (?P<host>[0-9A-Za-z_.-]+)(?: on \S+)?: (?:no such host|i/o timeout|server misbehaving|Temporary)",
    r"dial tcp \[?(?P<host>[0-9A-Za-z_.:-]+?)\]?:(?P<port>\d+): ",
    r"dial tcp \*+:(?P<port>\d+): ",
    r"->\[?(?P<host>[0-9A-Za-z_.:-]+?)\]?:(?P<port>\d+): ",
    r#"connect\(2\) for "?(?P<host>[0-9A-Za-z_.:-]+?)"?(?::| port )(?P<port>\d+)"#,
    r"Connect call failed \('(?P<host>[^']+)', (?P<port>\d+)",
    r"Attempting SSH connection to (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)",
    r"- Host: (?P<host>\S+)",
    r"- Port: (?P<port>\d+)",
    r"- Username: (?P<user>\S+)",
    r#"- Key Path: \["(?P<key>[^"]+)"\]"#,
    r"SSH for '(?P<user>[^'@\s]+)@(?P<host>[^'\s:]+):(?P<port>\d+)'",
    r"Error connecting to (?P<host>[0-9A-Za-z_.-]+), reason",
    r#"to remote host "(?P<host>[0-9A-Za-z_.-]+)"\. Make sure"#,
    r"Authentication failed for user (?P<user>[^\s@]+)@(?P<host>[0-9A-Za-z_.-]+)",
    r"ホスト (?P<host>[0-9A-Za-z_.:-]+) ポート (?P<port>\d+)",
    r"gateway (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+) :",
    r"Device settings: \S+ (?P<host>[0-9A-Za-z_.-]+):(?P<port>\d+)",
    r"not resolvable in DNS: (?P<host>[0-9A-Za-z_.-]+)(?::(?P<port>\d+))?",
    r"[Ff]ailed to resolve (?:host ?name|host|address) '?(?P<host>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)+)",
    r"[Cc]ould not resolve IP address for (?P<host>[0-9A-Za-z_.-]+)",
    r"(?:key_file|keyfile|private_key(?:_file|_path)?|identity_file)['\x22]?[:=] ?['\x22]?(?P<key>[^\s'\x22,]*[/\\][^\s'\x22,]+)",
    r"(?:import|load|read|open|parse|find)(?:ing)? (?:the )?(?:SSH )?private key(?: file)?:? '?(?P<key>[^\s',:]*[/\\][^\s',:]+)",
    r"(?:key ?file|private key file|identity file):? '(?P<key>[^']*[/\\][^']*)'",
    // Tools.
    r"connect to (?P<host>[0-9A-Za-z_.:-]+) port (?P<port>\d+)",
    r"Failed to connect to (?P<host>[0-9A-Za-z_.:-]+) port (?P<port>\d+)",
    r"Trying \[?(?P<host>[0-9A-Fa-f.:]+?)\]?:(?P<port>\d+)\.\.\.",
    r"Trying (?P<host>[0-9A-Za-z_.:-]+?)\.\.\.",
    r"Could not resolve host: (?P<host>[0-9A-Za-z_.-]+)",
    r"Connecting To (?P<host>[0-9A-Za-z_.-]+?)\.\.\.",
    r"TCP connect to \(?(?P<host>[0-9A-Za-z_.-]+) ?: ?(?P<port>\d+)\)? failed",
    r"ComputerName ?: (?P<host>[0-9A-Za-z_.-]+)",
    r"RemotePort ?: (?P<port>\d+)",
    r"/dev/tcp/(?P<host>[0-9A-Za-z_.-]+)/(?P<port>\d+)",
    r"\[(?P<host>[0-9.]+)\] (?P<port>\d+) \(ssh\)",
    r"Connection to (?P<host>[0-9A-Za-z_.-]+) (?P<port>\d+) port \[tcp",
    r"failed: connect to (?P<host>[0-9A-Za-z_.-]+)",
    r"ERROR: (?P<host>[0-9A-Za-z_.-]+): unable to connect",
    r#"RDP server "?(?P<host>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)+)"?"#,
    r#"find the computer "(?P<host>[^"]+?)"#,
    r"Remote computer: (?P<host>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)+)",
    r"freerdp_tcp_default_connect: failed to connect to (?P<host>[0-9A-Za-z_.-]+)",
    r"ping: (?:unknown host|bad address) '?(?P<host>[0-9A-Za-z_.-]+)'?",
    r"Nmap scan report for \S+ \((?P<host>[0-9A-Fa-f.:]+)\)",
    r"Nmap scan report for (?P<host>[0-9A-Za-z_.-]+)",
    r"Pinging (?P<host>[0-9A-Za-z_.:-]+) ",
    r"could not find host (?P<host>[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*)\.",
    r"(?:^| )PING (?P<host>[0-9A-Za-z_.:-]+) \(",
    r"ping: (?P<host>[0-9A-Za-z_.-]+): (?:Name|Temporary|No address)",
    r"ping: cannot resolve (?P<host>[0-9A-Za-z_.-]+):",
    r"Permanently added '(?P<host>[^']+)'",
    r"(?:ssh|sftp)://(?:(?P<user>[\w.-]+)@)?(?P<host>(?:\d{1,3}\.){3}\d{1,3}|[\w-]+(?:\.[\w-]+)+)(?::(?P<port>\d{1,5}))?",
    r"(?i)authentication (?:failed|failure|error|rejected) for user '?(?P<user>[a-z_][\w-]*)",
    // Any program's words around an address or a full name.
    r"(?i)(?:connect(?:ing|ed|ion)?|reach|log ?in|ssh|dial(?:ing|ed)?|gateway|hostname|host|server)(?: (?:failed|error))?(?: (?:to|for|with|on))?(?: (?:the|host|server|gateway|instance|device|remote|address|ssh))*[ :=]{1,2}['\x22(\[]*(?:[\w.-]+@)?(?P<host>(?:\d{1,3}\.){3}\d{1,3}|(?:[a-z0-9-]+\.)+(?:amazonaws\.com(?:\.cn)?|com|net|org|io|jp|internal|local|example|test))\]?(?::|,? on port |,? port | \(port )(?P<port>\d{1,5})(?:$|[\s'\x22,:;)\].])",
    r"(?i)(?:connect(?:ing|ed|ion)?|reach|log ?in|ssh|dial(?:ing|ed)?|gateway|hostname|host|server)(?: (?:failed|error))?(?: (?:to|for|with|on))?(?: (?:the|host|server|gateway|instance|device|remote|address|ssh))*[ :=]{1,2}['\x22(\[]*(?:[\w.-]+@)?(?P<host>(?:\d{1,3}\.){3}\d{1,3}|(?:[a-z0-9-]+\.)+(?:amazonaws\.com(?:\.cn)?|com|net|org|io|jp|internal|local|example|test))\]?(?:$|[\s'\x22,:;)\].])",
    r"ControlSocket .*? for (?P<user>[^\s@]+)@(?P<host>\S+)",
];

/// Further programs, in the same way: words that must occur as printed, and the pattern. Compiled only when they
/// do, so that this list may grow.
const MORE: &[(&str, &str)] = &[
    ("Cannot log in at ", r"(?:(?P<user>[\w.-]+)@[\w.-]+:\S+ )?Cannot log in at (?P<host>[\w.-]+):(?P<port>\d+)"),
    ("private key(s) for ", r"private key\(s\) for (?P<user>[\w.-]+) \("),
    ("with the server for the user ", r"with the server for the user (?P<user>\S+) failed"),
    ("open \"", r#"open "(?P<user>[^"@\s]+)@(?P<host>[^"\s]+)"(?: (?P<port>\d+))?"#),
    ("-HostName ", r"-HostName ['\x22]?(?P<host>[\w.-]+)"),
    ("-ComputerName ", r"-ComputerName ['\x22]?(?P<host>[\w.-]+)"),
    ("-UserName ", r"-UserName ['\x22]?(?P<user>[\w.\\-]+)"),
    ("-KeyFile", r"-KeyFile(?:Path)? ['\x22]?(?P<key>[^\s'\x22]+)"),
    (" -l ", r"\b(?:ssh|pdsh|slogin)\b[^|;]{0,120}? -l (?P<user>[A-Za-z_][\w.-]*) -"),
    ("rivate key from ", r"[Pp]rivate key from ['\x22]?(?P<key>(?:[A-Za-z]:)?[^\s'\x22:,]+)"),
    ("User auth failed for", r#"User auth failed for: "(?P<user>[^"]+)""#),
    ("{user,", r#"\{user, ?"(?P<user>[^"]+)"\}"#),
    ("Peer address: ", r"Peer address: (?P<host>[0-9A-Za-z_.:-]+?):(?P<port>\d+)(?: |$)"),
    ("Tracing route to ", r"Tracing route to (?P<host>[\w.:-]+)"),
    ("へのルートをトレース", r"(?P<host>[0-9A-Za-z_.:-]+)(?: \[[^\]]*\])? へのルートをトレース"),
    ("traceroute to ", r"traceroute to (?P<host>[0-9A-Za-z_.:-]+?)[ ,(]"),
    ("ost key not found for ", r"[Hh]ost key not found for (?P<host>[\w.-]+)"),
    ("SSHLauncher{", r"SSHLauncher\{host='(?P<host>[^']+)', port=(?P<port>\d+)"),
    ("uthenticating as ", r#"[Aa]uthenticating as (?:user )?['"]?(?P<user>[A-Za-z_][\w.-]*)"#),
    ("ogging in as ", r#"[Ll]ogging in as (?:user )?['"]?(?P<user>[A-Za-z_][\w.-]*)"#),
    ("as user ", r#"\bas user ['"`]?(?P<user>[A-Za-z_][\w.-]*)"#),
    ("for user ", r#"for user ['"`](?P<user>[A-Za-z_][\w.-]*)['"`]"#),
    ("ser '", r"\b[Uu]ser '(?P<user>[A-Za-z_][\w.-]*)'"),
    ("ser \"", r#"\b[Uu]ser "(?P<user>[A-Za-z_][\w.-]*)""#),
    ("ser=", r"(?:\b|_)user=['\x22]?(?P<user>[A-Za-z_][\w.-]*)"),
    ("sername=", r"(?:\b|_)username=['\x22]?(?P<user>[A-Za-z_][\w.-]*)"),
    ("ser name ", r#"[Uu]ser name ['"](?P<user>[A-Za-z_][\w.-]*)['"]"#),
    ("ユーザ", r#"ユーザー?名 ?[「"](?P<user>[^」"\s]+)[」"]"#),
    ("key=", r"\b(?:key|pkey|ssh_pkey|keyfile)=['\x22]?(?P<key>[^\s'\x22,()]*[/\\][^\s'\x22,()]+)"),
];

static MORE_COMPILED: [OnceLock<Option<Regex>>; MORE.len()] = [const { OnceLock::new() }; MORE.len()];
static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| PATTERNS.iter().filter_map(|p| Regex::new(p).ok()).collect());
static DENIED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)(?:permission denied|access denied) ?\(([a-z0-9@.,/ _-]*)\)?").ok());
static SENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:server sent: ?|that can continue(?: are)?: ?|allowed types: ?|allowed_types=|allowed ones are: ?",
        r"|authentication methods? \(server: ?|to complete authentication \(|remaining (?:authentication )?methods?:? ?",
        r"|offered these authentication methods: ?|(?:^| )ssh authentication methods available: ?",
        r"|methods (?:still )?(?:offered|accepted|allowed|supported) by (?:the )?server:? ?",
        r"|server (?:only )?(?:supports|accepts|allows|offers)(?: only)?:? ?)[\[(']*([a-z0-9@.,/ _'-]*)",
    ))
    .ok()
});
static HINT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?:please log ?in as the user|please use the account) "?([a-z_][a-z0-9_.-]*)"? rather than"#).ok()
});
static TOO_LONG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[Rr]eceived (?:message (?:is )?too long:? |too large \()(\d{5,10})").ok());

/// Everything that the message names. `told` says which lines (by where they begin) speak of this login.
pub fn from_message(flat: &Flat, told: impl Fn(usize) -> bool) -> Extract {
    let mut out = Extract::default();
    let text = flat.text.as_str();
    let more = MORE.iter().zip(&MORE_COMPILED).filter(|((words, _), _)| text.contains(words));
    let more = more.filter_map(|((_, pattern), cell)| cell.get_or_init(|| Regex::new(pattern).ok()).as_ref());
    for re in COMPILED.iter().chain(more) {
        let ours = |c: &regex::Captures<'_>| {
            let pos = c.get(0).map_or(0, |m| m.start());
            !is_server_log(flat, pos) && told(flat.line_bounds(pos).0)
        };
        let Some(found) = re.captures_iter(text).filter(ours).last() else {
            continue;
        };
        let get = |name: &str| found.name(name).map(|m| m.as_str());
        if out.host.is_none()
            && let Some((host, port)) = get("host").and_then(host)
        {
            out.host = Some(host);
            out.port = out.port.or(port);
        }
        if out.port.is_none() && (get("host").is_none() || get("host").and_then(host).map(|h| h.0) == out.host) {
            out.port = get("port").and_then(|p| p.parse().ok()).filter(|p| *p != 65535);
        }
        if out.user.is_none() {
            out.user = get("user").and_then(user);
        }
        if out.key_path.is_none() {
            out.key_path = get("key").or_else(|| get("key2")).and_then(key);
        }
        if out.key_mode.is_none() {
            out.key_mode = get("mode").map(str::to_owned);
        }
    }
    out.methods = methods(flat);
    out
}

/// The key file that the deciding lines name, if they name just one.
pub fn key_of_evidence(extract: &mut Extract, symptom: &str, evidence: &[String]) {
    const ABOUT_KEYS: &[&str] = &[
        "key_file_missing",
        "invalid_key_format",
        "passphrase_needed",
        "unprotected_key",
        "permission_denied",
        "refused_key",
    ];
    let Some(re) = KEY_FILE.as_ref().filter(|_| extract.key_path.is_none() && ABOUT_KEYS.contains(&symptom)) else {
        return;
    };
    let mut named: Vec<&str> = evidence.iter().flat_map(|line| re.find_iter(line)).map(|m| m.as_str()).collect();
    named.dedup();
    if let [one] = named[..] {
        extract.key_path = key(one);
    }
}

/// Takes off what the text names of another hop than the one asked for.
pub fn narrow(extract: &mut Extract, symptom: &str) {
    if symptom == "proxy_failure" {
        extract.host = None;
        extract.port = None;
    }
}

/// Fills what the message left open from the pasted command line.
pub fn from_command(extract: &mut Extract, command: Option<&SshCommand>) {
    let Some(command) = command else { return };
    let target = command.target.as_deref().and_then(host).map(|h| h.0);
    let same = extract.host.is_none() || target.is_none() || extract.host == target || command.jump.is_none();
    if !same {
        return;
    }
    // A command that fills its line to the last column is glued to the message below it.
    if let (Some(named), Some(typed)) = (&extract.user, &command.user)
        && named.len() > typed.len()
        && named.ends_with(typed.as_str())
    {
        extract.user = None;
    }
    extract.host = extract.host.take().or(target);
    extract.user = extract.user.take().or_else(|| command.user.as_deref().and_then(user));
    extract.port = extract.port.or(command.port);
    if extract.key_path.is_none() && command.keys.len() == 1 {
        extract.key_path = command.keys.first().and_then(|k| key(k));
    }
}

/// X of `Please login as the user "X" rather than the user "root"`.
pub fn login_hint(flat: &Flat) -> Option<String> {
    let found = HINT.as_ref()?.captures(&flat.text)?;
    found.get(1).map(|m| m.as_str().to_owned())
}

/// Refusals with the list of methods in brackets. A file error such as `Permission denied (13)` is
/// none.
pub fn denials(flat: &Flat) -> Vec<(usize, Vec<String>)> {
    let Some(re) = DENIED.as_ref() else {
        return Vec::new();
    };
    let all = re.captures_iter(&flat.text).filter_map(|c| {
        let whole = c.get(0)?;
        Some((whole.start(), method_list(c.get(1)?.as_str())?))
    });
    all.collect()
}

fn methods(flat: &Flat) -> Option<Vec<String>> {
    if let Some((_, list)) = denials(flat).into_iter().last() {
        return Some(list);
    }
    let re = SENT.as_ref()?;
    let found =
        re.captures_iter(&flat.text).filter_map(|c| method_list(&c.get(1)?.as_str().replace('\'', ""))).last()?;
    (!found.is_empty()).then_some(found)
}

fn method_list(text: &str) -> Option<Vec<String>> {
    let list: Vec<String> =
        text.split([',', ' ']).map(|m| m.trim_matches(['.', ' ']).to_owned()).filter(|m| !m.is_empty()).collect();
    if text.contains(',') || !text.trim().contains(' ') {
        return list.iter().all(|m| METHODS.contains(&m.to_ascii_lowercase().as_str())).then_some(list);
    }
    let first: Vec<String> = list.into_iter().take_while(|m| METHODS.contains(&m.as_str())).collect();
    (!first.is_empty()).then_some(first)
}

/// `Received message too long N`: N is the first four letters that the remote shell printed into
/// the protocol (sftp-client.c reads them as a length).
pub fn printed_into_protocol(flat: &Flat) -> Vec<(usize, &'static str)> {
    let Some(re) = TOO_LONG.as_ref() else {
        return Vec::new();
    };
    let all = re.captures_iter(&flat.text).filter_map(|c| {
        let number: u32 = c.get(1)?.as_str().parse().ok()?;
        let symptom = match &number.to_be_bytes() {
            b"Plea" => "wrong_login_user",
            b"This" => "shell_or_home_missing",
            b"Coul" => "shell_or_home_missing",
            b"Syst" | b"\"Sys" => "booting_nologin",
            b"Your" | b"WARN" | b"You " | b"Pass" => "account_locked_or_expired",
            _ => "other",
        };
        Some((c.get(0)?.start(), symptom))
    });
    all.collect()
}

/// In a server's log the address and port are the client's.
pub fn is_server_log(flat: &Flat, pos: usize) -> bool {
    let line = flat.line_at(pos);
    ["sshd[", "sshd-session[", "sshd-auth[", "[preauth]"].iter().any(|p| line.contains(p))
}

/// A host as printed, with the port of `[host]:port`; `None` if it is no name or address.
fn host(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim_matches(['\'', '"', '`', ',', ';', '!', '\\', ')', '(']).trim_end_matches(['.', ':']);
    if let Some((name, port)) = text.strip_prefix('[').and_then(|t| t.split_once("]:")) {
        return Some((host(name)?.0, port.parse().ok()));
    }
    let name = text.trim_matches(['[', ']']);
    // A socket of both families shows an IPv4 address so.
    let name = name.strip_prefix("::ffff:").filter(|n| n.contains('.')).unwrap_or(name);
    let fits = !name.is_empty()
        && name.len() < 254
        && name.starts_with(|c: char| c.is_alphanumeric() || c == ':' || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || "._:%-".contains(c));
    // Words of a sentence that stand where a host stands.
    const WORDS: &str = "unknown remote host the target server proxy public fatal error an a it my your this port ssh \
        connection socket agent gateway backend device instance";
    let known = WORDS.split(' ').any(|w| name.eq_ignore_ascii_case(w));
    (fits && !known).then(|| (name.to_owned(), None))
}

fn user(text: &str) -> Option<String> {
    let name = text.trim_matches(['\'', '"', '`', '(', '[', '>', '*']);
    let fits =
        !name.is_empty() && name.len() < 65 && name.chars().all(|c| c.is_alphanumeric() || "._-+\\$".contains(c));
    fits.then(|| name.to_owned())
}

/// A path as the file system knows it: quoted output doubles backslashes, and `.\` only says "here".
pub fn key(text: &str) -> Option<String> {
    let path = text.trim_matches(['"', '\'', ' ']);
    let single =
        if path.contains(r"\\") && !path.starts_with(r"\\") { path.replace(r"\\", r"\") } else { path.to_owned() };
    let path = single.strip_prefix(r".\").unwrap_or(&single);
    let fits = !path.is_empty() && path != "..." && path.len() < 400 && !path.contains("://");
    fits.then(|| path.to_owned())
}

/// The version line of the ssh that printed the text: the first line of `ssh -v`, the whole of `ssh -V`, or its
/// identification string among the debug lines. The server's version stands behind other words.
pub fn client_version(flat: &Flat) -> Option<String> {
    flat.lines().find_map(|(_, line)| {
        let own = line.strip_prefix("debug1: Local version string SSH-2.0-").unwrap_or(line);
        let number = own.strip_prefix("OpenSSH_")?;
        let number = number.strip_prefix("for_Windows_").unwrap_or(number);
        (number.starts_with(|c: char| c.is_ascii_digit()) && own.len() < 120).then(|| own.to_owned())
    })
}

/// Whether the host is the SSH gateway of the serial console (`i-….port0@serial-console.ec2-instance-connect.REGION.aws`).
/// Then the user's name there says which instance is meant, and nothing about a login on it.
pub fn through_serial_gateway(extract: &mut Extract) -> bool {
    let gateway = extract.host.as_deref().is_some_and(|h| h.starts_with("serial-console.ec2-instance-connect."));
    if gateway {
        extract.host = extract.user.take().and_then(|u| u.split('.').next().map(str::to_owned));
        (extract.port, extract.key_path) = (None, None);
    }
    gateway
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(COMPILED.len(), PATTERNS.len());
        assert!(MORE.iter().all(|(words, pattern)| !words.is_empty() && Regex::new(pattern).is_ok()));
        assert!(DENIED.is_some() && SENT.is_some() && HINT.is_some() && TOO_LONG.is_some());
    }

    #[test]
    fn file_errors_are_no_refusals() {
        let denied = |t: &str| denials(&Flat::both(t).0).into_iter().map(|d| d.1.len()).collect::<Vec<_>>();
        assert_eq!(denied("a@b: Permission denied (publickey,password)."), [2]);
        assert_eq!(denied("a@b: Permission denied ()."), [0]);
        assert!(denied("mkstemp failed: Permission denied (13)").is_empty());
        assert!(denied("Permission denied (os error 13)").is_empty());
    }
}
