//! Repairs that something breaks in the middle: an error of the API, a throttle, an answer that never comes, a network
//! that is lost, an instance that is terminated. The journal then says what was changed, and how to go back.

use crate::fix_lab::count;
use crate::kills_lab::{entry, id_of, says_how};
use crate::lab_cli::{Serving, serve};
use crate::program::{Home, Run};
use crate::rescue_lab::ask;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What happens to the call that is to be broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// It is answered with this status and code, and not done.
    Answered(u16, &'static str),
    /// It is done, and no answer comes.
    Silent,
    /// It is done, and the connection breaks.
    Cut,
    /// It is not done, and from then on nobody listens.
    Lost,
}

#[derive(Default)]
struct Plan {
    action: String,
    how: Option<How>,
    down: bool,
}

/// A way to the account that breaks at one call.
struct Way {
    plan: Arc<Mutex<Plan>>,
}

impl Way {
    /// Puts it before the account of a lab.
    fn before(lab: &mut Serving) -> Self {
        let inner = lab.home.value("AWS_ENDPOINT_URL").expect("an endpoint");
        let inner = inner.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let shared = Arc::clone(&plan);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (plan, inner) = (Arc::clone(&shared), inner.clone());
                std::thread::spawn(move || pass(client, &plan, &inner));
            }
        });
        let mut home = std::mem::replace(&mut lab.home, Home::new());
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_STS"] {
            home = home.set(name, &endpoint);
        }
        lab.home = home;
        Self { plan }
    }

    fn set(&self, action: &str, how: Option<How>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) =
            Plan { action: action.to_owned(), how, down: false };
    }
}

/// One connection: a request, and what becomes of it.
fn pass(mut client: TcpStream, plan: &Mutex<Plan>, inner: &str) {
    let Some((head, body)) = request(&mut client) else { return };
    let how = {
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        let named = body.split('&').any(|part| part.strip_prefix("Action=") == Some(plan.action.as_str()));
        let hit = plan.how.filter(|_| named && !body.contains("DryRun=true"));
        plan.down |= hit == Some(How::Lost);
        if plan.down { Some(How::Lost) } else { hit }
    };
    match how {
        Some(How::Lost) => {}
        Some(How::Answered(status, code)) => {
            let text = format!(
                "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>The test says so.</Message></Error></Errors><RequestID>r</RequestID></Response>"
            );
            let answer = format!(
                "HTTP/1.1 {status} Broken\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            let _ = client.write_all(answer.as_bytes());
        }
        other => {
            let Ok(mut server) = TcpStream::connect(inner) else { return };
            let lines = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            let head = lines.collect::<Vec<_>>().join("\r\n");
            let whole = format!("{}\r\nConnection: close\r\n\r\n{body}", head.trim_end());
            let mut answer = Vec::new();
            if server.write_all(whole.as_bytes()).and_then(|()| server.read_to_end(&mut answer)).is_err() {
                return;
            }
            match other {
                Some(How::Silent) => std::thread::sleep(Duration::from_secs(30)),
                Some(_) => {}
                None => {
                    let _ = client.write_all(&answer);
                }
            }
        }
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length =
                head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
            let length: usize = length.unwrap_or(0);
            if bytes.len() >= at + 4 + length {
                return Some((head, String::from_utf8_lossy(&bytes[at + 4..]).into_owned()));
            }
        }
        let count = stream.read(&mut some).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&some[..count]);
    }
}

const NAME: &str = "web-nopublicip";

/// Allocates and associates an address: two deeds, and the second one breaks.
fn broken(how: How) -> (Serving, Way, Run) {
    let mut lab = serve(&["--scenario", NAME, "--transition", "100"]);
    let way = Way::before(&mut lab);
    way.set("AssociateAddress", Some(how));
    let run = lab.fix("eip-associate", NAME, &["--choose", "address=new", "--yes", "--timeout", "6"]).exits(1);
    (lab, way, run)
}

fn addresses(lab: &Serving) -> usize {
    ask(lab, "DescribeAddresses", &[]).matches("<publicIp>").count()
}

/// What the journal and the last words of the run must say when the first deed is in force.
#[track_caller]
fn told(lab: &Serving, run: &Run, unknown: bool) {
    let told = entry(lab);
    says_how(&told, &run.stderr);
    assert_eq!(told["state"], "failed", "{told}");
    let first = &told["in_force"][0];
    assert!(first["text"].as_str().is_some_and(|t| t.contains("eipalloc-") && t.contains("allocated")), "{told}");
    assert!(
        first["undo"].as_str().is_some_and(|u| u.contains("aws ec2 release-address") && u.contains("eipalloc-")),
        "{told}"
    );
    assert_eq!(told["unknown"]["step"].as_u64(), unknown.then_some(2), "{told}");
    let id = told["entry"].as_str().unwrap_or_default();
    for words in ["in force: ", &format!("port22 undo {id}"), &format!("port22 resume {id}")] {
        assert!(run.stderr.contains(words), "{words}: {run:#?}");
    }
    let text = lab.home.run(&["journal"]).exits(0).stdout;
    for words in ["in force: step 1", "back by hand: aws ec2 release-address", &format!("go back: port22 undo {id}")] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(text.contains("nobody knows whether step 2 was done"), unknown, "{text}");
}

