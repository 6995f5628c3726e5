//! The names of AWS's Regions, for those who may not ask for them.
//!
//! Source: AWS General Reference, "Regions and endpoints". A Region that is missing here can still be named by
//! `--region`: nothing is refused because of this list.

/// Region and place, in the order of the names within a partition.
pub const KNOWN: &[(&str, &str)] = &[
    ("af-south-1", "Cape Town"),
    ("ap-east-1", "Hong Kong"),
    ("ap-east-2", "Taipei"),
    ("ap-northeast-1", "Tokyo"),
    ("ap-northeast-2", "Seoul"),
    ("ap-northeast-3", "Osaka"),
    ("ap-south-1", "Mumbai"),
    ("ap-south-2", "Hyderabad"),
    ("ap-southeast-1", "Singapore"),
    ("ap-southeast-2", "Sydney"),
    ("ap-southeast-3", "Jakarta"),
    ("ap-southeast-4", "Melbourne"),
    ("ap-southeast-5", "Malaysia"),
    ("ap-southeast-6", "New Zealand"),
    ("ap-southeast-7", "Thailand"),
    ("ca-central-1", "Canada Central"),
    ("ca-west-1", "Calgary"),
    ("eu-central-1", "Frankfurt"),
    ("eu-central-2", "Zurich"),
    ("eu-north-1", "Stockholm"),
    ("eu-south-1", "Milan"),
    ("eu-south-2", "Spain"),
    ("eu-west-1", "Ireland"),
    ("eu-west-2", "London"),
    ("eu-west-3", "Paris"),
    ("il-central-1", "Tel Aviv"),
    ("me-central-1", "UAE"),
    ("me-south-1", "Bahrain"),
    ("mx-central-1", "Mexico"),
    ("sa-east-1", "São Paulo"),
    ("us-east-1", "N. Virginia"),
    ("us-east-2", "Ohio"),
    ("us-west-1", "N. California"),
    ("us-west-2", "Oregon"),
    ("us-gov-east-1", "GovCloud US-East"),
    ("us-gov-west-1", "GovCloud US-West"),
    ("cn-north-1", "Beijing"),
    ("cn-northwest-1", "Ningxia"),
];

/// Where a Region is; `None` for one that is not known here.
pub fn place(region: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(name, _)| *name == region).map(|(_, place)| *place)
}

/// What an account belongs to: credentials of one partition are nothing in another.
fn partition(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The Regions of the partition that a Region belongs to; without one those of the commercial partition.
pub fn beside(region: Option<&str>) -> Vec<&'static str> {
    let wanted = region.map_or("aws", partition);
    KNOWN.iter().map(|(name, _)| *name).filter(|name| partition(name) == wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_another_partition_are_not_offered() {
        assert!(beside(Some("eu-west-1")).contains(&"us-east-1"));
        assert!(!beside(None).iter().any(|r| r.starts_with("cn-") || r.starts_with("us-gov-")));
        assert_eq!(beside(Some("cn-north-1")), ["cn-north-1", "cn-northwest-1"]);
        assert_eq!(beside(Some("us-gov-west-1")).len(), 2);
        // A Region newer than this program is in the commercial partition until it says otherwise.
        assert_eq!(beside(Some("xx-new-1")).len(), KNOWN.len() - 4);
        assert_eq!((place("ap-northeast-1"), place("xx-new-1")), (Some("Tokyo"), None));
    }
}
