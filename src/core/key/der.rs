//! A small reader and writer of DER, as far as key containers need it.
//!
//! It must not interpret numbers and must not copy: callers get slices of what they gave. It is
//! total: any input yields values or a [`Problem`]. Used by `content` and `fingerprint`.

use super::Problem;

/// DER tag of an INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// DER tag of a BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// DER tag of an OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// DER tag of an OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;
/// DER tag of a SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;

/// A position in DER data.
#[derive(Clone, Copy)]
pub(super) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    /// Starts at the beginning of `data`.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// Whether nothing follows.
    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element, without reading it.
    pub(super) fn peek(self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next element: its tag, its content and the whole of it with tag and length.
    pub(super) fn element(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), Problem> {
        let (&tag, after) = self.rest.split_first().ok_or(Problem::Short)?;
        let (&first, after) = after.split_first().ok_or(Problem::Short)?;
        let (length, after) = match first {
            0..=0x7f => (usize::from(first), after),
            0x81..=0x84 => {
                let (digits, after) = after.split_at_checked(usize::from(first & 0x7f)).ok_or(Problem::Short)?;
                (digits.iter().fold(0, |sum: usize, digit| (sum << 8) | usize::from(*digit)), after)
            }
            _ => return Err(Problem::Bad("the structure inside is not DER")),
        };
        let (content, rest) = after.split_at_checked(length).ok_or(Problem::Short)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Ok((tag, content, whole))
    }

    /// Reads the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Problem> {
        match self.element()? {
            (found, content, _) if found == tag => Ok(content),
            _ => Err(Problem::Bad("the structure inside is not that of a key")),
        }
    }

    /// Reads the next element, an INTEGER, without its leading zeros. As OpenSSL does, it takes the
    /// numbers of keys as positive whatever the first bit says.
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], Problem> {
        match self.expect(INTEGER)? {
            [] => Err(Problem::Bad("a number inside the key is empty")),
            digits => Ok(strip_zeros(digits)),
        }
    }
}

/// A number without its leading zero bytes.
pub(super) fn strip_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    &digits[zeros..]
}

/// Writes one element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let digits = strip_zeros(&bytes);
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
    out
}

/// Writes a positive INTEGER from its bytes, most significant first.
pub(super) fn unsigned(digits: &[u8]) -> Vec<u8> {
    let digits = strip_zeros(digits);
    let mut content = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    element(INTEGER, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_short_and_the_long_form() {
        for (length, head) in [(5, &[0x04, 5][..]), (0x80, &[0x04, 0x81, 0x80]), (0x1234, &[0x04, 0x82, 0x12, 0x34])] {
            let whole = element(OCTET_STRING, &vec![7; length]);
            assert_eq!(&whole[..head.len()], head);
            let mut der = Der::new(&whole);
            assert_eq!(der.expect(OCTET_STRING).map(<[u8]>::len), Ok(length));
            assert!(der.is_empty());
            assert_eq!(Der::new(&whole[..whole.len() - 1]).expect(OCTET_STRING), Err(Problem::Short));
        }
    }

    #[test]
    fn numbers_stay_positive() {
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert!(matches!(Der::new(&[2, 0]).unsigned(), Err(Problem::Bad(_))));
    }
}
