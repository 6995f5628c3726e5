//! What a message is about when no table knows its words.
//!
//! Programs invent their own sentences for the same few troubles. A line that names a subject
//! ("host key", "passphrase", "authentication") close to a word of trouble ("mismatch", "wrong",
//! "failed") is told here by that pair alone. It ranks below every message of the tables and must
//! not decide anything that they decide. Used by `ssh.rs`.

use super::flat::Flat;

/// Bytes around a subject in which its trouble must stand.
const NEAR: usize = 90;
/// Lines longer than this are data, not messages; only their beginning is read.
const LONGEST: usize = 2000;

/// A subject, and the words that make it a symptom.
struct Pair {
    symptom: &'static str,
    also: &'static [&'static str],
    /// Words parted by `|`, as in the two below.
    subject: &'static str,
    trouble: &'static str,
    /// Words that make it another thing.
    unless: &'static str,
}

const FAILED: &str = "fail|error|unable|could not|couldn't|cannot|can't|denied|reject|refus|invalid|not accept|\
             unsuccessful|not allowed|not permitted|incorrect|wrong|失敗|できません|拒否|エラー|正しくありません|失败|错误|無効";

const LOGIN_FAILED: &str = "fail|error|unable|could not|couldn't|cannot|can't|denied|reject|refus|invalid|not accept|unsuccessful|not allowed|\
     not permitted|incorrect|wrong|n't support|not support|no more|no further|exhausted|none of the|失敗|できません|拒否|\
     エラー|正しくありません|失败|错误|無効";

