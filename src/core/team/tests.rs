//! Data-file cases: what is wrong in a team's files, and what the right ones change.

use super::{LARGEST, Problem, Source, Team, read};
use crate::core::ami::ImageUser;
use crate::core::catalogue::{self, Catalogue, Languages};
use crate::core::check::Verdict;
use crate::core::facts::Facts;
use crate::core::facts::aws::{Image, Instance};
use crate::core::words::{Lang, in_language};
use crate::core::{diagnosis, report};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    files: BTreeMap<String, String>,
    wrong: Vec<String>,
    near: Option<String>,
}

fn base() -> Catalogue {
    Catalogue::load().expect("the catalogue")
}

fn sources(files: &BTreeMap<String, String>) -> Vec<Source> {
    files.iter().map(|(n, text)| Source { name: format!("{n}.toml"), bytes: text.clone().into_bytes() }).collect()
}

fn one(text: &str) -> Result<Team, Vec<Problem>> {
    read(&[Source { name: "a.toml".to_owned(), bytes: text.as_bytes().to_vec() }], &base())
}

#[track_caller]
fn right(text: &str) -> Team {
    one(text).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_error_is_told_with_its_place() {
    let cases: Cases = toml::from_str(include_str!("../../../tests/cases/team/errors.toml")).expect("well formed");
    let base = base();
    for case in cases.case {
        let problems = read(&sources(&case.files), &base).expect_err(&case.name);
        let all = shown(&problems);
        let mut left: Vec<&Problem> = problems.iter().collect();
        for wanted in &case.wrong {
            let (place, words) = wanted.split_once(' ').expect("place and words");
            let at = left
                .iter()
                .position(|p| format!("{}:{}:{}", p.file, p.line, p.column) == place && p.message.contains(words));
            let at = at.unwrap_or_else(|| panic!("{}: not told: {wanted}\n{all}", case.name));
            left.remove(at);
        }
        assert!(left.is_empty(), "{}: too much:\n{}\nof\n{all}", case.name, left[0]);
        assert!(problems.iter().all(|p| !p.next.is_empty()), "{}", case.name);
        if let Some(near) = case.near {
            assert!(problems.iter().any(|p| p.nearest.as_ref() == Some(&near)), "{}: {near}\n{all}", case.name);
        }
    }
}

#[test]
fn what_is_no_text_is_told_with_the_place_of_the_first_wrong_byte() {
    let file = |bytes: &[u8]| Source { name: "a.toml".to_owned(), bytes: bytes.to_vec() };
    let problems = read(&[file(b"[link.cause]\nkey-lost = \"\xff\"\n")], &base()).expect_err("no UTF-8");
    assert_eq!((problems[0].line, problems[0].column), (2, 13), "{}", problems[0]);
    let problems = read(&[file(&vec![b'#'; LARGEST + 1])], &base()).expect_err("too long");
    assert!(problems[0].message.contains("longer than"), "{}", problems[0]);
    assert_eq!(read(&[], &base()), Ok(Team::default()));
}

#[test]
fn the_embedded_catalogue_keeps_the_limits_of_a_team() {
    // Else a team could not write its own words as long as port22's.
    let base = base();
    let mut text = String::new();
    for (id, cause) in &base.causes {
        text += &format!("[cause.{id}]\ntitle = {:?}\nexplain = {:?}\n", cause.title, cause.explain);
    }
    for (id, check) in &base.checks {
        text += &format!("[check.{id}]\ntitle = {:?}\nwhy = {:?}\n", check.title, check.why);
    }
    for (id, symptom) in &base.symptoms {
        text += &format!("[symptom.{id}]\ntitle = {:?}\n", symptom.title);
    }
    assert_eq!(right(&text).counts(&base).causes, base.causes.len());
}

#[test]
fn the_embedded_trees_go_nowhere_round_and_take_a_question_everywhere() {
    let text = "[check.vpn-on]\ntitle = \"x\"\nwhy = \"x\"\nquestion = \"x?\"\n[[insert]]\nsymptoms = [\"*\"]\ncheck = \"vpn-on\"\n";
    let laid = right(text).lay(base());
    assert_eq!(laid.problems(), Vec::<String>::new());
    let asked = laid.trees.iter().filter(|t| t.nodes[0].check == "vpn-on").flat_map(|t| &t.symptoms);
    let asked: BTreeSet<&String> = asked.collect();
    let ssh = laid.symptoms.iter().filter(|(id, s)| s.kind == "ssh" && *id != "success").map(|(id, _)| id);
    assert_eq!(asked, ssh.collect());
}

#[test]
fn words_links_and_order_change_and_nothing_that_is_judged() {
    let team = right(
        r#"
[cause.sg-no-rule]
title = "Ours"
next = ["Ask in #net"]
first = ["ssm-shell"]
by_hand = ["terraform apply   # inside"]
[check.tcp-port]
why = "Ours"
[fix.sg-allow-my-ip]
next = ["Tell #net"]
[symptom.timeout]
title = "it hangs"
[link.cause]
sg-no-rule = "https://w/1"
[link.fix]
sg-allow-my-ip = "https://w/2"
[link.check]
tcp-port = "https://w/3"
[word.vpn]
title = "VPN"
means = "Ours"
"#,
    );
    for lang in [Lang::En, Lang::Ja] {
        let (before, after) = (catalogue::embedded(lang), team.lay(catalogue::embedded(lang).clone()));
        let (old, new) = (&before.causes["sg-no-rule"], &after.causes["sg-no-rule"]);
        assert_eq!((new.title.as_str(), &new.explain), ("Ours", &old.explain), "{lang:?}");
        assert_eq!(new.fixes, ["ssm-shell", "sg-allow-my-ip"]);
        assert_eq!(new.added.next, ["Ask in #net"]);
        assert_eq!(new.added.runbook.as_deref(), Some("https://w/1"));
        assert_eq!((&new.proven_by, &new.layer, &new.check), (&old.proven_by, &old.layer, &old.check));
        assert_eq!(after.checks["tcp-port"].why, "Ours");
        assert_eq!(after.checks["tcp-port"].added.runbook.as_deref(), Some("https://w/3"));
        let fix = &after.fixes["sg-allow-my-ip"];
        assert_eq!(fix.added.runbook.as_deref(), Some("https://w/2"));
        assert_eq!(
            catalogue::FixWords { added: catalogue::Added::default(), ..fix.clone() },
            before.fixes["sg-allow-my-ip"]
        );
        assert_eq!(after.symptoms["timeout"].title, "it hangs");
        assert_eq!(after.symptoms["timeout"].proves, before.symptoms["timeout"].proves);
        assert_eq!(after.glossary["vpn"].means, "Ours");
        assert_eq!(after.problems(), Vec::<String>::new());
        // Nothing else is touched.
        let others = |c: &Catalogue| {
            c.causes
                .iter()
                .filter(|(id, _)| *id != "sg-no-rule")
                .map(|(id, w)| (id.clone(), w.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(others(before), others(&after));
        assert_eq!(before.trees, after.trees);
    }
}

/// Facts as they are before anything is known, with a symptom told.
fn facts(symptom: &str) -> Facts {
    Facts { symptom: Some(symptom.to_owned()), ..Facts::default() }
}

fn leaked(team: &Team) -> &'static Languages {
    Box::leak(Box::new(Languages::laid(|base| team.lay(base))))
}

const VPN: &str = r#"
[check.vpn-on]
title = "The VPN is on"
why = "x"
question = "Is the VPN on?"
[[insert]]
symptoms = ["timeout"]
check = "vpn-on"
fail = "end:Connect the VPN."
"#;

#[test]
fn a_question_of_the_team_leads_the_walk_and_raises_no_cause() {
    let laid = leaked(&right(VPN));
    let judged = |answer: Option<&str>| {
        let mut facts = facts("timeout");
        if let Some(answer) = answer {
            facts.answers.insert("vpn-on".to_owned(), answer.to_owned());
        }
        (catalogue::with(laid, || diagnosis::judge(&facts)), diagnosis::judge(&facts), facts)
    };
    let (asked, plain, _) = judged(None);
    assert_eq!(asked.tree[0].at, "vpn-on");
    assert_eq!(asked.tree[0].verdict, Some(Verdict::CannotTell));
    assert_eq!(asked.tree[1..], plain.tree[..], "what is not known goes on with the tree");
    let (no, plain, facts) = judged(Some("no"));
    assert_eq!(no.tree.last().map(|s| s.at.as_str()), Some("end:Connect the VPN."));
    assert_eq!((no.causes, no.overall, &no.path, &no.doors), (plain.causes, plain.overall, &plain.path, &plain.doors));
    assert_eq!(no.checks.len(), plain.checks.len() + 1);
    let (yes, ..) = judged(Some("yes"));
    assert_eq!(yes.tree[0].verdict, Some(Verdict::Pass));
    assert_eq!(yes.tree[1].at, "instance-found");
    // Elsewhere it is not asked.
    let other = catalogue::with(laid, || diagnosis::judge(&self::facts("refused_key")));
    assert!(other.checks.iter().all(|c| c.id != "vpn-on"));
    // A report for others does not tell whose tree it was.
    let run = report::Run { redacted: true, ..report::Run::default() };
    let hidden = catalogue::with(laid, || {
        let diagnosis = diagnosis::judge(&facts);
        [report::json(&facts, &diagnosis, &run).to_string(), report::text(&facts, &diagnosis, &run, true)]
    });
    assert!(hidden.iter().all(|text| !text.contains("VPN") && !text.contains("vpn-on")), "{hidden:?}");
}

#[test]
fn a_symptom_of_the_team_has_its_tree_in_every_language() {
    let team = right(
        r#"
[symptom.bastion_menu]
title = "the bastion logs me out"
proves = "x"
[[tree]]
symptoms = ["bastion_menu", "dns_failure"]
nodes = [{ check = "tcp-port", pass = "end:a", fail = "cause:sg-no-rule", unknown = "door:ssm" }]
[[insert]]
symptoms = ["dns_failure"]
check = "instance-found"
before = "tcp-port"
fail = "end:b"
"#,
    );
    let laid = leaked(&team);
    for lang in [Lang::En, Lang::Ja] {
        in_language(lang, || {
            catalogue::with(laid, || {
                let words = catalogue::get();
                assert_eq!(words.problems(), Vec::<String>::new());
                let order =
                    |s: &str| words.tree(Some(s)).map(|t| t.nodes.iter().map(|n| n.check.clone()).collect::<Vec<_>>());
                assert_eq!(order("bastion_menu"), Some(vec!["tcp-port".to_owned()]));
                assert_eq!(order("dns_failure"), Some(vec!["instance-found".to_owned(), "tcp-port".to_owned()]));
                assert!(words.symptoms["bastion_menu"].order > 0, "it is in the list of the start screen");
                let walk = diagnosis::judge(&facts("bastion_menu"));
                assert_eq!(walk.symptom.as_deref(), Some("bastion_menu"));
                assert_eq!(walk.tree.last().map(|s| s.at.as_str()), Some("door:ssm"));
            });
        });
    }
}

fn image(name: &str, owner: &str) -> Image {
    Image {
        id: "ami-0123456789abcdef0".to_owned(),
        name: Some(name.to_owned()),
        owner_id: Some(owner.to_owned()),
        ..Image::default()
    }
}

#[test]
fn every_sign_of_an_image_must_fit() {
    let signs = |name: Option<&str>, owner: Option<&str>, ami: Option<&str>| ImageUser {
        name: name.map(str::to_owned),
        owner: owner.map(str::to_owned),
        ami: ami.map(str::to_owned),
        users: vec!["ops".to_owned()],
        ..ImageUser::default()
    };
    let (golden, nobody) = (image("Golden-2026", "123456789012"), Instance::default());
    let fits = |user: ImageUser| user.fits(Some(&golden), &nobody);
    assert!(fits(signs(Some("golden-####"), None, None)));
    assert!(fits(signs(Some("golden-*"), Some("123456789012"), Some("ami-0123456789abcdef0"))));
    assert!(!fits(signs(Some("golden-*"), Some("999999999999"), None)));
    assert!(!fits(signs(Some("silver-*"), Some("123456789012"), None)));
    assert!(!fits(signs(None, None, None)));
    // Of an image that could not be read only the id is known.
    let instance = Instance { image_id: Some("ami-1".to_owned()), ..Instance::default() };
    assert!(signs(None, None, Some("ami-1")).fits(None, &instance));
    assert!(!signs(Some("golden-*"), None, None).fits(None, &instance));
}

/// The files of the example in `assets/example-team`.
fn example() -> Vec<Source> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/example-team");
    let mut files: Vec<Source> = std::fs::read_dir(dir)
        .expect("the example")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            Source { name, bytes: std::fs::read(path).expect("a file") }
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

#[test]
fn the_example_has_no_errors_and_shows_everything_that_a_team_can_say() {
    let team = read(&example(), &base()).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    let n = team.counts(&base());
    assert!([n.causes, n.questions, n.symptoms, n.trees, n.users, n.links].iter().all(|n| *n > 0), "{n:?}");
    for lang in [Lang::En, Lang::Ja] {
        assert_eq!(team.lay(catalogue::embedded(lang).clone()).problems(), Vec::<String>::new());
    }
}

#[test]
fn the_images_own_user_is_tried_behind_that_of_a_team_and_a_redacted_report_names_no_team() {
    use crate::core::fact::Fact;
    let team = right("[[user]]\nname = \"al2023-*\"\nuser = \"ops\"\ntitle = \"the ACME image\"\n");
    let laid = leaked(&team);
    let mut facts = facts("permission_denied");
    let instance = Instance { id: "i-1".to_owned(), image_id: Some("ami-1".to_owned()), ..Instance::default() };
    facts.aws.instance = Fact::known(instance, "DescribeInstances");
    let stock = Some(image("al2023-ami-2023.8.20250818.0-kernel-6.1-x86_64", "137112412989"));
    facts.aws.image = Fact::known(stock, "DescribeImages");
    catalogue::with(laid, || {
        assert_eq!(crate::core::rules::users_to_try(&facts), ["ops", "ec2-user"]);
        facts.target.user = Some("ubuntu".to_owned());
        let diagnosis = diagnosis::judge(&facts);
        for redacted in [false, true] {
            let run = report::Run { redacted, ..report::Run::default() };
            let text = report::json(&facts, &diagnosis, &run).to_string();
            let names = text.contains("ACME") || text.contains("a.toml");
            assert_eq!(names, !redacted, "{text}");
        }
    });
}

#[test]
fn the_users_of_a_team_are_tried_and_suggested_and_never_proven() {
    use crate::core::fact::Fact;
    let team = right("[[user]]\nname = \"golden-*\"\nuser = \"ops\"\n");
    let laid = leaked(&team);
    let known = |facts: &mut Facts| {
        let instance = Instance { id: "i-1".to_owned(), image_id: Some("ami-1".to_owned()), ..Instance::default() };
        facts.aws.instance = Fact::Known { value: instance, source: "DescribeInstances".to_owned() };
        let golden = Some(image("golden-7", "123456789012"));
        facts.aws.image = Fact::Known { value: golden, source: "DescribeImages".to_owned() };
    };
    let mut facts = facts("permission_denied");
    known(&mut facts);
    catalogue::with(laid, || {
        assert_eq!(crate::core::rules::login_user(&facts).as_deref(), Some("ops"), "nobody gave another one");
        facts.target.user = Some("ubuntu".to_owned());
        assert_eq!(crate::core::rules::users_to_try(&facts), ["ubuntu", "ops"]);
        let found = diagnosis::judge(&facts);
        let cause = found.causes.iter().find(|c| c.id == "wrong-user-name").expect("it is suggested");
        assert!(cause.certainty < crate::core::cause::Certainty::Proven, "{cause:?}");
        assert!(cause.evidence.iter().any(|e| e.text.contains("a.toml:1")), "{cause:?}");
    });
    assert!(diagnosis::judge(&facts).causes.iter().all(|c| c.id != "wrong-user-name"));
}
