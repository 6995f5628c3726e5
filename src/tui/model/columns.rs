//! Columns of the instance list: what a cell says, and the order that a column gives.
//!
//! An order is made once, when it is asked for or rows arrive, and kept: a frame or a moved selection sorts nothing.
//! Must not know widths.

use crate::core::settings::column::{Column, Sort};
use crate::core::words::tr;
use crate::tui::model::Row;
use crate::tui::text::ago;
use std::net::IpAddr;

/// The columns that can be chosen, on top of the start screen.
#[derive(Debug)]
pub struct ColumnBox {
    /// Every column, the chosen ones first and in their order; whether it is chosen.
    pub rows: Vec<(Column, bool)>,
    /// Selected row.
    pub cursor: usize,
}

/// The heading of a column, in the language of the words.
pub fn heading(column: &Column) -> &str {
    match column {
        Column::Tag(key) => key,
        column => column.heading().map_or("", tr),
    }
}

/// What a cell says; `None` where there is nothing to say.
pub fn cell(row: &Row, column: &Column, now: i64) -> Option<String> {
    let i = &row.instance;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let of = |value: &Option<String>| value.as_deref().and_then(text);
    match column {
        Column::Name => of(&i.name).or_else(|| text(&i.id)),
        Column::Id => text(&i.id),
        Column::State => text(&i.state),
        Column::Type => text(&i.instance_type),
        Column::Zone => of(&i.zone),
        Column::Address | Column::PublicIp | Column::PrivateIp => address(row, column).map(|a| a.to_string()),
        Column::Vpc => of(&i.vpc_id),
        Column::Subnet => of(&i.subnet_id),
        Column::Platform => of(&i.platform_details).or_else(|| of(&i.platform)),
        Column::Key => of(&i.key_name),
        Column::Launched => i.launched.map(|at| ago(at, now)),
        Column::Ssm => text(&row.agent),
        Column::WayIn => text(&row.hint),
        Column::Region => text(&i.region),
        Column::Image => of(&i.image_id),
        Column::Groups => {
            let names = i.groups.iter().map(|(id, name)| if name.is_empty() { id.as_str() } else { name.as_str() });
            text(&names.collect::<Vec<_>>().join(", "))
        }
        Column::Tag(key) => i.tags.get(key).and_then(|value| text(value)),
    }
}

fn address(row: &Row, column: &Column) -> Option<IpAddr> {
    match column {
        Column::PublicIp => row.instance.public_ip,
        Column::PrivateIp => row.instance.private_ip,
        _ => row.instance.best_address().or(row.instance.private_ip),
    }
}

/// Places in `rows` in the order of a column. Rows with nothing to say come last, both ways; equals stay as they arrived.
pub fn order(rows: &[Row], sort: &Sort) -> Vec<u32> {
    let all = 0..rows.len() as u32;
    let Some(column) = &sort.by else { return all.collect() };
    // Most comparisons are decided by the first sixteen bytes, without a look at the text behind them.
    let keys: Vec<(bool, u128, String)> = rows.iter().map(|row| key(row, column)).collect();
    let mut order: Vec<(bool, u128, u32)> =
        keys.iter().zip(all).map(|((missing, first, _), at)| (*missing, *first, at)).collect();
    order.sort_unstable_by(|a, b| {
        let whole = || keys[a.2 as usize].2.cmp(&keys[b.2 as usize].2);
        let by_key = a.1.cmp(&b.1).then_with(whole);
        let by_key = if sort.descending { by_key.reverse() } else { by_key };
        a.0.cmp(&b.0).then(by_key).then(a.2.cmp(&b.2))
    });
    order.into_iter().map(|(_, _, at)| at).collect()
}

