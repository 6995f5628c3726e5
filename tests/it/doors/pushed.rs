//! When a key is pushed: its 60 seconds begin only when the server has answered and nothing else is left to be asked.

use super::tunnel::endpoint;
use super::{PATIENCE, facts, soon};
use crate::sshd::{Sshd, keygen};
use port22::core::fact::Fact;
use port22::core::facts::Facts;
use port22::core::facts::aws::Instance;
use port22::core::facts::doors::ConnectEndpoint;
use port22::edge::aws::AwsSettings;
use port22::edge::{RealWorld, Settings};
use port22::engine::failure::Failure;
use port22::engine::terminal::{Door, Wish};
use port22::engine::world::World as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// AWS as far as it is asked here: it refuses everything, and notes the actions in their order.
async fn refusing() -> (String, Arc<Mutex<Vec<&'static str>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let action = loop {
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    if let Some(action) =
                        ["GetConsoleOutput", "SendSSHPublicKey"].into_iter().find(|action| text.contains(action))
                    {
                        break action;
                    }
                    if !stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
                        return;
                    }
                };
                noted.lock().expect("no panic").push(action);
                let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes()).await;
                // What still comes is read, so that the answer is not lost with it.
                let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut seen)).await;
            });
        }
    });
    (endpoint, asked)
}

/// What is known of an instance on this port of this machine, and at an endpoint on that one. known_hosts are empty, and
/// the user has no key.
async fn instance(port: u16, tunnel: u16) -> Facts {
    let mut facts = facts(port, std::path::Path::new("/nonexistent/known_hosts"), None).await;
    let instance = Instance {
        id: "i-0a1b2c3d4e5f60718".to_owned(),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        private_ip: Some("10.0.1.5".parse().unwrap()),
        ..Instance::default()
    };
    facts.aws.instance = Fact::known(instance, "DescribeInstances");
    facts.aws.image = Fact::known(None, "DescribeImages");
    facts.target.address = Some("127.0.0.1".parse().unwrap());
    let made = ConnectEndpoint {
        id: "eice-0123456789abcdef0".to_owned(),
        state: "create-complete".to_owned(),
        dns: Some(format!("127.0.0.1:{tunnel}")),
        ..ConnectEndpoint::default()
    };
    facts.doors.connect_endpoints = Fact::known(vec![made], "DescribeInstanceConnectEndpoints");
    facts
}

async fn refused(endpoint: &str, door: Door, facts: Facts) -> Failure {
    let aws = AwsSettings {
        profile: None,
        regions: vec!["eu-west-1".to_owned()],
        endpoint: Some(endpoint.to_owned()),
        keys: Some(("practice".to_owned(), "practice".to_owned())),
    };
    let world = RealWorld::new(Settings { aws, ..Settings::default() }).await;
    let wish = Wish { door, facts: Arc::new(facts), size: None, command: Some("true".to_owned()), plugin: false };
    soon("no terminal", world.terminal(wish)).await.expect_err("nothing is allowed")
}

#[tokio::test]
async fn no_key_is_pushed_to_a_server_that_does_not_greet() {
    let (aws, asked) = refusing().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let failure = Box::pin(refused(&aws, Door::Eic, instance(port, 1).await)).await;
    assert!(failure.to_string().contains("before its banner"), "{failure}");
    let (tunnel, _task) = endpoint(async |socket| drop(socket)).await;
    let failure = Box::pin(refused(&aws, Door::Eice, instance(22, tunnel).await)).await;
    assert!(failure.to_string().contains("before its banner"), "{failure}");
    // No endpoint at all.
    let failure = Box::pin(refused(&aws, Door::Eice, instance(22, 1).await)).await;
    assert!(failure.to_string().contains("no connection"), "{failure}");
    assert!(asked.lock().expect("no panic").is_empty(), "{asked:?}");
}

#[tokio::test]
async fn what_vouches_for_the_server_is_asked_before_the_push() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = keygen(dir.path(), "key", &["-t", "ed25519"], "");
    let sshd = Sshd::start(&[&key], "").expect("sshd is needed");
    let (aws, asked) = refusing().await;
    let failure = Box::pin(refused(&aws, Door::Eic, instance(sshd.port, 1).await)).await;
    assert!(failure.to_string().contains("push a key"), "{failure}");
    let mut asked = asked.lock().expect("no panic").clone();
    asked.dedup();
    assert_eq!(asked, ["GetConsoleOutput", "SendSSHPublicKey"]);
}
