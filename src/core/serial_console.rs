//! The hosts of the EC2 serial console and the fingerprints of their host keys; who may log in there, as far as is known.
//!
//! Source: EC2 User Guide, "Connect to the EC2 Serial Console", "EC2 Serial Console endpoints and fingerprints" (2026).
//! Pure; which instance types have a console is judged in `rules`.

/// Regions whose host is `serial-console.ec2-instance-connect.REGION.aws`, with the fingerprint.
const EARLY: [(&str, &str); 16] = [
    ("us-east-2", "EhwPkTzRtTY7TRSzz26XbB0/HvV9jRM7mCZN0xw/d/0"),
    ("us-east-1", "dXwn5ma/xadVMeBZGEru5l2gx+yI5LDiJaLUcz0FMmw"),
    ("us-west-1", "OHldlcMET8u7QLSX3jmRTRAPFHVtqbyoLZBMUCqiH3Y"),
    ("us-west-2", "EMCIe23TqKaBI6yGHainqZcMwqNkDhhAVHa1O2JxVUc"),
    ("ap-south-1", "oBLXcYmklqHHEbliARxEgH8IsO51rezTPiSM35BsU40"),
    ("ap-northeast-2", "FoqWXNX+DZ++GuNTztg9PK49WYMqBX+FrcZM2dSrqrI"),
    ("ap-southeast-1", "PLFNn7WnCQDHx3qmwLu1Gy/O8TUX7LQgZuaC6L45CoY"),
    ("ap-southeast-2", "yFvMwUK9lEUQjQTRoXXzuN+cW9/VSe9W984Cf5Tgzo4"),
    ("ap-northeast-1", "RQfsDCZTOfQawewTRDV1t9Em/HMrFQe+CRlIOT5um4k"),
    ("ca-central-1", "P2O2jOZwmpMwkpO6YW738FIOTHdUTyEv2gczYMMO7s4"),
    ("eu-central-1", "aCMFS/yIcOdOlkXvOl8AmZ1Toe+bBnrJJ3Fy0k0De2c"),
    ("eu-west-1", "h2AaGAWO4Hathhtm6ezs3Bj7udgUxi2qTrHjZAwCW6E"),
    ("eu-west-2", "a69rd5CE/AEG4Amm53I6lkD1ZPvS/BCV3tTPW2RnJg8"),
    ("eu-west-3", "q8ldnAf9pymeNe8BnFVngY3RPAr/kxswJUzfrlxeEWs"),
    ("eu-north-1", "tkGFFUVUDvocDiGSS3Cu8Gdl6w2uI32EPNpKFKLwX84"),
    ("sa-east-1", "rd2+/32Ognjew1yVIemENaQzC+Botbih62OqAPDq1dI"),
];

