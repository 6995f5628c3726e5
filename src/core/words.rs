//! Phrases of screens and command line in the language of the user.
//!
//! A phrase is written in English where it is shown, `tr("quit")`, and its translation stands in `assets/ja/screens.toml`
//! under the English phrase. Texts made of parts go through [`tr_with`], because the order of the parts differs between
//! languages. A phrase that stands in a table first is marked with [`phrase`] there and given to [`tr`] where it is shown.
//! A test (`tests/it/words.rs`) reads all sources and fails on a phrase without translation, on a translation without
//! phrase, and on parts that differ. To add a phrase: write `tr("…")`, and its line in `assets/ja/screens.toml`.
//!
//! Must not read the environment: the language is set once by the program's main function, from [`Lang::choose`].

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Translations of [`tr`]'s phrases, English phrase to Japanese.
pub const JAPANESE: &str = include_str!("../../assets/ja/screens.toml");

/// A language of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

impl Lang {
    /// The language of a POSIX locale name: `ja`, `ja_JP`, `ja_JP.UTF-8` are Japanese. A locale with another encoding
    /// than UTF-8 (`ja_JP.eucJP`) could not show what is written, so it is English, like everything else.
    pub fn of_locale(locale: &str) -> Self {
        let plain = locale.split('@').next().unwrap_or_default();
        let (name, encoding) = plain.split_once('.').unwrap_or((plain, "UTF-8"));
        let utf8 = encoding.eq_ignore_ascii_case("utf-8") || encoding.eq_ignore_ascii_case("utf8");
        if utf8 && name.split(['_', '-']).next() == Some("ja") { Self::Ja } else { Self::En }
    }

    /// What was asked for, or else what the environment says, in the order of POSIX: the first that is not empty of
    /// `LC_ALL`, `LC_MESSAGES`, `LANG`.
    pub fn choose(asked: Option<Self>, environment: impl Fn(&str) -> Option<String>) -> Self {
        let locale = || ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(&environment).find(|v| !v.is_empty());
        asked.unwrap_or_else(|| locale().map_or(Self::En, |l| Self::of_locale(&l)))
    }
}

static PROCESS: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static HERE: Cell<Option<Lang>> = const { Cell::new(None) };
}

/// Sets the language of the whole process; for the program's main function alone.
pub fn set(lang: Lang) {
    PROCESS.store(u8::from(lang == Lang::Ja), Ordering::Relaxed);
}

/// The language of the words; English until somebody sets another.
pub fn lang() -> Lang {
    let process = || if PROCESS.load(Ordering::Relaxed) == 1 { Lang::Ja } else { Lang::En };
    HERE.get().unwrap_or_else(process)
}

/// Runs something in a language, on this thread only: for tests, and for texts whose language is fixed.
pub fn in_language<T>(lang: Lang, run: impl FnOnce() -> T) -> T {
    struct Before(Option<Lang>);
    impl Drop for Before {
        fn drop(&mut self) {
            HERE.set(self.0);
        }
    }
    let _before = Before(HERE.replace(Some(lang)));
    run()
}

/// Every translation by its English phrase. A test proves that the file can be read.
pub fn japanese() -> &'static HashMap<String, String> {
    static PHRASES: LazyLock<HashMap<String, String>> = LazyLock::new(|| toml::from_str(JAPANESE).unwrap_or_default());
    &PHRASES
}

/// Marks a phrase that is given to [`tr`] elsewhere.
pub const fn phrase(english: &'static str) -> &'static str {
    english
}

/// A phrase in the language of the words; English where there is no translation.
pub fn tr(english: &'static str) -> &'static str {
    match lang() {
        Lang::En => english,
        Lang::Ja => japanese().get(english).map_or(english, String::as_str),
    }
}

/// A phrase with parts, `"{count} of {total}"`, in the language of the words. A part is put in as it is, braces and all.
/// `{{` and `}}` are not known: a phrase has no other braces.
pub fn tr_with(english: &'static str, parts: &[(&str, &dyn Display)]) -> String {
    fill(tr(english), parts)
}

fn fill(template: &str, parts: &[(&str, &dyn Display)]) -> String {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let found = after.split_once('}').and_then(|(name, tail)| {
            let (_, value) = parts.iter().find(|(known, _)| *known == name)?;
            Some((value, tail))
        });
        match found {
            Some((value, tail)) => {
                let _ = write!(out, "{value}");
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The parts that a phrase names, sorted.
pub fn parts(phrase: &str) -> Vec<&str> {
    let mut names: Vec<&str> =
        phrase.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_when_nothing_is_asked() {
        let with = |name: &'static str, value: &'static str| {
            Lang::choose(None, move |n| (n == name).then(|| value.to_owned()))
        };
        for name in ["LC_ALL", "LC_MESSAGES", "LANG"] {
            for value in ["ja", "ja_JP", "ja_JP.UTF-8", "ja_JP.utf8", "ja-JP", "ja_JP.UTF-8@modifier"] {
                assert_eq!(with(name, value), Lang::Ja, "{name}={value}");
            }
            for value in ["", "C", "C.UTF-8", "en_US.UTF-8", "jam_JM", "ja_JP.eucJP", "ja_JP.SJIS", "POSIX"] {
                assert_eq!(with(name, value), Lang::En, "{name}={value}");
            }
        }
        assert_eq!(with("LC_CTYPE", "ja_JP.UTF-8"), Lang::En);
        let both = |n: &str| match n {
            "LC_ALL" => Some(String::new()),
            "LC_MESSAGES" => Some("en_US.UTF-8".to_owned()),
            _ => Some("ja_JP.UTF-8".to_owned()),
        };
        assert_eq!(Lang::choose(None, both), Lang::En);
        assert_eq!(Lang::choose(Some(Lang::Ja), both), Lang::Ja);
    }

    #[test]
    fn a_language_holds_for_what_runs_in_it_and_no_longer() {
        assert_eq!(lang(), Lang::En);
        let inner = in_language(Lang::Ja, || (lang(), in_language(Lang::En, lang), lang()));
        assert_eq!(inner, (Lang::Ja, Lang::En, Lang::Ja));
        assert_eq!(lang(), Lang::En);
    }

    #[test]
    fn parts_are_put_in_once_and_as_they_are() {
        let text = fill("{b} before {a}, {b} again", &[("a", &"{b}"), ("b", &7)]);
        assert_eq!(text, "7 before {b}, 7 again");
        assert_eq!(fill("{x} and {", &[]), "{x} and {");
        assert_eq!(parts("{b} of {a}"), ["a", "b"]);
    }

    #[test]
    fn the_translations_can_be_read() {
        let all: HashMap<String, String> = toml::from_str(JAPANESE).expect("assets/ja/screens.toml");
        assert_eq!(all.len(), japanese().len());
        let one = all.iter().next().expect("a translation");
        assert!(in_language(Lang::Ja, || tr("quit")) != "quit", "{one:?}");
        assert_eq!(tr("quit"), "quit");
    }
}
