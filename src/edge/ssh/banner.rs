//! The identification string (RFC 4253, section 4.2), read without losing the connection.
//!
//! Must not judge beyond "is this an SSH server". What was read is played back by [`Replay`], so that
//! key exchange goes on over the same connection: a second one would cost the client's address a
//! penalty for the first (sshd_config(5), `PerSourcePenalties noauth`).

use super::tap::Tap;
use crate::core::facts::wire::SshServer;
use crate::core::recognise::strip_controls;
use crate::edge::tcp::{os_words, whole_millis};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// Longest line, line end included (RFC 4253, section 4.2).
const LONGEST_LINE: usize = 255;
/// Lines before the identification string that are passed over.
const MOST_LINES: usize = 50;
/// Bytes of a foreign protocol that are shown.
const SHOWN: usize = 120;

/// How other protocols greet. Seen at the very beginning they end the wait at once.
const FOREIGN: [&[u8]; 8] = [b"HTTP/", b"220 ", b"220-", b"RFB ", b"* OK", b"+OK", b"\x15\x03", b"\x16\x03"];

/// What sshd and its wrappers say instead of a banner before they close (OpenSSH sshd.c and srclimit.c;
/// libwrap's example of a `twist`).
const REFUSALS: [&str; 3] = ["Not allowed at this time", "Exceeded MaxStartups", "not welcome to use"];

/// The server's identification.
pub(super) struct Identification {
    /// The string, cleaned, without line end.
    pub text: String,
    /// The bytes from the identification string on.
    pub from_here: Vec<u8>,
}

/// What the bytes read so far are.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The identification string is at `start..end`, line end not included.
    Found { start: usize, end: usize },
    /// It is no SSH server.
    Foreign,
    /// More bytes are needed.
    More,
}

/// Sends the own identification, as every client does at once, and reads the server's.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &str,
    limit: Duration,
) -> Result<Identification, SshServer> {
    let deadline = Instant::now() + limit;
    // A server that already closed may have left its words: read on even if sending failed.
    let _ = timeout_at(deadline, stream.write_all(format!("{own}\r\n").as_bytes())).await;
    let mut seen = Vec::with_capacity(512);
    loop {
        match judge(&seen) {
            Verdict::Found { start, end } => {
                let text = one_line(&seen[start..end]);
                return Ok(Identification { text, from_here: seen.split_off(start) });
            }
            Verdict::Foreign => {
                return Err(SshServer::NotSsh { first_bytes: shown(&seen) });
            }
            Verdict::More => {}
        }
        match timeout_at(deadline, stream.read_buf(&mut seen)).await {
            Err(_) if seen.is_empty() || is_ours_so_far(&seen) => {
                return Err(SshServer::BannerTimeout { after_ms: whole_millis(limit) });
            }
            Err(_) => {
                return Err(SshServer::NotSsh { first_bytes: shown(&seen) });
            }
            Ok(Ok(0)) => return Err(closed(&seen, "")),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(closed(&seen, &os_words(&error))),
        }
    }
}

/// What the bytes are, as far as they tell.
fn judge(seen: &[u8]) -> Verdict {
    if FOREIGN.iter().any(|greeting| seen.starts_with(greeting)) {
        return Verdict::Foreign;
    }
    let mut start = 0;
    for _ in 0..=MOST_LINES {
        let rest = &seen[start..];
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            let foreign = rest.len() >= LONGEST_LINE || rest.contains(&0);
            return if foreign { Verdict::Foreign } else { Verdict::More };
        };
        let line = &rest[..length];
        if line.len() >= LONGEST_LINE || line.contains(&0) {
            return Verdict::Foreign;
        }
        if line.starts_with(b"SSH-") {
            let end = start + line.strip_suffix(b"\r").unwrap_or(line).len();
            return Verdict::Found { start, end };
        }
        start += length + 1;
    }
    Verdict::Foreign
}

/// Whether the bytes may be the beginning of an identification string.
fn is_ours_so_far(seen: &[u8]) -> bool {
    let line = seen.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    !line.is_empty() && (line.starts_with(b"SSH-") || b"SSH-".starts_with(line))
}

/// The connection ended before the identification string.
fn closed(seen: &[u8], words: &str) -> SshServer {
    let said = one_line(seen);
    if seen.is_empty() || is_ours_so_far(seen) || REFUSALS.iter().any(|refusal| said.contains(refusal)) {
        let reason = [said.as_str(), words].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        return SshServer::ClosedBeforeBanner { reason };
    }
    SshServer::NotSsh { first_bytes: shown(seen) }
}

/// Untrusted bytes as one line of text.
fn one_line(bytes: &[u8]) -> String {
    strip_controls(&String::from_utf8_lossy(bytes)).replace('\n', " ").trim().to_owned()
}

/// The first bytes of a foreign protocol; what is no ASCII text is escaped, because it tells most
/// (`\x15\x03` is a TLS alert).
fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    let line = &line[..line.len().min(SHOWN)];
    line.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

/// A stream on which the identification strings have already been exchanged, for a library that wants
/// to exchange them itself: plays `head` back before it reads on, and swallows what was already sent. What follows the
/// server's identification string is shown to a [`Tap`].
pub(super) struct Replay<S> {
    inner: S,
    head: Vec<u8>,
    played: usize,
    swallow: usize,
    tap: Tap,
}

