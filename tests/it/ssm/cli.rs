//! `port22 proxy` and `port22 forward` as programs, with ssh, TLS and an HTTP proxy.

use super::fake::Tls;
use super::*;
use crate::program::PORT22;
use crate::sshd::{Sshd, keygen, me};
use port22::core::channel::message::Flag;
use std::path::{Path, PathBuf};
use std::process::{Command as Plain, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub const ID: &str = "i-0a1b2c3d4e5f60718";

fn environment(fake: &Fake, home: &Path) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        pair("HOME", &home.display().to_string()),
        pair("PATH", &std::env::var("PATH").unwrap_or_default()),
        pair("AWS_ENDPOINT_URL", &fake.endpoint),
        pair("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        pair("AWS_SECRET_ACCESS_KEY", "secret"),
        pair("AWS_REGION", "eu-west-1"),
        pair("AWS_EC2_METADATA_DISABLED", "true"),
        pair("AWS_MAX_ATTEMPTS", "1"),
    ]
}

pub fn program(fake: &Fake, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PORT22);
    command.args(arguments).env_clear().envs(environment(fake, home)).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program with this input; gives exit status, standard output and standard error.
pub async fn proxied(mut command: Command, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = command.spawn().expect("port22");
    let mut stdin = child.stdin.take().expect("piped");
    // Before anything is read: neither direction may wait for the other.
    within(20, stdin.write_all(input)).await.expect("taken");
    drop(stdin);
    let out = within(30, child.wait_with_output()).await.expect("its end");
    (out.status.code(), out.stdout, String::from_utf8_lossy(&out.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_carries_bytes_and_nothing_else() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(raw(), Backend::Dial(echo().await), Faults::default()).await;
    let sent = bytes(200_000);
    let (exit, stdout, stderr) = proxied(program(&fake, home.path(), &["proxy", ID, "22"]), &sent).await;
    assert_eq!((exit, stderr.as_str()), (Some(0), ""));
    assert!(stdout == sent, "{} bytes came back", stdout.len());
    assert_eq!(fake.seen(|s| s.flags.clone()), [Flag::Terminate]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_is_said() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(raw(), Backend::Echo, Faults::default()).await;
    let mut command = program(&fake, home.path(), &["proxy", "mi-00000000000000000", "22"]);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let (exit, stdout, stderr) = proxied(command, b"").await;
    assert_eq!((exit, stdout.len()), (Some(1), 0));
    assert!(stderr.starts_with("port22: ") && stderr.contains("cannot be reached"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_logs_in_through_a_proxy_command_that_is_cut_meanwhile() {
    let home = tempfile::tempdir().expect("a directory");
    let key = keygen(home.path(), "key", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&key], "") else { return };
    let address = SocketAddr::from(([127, 0, 0, 1], sshd.port));
    let faults = Faults { cuts: vec![12, 40], lose: 17, ..Faults::default() };
    let fake = service(raw(), Backend::Dial(address), faults).await;
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    ssh.args(["-o", "IdentitiesOnly=yes", "-o", &format!("ProxyCommand={PORT22} proxy {ID} %p"), "-i"]);
    ssh.arg(&key).arg(format!("{}@{ID}", me())).arg("echo over-ssm; seq 1 20000");
    ssh.env_clear().envs(environment(&fake, home.path())).kill_on_drop(true).stdin(Stdio::null());
    let out = within(60, ssh.output()).await.expect("ssh");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.starts_with("over-ssm\n1\n2\n") && text.ends_with("\n20000\n"), "{} bytes", text.len());
    assert!(fake.seen(|s| s.calls.contains(&"ResumeSession".to_owned())), "it was not cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_says_where_it_listens_and_ends_its_session() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(smux(), Backend::Smux(echo().await), Faults::default()).await;
    let mut child = program(&fake, home.path(), &["forward", ID, "db.internal:5432"]).spawn().expect("port22");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = within(30, lines.next_line()).await.expect("a line").expect("an address");
    let address: SocketAddr = line.parse().expect("an address and a port");
    assert!(address.ip() == std::net::Ipv4Addr::LOCALHOST, "{address}");
    for _ in 0..3 {
        within(30, round_trip(TcpStream::connect(address).await.expect("a connection"), 50_000)).await;
    }
    let pid = child.id().expect("a process").to_string();
    assert!(Plain::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let status = within(10, child.wait()).await.expect("its end");
    assert_eq!(status.code(), Some(0));
    assert_eq!(fake.seen(|s| s.flags.clone()), [Flag::Terminate]);
    assert_eq!(fake.seen(|s| s.starts[0]["DocumentName"].clone()), "AWS-StartPortForwardingSessionToRemoteHost");
}

/// A certificate authority and a certificate of this name, made by openssl where it is installed.
fn certificate(dir: &TempDir, name: &str) -> Option<(PathBuf, TlsAcceptor)> {
    let path = |file: &str| dir.path().join(file).display().to_string();
    let openssl = |arguments: &str| {
        let out = Plain::new("openssl").args(arguments.split(' ')).current_dir(dir.path()).output();
        let found = out.is_ok();
        assert!(found || std::env::var_os("CI").is_none(), "openssl is needed");
        out.is_ok_and(|out| {
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            true
        })
    };
    std::fs::write(path("leaf.ext"), format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n"))
        .expect("a file");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let made = openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test-ca -days 2"))
        && openssl(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN={name}"))
        && openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2 -extfile leaf.ext",
        );
    if !made {
        return None;
    }
    let chain = vec![CertificateDer::from_pem_file(path("leaf.pem")).expect("a certificate")];
    let secret = PrivateKeyDer::from_pem_file(path("leaf.key")).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let config = builder.with_single_cert(chain, secret).expect("a certificate and its key");
    Some((dir.path().join("ca.pem"), TlsAcceptor::from(Arc::new(config))))
}

/// A proxy that takes CONNECT to any name and leads to the loopback's port of that number; counts its tunnels.
async fn http_proxy() -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a request"));
                }
                let head = String::from_utf8(head).expect("text");
                let line = head.lines().next().expect("a line").to_owned();
                let port: u16 = line.split([':', ' ']).nth(2).and_then(|p| p.parse().ok()).expect("a port");
                seen.lock().expect("no panic").push(head);
                let mut to = TcpStream::connect(("127.0.0.1", port)).await.expect("the service");
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("taken");
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_checked_and_an_http_proxy_is_used() {
    let home = tempfile::tempdir().expect("a directory");
    let Some((authority, acceptor)) = certificate(&home, "gateway.test") else { return };
    let tls = Tls { name: "gateway.test".to_owned(), acceptor };
    let backend = Backend::Dial(echo().await);
    let script = Script { opening: raw(), backend, faults: Faults::default(), tls: Some(tls) };
    let fake = Arc::new(Fake::start(script).await);
    let (proxy, asked) = http_proxy().await;
    let command = |trusted: bool| {
        let mut command = program(&fake, home.path(), &["proxy", ID, "22"]);
        command.env("HTTPS_PROXY", format!("http://user:word@{proxy}"));
        if trusted {
            command.env("SSL_CERT_FILE", &authority);
        }
        command
    };
    let (exit, stdout, stderr) = proxied(command(true), b"through TLS and a proxy").await;
    assert_eq!((exit, stdout.as_slice()), (Some(0), b"through TLS and a proxy".as_slice()), "{stderr}");
    {
        let asked = asked.lock().expect("no panic");
        assert!(asked[0].starts_with("CONNECT gateway.test:"), "{asked:?}");
        assert!(asked[0].contains("Proxy-Authorization: Basic dXNlcjp3b3Jk"), "{asked:?}");
    }
    let openings = fake.seen(|s| s.openings.len());
    let (exit, stdout, stderr) = proxied(command(false), b"secret").await;
    assert_eq!((exit, stdout.len()), (Some(1), 0));
    assert!(stderr.contains("TLS with gateway.test"), "{stderr}");
    assert_eq!(fake.seen(|s| s.openings.len()), openings, "a token was given to a stranger");
}
