//! What the user prefers: one table of keys, read from a file, the environment and the command line.
//!
//! [`table`] says which keys there are, of which kind; [`parse`] reads a file by it and tells errors by line and column;
//! [`schema`] writes it down as a JSON Schema; [`resolve`] lays the sources over each other: command line, environment,
//! file, default. Pure: must not read files or the environment (`crate::edge::settings_file` does), and must not act.

pub mod column;
pub mod parse;
pub mod schema;
pub mod table;

use crate::core::words::Lang;
use column::{Column, Sort};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use table::{KEYS, Key};

/// The version of the file's schema that this program writes and reads.
pub const SCHEMA: i64 = 1;

/// A value, checked by the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word, a name or a path.
    Text(String),
    /// On or off.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Several words.
    Texts(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Flag(on) => write!(f, "{on}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Texts(all) => f.write_str(&all.join(", ")),
        }
    }
}

/// Where a value comes from. The later one in this list is stronger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The settings file, at this line.
    File {
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// An option of the command line.
    Option(&'static str),
}

/// A value and its source; without a value the program decides by itself, as the table's default words say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The value.
    pub value: Option<Value>,
    /// Its source.
    pub from: Source,
}

/// What one source says: values by the name of their key.
pub type Layer = BTreeMap<&'static str, Given>;

/// Every key with the value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce(Layer);

/// Lays sources over each other, the strongest first.
pub fn resolve(layers: &[&Layer]) -> InForce {
    let of = |key: &Key| layers.iter().find_map(|layer| layer.get(key.name)).cloned();
    let default = |key: &Key| Given { value: key.default_value(), from: Source::Default };
    InForce(KEYS.iter().filter(|k| k.is_kept()).map(|k| (k.name, of(k).unwrap_or_else(|| default(k)))).collect())
}

impl InForce {
    /// The value of a key, with its source.
    pub fn of(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// Every key of the table that is kept, in the table's order.
    pub fn all(&self) -> impl Iterator<Item = (&'static Key, &Given)> {
        KEYS.iter().filter_map(|key| Some((key, self.0.get(key.name)?)))
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.of(name)?.value.as_ref()? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn texts(&self, name: &str) -> &[String] {
        match self.of(name).and_then(|g| g.value.as_ref()) {
            Some(Value::Texts(all)) => all,
            _ => &[],
        }
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.of(name).and_then(|g| g.value.as_ref()), Some(Value::Flag(true)))
    }

    /// The values by meaning.
    pub fn settings(&self) -> Settings {
        let text = |name| self.text(name).unwrap_or_default();
        let timeout = match self.of("timeout").and_then(|g| g.value.as_ref()) {
            Some(Value::Whole(seconds)) => u64::try_from(*seconds).ok(),
            _ => None,
        };
        Settings {
            theme: ThemeName::of(text("theme")).unwrap_or_default(),
            lang: match text("lang") {
                "en" => Some(Lang::En),
                "ja" => Some(Lang::Ja),
                _ => None,
            },
            mouse: self.flag("mouse"),
            ascii: self.flag("ascii"),
            regions: self.texts("regions").to_vec(),
            profile: self.text("profile").map(str::to_owned),
            columns: self.texts("columns").iter().filter_map(|name| name.parse().ok()).collect(),
            sort: text("sort").parse().unwrap_or_default(),
            timeout,
            guided: text("mode") == "guided",
            notify: match text("notify") {
                "off" => Notify::Off,
                "bell" => Notify::Bell,
                "terminal" => Notify::Terminal,
                _ => Notify::Away,
            },
            assets: self.text("assets").map(PathBuf::from),
        }
    }
}

/// The values in force, by meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Colours of the screens.
    pub theme: ThemeName,
    /// Language of the words; the locale's when not said.
    pub lang: Option<Lang>,
    /// Whether the mouse wheel is listened to.
    pub mouse: bool,
    /// Plain ASCII instead of symbols.
    pub ascii: bool,
    /// AWS Regions; AWS's own configuration decides when empty.
    pub regions: Vec<String>,
    /// AWS profile; AWS's own configuration decides when not said.
    pub profile: Option<String>,
    /// Columns of the instance list; as wide as the screen allows when empty.
    pub columns: Vec<Column>,
    /// Order of the instance list.
    pub sort: Sort,
    /// Longest time of any probe, seconds.
    pub timeout: Option<u64>,
    /// Whether diagnoses begin guided, one question at a time.
    pub guided: bool,
    /// How the end of a long wait is told.
    pub notify: Notify,
    /// A directory with words and trees of one's own.
    pub assets: Option<PathBuf>,
}

/// Colours of the screens, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ThemeName {
    /// Light words on a dark ground.
    #[default]
    Dark,
    /// Dark words on a light ground.
    Light,
    /// Black, white and strong colours: contrast of 7:1 and more.
    HighContrast,
    /// Blue, orange and yellow, told apart with every kind of colour blindness.
    ColourBlind,
    /// The sixteen colours of the terminal, on its own ground.
    Terminal,
    /// No colours.
    None,
}

impl ThemeName {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 6] =
        [Self::Dark, Self::Light, Self::HighContrast, Self::ColourBlind, Self::Terminal, Self::None];

    /// Its name in files and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::HighContrast => "high-contrast",
            Self::ColourBlind => "colour-blind",
            Self::Terminal => "terminal",
            Self::None => "none",
        }
    }

    /// The theme of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

/// How the end of something long is told to a user who looks elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notify {
    /// A bell, where the terminal has said that it is out of focus.
    #[default]
    Away,
    /// Never.
    Off,
    /// A bell, unless the terminal has said that it is in focus.
    Bell,
    /// A message of the terminal (OSC 9), unless it has said that it is in focus.
    Terminal,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &'static str, value: &str, from: Source) -> Layer {
        Layer::from([(name, Given { value: Some(Value::Text(value.to_owned())), from })])
    }

    #[test]
    fn the_strongest_source_wins_for_each_key_by_itself() {
        let file = said("theme", "light", Source::File { line: 3 });
        let environment = said("theme", "none", Source::Environment("NO_COLOR"));
        let option = said("sort", "-launched", Source::Option("--sort"));
        let all = resolve(&[&option, &environment, &file]);
        assert_eq!(all.of("theme").unwrap().from, Source::Environment("NO_COLOR"));
        let settings = all.settings();
        assert_eq!(settings.theme, ThemeName::None);
        assert_eq!(settings.sort, Sort { by: Some(Column::Launched), descending: true });
        assert_eq!(all.of("mouse").unwrap().from, Source::Default);
    }

    #[test]
    fn nothing_said_is_the_default_of_every_key() {
        let all = resolve(&[]);
        assert!(all.all().all(|(_, given)| given.from == Source::Default));
        assert_eq!(all.settings(), Settings { mouse: all.flag("mouse"), ..Settings::default() });
        assert!(all.of("region").is_none(), "another word for regions");
    }

    #[test]
    fn every_theme_has_its_name_in_the_table() {
        let key = KEYS.iter().find(|k| k.name == "theme").unwrap();
        let names: Vec<&str> = ThemeName::ALL.into_iter().map(ThemeName::name).collect();
        assert!(matches!(key.kind, table::Kind::Choice(all) if all == names));
        assert!(names.iter().all(|n| ThemeName::of(n).is_some_and(|t| t.name() == *n)));
    }
}
