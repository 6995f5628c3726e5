//! moto for the tests: a real HTTP endpoint that the real SDK talks to, and small worlds in it.
//!
//! One server for each test process (each test where tests run as processes), made by `world.py`,
//! which ends with its standard input. Worlds have VPCs of their own, so tests run side by side.

use crate::host::Place;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The client's address as the instances see it, and the one it had before.
pub const CLIENT: &str = "203.0.113.10";
/// Region of the worlds.
pub const REGION: &str = "us-east-1";

/// A running moto. Dropping it, or the end of this process, ends it.
pub struct Moto {
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// Ids of a world with one instance.
#[derive(Debug, Clone)]
pub struct World {
    /// Where the instance is dialled.
    pub place: Place,
    pub instance: String,
    pub group: String,
    pub vpc: String,
    pub acl: String,
    pub table: String,
    pub interface: String,
}

impl World {
    /// A place that no AWS account knows.
    pub fn unknown(place: Place) -> Self {
        let none = String::new;
        Self { place, instance: none(), group: none(), vpc: none(), acl: none(), table: none(), interface: none() }
    }
}

/// What a world is made of. The instance listens (or not) at `place`.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    pub name: &'a str,
    pub place: Place,
    /// `sg`, `sg-changed`, `nacl-in`, `nacl-out`, `no-route`, `igw-detached`, `no-eip`, `stopped`.
    pub faults: &'a [&'a str],
    /// `nixos` (user root), `al2023` (ec2-user), `ubuntu`.
    pub image: &'a str,
    /// Public half of the key pair that the instance is launched with.
    pub key: Option<String>,
    /// Rules for the port, as CIDR and description, in place of the usual one.
    pub rules: Option<Vec<(&'a str, &'a str)>>,
    /// Launched now, and not years ago. It may then still boot, and its key pair is not a later namesake.
    pub young: bool,
}

impl<'a> Spec<'a> {
    pub fn new(name: &'a str, place: Place) -> Self {
        Self { name, place, faults: &[], image: "nixos", key: None, rules: None, young: false }
    }

    pub fn faults(self, faults: &'a [&'a str]) -> Self {
        Self { faults, ..self }
    }

    pub fn image(self, image: &'a str) -> Self {
        Self { image, ..self }
    }

    /// The instance is launched with the key pair of this private key file.
    pub fn key(self, private: &Path) -> Self {
        let public = std::fs::read_to_string(format!("{}.pub", private.display())).expect("the public half");
        Self { key: Some(public), ..self }
    }

    pub fn rules(self, rules: &[(&'a str, &'a str)]) -> Self {
        Self { rules: Some(rules.to_vec()), ..self }
    }
}

/// The Python that has moto: of the virtual environment that tests/run makes, or the one on the PATH.
fn python() -> PathBuf {
    let program = std::env::var_os("PORT22_TEST_MOTO")
        .map_or_else(|| PathBuf::from("python3"), |bin| PathBuf::from(bin).join("python"));
    let found = Command::new(&program).args(["-c", "import moto.server, boto3"]).stdin(Stdio::null()).output();
    let works = found.is_ok_and(|out| out.status.success());
    assert!(
        works,
        "{} has no moto: run tests/run, or name a directory with python, moto[server] and boto3 by PORT22_TEST_MOTO",
        program.display()
    );
    program
}

impl Moto {
    /// The server of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server for one test alone, which changes what holds for the whole server.
    pub fn start() -> Self {
        Self::of("world.py")
    }

    /// What this script of tests/it serves.
    pub fn of(script: &str) -> Self {
        Self::of_with(script, &[])
    }

    /// The same, with arguments.
    pub fn of_with(script: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script))
            .args(arguments)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_ENDPOINT_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python");
        let pipes = (child.stdin.take().expect("its input"), BufReader::new(child.stdout.take().expect("its output")));
        let mut moto = Self { endpoint: String::new(), child, pipes: Mutex::new(pipes) };
        moto.endpoint = moto.answer().as_str().map(str::to_owned).expect("an endpoint");
        moto
    }

    /// Lets `world.py` do something; fails with its traceback.
    pub fn ask(&self, question: &Value) -> Value {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.0, "{question}").expect("world.py listens");
        read(&mut pipes.1)
    }

    /// Id of the server's process.
    #[cfg(target_os = "linux")]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn answer(&self) -> Value {
        read(&mut self.pipes.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Builds a world with one instance.
    pub fn build(&self, spec: &Spec) -> World {
        let ids = self.ask(&json!({
            "do": "build", "name": spec.name, "port": spec.place.port, "address": spec.place.ip.to_string(),
            "faults": spec.faults, "image": spec.image, "key": spec.key, "rules": spec.rules, "young": spec.young,
        }));
        let id = |name: &str| ids[name].as_str().expect(name).to_owned();
        World {
            place: spec.place,
            instance: id("instance"),
            group: id("group"),
            vpc: id("vpc"),
            acl: id("acl"),
            table: id("table"),
            interface: id("interface"),
        }
    }

    /// Any EC2 call, named and answered as boto3 does.
    pub fn ec2(&self, operation: &str, arguments: &Value) -> Value {
        self.ask(&json!({"do": "call", "service": "ec2", "operation": operation, "arguments": arguments}))
    }

    /// Everything of a world that a fix could have changed.
    pub fn look(&self, world: &World) -> Value {
        self.ask(&json!({"do": "look", "vpc": world.vpc}))
    }

    /// CIDR and description of the inbound rules of a world's group, in order.
    pub fn rules(&self, world: &World) -> Vec<(String, String)> {
        let answer = self
            .ec2("describe_security_group_rules", &json!({"Filters": [{"Name": "group-id", "Values": [world.group]}]}));
        let inbound =
            answer["SecurityGroupRules"].as_array().expect("rules").iter().filter(|rule| rule["IsEgress"] == false);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut all: Vec<_> = inbound.map(|rule| (text(&rule["CidrIpv4"]), text(&rule["Description"]))).collect();
        all.sort();
        all
    }

    /// From now on policies count; access key and secret of a user that may do all but `denied`.
    pub fn enforce(&self, denied: &[&str]) -> (String, String) {
        let keys = self.ask(&json!({"do": "enforce", "denied": denied}));
        (keys[0].as_str().expect("a key").to_owned(), keys[1].as_str().expect("a secret").to_owned())
    }
}

fn read(from: &mut impl BufRead) -> Value {
    let mut line = String::new();
    from.read_line(&mut line).expect("world.py answers");
    let answer: Value = serde_json::from_str(&line).expect("an answer of world.py");
    if let Some(error) = answer["error"].as_str() {
        panic!("world.py: {error}");
    }
    answer["ok"].clone()
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
