//! Changes of text files, as data: applied to bytes, and taken back from them.
//!
//! Pure. Bytes that are not touched stay as they are, line ends included.

use serde::{Deserialize, Serialize};

/// A change of a text file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Edit {
    /// The whole content.
    Write {
        /// Content.
        text: String,
    },
    /// Text before everything else.
    Prepend {
        /// Text, with its last line end.
        text: String,
    },
    /// Lines taken out, and others added at the end.
    Lines {
        /// Numbers of the lines that go, from 1.
        drop: Vec<usize>,
        /// Lines that are added, without line ends.
        append: Vec<String>,
    },
}

/// The lines of a file with their line ends.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn append_lines(out: &mut Vec<u8>, all: &[String]) {
    if !all.is_empty() && out.last().is_some_and(|last| *last != b'\n') {
        out.push(b'\n');
    }
    for line in all {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

impl Edit {
    /// The content after the change.
    pub fn apply(&self, before: &[u8]) -> Vec<u8> {
        match self {
            Self::Write { text } => text.clone().into_bytes(),
            Self::Prepend { text } => [text.as_bytes(), before].concat(),
            Self::Lines { drop, append } => {
                let kept = lines(before).into_iter().enumerate().filter(|(at, _)| !drop.contains(&(at + 1)));
                let mut out: Vec<u8> = kept.flat_map(|(_, line)| line.to_vec()).collect();
                append_lines(&mut out, append);
                out
            }
        }
    }

    /// The content without this change, where the file was changed otherwise too since: `now` is its content, `before`
    /// that before the change. `None` when the change can no longer be told from the rest.
    pub fn take_back(&self, now: &[u8], before: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Write { .. } => None,
            Self::Prepend { text } => {
                let text = text.as_bytes();
                let at = now.windows(text.len().max(1)).position(|part| part == text)?;
                Some([&now[..at], &now[at + text.len()..]].concat())
            }
            Self::Lines { drop, append } => {
                let mut out: Vec<&[u8]> = lines(now);
                for added in append {
                    let at = out.iter().rposition(|line| trimmed(line) == added.as_bytes())?;
                    out.remove(at);
                }
                let mut out = out.concat();
                let old = lines(before);
                let gone: Option<Vec<String>> = drop
                    .iter()
                    .map(|number| {
                        let line = old.get(number.checked_sub(1)?)?;
                        String::from_utf8(trimmed(line).to_vec()).ok()
                    })
                    .collect();
                append_lines(&mut out, &gone?);
                Some(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(drop: &[usize], append: &[&str]) -> Edit {
        Edit::Lines { drop: drop.to_vec(), append: append.iter().map(|l| (*l).to_owned()).collect() }
    }

    #[test]
    fn lines_go_and_come_and_the_others_keep_their_bytes() {
        let before = b"one\r\ntwo\nthree";
        assert_eq!(edit(&[2], &["new"]).apply(before), b"one\r\nthree\nnew\n");
        assert_eq!(edit(&[1, 3], &[]).apply(before), b"two\n");
        assert_eq!(edit(&[], &["new"]).apply(b""), b"new\n");
        assert_eq!(Edit::Prepend { text: "top\n".to_owned() }.apply(before), b"top\none\r\ntwo\nthree");
    }

    #[test]
    fn an_edit_is_taken_back_from_a_file_that_grew_since() {
        let before = b"one\ntwo\n";
        let change = edit(&[2], &["new"]);
        let grown = [change.apply(before).as_slice(), b"later\n"].concat();
        assert_eq!(change.take_back(&grown, before).unwrap(), b"one\nlater\ntwo\n");
        assert_eq!(change.take_back(b"one\nlater\n", before), None, "the new line is gone: somebody else was here");
        let top = Edit::Prepend { text: "top\n".to_owned() };
        assert_eq!(top.take_back(b"# mine\ntop\nrest\n", b"rest\n").unwrap(), b"# mine\nrest\n");
        assert_eq!(Edit::Write { text: "x".to_owned() }.take_back(b"y", b"z"), None);
    }
}
