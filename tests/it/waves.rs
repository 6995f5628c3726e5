//! How many calls AWS gets, and how many of them wait for others: measured on the wire.
//!
//! A gate before moto holds every request until no more come, then lets all of them through: each
//! opening is one wave of calls that did not depend on each other.

use crate::host::{closed, silent};
use crate::moto::{CLIENT, Moto, Spec};
use crate::program::{Home, Report};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long nothing may arrive before a wave is taken as complete.
const QUIET: Duration = Duration::from_millis(800);

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// Calls let through by each opening.
    waves: Vec<usize>,
    actions: Vec<String>,
}

impl Gate {
    /// Waits for the opening of this call's wave.
    fn pass(&self, action: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wave = state.waves.len();
        state.waiting += 1;
        state.actions.push(action);
        self.changed.notify_all();
        while state.waves.len() == wave {
            let before = state.waiting;
            let (next, quiet) = self.changed.wait_timeout(state, QUIET).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if quiet.timed_out() && state.waves.len() == wave && state.waiting == before {
                let all = std::mem::take(&mut state.waiting);
                state.waves.push(all);
                self.changed.notify_all();
            }
        }
    }

    fn waves(&self) -> Vec<usize> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waves.clone()
    }

    fn actions(&self) -> Vec<String> {
        let mut all = self.state.lock().unwrap_or_else(PoisonError::into_inner).actions.clone();
        all.sort();
        all
    }
}

/// One request with its body, as it came.
fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(Ok(0), |n| n.trim().parse::<usize>())
                .ok()?;
            if bytes.len() >= end + length {
                return Some(bytes);
            }
        }
        match stream.read(&mut some) {
            Ok(read @ 1..) => bytes.extend_from_slice(&some[..read]),
            _ => return None,
        }
    }
}

/// What a request asks for: `DescribeInstances`, or the service where the body does not say.
fn action(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let query = text.split("Action=").nth(1).and_then(|rest| rest.split('&').next());
    let target = || {
        text.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with("x-amz-target")
                .then(|| line.rsplit('.').next().unwrap_or_default().trim().to_owned())
        })
    };
    query.map(str::to_owned).or_else(target).unwrap_or_else(|| "?".to_owned())
}

/// Opens a gate before an endpoint; returns its address.
fn gate(endpoint: &str) -> (Arc<Gate>, String) {
    let behind: SocketAddr = endpoint.trim_start_matches("http://").parse().expect("an address");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let gate = Arc::new(Gate::default());
    let shared = Arc::clone(&gate);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let gate = Arc::clone(&shared);
            std::thread::spawn(move || forward(stream, behind, &gate));
        }
    });
    (gate, address)
}

/// What EC2 answers when an account's token bucket is empty (EC2 developer guide, "Request throttling").
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors><RequestID>1</RequestID></Response>";

/// An endpoint that asks to slow down the first `times` times that it hears `wanted`.
fn throttling(endpoint: &str, wanted: &'static str, times: usize) -> (Arc<AtomicUsize>, String) {
    let behind: SocketAddr = endpoint.trim_start_matches("http://").parse().expect("an address");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let heard = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let heard = Arc::clone(&shared);
            std::thread::spawn(move || {
                let asked = request(&mut client)?;
                if action(&asked) == wanted && heard.fetch_add(1, Ordering::SeqCst) < times {
                    let head = format!(
                        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        SLOW_DOWN.len()
                    );
                    return client.write_all(format!("{head}{SLOW_DOWN}").as_bytes()).ok();
                }
                pass_on(&asked, &mut client, behind)
            });
        }
    });
    (heard, address)
}

#[test]
fn a_request_to_slow_down_is_waited_for_and_not_taken_for_an_answer() {
    let moto = Moto::shared();
    let host = silent();
    let (heard, address) = throttling(&moto.endpoint, "DescribeSecurityGroups", 2);
    let home = Home::with(moto).set("AWS_ENDPOINT_URL", &address).set("AWS_MAX_ATTEMPTS", "5");
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("slow-down", host.place).faults(&["sg"]).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("sg-no-rule proven", 1);
    assert_eq!(heard.load(Ordering::SeqCst), 3, "two refusals, then the answer");
}

#[test]
fn an_endless_request_to_slow_down_is_said_and_hides_nothing() {
    let moto = Moto::shared();
    let host = silent();
    let (heard, address) = throttling(&moto.endpoint, "DescribeSecurityGroups", usize::MAX);
    let home = Home::with(moto).set("AWS_ENDPOINT_URL", &address).set("AWS_MAX_ATTEMPTS", "2");
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("slow-forever", host.place).faults(&["sg"]).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    assert_eq!(report.check("security-group").0, "cannot_tell", "{}", report.brief());
    assert!(report.check("security-group").1.contains("slow down"), "{}", report.brief());
    assert!(report.causes().iter().all(|c| !c.starts_with("sg-no-rule")), "{}", report.brief());
    assert_eq!(heard.load(Ordering::SeqCst), 2);
}