/// Regions whose host is `ec2-serial-console.REGION.api.aws`; China has a domain of its own.
const LATE: [(&str, &str); 20] = [
    ("af-south-1", "RMWWZ2fVePeJUqzjO5jL2KIgXsczoHlz21Ed00biiWI"),
    ("ap-east-1", "T0Q1lpiXxChoZHplnAkjbP7tkm2xXViC9bJFsjYnifk"),
    ("ap-east-2", "z1rsF5DE8aQqsHwBr/D40tR2GnyMqnScCUa1z1eFwDQ"),
    ("ap-south-2", "WJgPBSwV4/shN+OPITValoewAuYj15DVW845JEhDKRs"),
    ("ap-southeast-3", "5ZwgrCh+lfns32XITqL/4O0zIfbx4bZgsYFqy3o8mIk"),
    ("ap-southeast-5", "cQXTHQMRcqRdIjmAGoAMBSExeoRobYyRwT67yTjnEiA"),
    ("ap-southeast-6", "wNltdH0gVfM5uHJKjrw+ElFuKoJgalcSKqjCS+lLkv4"),
    ("ap-southeast-4", "Avaq27hFgLvjn5gTSShZ0oV7h90p0GG46wfOeT6ZJvM"),
    ("ap-northeast-3", "Am0/jiBKBnBuFnHr9aXsgEV3G8Tu/vVHFXE/3UcyjsQ"),
    ("ap-southeast-7", "KCAZiRYrR1Q2lqsg7vTwixWmvc2wmjVT31XRgSdEfDY"),
    ("ca-west-1", "s3rc8lI2xhbhr3iedjJNxGAFLPGOLjx7IxxXrGckk6Q"),
    ("cn-north-1", "2gHVFy4H7uU3+WaFUxD28v/ggMeqjvSlgngpgLgGT+Y"),
    ("cn-northwest-1", "TdgrNZkiQOdVfYEBUhO4SzUA09VWI5rYOZGTogpwmiM"),
    ("eu-south-1", "lC0kOVJnpgFyBVrxn0A7n99ecLbXSX95cuuS7X7QK30"),
    ("eu-south-2", "GoCW2DFRlu669QNxqFxEcsR6fZUz/4F4n7T45ZcwoEc"),
    ("eu-central-2", "8Ppx2mBMf6WdCw0NUlzKfwM4/IfRz4OaXFutQXWp6mk"),
    ("il-central-1", "JR6q8v6kNNPi8+QSFQ4dj5dimNmZPTgwgsM1SNvtYyU"),
    ("mx-central-1", "BCuVl13iQNk+CcVnt18Ef4p2ZHUrBBAOxlFetB32GS0"),
    ("me-south-1", "nPjLLKHu2QnLdUq2kVArsoK5xvPJOMRJKCBzCDqC3k8"),
    ("me-central-1", "zpb5duKiBZ+l0dFwPeyykB4MPBYhI/XzXNeFSDKBvLE"),
];

/// AWS GovCloud: `serial-console.ec2-instance-connect.REGION.amazonaws.com`.
const GOV: [(&str, &str); 2] = [
    ("us-gov-east-1", "tIwe19GWsoyLClrtvu38YEEh+DHIkqnDcZnmtebvF28"),
    ("us-gov-west-1", "kfOFRWLaOZfB+utbd3bRf8OlPf8nGO2YZLqXZiIw5DQ"),
];

/// Where a Region's serial console is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host name; its SSH port is 22.
    pub host: String,
    /// `SHA256:…` of its host key, where AWS has published one.
    pub fingerprint: Option<String>,
}

/// The serial console of a Region. One that is younger than the table gets the name that all newer Regions have, and no
/// fingerprint.
pub fn place(region: &str) -> Place {
    let of =
        |table: &[(&str, &str)]| table.iter().find(|(name, _)| *name == region).map(|(_, f)| format!("SHA256:{f}"));
    let early = of(&EARLY);
    let gov = of(&GOV);
    let host = if early.is_some() {
        format!("serial-console.ec2-instance-connect.{region}.aws")
    } else if gov.is_some() || region.starts_with("us-gov-") {
        format!("serial-console.ec2-instance-connect.{region}.amazonaws.com")
    } else if region.starts_with("cn-") {
        format!("ec2-serial-console.{region}.api.amazonwebservices.com.cn")
    } else {
        format!("ec2-serial-console.{region}.api.aws")
    };
    Place { host, fingerprint: early.or(gov).or_else(|| of(&LATE)) }
}

/// The user name that the serial console wants: the instance and its only port.
pub fn user(instance: &str) -> String {
    format!("{instance}.port0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_their_hosts() {
        for (region, host) in [
            ("eu-west-1", "serial-console.ec2-instance-connect.eu-west-1.aws"),
            ("ap-east-2", "ec2-serial-console.ap-east-2.api.aws"),
            ("cn-north-1", "ec2-serial-console.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-gov-west-1", "serial-console.ec2-instance-connect.us-gov-west-1.amazonaws.com"),
        ] {
            assert_eq!(place(region).host, host);
            assert!(place(region).fingerprint.is_some());
        }
        assert_eq!(
            place("xx-new-1"),
            Place { host: "ec2-serial-console.xx-new-1.api.aws".to_owned(), fingerprint: None }
        );
    }

    #[test]
    fn fingerprints_are_whole_and_none_is_twice() {
        let all: Vec<&str> = EARLY.iter().chain(&LATE).chain(&GOV).map(|(_, f)| *f).collect();
        // SHA-256 in base64 without padding.
        assert!(all.iter().all(|f| f.len() == 43));
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
    }
}
