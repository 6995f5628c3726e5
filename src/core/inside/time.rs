//! Times as logs and key options write them.
//!
//! No clock here: the year that a log line leaves out comes from the instance's own time.

const DAY: i64 = 86_400;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of one.
    let shifted = year - i64::from(month <= 2);
    let month = (month + 9) % 12;
    let era_days = 365 * shifted + shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400);
    era_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// Seconds since 1970 of a date and time; `None` when a number is out of range.
fn seconds(date: (i64, i64, i64), time: (i64, i64, i64)) -> Option<i64> {
    let ((year, month, day), (hour, minute, second)) = (date, time);
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    fits.then(|| days(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn clock(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let time = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    parts.next().is_none().then_some(time)
}

/// Seconds since 1970 of an option `expiry-time` (sshd(8)): `YYYYMMDD[HHMM[SS]][Z]`, local time without `Z`.
pub fn expiry(text: &str, zone_minutes: i32) -> Option<i64> {
    let (digits, utc) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if !digits.is_ascii() || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), number);
    let at = seconds((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 14)?))?;
    Some(if utc { at } else { at - i64::from(zone_minutes) * 60 })
}

/// Minutes of a zone as `date +%z` prints it: `+0530`; also `+05:30`.
pub(super) fn zone(text: &str) -> Option<i32> {
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = (number(digits.get(..2)?)?, number(digits.get(2..4)?)?);
    i32::try_from(sign * (hours * 60 + minutes)).ok()
}

/// The time at which a line of a log file begins, and the rest of the line: `Nov 21 13:00:00 …` in local time, or
/// `2026-11-21T13:00:00.1+01:00 …`. `now` gives the year that the first form leaves out.
pub(super) fn of_log(line: &str, now: Option<i64>, zone_minutes: i32) -> Option<(i64, &str)> {
    let (first, rest) = line.split_once(' ')?;
    if let Some((date, time)) = first.split_once('T')
        && date.len() == 10
    {
        let mut parts = date.splitn(3, '-');
        let date = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
        let at = seconds(date, clock(time.get(..8)?)?)?;
        let ahead = match time.rfind(['+', '-']) {
            Some(sign) => zone(time.get(sign..)?)?,
            None if time.ends_with('Z') => 0,
            None => zone_minutes,
        };
        return Some((at - i64::from(ahead) * 60, rest));
    }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(months.iter().position(|m| *m == first)?).ok()? + 1;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.trim_start().split_once(' ')?;
    let (now, day, time) = (now?, number(day)?, clock(time)?);
    let of_year = |year: i64| seconds((year, month, day), time).map(|at| at - i64::from(zone_minutes) * 60);
    let year = 1970 + (now + i64::from(zone_minutes) * 60).div_euclid(DAY) * 400 / 146_097;
    // A line is never from the future: December's lines in January are last year's.
    [year + 1, year, year - 1, year - 2]
        .into_iter()
        .find_map(|y| of_year(y).filter(|at| *at <= now + 120))
        .map(|at| (at, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_as_calendars_do() {
        assert_eq!(seconds((1970, 1, 1), (0, 0, 0)), Some(0));
        assert_eq!(seconds((2000, 2, 29), (12, 0, 0)), Some(951_825_600));
        assert_eq!(seconds((2026, 11, 21), (13, 24, 7)), Some(1_795_267_447));
        assert_eq!(seconds((2026, 13, 21), (13, 24, 7)), None);
    }

    #[test]
    fn expiry_times_have_three_lengths_and_may_be_utc() {
        assert_eq!(expiry("20261121", 0), seconds((2026, 11, 21), (0, 0, 0)));
        assert_eq!(expiry("202611211324", 60), seconds((2026, 11, 21), (12, 24, 0)));
        assert_eq!(expiry("20261121132407Z", 60), seconds((2026, 11, 21), (13, 24, 7)));
        assert_eq!(expiry("2026112113", 0), None);
        assert_eq!(expiry("\u{e9}0261121", 0), None);
    }

    #[test]
    fn log_lines_without_a_year_get_the_last_one_that_is_past() {
        let now = seconds((2026, 1, 2), (0, 10, 0));
        let at = |line| of_log(line, now, 0).map(|(at, rest)| (at, rest.to_owned()));
        assert_eq!(
            at("Dec 31 23:59:00 web sshd[1]: x"),
            seconds((2025, 12, 31), (23, 59, 0)).map(|a| (a, "web sshd[1]: x".to_owned()))
        );
        assert_eq!(at("Jan  2 00:09:00 web x"), seconds((2026, 1, 2), (0, 9, 0)).map(|a| (a, "web x".to_owned())));
        assert_eq!(
            at("2026-01-02T01:09:00.123456+01:00 web x"),
            seconds((2026, 1, 2), (0, 9, 0)).map(|a| (a, "web x".to_owned()))
        );
        assert_eq!(at("no time here"), None);
    }
}