/// An endpoint that notes what it is asked for.
pub fn counting(endpoint: &str) -> (Arc<Mutex<Vec<String>>>, String) {
    let behind: SocketAddr = endpoint.trim_start_matches("http://").parse().expect("an address");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let heard = Arc::clone(&shared);
            std::thread::spawn(move || {
                let asked = request(&mut client)?;
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(action(&asked));
                pass_on(&asked, &mut client, behind)
            });
        }
    });
    (heard, address)
}

/// moto closes each connection after its answer, and so does the gate.
fn forward(mut client: TcpStream, behind: SocketAddr, gate: &Gate) -> Option<()> {
    let asked = request(&mut client)?;
    gate.pass(action(&asked));
    pass_on(&asked, &mut client, behind)
}

fn pass_on(asked: &[u8], client: &mut TcpStream, behind: SocketAddr) -> Option<()> {
    let mut server = TcpStream::connect(behind).ok()?;
    server.write_all(asked).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    client.write_all(&answer).ok()
}

#[test]
fn a_full_diagnosis_takes_two_waves() {
    let moto = Moto::shared();
    let host = silent();
    let (gate, address) = gate(&moto.endpoint);
    let home = Home::with(moto).set("AWS_ENDPOINT_URL", &address);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("waves", host.place).faults(&["sg"]).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("sg-no-rule proven", 1);
    let (waves, actions) = (gate.waves(), gate.actions());
    assert!(waves.len() <= 2, "{waves:?} {actions:?}");
    assert_eq!(report.json["api_calls"], waves.iter().sum::<usize>(), "{actions:?}");
    assert!(actions.len() <= 26, "{actions:?}");
    for needed in [
        "DescribeInstances",
        "DescribeSecurityGroups",
        "DescribeNetworkAcls",
        "DescribeRouteTables",
        "DescribeInternetGateways",
        "GetCallerIdentity",
    ] {
        assert_eq!(actions.iter().filter(|a| *a == needed).count(), 1, "{needed}: {actions:?}");
    }
    assert!(actions.iter().all(|a| a.starts_with("Describe") || a.starts_with("Get")), "only reads: {actions:?}");
}

#[test]
fn prefix_lists_take_a_third_wave() {
    let moto = Moto::shared();
    let host = silent();
    let (gate, address) = gate(&moto.endpoint);
    let home = Home::with(moto).set("AWS_ENDPOINT_URL", &address);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("prefix-list", host.place).faults(&["nacl-in"]).rules(&[]).key(&key));
    let list = moto.ec2("create_managed_prefix_list", &json!({"PrefixListName": "offices", "MaxEntries": 5, "AddressFamily": "IPv4", "Entries": [{"Cidr": "203.0.113.0/24", "Description": "office"}]}));
    let list = list["PrefixList"]["PrefixListId"].as_str().expect("a list").to_owned();
    let port = host.place.port;
    moto.ec2("authorize_security_group_ingress", &json!({"GroupId": world.group, "IpPermissions": [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "PrefixListIds": [{"PrefixListId": list}]}]}));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("nacl-inbound-deny proven", 1).blocked(&["nacl"]);
    assert_eq!(report.check("security-group").0, "pass", "{}", report.brief());
    assert!(gate.waves().len() <= 3, "{:?} {:?}", gate.waves(), gate.actions());
}

#[test]
fn the_calls_are_counted_and_told() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("counted", closed()).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    let calls = report.json["api_calls"].as_u64().expect("a number");
    assert!((8..=26).contains(&calls), "{calls} calls");
    let port = world.place.port.to_string();
    let text = home.run(&["diagnose", &world.instance, "-p", &port, "--source-ip", CLIENT]).exits(1);
    assert!(text.stdout.contains(&format!("{calls} AWS calls")), "{text:#?}");
}

#[test]
fn the_target_on_a_later_page_is_found() {
    // moto gives 100 reservations a page; a herd of instances that was replaced again and again keeps its Name for an hour.
    let moto = Moto::start();
    let home = Home::with(&moto);
    let mut states = vec!["terminated"; 150];
    states.push("running");
    let ids = moto.ask(&json!({"do": "named", "name": "herd", "states": states}));
    let live = ids[150].as_str().expect("an id");
    let run = home.run(&["diagnose", "herd", "--json", "--source-ip", CLIENT]);
    let report = Report::read(run);
    assert_eq!(report.json["target"]["instance_id"], live, "{}", report.brief());
    report.finds("no-public-ip proven", 1);
}
