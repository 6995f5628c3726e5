//! Names, ids and times of the practice account, all derived from its seed.
//!
//! Used by every part of the lab. Must not read randomness: the same seed gives the same account,
//! so that screenshots and lessons stay the same.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// 32 bytes that depend on the seed and the two words alone.
pub(super) fn bytes(seed: u64, kind: &str, name: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"port22 practice account\0");
    hash.update(seed.to_be_bytes());
    hash.update(kind.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    hash.finalize().into()
}

/// Lower-case hexadecimal.
pub(super) fn hex(data: &[u8]) -> String {
    use std::fmt::Write as _;
    data.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A resource id in the long form of EC2: a prefix, a dash and 17 hexadecimal digits.
pub(super) fn id(seed: u64, prefix: &str, name: &str) -> String {
    let digits = hex(&bytes(seed, prefix, name));
    format!("{prefix}-0{}", &digits[..16])
}

/// A request id in the form of a UUID.
pub(super) fn request_id(seed: u64, number: u64) -> String {
    let digits = hex(&bytes(seed, "request", &number.to_string()));
    format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32])
}

/// A locally administered MAC address.
pub(super) fn mac(seed: u64, name: &str) -> String {
    let digest = bytes(seed, "mac", name);
    format!("0e:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", digest[0], digest[1], digest[2], digest[3], digest[4])
}

/// The time as EC2 prints it: `2025-09-01T07:30:00.000Z`.
pub(super) fn time_text(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The time of an HTTP Date header: `Mon, 01 Sep 2025 07:30:00 GMT` (RFC 9110).
pub(super) fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (name, month) = (DAYS[(days % 7) as usize], MONTHS[(month as usize).saturating_sub(1).min(11)]);
    format!("{name}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The time of a signature: `20250901T073000Z`.
pub(super) fn signed_time(time: SystemTime) -> String {
    time_text(time)[..19].replace(['-', ':'], "") + "Z"
}

/// Seconds since 1970 of a time in the form of [`signed_time`].
pub(super) fn signed_seconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    // Howard Hinnant, `days_from_civil`.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + number(9..11)? * 3600 + number(11..13)? * 60 + number(13..15)?)
}

/// The proleptic Gregorian date of a day counted from 1970-01-01
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_seed_and_name_only() {
        assert_eq!(id(1, "i", "web"), id(1, "i", "web"));
        assert_ne!(id(1, "i", "web"), id(2, "i", "web"));
        assert_ne!(id(1, "i", "web"), id(1, "i", "db"));
        assert_eq!(id(1, "i", "web").len(), 19);
        assert_eq!(request_id(1, 1).len(), 36);
    }

    #[test]
    fn times_are_printed_as_ec2_does() {
        let at = |seconds| time_text(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56.000Z");
        assert_eq!(at(1_756_711_800), "2025-09-01T07:30:00.000Z");
        let time = UNIX_EPOCH + Duration::from_mins(29_278_530);
        assert_eq!(http_date(time), "Mon, 01 Sep 2025 07:30:00 GMT");
        assert_eq!(signed_time(time), "20250901T073000Z");
        assert_eq!(signed_seconds("20250901T073000Z"), Some(1_756_711_800));
        assert_eq!(signed_seconds("2025-09-01"), None);
    }
}