/// In order: the first pair that fits a line names it.
const PAIRS: &[Pair] = &[
    Pair {
        symptom: "ssm_plugin_missing",
        also: &["ssm_not_connected"],
        subject: "session-manager-plugin|session manager plugin|sessionmanagerplugin",
        trouble: "not found|not installed|missing|install |not recognized|cannot find|no such file|見つかりません",
        unless: "",
    },
    Pair {
        symptom: "ssm_not_connected",
        also: &["aws_credentials", "other"],
        subject: "session manager|ssm agent|ssm document worker|ssm session worker|amazon ssm agent|ssm session|systems manager|start-session|startsession",
        trouble: "not connected|offline|not online|failed|unable|could not|couldn't|not registered|not managed|\
             terminated|接続でき|失敗|オンラインでは",
        unless: "credential|token|authoriz|accessdenied",
    },
    Pair {
        symptom: "eic_error",
        also: &["timeout", "other"],
        subject: "instance connect|instance-connect",
        trouble: "failed|unable|could not|couldn't|error|not found|not available|失敗|できません",
        unless: "credential|token|authoriz|accessdenied",
    },
    Pair {
        symptom: "aws_credentials",
        also: &["other"],
        subject: "aws credential|aws access|sso token|sso session|aws sso|security token|session token|\
             aws profile|access key id|aws login|assume role|assumerole|iam role|aws configure|sts:",
        trouble: "expired|invalid|no aws|not found|missing|could not|couldn't|unable|fail|denied|refresh|\
             not authorized|無効|期限",
        unless: "",
    },
    Pair {
        symptom: "rdp_error",
        also: &["other"],
        subject: "remote desktop|rdp |mstsc|リモートデスクトップ|リモート デスクトップ|远程桌面",
        trouble: FAILED,
        unless: "",
    },
    Pair {
        symptom: "unprotected_key",
        also: &["invalid_key_format"],
        subject: "private key|key file|keyfile|identity file|.pem|秘密鍵|キーファイル",
        trouble: "too permissive|too open|insecure permission|unsafe permission|bad permissions|world readable|\
             world-readable|readable by|chmod 600|chmod 400|accessible by others|group readable|0644|0777|権限",
        unless: "authorized_keys|ssh_host|acme",
    },
    Pair {
        symptom: "host_key_changed",
        also: &["host_key_unknown"],
        subject: "host key|hostkey|host-key|server key|host identification|identity of the server|server's identity|\
             server identity|identity of the host|ホスト鍵|ホストキー|ホスト公開鍵|主机密钥",
        trouble: "mismatch|changed|not match|differ|conflict|doesn't match|revoked|compromis|\
             man-in-the-middle|no longer matches|一致し|変更|異なる|異なり|違う|違い|不匹配|更改",
        unless: "algorithm|no matching|type mismatch",
    },
    Pair {
        symptom: "host_key_changed",
        also: &["host_key_unknown"],
        subject: "fingerprint|フィンガープリント|指紋",
        trouble: "mismatch|not match|differ|changed|but expected|一致し|異な",
        unless: "algorithm|no matching",
    },
    Pair {
        symptom: "host_key_unknown",
        also: &["host_key_changed"],
        subject: "fingerprint|フィンガープリント|指紋",
        trouble: "is unknown|unknown fingerprint|not trusted|untrusted|not accepted|not recogni|not verified|reject",
        unless: "algorithm|authorized_keys",
    },
    Pair {
        symptom: "host_key_unknown",
        also: &["host_key_changed"],
        subject: "host key|hostkey|host-key|server key|server public key|server's public key|host public key|known_hosts|known hosts|knownhosts|server's identity|\
             identity of the server|server identity|host authenticity|ホスト鍵|ホストキー|ホスト公開鍵|主机密钥",
        trouble: "unknown|verif|trust|not found|reject|not known|not cached|no entry|not in |not listed|refusing|not recogni|not accept|\
             not present|missing|new host|確認でき|未知|不明|登録されていません|見つかりません|検証|信頼",
        unless: "no matching|algorithm|no hostkeys available|key verified|verified host|verified the|was verified|is verified|bad permissions|load",
    },
    Pair {
        symptom: "passphrase_needed",
        also: &["invalid_key_format", "permission_denied"],
        subject: "passphrase|pass phrase|パスフレーズ|密码短语|encrypted key|encrypted private|key is encrypted|decrypt",
        trouble: "wrong|incorrect|bad|invalid|required|need|must|missing|not provided|no passphrase|without|protected|provide|\
             not specified|not given|fail|unable|could not|cannot|can't|empty|mismatch|null|正しく|必要|間違|違い|\
             入力|错误",
        unless: "packet|password vault|vault",
    },
    Pair {
        symptom: "invalid_key_format",
        also: &["passphrase_needed", "key_file_missing"],
        subject: "private key|privatekey|private-key|key file|keyfile|identity file|key format|openssh key|\
             pem key|ssh key|key data|pem file|keypair|key pair|秘密鍵|鍵ファイル|キーファイル|秘密キー|私钥",
        trouble: "invalid|malformed|unsupported|not supported|corrupt|pars|decod|format|unknown type|\
             unrecogni|not recogni|bad |could not load|cannot load|failed to load|unable to load|\
             can't load|could not read|cannot read|unable to read|failed to read|can't read|wrong type|\
             illegal|unexpected|unknown key type|無効|形式|読み込めません|読み込みに失敗|読み取れません|不正|壊れ|格式|无效",
        unless: "permission|server|not found|no such file|does not exist|too open|accepted|host key|\
             public key for|user|見つかりません",
    },
    Pair {
        symptom: "key_file_missing",
        also: &["invalid_key_format"],
        subject: "private key|privatekey|private_key|key file|keyfile|key_file|identity file|.pem|.ppk|id_rsa|id_ed25519|id_ecdsa|\
             秘密鍵|鍵ファイル|キーファイル|秘密キー",
        trouble: "not found|not be found|no such|does not exist|doesn't exist|not exist|cannot find|can't find|\
             could not find|missing|couldn't find|enoent|見つかりません|存在しません|不存在|找不到",
        unless: "host key|host_rsa|known_hosts|identity file*type -1",
    },
    Pair {
        symptom: "too_many_failures",
        also: &["permission_denied"],
        subject: "too many|maximum number of|max number of|exceeded|limit reached",
        trouble: "authentication attempt|authentication fail|auth attempt|login attempt|password attempt|\
             auth failure",
        unless: "account",
    },
    Pair {
        symptom: "agent_error",
        also: &["permission_denied"],
        subject: "ssh agent|ssh-agent|pageant|auth agent|authentication agent|auth_sock|ssh_agent|\
             identity agent|agent socket|認証エージェント",
        trouble: FAILED,
        unless: "agent forwarding|ssm",
    },
    Pair {
        symptom: "proxy_failure",
        also: &["connection_refused", "timeout"],
        subject: "proxy |proxyjump|proxycommand|proxy:|via proxy|jump host|jumphost|jump server| bastion |\
             socks|プロキシ|踏み台|代理服务器",
        trouble: FAILED,
        unless: "port forward|without proxy|no proxy|kube-proxy",
    },
    Pair {
        symptom: "algorithm_mismatch",
        also: &["other"],
        subject: "algorithm|host key type|ssh-rsa|ssh-dss|diffie-hellman|cipher|key exchange|kex|hmac|encryption method|signature type|鍵交換|暗号|アルゴリズム|算法",
        trouble: "no match|no compatible|exchange failed|exchange error|no common|in common|deprecated|no longer|not match|mismatch|negotiation failed|negotiation error|not negotiate|\
             to negotiate|not agree|n't agree|cannot agree|not support|unsupported|unknown|no suitable|\
             no mutual|incompatible|disabled|not allowed|none of|not available|unavailable|一致|サポートされて|合意|\
             対応して|失敗|不支持",
        unless: "timeout|timed out|private key|keyfile|key file|closed|reset|eof|pem",
    },
    Pair {
        symptom: "dns_failure",
        also: &[],
        subject: "hostname|host name|determine ip|determine the ip|determine address|determine the address|look up|lookup|no such domain|domain name|resolve|resolution|dns|address lookup|ホスト名|名前解決|主机名",
        trouble: "fail|unable|could not|couldn't|cannot|can't|unknown|not known|not found|error|invalid|no address|失敗|\
             できません|見つかりません|不明|无法",
        unless: "host key|password|known_hosts|not match|certificate|resolver error|pcap|dependenc|conflict|reference|symbol",
    },
    Pair {
        symptom: "banner_timeout",
        also: &["timeout"],
        subject: "no banner|banner not|no ssh banner|timed out|timeout|time out|time-out|タイムアウト|超时",
        trouble: "received|banner|handshake|version string|identification|kex|key exchange|negotiat|greeting|バナー",
        unless: "",
    },
    Pair {
        symptom: "timeout",
        also: &["banner_timeout", "other"],
        subject: "timed out|timeout|time out|time-out|timedout|deadline exceeded|タイムアウト|応答がありません|超时|\
             did not respond|no response|too long to",
        trouble: "connect|ssh|host|server|socket|port |tcp|remote|dial|接続|サーバ|连接",
        unless: "idle|session timeout|inactiv|timeout=|timeout:|timeout =|timeout\":|timeout':|curl",
    },
    Pair {
        symptom: "connection_refused",
        also: &[],
        subject: "connection|connect|接続|连接",
        trouble: "refused|actively refuse|拒否され|拒絶|拒绝",
        unless: "proxy|permission|auth|key",
    },
    Pair {
        symptom: "session_dropped",
        also: &["connection_reset", "timeout"],
        subject: "session|connection|セッション",
        trouble: "inactivity|inactive|idle t|was idle|keepalive|keep-alive|アイドル",
        unless: "setting|option|interval",
    },
    Pair {
        symptom: "connection_reset",
        also: &["session_dropped", "other"],
        subject: "connection|socket|transport|remote end|remote host|peer|server|接続|连接",
        trouble: "closed by|closed the|closed before|was closed|has been closed|been aborted|aborted|terminated|hung up|dropped|\
             disconnected|reset by|was reset|closed unexpectedly|unexpectedly closed|was lost|been lost|\
             closed the connection|切断され|閉じられ|リセット|断开|关闭",
        unless: "tunnel|after|window|by user",
    },
    Pair {
        symptom: "not_ssh_server",
        also: &["connection_reset"],
        subject: "ssh version|protocol version|version string|identification string|ssh banner|\
             ssh identification|server banner|protocol banner|バージョン",
        trouble: "did not send|didn't send|not present|invalid|malformed|unexpected|not ssh|incompatible|unsupported|bad |not support|unknown|\
             could not|no ssh|missing|wrong",
        unless: "timeout|timed out|closed|reset|eof",
    },
    Pair {
        symptom: "no_supported_auth",
        also: &["permission_denied"],
        subject: "authentication method|authentication mechanism|auth method|authentication type|認証方式|認証方法|认证方法",
        trouble: "no usable|no suitable|no common|no acceptable|no matching|no mutual|unsupported|not supported|n't support",
        unless: "failed|denied|reject",
    },
    Pair {
        symptom: "permission_denied",
        also: &["no_supported_auth", "refused_key"],
        subject: "authenticat|authoriz|authoris|login|log in|logon|log on|credential|userauth|\
             user name or password|username or password|認証|ログイン|ログオン|身份验证|登录",
        trouble: LOGIN_FAILED,
        unless: "ssh-agent|ssh agent|pageant|auth_sock|license|git-lfs|daemon|registry|certificate verify|api key|http|authorized_keys file",
    },
    Pair {
        symptom: "permission_denied",
        also: &["refused_key"],
        subject: "publickey|public key|your key|our key|the key",
        trouble: "denied|reject|refus|not accept",
        unless: "host key|known_hosts",
    },
];

