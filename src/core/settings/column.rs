//! Columns of the instance list, and what it is sorted by: names in files, options and on the screen.
//!
//! Must not know how wide anything is; that is up to the view.

use crate::core::words::phrase;
use std::fmt;
use std::str::FromStr;

/// A column of the instance list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    /// Name tag, or the id where there is none.
    Name,
    /// `i-…`.
    Id,
    /// `running`, `stopped`, ….
    State,
    /// `t3.micro`, ….
    Type,
    /// Availability zone.
    Zone,
    /// The address to dial: the public one, else a global IPv6, else the private one.
    Address,
    /// Public IPv4.
    PublicIp,
    /// Private IPv4.
    PrivateIp,
    /// VPC.
    Vpc,
    /// Subnet of the primary interface.
    Subnet,
    /// Operating system, as AWS bills it.
    Platform,
    /// EC2 key pair named at launch.
    Key,
    /// Last start.
    Launched,
    /// What Systems Manager says of the agent.
    Ssm,
    /// Hint on the way in.
    WayIn,
    /// Region.
    Region,
    /// Image.
    Image,
    /// Security groups.
    Groups,
    /// A tag's value.
    Tag(String),
}

/// What stands before the key of a tag.
const TAG: &str = "tag:";

impl Column {
    /// Every column but the tags, in the order in which they are offered.
    pub const FIXED: [Self; 18] = [
        Self::Name,
        Self::Id,
        Self::State,
        Self::Type,
        Self::Address,
        Self::PublicIp,
        Self::PrivateIp,
        Self::WayIn,
        Self::Ssm,
        Self::Launched,
        Self::Zone,
        Self::Region,
        Self::Vpc,
        Self::Subnet,
        Self::Platform,
        Self::Key,
        Self::Image,
        Self::Groups,
    ];

    /// Its name in files and options; of a tag without `tag:`.
    fn word(&self) -> &str {
        match self {
            Self::Name => "name",
            Self::Id => "id",
            Self::State => "state",
            Self::Type => "type",
            Self::Zone => "zone",
            Self::Address => "address",
            Self::PublicIp => "public-ip",
            Self::PrivateIp => "private-ip",
            Self::Vpc => "vpc",
            Self::Subnet => "subnet",
            Self::Platform => "platform",
            Self::Key => "key",
            Self::Launched => "launched",
            Self::Ssm => "ssm",
            Self::WayIn => "way-in",
            Self::Region => "region",
            Self::Image => "image",
            Self::Groups => "groups",
            Self::Tag(key) => key,
        }
    }

    /// Its heading in English, for [`crate::core::words::tr`]; of a tag there is none but its key.
    pub fn heading(&self) -> Option<&'static str> {
        Some(match self {
            Self::Name => phrase("name"),
            Self::Id => phrase("id"),
            Self::State => phrase("state"),
            Self::Type => phrase("type"),
            Self::Zone => phrase("zone"),
            Self::Address => phrase("address"),
            Self::PublicIp => phrase("public IP"),
            Self::PrivateIp => phrase("private IP"),
            Self::Vpc => phrase("VPC"),
            Self::Subnet => phrase("subnet"),
            Self::Platform => phrase("platform"),
            Self::Key => phrase("key pair"),
            Self::Launched => phrase("started"),
            Self::Ssm => phrase("SSM"),
            Self::WayIn => phrase("way in"),
            Self::Region => phrase("region"),
            Self::Image => phrase("image"),
            Self::Groups => phrase("groups"),
            Self::Tag(_) => return None,
        })
    }

    /// Every name, for messages.
    pub fn names() -> Vec<String> {
        Self::FIXED.iter().map(ToString::to_string).chain([format!("{TAG}NAME")]).collect()
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = if matches!(self, Self::Tag(_)) { TAG } else { "" };
        write!(f, "{tag}{}", self.word())
    }
}

impl FromStr for Column {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name.strip_prefix(TAG) {
            // AWS allows spaces in keys of tags; line ends are for nobody.
            Some(key) if !key.is_empty() && !key.chars().any(char::is_control) => Ok(Self::Tag(key.to_owned())),
            Some(_) => Err(()),
            None => Self::FIXED.into_iter().find(|c| c.word() == name).ok_or(()),
        }
    }
}

/// What the instance list is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sort {
    /// The column; `None` leaves the rows as they arrive.
    pub by: Option<Column>,
    /// The greatest first.
    pub descending: bool,
}

/// The order in which rows arrive.
const ARRIVAL: &str = "arrival";

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            None => f.write_str(ARRIVAL),
            Some(column) => write!(f, "{}{column}", if self.descending { "-" } else { "" }),
        }
    }
}

impl FromStr for Sort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == ARRIVAL {
            return Ok(Self::default());
        }
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        Ok(Self { by: Some(name.parse()?), descending })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for column in Column::FIXED.into_iter().chain([Column::Tag("Cost Center".into()), Column::Tag("name".into())]) {
            assert_eq!(column.to_string().parse(), Ok(column.clone()));
            for descending in [false, true] {
                let sort = Sort { by: Some(column.clone()), descending };
                assert_eq!(sort.to_string().parse(), Ok(sort));
            }
        }
        assert_eq!("arrival".parse(), Ok(Sort::default()));
        for wrong in ["", "tag:", "Name", "tag:a\nb", "nam"] {
            assert_eq!(wrong.parse::<Column>(), Err(()), "{wrong:?}");
            assert_eq!(wrong.parse::<Sort>(), Err(()), "{wrong:?}");
        }
        assert_eq!("-arrival".parse::<Sort>(), Err(()));
    }
}
