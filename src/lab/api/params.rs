//! The parameters of a Query request: numbered lists, filters, pages.
//!
//! Used by the actions. Filters are ANDed, their values ORed, `*` and `?` are wild cards
//! (EC2 API Reference, `Filter`).

use std::collections::BTreeMap;

use super::Problem;
use crate::lab::world::World;

/// A request's parameters.
#[derive(Debug, Default)]
pub(in crate::lab) struct Params(BTreeMap<String, String>);

/// One filter of a request.
pub(in crate::lab) struct Filter {
    pub name: String,
    pub values: Vec<String>,
}

impl Filter {
    /// True if any of a thing's values matches any wanted one.
    pub fn accepts<S: AsRef<str>>(&self, have: &[S]) -> bool {
        have.iter().any(|value| self.values.iter().any(|wanted| like(wanted, value.as_ref())))
    }
}

impl Params {
    pub fn parse(form: &str) -> Self {
        Self(form_urlencoded::parse(form.as_bytes()).into_owned().collect())
    }

    /// The strings of a JSON request, for finding out what it is about.
    pub fn from_json(body: &str) -> Self {
        fn collect(value: &serde_json::Value, path: &str, into: &mut BTreeMap<String, String>) {
            match value {
                serde_json::Value::String(text) => {
                    into.insert(path.to_owned(), text.clone());
                }
                serde_json::Value::Array(all) => {
                    all.iter().enumerate().for_each(|(at, one)| collect(one, &format!("{path}.{at}"), into));
                }
                serde_json::Value::Object(all) => {
                    all.iter().for_each(|(name, one)| collect(one, &format!("{path}.{name}"), into));
                }
                _ => {}
            }
        }
        let mut all = BTreeMap::new();
        collect(&serde_json::from_str(body).unwrap_or_default(), "", &mut all);
        Self(all)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every value, whatever it is called.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// Every value with its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Problem::new("MissingParameter", format!("The request must contain the parameter {name}")))
    }

    pub fn number(&self, name: &str) -> Result<Option<i32>, Problem> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Problem::new("InvalidParameterValue", format!("Value ({text}) for parameter {name} is invalid."))
                })
            })
            .transpose()
    }

    /// `Name.member.1`, … as the services besides EC2 write lists.
    pub fn members(&self, name: &str) -> Vec<String> {
        self.list(&format!("{name}.member"))
    }

    /// `Name.1`, `Name.2` … in order.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.indices(name)
            .into_iter()
            .filter_map(|number| self.get(&format!("{name}.{number}")).map(str::to_owned))
            .collect()
    }

    /// The numbers that follow `name.` in parameter names, ascending.
    pub fn indices(&self, name: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .0
            .keys()
            .filter_map(|key| key.strip_prefix(name)?.strip_prefix('.')?.split('.').next()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    pub fn filters(&self) -> Vec<Filter> {
        self.indices("Filter")
            .into_iter()
            .filter_map(|number| {
                let name = self.get(&format!("Filter.{number}.Name"))?.to_owned();
                Some(Filter { name, values: self.list(&format!("Filter.{number}.Value")) })
            })
            .collect()
    }

    /// Keeps what passes all filters. `values` gives a thing's values under a filter's name, or
    /// `None` if there is no such filter. `tag:` filters are looked up by the resource's id.
    pub fn select<'a, T>(
        &self,
        world: &World,
        items: impl IntoIterator<Item = &'a T>,
        id: impl Fn(&T) -> &str,
        values: impl Fn(&T, &str) -> Option<Vec<String>>,
    ) -> Result<Vec<&'a T>, Problem> {
        let filters = self.filters();
        let mut kept = Vec::new();
        for item in items {
            let mut good = true;
            for filter in &filters {
                let tags = world.tags.get(id(item));
                let have = if let Some(key) = filter.name.strip_prefix("tag:") {
                    tags.and_then(|tags| tags.get(key)).cloned().into_iter().collect()
                } else if filter.name == "tag-key" {
                    tags.into_iter().flat_map(BTreeMap::keys).cloned().collect()
                } else {
                    values(item, &filter.name).ok_or_else(|| {
                        Problem::new("InvalidParameterValue", format!("The filter '{}' is invalid", filter.name))
                    })?
                };
                good &= filter.accepts(&have);
            }
            if good {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    /// One page of a list and the token of the next. `most` bounds a page that was asked for, so
    /// that callers meet pages in a small account too; a list is whole if MaxResults is absent.
    pub fn page<T>(&self, mut items: Vec<T>, most: usize) -> Result<(Vec<T>, Option<String>), Problem> {
        let start = match self.get("NextToken").filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => token
                .strip_prefix("page-")
                .and_then(|at| at.parse::<usize>().ok())
                .ok_or_else(|| Problem::new("InvalidNextToken", format!("The token '{token}' is invalid")))?,
        };
        let size = match self.number("MaxResults")? {
            None => usize::MAX,
            Some(number @ 5..=1000) => usize::try_from(number).unwrap_or(most).min(most),
            Some(number) => {
                return Err(Problem::new(
                    "InvalidParameterValue",
                    format!(
                        "Value ( {number} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
                    ),
                ));
            }
        };
        let mut items = items.split_off(start.min(items.len()));
        let rest = items.len() > size;
        items.truncate(size);
        Ok((items, rest.then(|| format!("page-{}", start + size))))
    }

    /// Ids and MaxResults exclude each other for some lists.
    pub fn ids_or_pages(&self, name: &'static str) -> Result<(), Problem> {
        if self.get("MaxResults").is_some() && !self.indices(name).is_empty() {
            return Err(Problem::new(
                "InvalidParameterCombination",
                format!("The parameter {name}s cannot be used with the parameter maxResults"),
            ));
        }
        Ok(())
    }
}

/// Matches `*` and `?`, case-sensitively.
pub(in crate::lab) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((back, start)) => {
                    star = Some((back, start + 1));
                    at = back + 1;
                    from = start + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_cards() {
        assert!(like("web-*", "web-timeout") && like("*", "") && like("w?b", "web"));
        assert!(like("a*b*c", "axxbyyc") && !like("a*b", "axxc") && !like("web", "Web"));
    }

    #[test]
    fn lists_and_pages() {
        let params = Params::parse("A.2=y&A.1=x&A.10=z&MaxResults=5&Filter.1.Name=n&Filter.1.Value.1=v%20w");
        assert_eq!(params.list("A"), ["x", "y", "z"]);
        assert_eq!(params.filters()[0].values, ["v w"]);
        let (page, token) = params.page((0..7).collect(), 5).unwrap();
        assert_eq!((page.len(), token.as_deref()), (5, Some("page-5")));
        let params = Params::parse("MaxResults=5&NextToken=page-5");
        assert_eq!(params.page((0..7).collect(), 5).unwrap(), (vec![5, 6], None));
        assert!(Params::parse("MaxResults=4").page(vec![1], 5).is_err());
    }
}
