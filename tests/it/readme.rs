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
fn the_settings_are_those_of_the_table() {
    use port22::core::settings::column::Column;
    use port22::core::settings::table::{KEYS, Kind};
    let (_, rest) = README.split_once("## Settings\n").expect("the settings");
    let text = rest.split("\n## ").next().expect("a section");
    for key in KEYS.iter().filter(|k| k.is_kept()) {
        let row = text.lines().find(|l| l.starts_with(&format!("| `{}`", key.name)));
        let row = row.unwrap_or_else(|| panic!("{} has no row", key.name));
        let mut words: Vec<String> = key.environment.iter().map(|name| format!("`{name}`")).collect();
        words.push(format!("`{}", key.option));
        match key.kind {
            Kind::Choice(all) if key.name != "theme" => words.extend(all.iter().map(|word| format!("`{word}`"))),
            Kind::Columns => words.extend(Column::names().iter().map(|name| format!("`{name}`"))),
            _ => {}
        }
        for word in words {
            assert!(row.contains(&word), "{word} is not in {row}");
        }
    }
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
