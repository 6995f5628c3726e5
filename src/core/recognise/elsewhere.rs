//! Lines in which another service speaks of its own connections: web servers and balancers, databases,
//! clusters, registries, mail, jobs of CI.
//!
//! "Connection refused" in nginx's log is no login that failed. A line of a known speaker decides nothing,
//! unless it names SSH itself; a text of such lines alone, with no word of SSH in it, decides nothing at
//! all: the frames of a traceback do not repeat their library's name. Must not judge what such a line
//! means. Used by `ssh.rs`.

use super::flat::Flat;
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Daemons that keep their name in a journal's line, and never log in over SSH.
const DAEMONS: &str = "nginx haproxy envoy traefik caddy httpd apache2 varnishd squid dockerd docker containerd kubelet \
    kube-proxy kube-apiserver k3s rke2 etcd coredns crio postgres postgresql mysqld mariadbd redis-server redis mongod \
    memcached rabbitmq-server kafka zookeeper elasticsearch opensearch influxd clickhouse-server gunicorn uwsgi celery \
    php-fpm tomcat catalina sidekiq puma postfix dovecot exim4 exim sendmail opendkim named unbound dnsmasq chronyd ntpd \
    systemd-timesyncd systemd-resolved rsyslogd snapd packagekitd dnf yum-cron unattended-upgrade apt-daily prometheus \
    node_exporter grafana-server telegraf zabbix_agentd zabbix_agent2 fluentd fluent-bit td-agent filebeat logstash \
    promtail amazon-cloudwatch-agent consul vault nomad openvpn charon tailscaled slapd smbd nmbd winbindd nfsd \
    rpc.statd rpc.mountd NetworkManager dhclient certbot pm2 node java supervisord vsftpd proftpd crond cupsd";