impl<S> Replay<S> {
    /// `head`, which begins with the identification string, is read first; the first `swallow` bytes written are dropped.
    pub fn new(inner: S, head: Vec<u8>, swallow: usize, tap: Tap) -> Self {
        let line = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |end| end + 1);
        tap.hear(&head[line..]);
        Self { inner, head, played: 0, swallow, tap }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.played < self.head.len() {
            let end = self.head.len().min(self.played + buf.remaining());
            buf.put_slice(&self.head[self.played..end]);
            self.played = end;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.tap.hear(&buf.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.swallow > 0 && !buf.is_empty() {
            let dropped = self.swallow.min(buf.len());
            self.swallow -= dropped;
            return Poll::Ready(Ok(dropped));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        match judge(text.as_bytes()) {
            Verdict::Found { start, end } => Some(&text[start..end]),
            _ => None,
        }
    }

    #[test]
    fn the_identification_is_found_after_other_lines() {
        assert_eq!(found("SSH-2.0-OpenSSH_9.6\r\n"), Some("SSH-2.0-OpenSSH_9.6"));
        assert_eq!(found("SSH-2.0-dropbear\n\0\0"), Some("SSH-2.0-dropbear"));
        assert_eq!(found("Welcome\r\n\r\nSSH-2.0-x y\r\n"), Some("SSH-2.0-x y"));
        let many = "hello\r\n".repeat(MOST_LINES) + "SSH-2.0-late\r\n";
        assert_eq!(found(&many), Some("SSH-2.0-late"));
        assert_eq!(judge(("x\n".to_owned() + &many).as_bytes()), Verdict::Foreign);
    }

    #[test]
    fn foreign_protocols_are_seen_early() {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "220 mail ESMTP\r\n",
            "RFB 003.008\n",
            "\u{15}\u{3}\u{1}",
            "J\0\0\0\n8.0.36",
        ] {
            assert_eq!(judge(text.as_bytes()), Verdict::Foreign, "{text:?}");
        }
        assert_eq!(judge("x".repeat(LONGEST_LINE).as_bytes()), Verdict::Foreign);
        for text in ["", "S", "SSH-2.0-Open", "hello\r\nSSH", "220"] {
            assert_eq!(judge(text.as_bytes()), Verdict::More, "{text:?}");
        }
    }

    #[test]
    fn a_close_keeps_what_was_said() {
        let before = |reason: &str| SshServer::ClosedBeforeBanner { reason: reason.to_owned() };
        assert_eq!(closed(b"", ""), before(""));
        assert_eq!(closed(b"", "Connection reset by peer"), before("Connection reset by peer"));
        assert_eq!(closed(b"Exceeded MaxStartups\r\n", ""), before("Exceeded MaxStartups"));
        assert_eq!(
            closed(b"Not allowed at this time\r\n", "Connection reset by peer"),
            before("Not allowed at this time; Connection reset by peer")
        );
        assert_eq!(closed(b"SSH-2.", ""), before("SSH-2."));
        assert_eq!(closed(b"go away\r\n", ""), SshServer::NotSsh { first_bytes: "go away".to_owned() });
    }

    #[test]
    fn shown_bytes_are_one_safe_line() {
        assert_eq!(shown(b"\x15\x03\x01\x00\x02\x02F"), r"\x15\x03\x01\x00\x02\x02F");
        assert_eq!(shown(b"\r\nHTTP/1.1 400 Bad\r\nServer: x"), "HTTP/1.1 400 Bad");
        assert_eq!(shown(b"it's\x1b[2J"), r"it's\x1b[2J");
        assert_eq!(shown(&[b'a'; 900]).len(), SHOWN);
    }

    #[tokio::test]
    async fn replay_plays_back_and_swallows() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut stream = Replay::new(near, b"SSH-2.0-x\r\n".to_vec(), 5, Tap::default());
        far.write_all(b"more").await.unwrap();
        let mut read = [0; 15];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"SSH-2.0-x\r\nmore");
        stream.write_all(b"ownid+rest").await.unwrap();
        drop(stream);
        let mut sent = String::new();
        far.read_to_string(&mut sent).await.unwrap();
        assert_eq!(sent, "+rest");
    }

    #[tokio::test]
    async fn the_first_packet_is_noted_from_both_sides_of_the_head() {
        // RFC 4253, section 7.1: message 20, a cookie, ten lists, a flag, a reserved number.
        let mut body = [&[4, 20][..], &[9; 16], &[0, 0, 0, 1, b'k']].concat();
        body.extend([0; 4 * 9 + 5 + 4]);
        let packet = [u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(), body].concat();
        for early in 0..packet.len() {
            let (near, mut far) = tokio::io::duplex(512);
            let tap = Tap::default();
            let head = [b"SSH-2.0-x\r\n", &packet[..early]].concat();
            let mut stream = Replay::new(near, head.clone(), 0, tap.clone());
            far.write_all(&packet[early..]).await.unwrap();
            far.write_all(b"secret").await.unwrap();
            drop(far);
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, [b"SSH-2.0-x\r\n", &packet[..], b"secret"].concat(), "nothing is changed");
            assert_eq!(tap.lists().unwrap().kex, ["k"], "{early} bytes came with the identification");
        }
    }
}
