//! The README says what the program says.

const README: &str = include_str!("../../README.md");

#[test]
fn the_keys_are_those_of_the_key_table() {
    let (_, rest) = README.split_once("<!-- keys:").expect("the mark before the keys");
    let (_, rest) = rest.split_once("-->\n").expect("the end of the mark");
    let (keys, _) = rest.split_once("<!-- /keys -->").expect("the mark after the keys");
    let table = port22::tui::keys::markdown();
    assert_eq!(keys.trim(), table.trim(), "put this into the README:\n{table}");
}

#[test]
fn the_screenshots_it_shows_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown: Vec<&str> = README.split("](screenshots/").skip(1).filter_map(|part| part.split(')').next()).collect();
    assert!(!shown.is_empty());
    for name in shown {
        assert!(root.join("screenshots").join(name).is_file(), "{name}");
    }
}
