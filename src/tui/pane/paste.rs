//! Pasted texts as bytes: wrapped where the other side asked for it, and never able to break out of the wrapping.
//!
//! Pure.

const BEGIN: &[u8] = b"\x1b[200~";
const END: &[u8] = b"\x1b[201~";

/// A pasted text as it is sent. Line ends become what Enter sends. Control characters other than these and tabs are left
/// out, so that a paste can press no other key and cannot end its own brackets.
pub fn paste(text: &str, bracketed: bool) -> Vec<u8> {
    let mut body = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() == Some(&'\n') {
                    chars.next();
                }
                body.push('\r');
            }
            '\n' => body.push('\r'),
            '\t' => body.push('\t'),
            c if c.is_control() => {}
            c => body.push(c),
        }
    }
    wrap(&body, bracketed)
}

/// A command as it is put at the prompt: one line, nothing in it that runs it or moves the cursor.
pub fn command(text: &str, bracketed: bool) -> Vec<u8> {
    wrap(&crate::core::suggest::one_line(text), bracketed)
}

fn wrap(body: &str, bracketed: bool) -> Vec<u8> {
    if bracketed && !body.is_empty() {
        return [BEGIN, body.as_bytes(), END].concat();
    }
    body.as_bytes().to_vec()
}
