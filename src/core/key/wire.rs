//! A small reader and writer of the SSH wire encoding (RFC 4251, section 5).
//!
//! It is total and copies nothing while reading. Used by `content`, `public` and `fingerprint`.

use super::Problem;
use super::der::strip_zeros;

/// A position in wire data.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// Starts at the beginning of `data`.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// What has not been read yet.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Reads a number of four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or(Problem::Short)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*head))
    }

    /// Reads a length and that many bytes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Problem> {
        let length = usize::try_from(self.u32()?).map_err(|_| Problem::Short)?;
        let (content, rest) = self.rest.split_at_checked(length).ok_or(Problem::Short)?;
        self.rest = rest;
        Ok(content)
    }

    /// Reads a string that is text.
    pub(super) fn text(&mut self) -> Result<&'a str, Problem> {
        std::str::from_utf8(self.string()?).map_err(|_| Problem::Bad("a name inside the key is not text"))
    }

    /// Reads a positive number (`mpint`), without its leading zeros.
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], Problem> {
        match self.string()? {
            [first, ..] if first & 0x80 != 0 => Err(Problem::Bad("a number inside the key is negative")),
            digits => Ok(strip_zeros(digits)),
        }
    }
}

/// Appends a string with its length.
pub(super) fn put_string(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
}

/// Appends a positive number as `mpint`.
pub(super) fn put_unsigned(out: &mut Vec<u8>, digits: &[u8]) {
    let digits = strip_zeros(digits);
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        out.extend_from_slice(&(digits.len() as u32 + 1).to_be_bytes());
        out.push(0);
        out.extend_from_slice(digits);
    } else {
        put_string(out, digits);
    }
}
