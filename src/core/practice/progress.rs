//! Which lessons were solved, when, and how well: from lines of JSON, one for each time.
//!
//! Must not read or write the file: `edge` does. A line that cannot be read (torn, or of a newer version) is passed over.

use super::score::FULL;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of a line.
const SCHEMA: u32 = 1;

/// A lesson that was solved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solved {
    /// Version of the line.
    #[serde(default = "schema")]
    pub schema: u32,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Id of the lesson.
    pub lesson: String,
    /// Seed of the account in which it was solved.
    #[serde(default)]
    pub seed: u64,
    /// Points, 10 to 100.
    pub points: u32,
    /// Checks whose answers were seen; `None` where nobody counted.
    #[serde(default)]
    pub checks: Option<usize>,
    /// Hints that were taken.
    #[serde(default)]
    pub hints: usize,
    /// The fix that brought the login back; `None` for a repair by hand or a cause that was named.
    #[serde(default)]
    pub fix: Option<String>,
}

fn schema() -> u32 {
    SCHEMA
}

impl Solved {
    /// A line for the file, without its end.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is known of a lesson that was solved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Best {
    /// When it was solved first, in seconds since 1970.
    pub first: i64,
    /// When it was solved last.
    pub last: i64,
    /// How often.
    pub times: usize,
    /// The most points.
    pub points: u32,
    /// The fewest checks of a time with so many points.
    pub checks: Option<usize>,
}

/// All lessons that were solved, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What is known of each.
    pub solved: BTreeMap<String, Best>,
}

impl Progress {
    /// Reads the lines of the file, in any order.
    pub fn read(text: &str) -> Self {
        let mut progress = Self::default();
        for line in text.lines() {
            if let Ok(solved) = serde_json::from_str::<Solved>(line) {
                progress.add(&solved);
            }
        }
        progress
    }

    /// Adds a time. The points of the best time before it, if there was one.
    pub fn add(&mut self, solved: &Solved) -> Option<u32> {
        // The file is anybody's to write.
        let points = solved.points.min(FULL);
        let before = self.solved.get(&solved.lesson).map(|best| best.points);
        let best = self.solved.entry(solved.lesson.clone()).or_insert(Best {
            first: solved.at,
            last: solved.at,
            times: 0,
            points: 0,
            checks: None,
        });
        best.first = best.first.min(solved.at);
        best.last = best.last.max(solved.at);
        best.times += 1;
        if points > best.points {
            (best.points, best.checks) = (points, solved.checks);
        } else if points == best.points {
            best.checks = match (best.checks, solved.checks) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        before
    }

    /// What is known of a lesson.
    pub fn of(&self, lesson: &str) -> Option<&Best> {
        self.solved.get(lesson)
    }

    /// Points of all lessons that are still there.
    pub fn points<'a>(&self, lessons: impl IntoIterator<Item = &'a str>) -> u32 {
        lessons.into_iter().filter_map(|id| self.of(id)).map(|best| best.points).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solved(lesson: &str, at: i64, points: u32, checks: Option<usize>) -> Solved {
        Solved { schema: 1, at, lesson: lesson.into(), seed: 0, points, checks, hints: 0, fix: None }
    }

    #[test]
    fn the_best_time_counts_and_every_time_is_kept() {
        let times = [
            solved("a", 30, 70, Some(9)),
            solved("a", 10, 90, Some(4)),
            solved("b", 20, 55, None),
            solved("a", 20, 90, Some(3)),
        ];
        let text: String = times.iter().map(|s| s.line() + "\n").collect();
        let progress = Progress::read(&text);
        let a = progress.of("a").unwrap();
        assert_eq!(*a, Best { first: 10, last: 30, times: 3, points: 90, checks: Some(3) });
        assert_eq!(progress.of("b").unwrap().checks, None);
        assert_eq!(progress.points(["a", "b", "c"]), 145);
        let mut again = progress.clone();
        assert_eq!(again.add(&solved("b", 40, 60, Some(1))), Some(55));
        assert_eq!(again.add(&solved("c", 40, 60, Some(1))), None);
    }

    #[test]
    fn a_torn_line_and_one_of_a_newer_version_harm_no_other() {
        let good = solved("a", 10, 90, Some(4)).line();
        let text =
            format!("{good}\n{}\n\nnonsense\n{{\"lesson\":\"b\",\"at\":5,\"points\":40,\"more\":[1]}}\n", &good[..20]);
        let progress = Progress::read(&text);
        assert_eq!(progress.solved.keys().collect::<Vec<_>>(), ["a", "b"]);
        // Half a line at the end, and the next one behind it on the same line: only those two are lost.
        let progress = Progress::read(&format!("{good}\n{}{good}\n", &good[..20]));
        assert_eq!(progress.of("a").unwrap().times, 1);
    }
}
