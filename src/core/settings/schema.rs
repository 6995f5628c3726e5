//! The table of keys as a JSON Schema, for editors and other programs.
//!
//! `assets/settings.schema.json` is what this writes; tests compare them, and compare both with the parser.

use super::SCHEMA;
use super::column::Column;
use super::table::{KEYS, Key, Kind};
use serde_json::{Map, Value as Json, json};

/// The committed schema: what `port22 settings --schema` prints.
pub const COMMITTED: &str = include_str!("../../../assets/settings.schema.json");

/// A text that is not blank and has no control characters.
const TEXT: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$";

/// Writes the table as a JSON Schema.
pub fn schema() -> Json {
    let properties: Map<String, Json> = KEYS.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "port22 settings",
        "description": "$XDG_CONFIG_HOME/port22/config.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "not": {"required": ["region", "regions"]},
    })
}

fn property(key: &Key) -> Json {
    let columns = || {
        let fixed: Vec<String> = Column::FIXED.iter().map(ToString::to_string).collect();
        format!(r"{}|tag:[^\x00-\x1f\x7f-\x9f]+", fixed.join("|"))
    };
    let mut out = match key.kind {
        Kind::Schema => json!({"type": "integer", "const": SCHEMA}),
        Kind::Choice(all) => json!({"type": "string", "enum": all}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Text => json!({"type": "string", "pattern": TEXT}),
        Kind::Texts => several(json!({"type": "string", "pattern": TEXT})),
        Kind::Columns => several(json!({"type": "string", "pattern": format!("^({})$", columns())})),
        Kind::Sort => json!({"type": "string", "pattern": format!("^(arrival|-?({}))$", columns())}),
    };
    out["description"] = json!(key.help);
    if let Some(default) = key.default_value() {
        out["default"] = match default {
            super::Value::Flag(on) => json!(on),
            super::Value::Whole(number) => json!(number),
            other => json!(other.to_string()),
        };
    }
    out
}

fn several(one: Json) -> Json {
    json!({"type": "array", "items": one, "minItems": 1, "uniqueItems": true})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_that_of_the_table() {
        let written = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
        assert_eq!(COMMITTED, written, "put this into assets/settings.schema.json:\n{written}");
    }
}
