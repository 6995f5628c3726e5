//! The Session Manager data channel, pure: what a native client must do between StartSession and the bytes.
//!
//! From the wire up: [`message`] (the binary format), [`payload`] (its JSON), [`sender`] and [`receiver`] (numbers,
//! acknowledgements, resending), [`wire`] (one end of the channel), [`smux`] and [`streams`] (many TCP streams in one),
//! [`session`] (all of it). No I/O, no clock: frames, bytes and times go in, frames, bytes and deadlines come out. The
//! socket around it is `edge::channel`.
//!
//! The client is our own because the crate aws-ssm-bridge (0.6.0, still the newest in November 2026) ends a session on
//! one bad frame, never acknowledges a duplicate again (which hangs the agent for good after one lost
//! acknowledgement), takes the service's hourly close for the end, evicts slow consumers, brings a second TLS stack, and
//! offers no `AsyncRead` and `AsyncWrite`.

pub mod end;
pub mod message;
pub mod payload;
pub mod receiver;
pub mod sender;
pub mod session;
pub mod smux;
pub mod streams;
pub mod wire;

#[cfg(test)]
mod tests;