/// Whether there is nothing to say, and what to compare: a number, or the beginning of a text and the text.
fn key(row: &Row, column: &Column) -> (bool, u128, String) {
    let number = |number: Option<u128>| (number.is_none(), number.unwrap_or_default(), String::new());
    match column {
        Column::Address | Column::PublicIp | Column::PrivateIp => {
            number(address(row, column).map(|address| match address {
                IpAddr::V4(address) => u128::from(u32::from(address)),
                IpAddr::V6(address) => u128::from(address),
            }))
        }
        Column::Launched => number(row.instance.launched.and_then(|at| u128::try_from(at).ok())),
        column => {
            // An id in the place of a name is no name.
            let unnamed = *column == Column::Name && row.instance.name.as_ref().is_none_or(String::is_empty);
            let text = cell(row, column, 0).map(|text| natural(&text));
            let missing = text.is_none() || unnamed;
            let text = text.unwrap_or_default();
            let mut first = [0; 16];
            first.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
            (missing, u128::from_be_bytes(first), text)
        }
    }
}

/// A text to compare by, under which `web-2` comes before `web-10`: before each number stands how long it is.
pub fn natural(name: &str) -> String {
    let lower = if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase() };
    let mut out = String::with_capacity(lower.len() + 4);
    let mut rest = lower.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |len| at + len);
        let digits = rest[at..end].trim_start_matches('0');
        // One letter for each length, all of them between signs such as - and the letters.
        out.push(char::from(b'0' + digits.len().min(40) as u8));
        out.push_str(digits);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::facts::aws::Instance;

    fn row(name: &str, launched: Option<i64>, address: Option<&str>) -> Row {
        Row {
            instance: Instance {
                id: format!("i-{name}"),
                name: (!name.is_empty()).then(|| name.to_owned()),
                launched,
                private_ip: address.and_then(|a| a.parse().ok()),
                ..Instance::default()
            },
            ..Row::default()
        }
    }

    fn sorted(rows: &[Row], sort: &str) -> Vec<u32> {
        order(rows, &sort.parse().expect(sort))
    }

    #[test]
    fn numbers_in_names_are_numbers() {
        let mut names =
            ["web-10", "web-2", "Web-1", "web", "web-002a", "db-9", "web-2-b", "web--1", "日本-3", "日本-12"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(
            names,
            ["db-9", "web", "web--1", "Web-1", "web-2", "web-2-b", "web-002a", "web-10", "日本-3", "日本-12"]
        );
    }

    #[test]
    fn an_order_by_any_column_keeps_every_row_and_puts_nothing_last() {
        let rows = [
            row("web-10", Some(5), Some("10.0.0.9")),
            row("", Some(1), None),
            row("web-2", None, Some("10.0.0.10")),
            row("web-2", Some(9), Some("fd00::1")),
        ];
        assert_eq!(sorted(&rows, "arrival"), [0, 1, 2, 3]);
        assert_eq!(sorted(&rows, "name"), [2, 3, 0, 1]);
        assert_eq!(sorted(&rows, "-name"), [0, 2, 3, 1]);
        assert_eq!(sorted(&rows, "launched"), [1, 0, 3, 2]);
        assert_eq!(sorted(&rows, "-launched"), [3, 0, 1, 2]);
        assert_eq!(sorted(&rows, "private-ip"), [0, 2, 3, 1]);
        assert_eq!(sorted(&rows, "tag:Env"), [0, 1, 2, 3]);
        for column in Column::FIXED {
            for descending in [false, true] {
                let mut all = order(&rows, &Sort { by: Some(column.clone()), descending });
                all.sort_unstable();
                assert_eq!(all, [0, 1, 2, 3], "{column}");
            }
        }
    }

    #[test]
    fn a_cell_says_what_is_known() {
        let mut web = row("web-1", Some(1000), Some("10.0.0.9"));
        web.instance.tags.insert("Env".into(), "prod".into());
        web.agent = "online".into();
        let says = |column: &str| cell(&web, &column.parse().expect(column), 1000 + 3 * 86_400);
        assert_eq!(says("tag:Env").as_deref(), Some("prod"));
        assert_eq!(says("tag:env"), None);
        assert_eq!(says("launched").as_deref(), Some("3 days ago"));
        assert_eq!(says("ssm").as_deref(), Some("online"));
        assert_eq!(says("public-ip"), None);
        assert_eq!(says("address").as_deref(), Some("10.0.0.9"));
    }
}