/// A line that no table may know, and what it is about.
pub struct Guess {
    pub symptom: &'static str,
    pub also: &'static [&'static str],
    pub pos: usize,
}

/// What each line that `keep` lets through is about.
pub fn guesses(flat: &Flat, keep: impl Fn(usize, &str) -> bool) -> Vec<Guess> {
    let mut out = Vec::new();
    let parted = flat.lower.replace('-', " ");
    let in_text = |w: &str| flat.contains(w) || w.contains(' ') && parted.contains(w);
    let present = |words: &'static str| words.split('|').filter(|w| !w.is_empty() && in_text(w)).collect();
    let pairs: Vec<Present> = PAIRS
        .iter()
        .map(|pair| Present {
            pair,
            subject: present(pair.subject),
            trouble: present(pair.trouble),
            unless: present(pair.unless),
        })
        .filter(|p| !p.subject.is_empty() && !p.trouble.is_empty())
        .collect();
    for (pos, line) in flat.lines() {
        if line.len() < 8 || !keep(pos, line) {
            continue;
        }
        let end = flat.lower.floor_char_boundary((pos + line.len().min(LONGEST)).min(flat.lower.len()));
        let line = without_names(flat.lower.get(pos..end).unwrap_or_default());
        // "key-exchange method" is "key exchange method".
        let parted = if line.contains('-') { line.replace('-', " ") } else { String::new() };
        if let Some(found) = pairs.iter().find(|p| fits(p, &line) || !parted.is_empty() && fits(p, &parted)) {
            out.push(Guess { symptom: found.pair.symptom, also: found.pair.also, pos });
        }
    }
    out
}

