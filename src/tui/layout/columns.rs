//! How wide the columns of the instance list are.

use crate::core::settings::column::Column;

/// Least and best width of a column.
fn widths(column: &Column) -> (u16, u16) {
    match column {
        Column::Name => (12, 40),
        Column::Id => (12, 19),
        Column::State => (7, 13),
        Column::Type => (9, 12),
        Column::Zone => (10, 15),
        Column::Address | Column::PublicIp | Column::PrivateIp => (15, 15),
        Column::Vpc | Column::Image => (12, 21),
        Column::Subnet => (12, 24),
        Column::Platform => (10, 16),
        Column::Key | Column::Groups => (10, 24),
        Column::Launched => (12, 14),
        Column::Ssm => (6, 8),
        Column::WayIn => (9, 16),
        Column::Region => (10, 14),
        Column::Tag(_) => (8, 24),
    }
}

/// The columns of a list that is `inner` cells wide, with their widths; what there is no room for is left out, from the
/// end.
pub fn fitted(chosen: &[Column], inner: u16, regions: bool) -> Vec<(Column, u16)> {
    // The mark of the selected row and a gap stand before the first column, a gap behind the last one.
    let room = inner.saturating_sub(3);
    if chosen.is_empty() {
        return automatic(inner, regions);
    }
    let mut out: Vec<(Column, u16)> = Vec::new();
    let mut used = 0;
    for column in chosen {
        let least = widths(column).0;
        let gap = u16::from(!out.is_empty());
        if used + gap + least > room && !out.is_empty() {
            break;
        }
        used += gap + least;
        out.push((column.clone(), least));
    }
    for (column, w) in &mut out {
        let more = (widths(column).1 - *w).min(room.saturating_sub(used));
        *w += more;
        used += more;
    }
    // What is left belongs to the name, else to the last one.
    let at = out.iter().position(|(c, _)| *c == Column::Name).unwrap_or(out.len() - 1);
    out[at].1 += room.saturating_sub(used);
    out
}

/// What is shown when nobody chose: more where there is room.
fn automatic(inner: u16, regions: bool) -> Vec<(Column, u16)> {
    let wide = inner >= 70;
    let mut fixed: Vec<(Column, u16)> = vec![(Column::State, 7)];
    if wide {
        fixed.push((Column::Type, 12));
    }
    fixed.push((Column::Address, 15));
    if wide && regions {
        fixed.push((Column::Region, 14));
    }
    fixed.push((Column::WayIn, if wide { 16 } else { 9 }));
    let used: u16 = fixed.iter().map(|(_, w)| w + 1).sum();
    let mut out = vec![(Column::Name, inner.saturating_sub(used + 3))];
    out.extend(fixed);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &str) -> Vec<Column> {
        names.split(' ').map(|name| name.parse().expect(name)).collect()
    }

    #[test]
    fn columns_fill_the_list_and_never_more() {
        let all: Vec<Column> = Column::FIXED.into_iter().chain([Column::Tag("Env".into())]).collect();
        for inner in [49, 50, 78, 120, 158, 400] {
            for chosen in [&all[..], &all[..1], &all[3..9], &columns("tag:a vpc subnet"), &[]] {
                let fitted = fitted(chosen, inner, true);
                let used: u16 = fitted.iter().map(|(_, w)| w + 1).sum();
                assert_eq!(used - 1, inner - 3, "{inner} {fitted:?}");
                assert!(!fitted.is_empty() && fitted.iter().all(|(_, w)| *w >= 6));
            }
        }
        let names = |inner| fitted(&all, inner, false).len();
        assert!(names(49) >= 3 && names(78) >= 5 && names(400) == all.len());
    }

    #[test]
    fn four_usual_columns_fit_the_smallest_screen() {
        for chosen in ["name state type public-ip", "name id state ssm", "name state launched way-in"] {
            assert_eq!(fitted(&columns(chosen), 49, false).len(), 4, "{chosen}");
        }
    }
}
