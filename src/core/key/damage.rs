//! What can be wrong with a key file as a file.
//!
//! Damage says what was seen. Whether it matters depends on the format and the program: PEM
//! survives Windows line ends, OpenSSH's own format does not. That judgement is
//! [`super::LoadsIn`], made by the readers in `strict`.

use serde::{Deserialize, Serialize};

/// One thing that is not as the program that made the key wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Lines end with CR LF, as Windows editors write them.
    Crlf,
    /// Lines end with a lone CR, or CR and LF are mixed.
    Cr,
    /// A UTF-8 byte order mark comes first.
    Bom,
    /// The text is UTF-16, as PowerShell's `>` writes it.
    Utf16,
    /// Blank lines come first.
    LeadingBlank,
    /// Other text comes before the key.
    LeadingText,
    /// Other text follows the key. All readers ignore it.
    TrailingText,
    /// Lines begin with spaces or tabs.
    Indented,
    /// Lines end with spaces or tabs.
    TrailingSpaces,
    /// There are blank lines inside the key.
    BlankLines,
    /// Line breaks are lost: the marker lines and the key stand in one line.
    OneLine,
    /// Line breaks are the two characters `\n`, as in JSON.
    EscapedNewlines,
    /// The last line has no line end.
    NoFinalNewline,
    /// Quotes or other characters that do not belong to the key stand between its lines.
    ForeignCharacters,
    /// The BEGIN line is missing.
    NoBeginLine,
    /// The END line is missing.
    NoEndLine,
    /// The BEGIN or END line is not exactly as it must be (five hyphens, same words).
    BrokenMarker,
    /// The BEGIN line names another format than the content has.
    WrongLabel,
    /// Lines have other lengths than this format allows.
    LineLengths,
    /// The end of the key is missing.
    Truncated,
    /// The content is not a key: characters were changed or lost.
    Corrupt,
    /// The whole file is wrapped in base64 once more.
    Base64Wrapped,
    /// The file is the binary form (DER) of a key.
    Der,
    /// The file is a web page or another XML document.
    Html,
    /// The file is a rich-text document of a word processor.
    RichText,
    /// The file is binary and no key.
    Binary,
}

impl Damage {
    /// Whether the key itself is lost, so that no clean copy can be made from this file.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::Truncated | Self::Corrupt | Self::Html | Self::Binary)
    }

    /// What is wrong, as the end of a sentence that begins with the file's name.
    pub fn says(self) -> &'static str {
        match self {
            Self::Crlf => "has Windows line ends (CR LF)",
            Self::Cr => "has stray carriage returns (CR)",
            Self::Bom => "begins with a byte order mark",
            Self::Utf16 => "is UTF-16 text, as PowerShell's > writes it",
            Self::LeadingBlank => "begins with a blank line",
            Self::LeadingText => "has other text before the key",
            Self::TrailingText => "has other text after the key",
            Self::Indented => "has indented lines",
            Self::TrailingSpaces => "has spaces at the ends of lines",
            Self::BlankLines => "has blank lines inside the key",
            Self::OneLine => "has lost its line breaks",
            Self::EscapedNewlines => r"has \n instead of line breaks, as in JSON",
            Self::NoFinalNewline => "has no line end after the last line",
            Self::ForeignCharacters => "has characters between the lines that do not belong to the key",
            Self::NoBeginLine => "has lost its BEGIN line",
            Self::NoEndLine => "has lost its END line",
            Self::BrokenMarker => "has a BEGIN or END line that is not exactly as it must be",
            Self::WrongLabel => "has a BEGIN line that names another format than the content has",
            Self::LineLengths => "has lines of another length than this format allows",
            Self::Truncated => "is cut off: the end of the key is missing",
            Self::Corrupt => "has changed or lost characters inside the key",
            Self::Base64Wrapped => "is wrapped in base64 once more",
            Self::Der => "is the binary form (DER) of a key",
            Self::Html => "is a web page or XML document, not a key",
            Self::RichText => "is a word processor's document, not plain text",
            Self::Binary => "is a binary file, not a key",
        }
    }
}
