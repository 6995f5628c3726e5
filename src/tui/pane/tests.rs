//! Tests of the pane: data cases, hostile output, a session over an in-memory connection.

mod cases;
mod session;