/// Words that only other services and their clients print (lower case).
const MARKERS: &[&str] = &[
    // Web servers, proxies, balancers.
    "to upstream",
    "from upstream",
    "upstream timed out",
    "upstream connect error",
    "upstream request timeout",
    "no live upstreams",
    "upstream prematurely",
    "delayed connect error",
    "*: connect() failed (",
    " connect() failed (",
    ": ah00",
    ": ah01",
    ": ah02",
    ":error] [pid",
    ":warn] [pid",
    "is down, reason:",
    "has no server available",
    "layer4 ",
    "layer6 ",
    "layer7 ",
    "bad gateway",
    "gateway time-out",
    "gateway timeout",
    "service unavailable",
    "internal server error",
    "http: proxy error",
    "http.log.error",
    "reverse_proxy",
    "failedhealthchecks",
    "health check",
    // Clusters and containers.
    "readiness probe",
    "liveness probe",
    "startup probe",
    "pull image",
    "pulling image",
    "errimagepull",
    "imagepullbackoff",
    "crashloopbackoff",
    "kubelet",
    "kube-",
    "kubernetes cluster unreachable",
    "couldn't get resource list",
    "current server api group list",
    "apiserver",
    "etcdserver",
    "rpc error",
    "grpc",
    "memberlist",
    "raft:",
    "failed calling webhook",
    "unable to connect to the server: ",
    "did you specify the right host or port",
    "error response from daemon",
    "docker.sock",
    "docker daemon",
    "containerd",
    "failed to solve:",
    // Databases, caches, queues.
    "psycopg",
    "pymysql",
    "mysql",
    "mariadb",
    "postgres",
    "pg_hba",
    "npgsql",
    "sqlclient",
    "sqlstate",
    "sqlalchemy",
    "pdoexception",
    "jdbc",
    "hikari",
    "communications link failure",
    "to redis",
    "redis.",
    "redis:",
    "redis connection",
    "redisson",
    "redisexception",
    "redisclient",
    "pooler error",
    "pgbouncer",
    "cockroach",
    "couchbase",
    "neo4j",
    "mqtt",
    "activemq",
    "solr",
    "minio",
    "ioredis",
    "memcached",
    "mongo",
    "cassandra",
    "elasticsearch",
    "opensearch",
    "kafka",
    "rabbitmq",
    "amqp",
    "zookeeper",
    "influxdb",
    "clickhouse",
    "ora-12",
    "tns-12",
    "odbc",
    "sequelize",
    "typeorm",
    "prisma",
    "activerecord",
    "pg::",
    "noauth authentication required",
    "wrongpass",
    "login failed for user '",
    "password authentication failed for user",
    // Clients of the web.
    "httpconnectionpool",
    "httpsconnectionpool",
    "urllib",
    "requests.exceptions",
    "aiohttp",
    "httpx.",
    "httpcore",
    "fetcherror",
    "axioserror",
    "fetch failed",
    "und_err_",
    "okhttp",
    "apache.http",
    "httpclient",
    "httprequestexception",
    "resttemplate",
    "on get request",
    "on post request",
    "feign.",
    "faraday::",
    "net::http",
    "guzzlehttp",
    "curl error ",
    "reqwest",
    // Rust's hyper, spelled so that it is not taken for the crate itself.
    "hyper\u{3a}:",
    "get \"http",
    "post \"http",
    "put \"http",
    "head \"http",
    "get http",
    "post http",
    "request to http",
    "net/http",
    "webhook",
    "err_connection_",
    "err_timed_out",
    "this site can't be reached",
    // Mail, directory, names.
    "postfix",
    "dovecot",
    "smtp",
    "sasl ",
    "imap",
    "status=deferred",
    "ldap",
    // Tunnels and certificates of TLS.
    "tls error:",
    "tls key negotiation",
    "x509: certificate",
    "javax.net.ssl",
    "sslhandshakeexception",
    "ssl.sslerror",
    "ssl routines",
    "ssl_connect",
    "ssl handshake",
    "openvpn",
    "wireguard:",
    // Web servers' logs of requests.
    " http/1.1\" ",
    " http/1.0\" ",
    " http/2.0\" ",
    // Logins that came from elsewhere than the network.
    "pam_unix(cron:",
    "pam_unix(sudo:",
    "pam_unix(su:",
    "pam_unix(su-l:",
    "pam_unix(systemd-user:",
    "pam_unix(login:",
    // Builds, packages, infrastructure.
    "the job running on runner",
    "job failed: ",
    "maximum execution time",
    "npm err",
    "yarn ",
    "pypi",
    "rubygems",
    "could not transfer artifact",
    "err_socket_timeout",
    "failed to fetch http",
    "timeout while waiting for state",
    "error acquiring the state lock",
    "failed to query available provider packages",
    "send request failed",
    "failed to get existing workspaces",
    // Monitoring, frameworks, units.
    "prometheus",
    "grafana",
    "cloudwatch",
    "datadog",
    "sentry",
    "fluent",
    "logstash",
    "filebeat",
    "otlp",
    "opentelemetry",
    "werkzeug",
    "gunicorn",
    "django",
    "uwsgi",
    "sidekiq",
    "celery",
    "springframework",
    "catalina",
    "wp-content",
    "worker timeout",
    ".service: start operation timed out",
    ".service: watchdog timeout",
    "timed out waiting for device",
];

/// Words of a client of SSH, of Remote Desktop or of AWS's doors: a text with one of them is about a login.
const LOGIN: &[&str] = &[
    "ssh",
    "sftp",
    "scp",
    "putty",
    "publickey",
    "public key",
    "private key",
    "paramiko",
    "rsync",
    "git@",
    "kex_",
    "host key",
    "hostkey",
    "known_hosts",
    "known hosts",
    "remote desktop",
    "mstsc",
    "rdp",
    "session manager",
    "session-manager",
    "instance connect",
    "plink",
    "winscp",
    "filezilla",
    "mosh",
    "netmiko",
    "jsch",
    "tera term",
    "connect to host",
    "bastion",
    "tunnel",
];

/// Symptoms that such a line cannot name.
const NOT_THEIRS: &[&str] = &[
    "other",
    "not_ssh_server",
    "aws_credentials",
    "ssm_not_connected",
    "ssm_plugin_missing",
    "eic_error",
    "rdp_error",
    "ping_failure",
    "booting_nologin",
    "wrong_login_user",
];

/// `[error] 1201#1201:` of nginx, `E1119 03:22:10.123456 1 reflector.go:150]` of Kubernetes.
static LOG_LINE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:\[[a-z]+\] \d+#\d+: |[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\.go:\d+\])").ok());