/// Takes logins and paths out of a line; of a path the file name's ending stays.
fn without_names(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for word in line.split_inclusive(' ') {
        let bare = word.trim_end();
        let path = bare.contains(['/', '\\']) && !bare.contains("://") && bare.len() > 2;
        if path || bare.contains('@') {
            let cut = bare.rfind(['/', '\\', '@']).map_or(0, |i| i + 1);
            let name = &bare[cut..];
            let ending = if name.starts_with("id_") { 0 } else { name.find('.').unwrap_or(name.len()) };
            out.push_str("… ");
            out.push_str(&name[ending..]);
            out.push_str(&word[bare.len()..]);
        } else {
            out.push_str(word);
        }
    }
    out
}

/// A pair, and those of its words that occur in the text at all.
struct Present {
    pair: &'static Pair,
    subject: Vec<&'static str>,
    trouble: Vec<&'static str>,
    unless: Vec<&'static str>,
}

fn fits(pair: &Present, line: &str) -> bool {
    pair.subject.iter().any(|s| {
        line.match_indices(s).take(3).any(|(at, _)| {
            let from = line.floor_char_boundary(at.saturating_sub(NEAR));
            let to = line.ceil_char_boundary((at + s.len() + NEAR).min(line.len()));
            let near = &line[from..to];
            pair.trouble.iter().any(|t| near.contains(t)) && !pair.unless.iter().any(|u| near.contains(u))
        })
    })
}
