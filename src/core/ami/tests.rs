//! A case for every family, and the near misses.

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    why: String,
    owner: Option<String>,
    alias: Option<String>,
    name: Option<String>,
    location: Option<String>,
    description: Option<String>,
    platform: Option<String>,
    details: Option<String>,
    architecture: Option<String>,
    ssm: Option<[String; 2]>,
    console: Option<String>,
    console_user: Option<String>,
    family: Option<String>,
    user: Option<String>,
    confidence: Option<Confidence>,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn cases() -> Vec<Case> {
    toml::from_str::<Cases>(include_str!("../../../tests/cases/ami/identify.toml"))
        .expect("identify.toml is well formed")
        .case
}

#[test]
fn families_are_found_by_their_signs() {
    for case in cases() {
        let has_image = case.owner.is_some() || case.alias.is_some() || case.name.is_some() || case.location.is_some();
        let image = has_image.then(|| Image {
            owner_id: case.owner.clone(),
            owner_alias: case.alias.clone(),
            name: case.name.clone(),
            location: case.location.clone(),
            description: case.description.clone(),
            ..Image::default()
        });
        let instance = Instance {
            platform: case.platform.clone(),
            platform_details: case.details.clone(),
            architecture: case.architecture.clone(),
            ..Instance::default()
        };
        let agent = case.ssm.clone().map(|[name, version]| SsmAgent {
            platform_name: Some(name),
            platform_version: Some(version),
            ..SsmAgent::default()
        });
        let guess =
            identify(image.as_ref(), &instance, agent.as_ref(), case.console.as_deref(), case.console_user.as_deref());
        let found = guess.as_ref().map(|guess| guess.family.id.as_str());
        assert_eq!(found, case.family.as_deref(), "{case:?}: {guess:?}");
        if let Some(guess) = guess {
            assert_eq!(Some(guess.confidence), case.confidence, "{case:?}: {guess:?}");
            assert_eq!(guess.family.users.first(), case.user.as_ref(), "{case:?}: {guess:?}");
            assert!(guess.because.ends_with('.'), "{guess:?}");
        }
    }
}

#[test]
fn every_family_has_a_case() {
    let cases = cases();
    for family in families().expect("the data is well formed") {
        assert!(cases.iter().any(|case| case.family.as_deref() == Some(&family.id)), "no case for {}", family.id);
    }
}

#[test]
fn data_with_faults_is_refused() {
    let entry = |id: &str, rest: &str| {
        format!("[[family]]\nid = \"{id}\"\ntitle = \"T\"\nusers = [\"u\"]\n[family.match]\n{rest}\n")
    };
    let good = entry("a", "owners_alone = [\"123456789012\"]");
    assert!(parse(&good).is_ok());
    for (bad, says) in [
        (format!("{good}{good}"), "twice"),
        (good.clone() + &entry("b", "owners_alone = [\"123456789012\"]"), "already means"),
        (entry("a", "owners = [\"123\"]"), "no account"),
        (entry("a", "built_on = [\"b\"]"), "not there"),
        (good.replace("[\"u\"]", "[]"), "no user"),
        (good.replace("title", "titel"), "titel"),
    ] {
        let error = parse(&bad).expect_err(&bad);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn patterns_fit_whole_texts() {
    for (pattern, text, expected) in [
        ("a*c", "abbc", true),
        ("a*c", "abcd", false),
        ("a?c", "abc", true),
        ("a#c", "a1c", true),
        ("a#c", "abc", false),
        ("*b*", "abc", true),
        ("A*", "abc", true),
        ("a*b*c", "a1b2b3c", true),
        ("", "a", false),
        ("*", "", true),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn words_count_only_as_whole_words() {
    for (text, word, expected) in [
        ("my ubuntu22 image", "ubuntu", true),
        ("my-ubuntu-image", "ubuntu", true),
        ("kubuntu", "ubuntu", false),
        ("susemanager", "suse", false),
        ("", "suse", false),
    ] {
        assert_eq!(has_word(text, word), expected, "{text} {word}");
    }
}