#[test]
fn an_error_and_a_throttle_in_the_middle() {
    for how in [How::Answered(400, "InvalidNetworkInterfaceID.NotFound"), How::Answered(503, "RequestLimitExceeded")] {
        let (lab, way, run) = broken(how);
        told(&lab, &run, false);
        way.set("", None);
        let left = addresses(&lab);
        lab.home.run(&["undo", "--yes"]).exits(0);
        assert_eq!((addresses(&lab), entry(&lab)["state"].as_str()), (left - 1, Some("undone")), "{how:?}");
    }
}

#[test]
fn a_throttle_in_the_middle_is_gone_on_with() {
    let (lab, way, _) = broken(How::Answered(503, "RequestLimitExceeded"));
    way.set("", None);
    let left = addresses(&lab);
    lab.home.run(&["resume", "--yes", "--timeout", "2"]).exits(0);
    assert_eq!(addresses(&lab), left, "nothing is made twice");
}

#[test]
fn an_answer_that_never_comes_and_a_connection_that_breaks() {
    std::thread::scope(|scope| {
        for (how, resume) in [(How::Silent, false), (How::Cut, true), (How::Cut, false)] {
            scope.spawn(move || {
                let (lab, way, run) = broken(how);
                told(&lab, &run, true);
                way.set("", None);
                let left = addresses(&lab);
                if resume {
                    lab.home.run(&["resume", "--yes", "--timeout", "2"]).exits(0);
                    assert_eq!(addresses(&lab), left, "nothing is made twice");
                }
                lab.home.run(&["undo", "--yes"]).exits(0);
                assert_eq!((addresses(&lab), entry(&lab)["state"].as_str()), (left - 1, Some("undone")), "{how:?}");
            });
        }
    });
}

#[test]
fn a_network_that_is_lost_in_the_middle() {
    let (lab, way, run) = broken(How::Lost);
    told(&lab, &run, true);
    // As long as it is lost nothing is taken back, and nothing forgotten.
    let undo = lab.home.run(&["undo", "--yes"]);
    assert_eq!(undo.exit, 4, "{undo:#?}");
    for words in
        ["cannot be told whether you are in account", "endpoint cannot be reached", "try again when AWS answers"]
    {
        assert!(undo.stderr.contains(words), "{words}: {undo:#?}");
    }
    told(&lab, &run, true);
    way.set("", None);
    let left = addresses(&lab);
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(addresses(&lab), left - 1);
}

#[test]
fn an_undo_that_breaks_says_what_is_still_in_force() {
    let mut lab = serve(&["--scenario", NAME, "--transition", "100"]);
    let way = Way::before(&mut lab);
    lab.fix("eip-associate", NAME, &["--choose", "address=new", "--yes", "--timeout", "6"]).exits(0);
    way.set("ReleaseAddress", Some(How::Answered(503, "RequestLimitExceeded")));
    let undo = lab.home.run(&["undo", "--yes"]).exits(1);
    let told = entry(&lab);
    assert!(undo.stderr.contains("still in force") && undo.stderr.contains("Undo again: port22 undo"), "{undo:#?}");
    assert_eq!(told["in_force"].as_array().map(Vec::len), Some(1), "{told}");
    assert!(told["back"].as_str().is_some_and(|b| b.starts_with("port22 undo ")), "{told}");
    way.set("", None);
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(entry(&lab)["state"], "undone");
}

#[test]
fn an_instance_that_its_group_terminates_in_the_middle() {
    let lab = serve(&["--scenario", "web-system", "--transition", "2500"]);
    let id = id_of(&lab, "web-system");
    let mut child =
        lab.home.start(&lab.fix_arguments("instance-stop-start", "web-system", &["--yes", "--timeout", "6"]));
    let began = Instant::now();
    let state = || {
        let told = ask(&lab, "DescribeInstances", &[("InstanceId.1", &id)]);
        told.split_once("<instanceState>").map(|(_, rest)| rest.split("</name>").next().unwrap_or_default().to_owned())
    };
    while !state().is_some_and(|s| s.contains("stopping")) {
        assert!(began.elapsed() < Duration::from_mins(1), "it is never stopped");
        std::thread::sleep(Duration::from_millis(20));
    }
    ask(&lab, "TerminateInstances", &[("InstanceId.1", &id)]);
    assert_eq!(child.wait().expect("its end").code(), Some(1));
    assert_eq!(count(&lab, "step_failed"), 1);
    let told = entry(&lab);
    says_how(&told, "terminated");
    let text = told["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("step 1 failed") && text.contains("is terminated") && text.contains("Auto Scaling group"),
        "{told}"
    );
    assert_eq!(told["unknown"]["step"], 1, "{told}");
    assert!(told["unknown"]["undo"].as_str().is_some_and(|u| u.contains("aws ec2 start-instances")), "{told}");
    lab.home.run(&["resume", "--yes"]).exits(1).fails_with("terminated");
    // Nothing is left to take back.
    lab.home.run(&["undo", "--yes"]).exits(0);
}