/// Which lines of a text other services speak.
pub struct Others {
    lines: HashSet<usize>,
    alone: bool,
}

impl Others {
    /// Reads a text for them; `talk` says which lines are a person's own.
    pub fn of(flat: &Flat, talk: impl Fn(&str) -> bool) -> Self {
        let markers: Vec<&str> = MARKERS.iter().copied().filter(|m| flat.contains(m)).collect();
        let logged = flat.contains("#") || flat.contains(".go:") || flat.contains("]: ");
        let mut lines = HashSet::new();
        if markers.is_empty() && !logged {
            return Self { lines, alone: false };
        }
        let words: Vec<&str> = LOGIN.iter().copied().filter(|w| flat.contains(w)).collect();
        let mut login = false;
        for (pos, line) in flat.lines() {
            let lower = flat.lower.get(pos..pos + line.len()).unwrap_or_default();
            let named = words.iter().any(|w| lower.contains(w)) || names_port_22(lower);
            login |= named && !talk(line);
            let daemon = speaker(line);
            let theirs = daemon
                || !named
                    && (markers.iter().any(|m| lower.contains(m))
                        || logged && LOG_LINE.as_ref().is_some_and(|re| re.is_match(line)));
            if theirs && !(daemon && lower.contains("ssh")) {
                lines.insert(pos);
            }
        }
        let alone = !login && !lines.is_empty();
        Self { lines, alone }
    }

    /// Whether the line that begins here is theirs.
    pub fn speak(&self, line: usize) -> bool {
        self.alone || self.lines.contains(&line)
    }

    /// Whether a symptom cannot come from the line that begins here.
    pub fn rule_out(&self, symptom: &str, line: usize) -> bool {
        !NOT_THEIRS.contains(&symptom) && self.speak(line)
    }
}

/// Whether a journal's tag is that of a daemon of another service.
pub fn is_daemon(name: &str) -> bool {
    let name = name.split('/').next().unwrap_or(name);
    DAEMONS.split_whitespace().any(|d| d == name)
}

/// Whether a line is a journal's, of such a daemon: `web haproxy[812]: `, `nginx[9]: `.
fn speaker(line: &str) -> bool {
    let head = &line[..line.floor_char_boundary(line.len().min(120))];
    let Some((tag, _)) = head.split_once("]: ").and_then(|(tag, _)| tag.rsplit_once('[')) else { return false };
    let words = tag.split(' ').count();
    words <= 2 && tag.split(' ').next_back().is_some_and(is_daemon)
}

/// Whether a text names port 22 as such, and no minute of a clock.
pub fn names_port_22(lower: &str) -> bool {
    lower.contains("port 22")
        || lower.match_indices(":22").any(|(at, _)| {
            let after = lower[at + 3..].chars().next();
            let before = lower[..at].chars().next_back();
            before.is_some_and(|c| c.is_alphanumeric() || c == ']' || c == '*')
                && !after.is_some_and(|c| {
                    c.is_ascii_digit() || c == ':' && lower[at + 4..].starts_with(|c: char| c.is_ascii_digit())
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speak(text: &str) -> bool {
        let flat = Flat::of_client(text).0;
        Others::of(&flat, |_| false).speak(0)
    }

    #[test]
    fn other_services_are_told_by_their_words() {
        assert!(speak("[error] 12#12: *4 recv() failed (104: Connection reset by peer), client: 198.51.100.9"));
        assert!(speak("Nov 19 03:22:10 web haproxy[812]: Server b/a1 Connection refused"));
        assert!(speak("E1119 03:22:10.123456       1 proxy.go:150] dial: i/o timeout"));
        assert!(!speak("Nov 19 03:22:10 web deploy.sh[812]: ssh: connect to host a port 22: Connection refused"));
        assert!(!speak("docker: command [ssh -l ubuntu -- web] exited, kubelet, mysql"));
    }

    #[test]
    fn a_clock_is_no_port() {
        assert!(names_port_22("203.0.113.5:22") && names_port_22("x:22: refused") && names_port_22("port 22 (tcp)"));
        assert!(!names_port_22("at 03:22:10") && !names_port_22(":2222"));
    }
}
