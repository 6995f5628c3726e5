//! One row as a line for other programs: JSON, and CSV that a spreadsheet may open.

use super::row::Row;
use crate::core::recognise::strip_controls;
use serde_json::{Value, json};

/// The columns, in order.
const COLUMNS: [&str; 14] = [
    "schema",
    "id",
    "name",
    "region",
    "account",
    "profile",
    "state",
    "address",
    "port",
    "reachable",
    "door",
    "cause",
    "certainty",
    "detail",
];

/// The first line of the CSV form.
pub const CSV_HEADER: &str =
    "schema,id,name,region,account,profile,state,address,port,reachable,door,cause,certainty,detail";

fn values(row: &Row) -> [Value; 14] {
    let clean = |text: &str| strip_controls(text).replace('\n', " ");
    [
        json!(1),
        json!(clean(&row.id)),
        json!(row.name.as_deref().map(clean)),
        json!(row.region),
        json!(row.account),
        json!(row.profile),
        json!(row.state),
        json!(row.address),
        json!(row.port),
        json!(row.reachable),
        json!(row.door),
        json!(row.cause),
        json!(row.certainty),
        json!(clean(&row.detail)),
    ]
}

/// One JSON object on one line, schema 1, its fields in the order of [`CSV_HEADER`].
pub fn json_line(row: &Row) -> String {
    let fields: Vec<String> =
        COLUMNS.iter().zip(values(row)).map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// One line of CSV (RFC 4180), without its line end.
pub fn csv_line(row: &Row) -> String {
    let text = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => field(&text),
        other => field(&other.to_string()),
    };
    values(row).map(text).join(",")
}

/// A field: quoted where its text needs it. What a spreadsheet would take for a formula gets an apostrophe in front:
/// names and tags are written by others.
fn field(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r', ';', '\'']) || text != text.trim() {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}
