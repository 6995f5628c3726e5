//! What a solved lesson is worth: a bill from 100 downwards, one line for each thing that cost.
//!
//! The fewest checks and the safest fix give the most. Must not know where the numbers come from: a guided walk, the
//! screen that shows everything at once, or calls by hand.

use crate::core::catalogue;
use crate::core::plan::Risk;
use crate::core::practice::Lesson;
use crate::core::words::{tr, tr_with};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a faultless lesson gives.
pub const FULL: u32 = 100;
/// The least that a solved lesson gives.
const LEAST: u32 = 10;

/// Of a check whose answer was foreseen.
const FORESEEN: u32 = 1;
/// Of a check whose answer was only looked at.
const LOOKED: u32 = 2;
/// Of a check whose answer was guessed wrong.
const MISJUDGED: u32 = 4;
/// Of a check that was shown with all others at once.
const AT_ONCE: u32 = 1;
/// The most that all checks together cost.
const CHECKS_MOST: u32 = 30;
/// Of the first hint; the second costs twice that, the third three times: they say more and more.
const HINT: u32 = 5;
/// Of a wrong cause named.
const WRONG_CAUSE: u32 = 8;
/// Of a change that did not bring the login back.
const IN_VAIN: u32 = 8;
/// Of each step of risk above the safest fix.
const RISKIER: u32 = 15;
/// Of an interruption that was not needed.
const DOWNTIME: u32 = 10;
/// Of a change that cannot be taken back where one that can would do.
const LASTING: u32 = 10;

/// How an answer was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It was shown without a guess.
    Looked,
    /// It was guessed right.
    Foreseen,
    /// It was guessed wrong.
    Misjudged,
    /// It was shown with all others at once.
    AtOnce,
}

/// How disruptive a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Its risk.
    pub risk: Risk,
    /// Whether logins or services are interrupted.
    pub downtime: bool,
    /// Whether it can be taken back.
    pub reversible: bool,
}

impl Weight {
    /// That changes nothing.
    pub const NONE: Self = Self { risk: Risk::Low, downtime: false, reversible: true };

    /// Of a fix, as the catalogue has it; [`Weight::NONE`] for what it does not have.
    pub fn of_fix(id: &str) -> Self {
        catalogue::get().fixes.get(id).map_or(Self::NONE, |fix| Self {
            risk: fix.risk,
            downtime: fix.downtime,
            reversible: fix.reversible,
        })
    }

    /// Of two changes together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let risk = if steps(other.risk) > steps(self.risk) { other.risk } else { self.risk };
        Self { risk, downtime: self.downtime || other.downtime, reversible: self.reversible && other.reversible }
    }
}

/// Points that the next hint costs when so many were taken.
pub fn hint_cost(taken: usize) -> u32 {
    HINT.saturating_mul(u32::try_from(taken + 1).unwrap_or(u32::MAX))
}

fn steps(risk: Risk) -> u32 {
    match risk {
        Risk::Low => 0,
        Risk::Medium => 1,
        Risk::High => 2,
    }
}

/// What was done about a lesson.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers that were seen, by check id.
    pub seen: BTreeMap<String, Seen>,
    /// Hints that were taken.
    pub hints: usize,
    /// Wrong causes that were named.
    pub wrong_causes: BTreeSet<String>,
    /// Whether the right one was named.
    pub named: bool,
    /// Fixes that were applied and did not bring the login back.
    pub in_vain: Vec<String>,
    /// The fix that did; `None` for a repair by hand, or where nothing was to be mended.
    pub fix: Option<String>,
    /// How disruptive calls made by hand were.
    pub by_hand: Option<Weight>,
}

impl Tally {
    /// An answer was seen. The first way counts, except that a guess comes after nothing and before the answer.
    pub fn see(&mut self, check: &str, how: Seen) {
        self.seen.entry(check.to_owned()).or_insert(how);
    }

    fn count(&self, how: Seen) -> u32 {
        u32::try_from(self.seen.values().filter(|seen| **seen == how).count()).unwrap_or(u32::MAX)
    }
}

/// Something that cost points, or is worth a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Item {
    /// Answers looked at.
    Looked {
        /// How many.
        count: u32,
    },
    /// Answers foreseen.
    Foreseen {
        /// How many.
        count: u32,
    },
    /// Answers guessed wrong.
    Misjudged {
        /// How many.
        count: u32,
    },
    /// Answers shown all at once.
    AtOnce {
        /// How many.
        count: u32,
    },
    /// All checks together cost no more than this line leaves.
    Enough,
    /// Hints.
    Hints {
        /// How many.
        count: u32,
    },
    /// Wrong causes named.
    WrongCauses {
        /// How many.
        count: u32,
    },
    /// Changes that did not help.
    InVain {
        /// How many.
        count: u32,
    },
    /// The fix had more risk than the safest one.
    Riskier,
    /// It interrupted what need not be interrupted.
    Downtime,
    /// It cannot be taken back.
    Lasting,
}

/// A line of the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What for.
    #[serde(flatten)]
    pub item: Item,
    /// Points that it costs; less than 0 gives some back.
    pub cost: i64,
}

/// What a lesson is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// 10 to 100.
    pub points: u32,
    /// Checks whose answers were seen.
    pub checks: usize,
    /// Whether no fix that works is less disruptive than what was done; `None` where nothing was mended.
    pub safest: Option<bool>,
    /// What cost.
    pub lines: Vec<Line>,
}

/// The bill of a solved lesson.
pub fn bill(lesson: &Lesson, tally: &Tally) -> Bill {
    let mut lines = Vec::new();
    let mut add = |item: Item, cost: u32| {
        if cost > 0 {
            lines.push(Line { item, cost: i64::from(cost) });
        }
        cost
    };
    let counts = [Seen::Foreseen, Seen::Looked, Seen::Misjudged, Seen::AtOnce].map(|how| tally.count(how));
    let [foreseen, looked, misjudged, at_once] = counts;
    let checks = add(Item::Foreseen { count: foreseen }, foreseen * FORESEEN)
        + add(Item::Looked { count: looked }, looked * LOOKED)
        + add(Item::Misjudged { count: misjudged }, misjudged * MISJUDGED)
        + add(Item::AtOnce { count: at_once }, at_once * AT_ONCE);
    let count = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
    let hints = count(tally.hints);
    add(Item::Hints { count: hints }, HINT * hints * (hints + 1) / 2);
    let wrong = count(tally.wrong_causes.len());
    add(Item::WrongCauses { count: wrong }, wrong * WRONG_CAUSE);
    let vain = count(tally.in_vain.len());
    add(Item::InVain { count: vain }, vain * IN_VAIN);
    let best = Weight::of_fix(&lesson.fix);
    let done = match (&tally.fix, tally.by_hand) {
        (Some(fix), None) => Some(Weight::of_fix(fix)),
        (Some(fix), Some(hand)) => Some(Weight::of_fix(fix).and(hand)),
        (None, hand) => hand,
    };
    let mut safest = None;
    if let Some(done) = done.filter(|_| tally.fix.as_deref() != Some(&lesson.fix) || tally.by_hand.is_some()) {
        let riskier = steps(done.risk).saturating_sub(steps(best.risk)) * RISKIER;
        let extra = add(Item::Riskier, riskier)
            + add(Item::Downtime, if done.downtime && !best.downtime { DOWNTIME } else { 0 })
            + add(Item::Lasting, if !done.reversible && best.reversible { LASTING } else { 0 });
        safest = Some(extra == 0);
    } else if done.is_some() {
        safest = Some(true);
    }
    if checks > CHECKS_MOST {
        let at = lines.iter().rposition(|line| is_check(&line.item)).map_or(0, |at| at + 1);
        lines.insert(at, Line { item: Item::Enough, cost: -i64::from(checks - CHECKS_MOST) });
    }
    let cost: i64 = lines.iter().map(|line| line.cost).sum();
    let points = u32::try_from(i64::from(FULL) - cost).unwrap_or(0).max(LEAST);
    Bill { points, checks: tally.seen.len(), safest, lines }
}

fn is_check(item: &Item) -> bool {
    matches!(item, Item::Looked { .. } | Item::Foreseen { .. } | Item::Misjudged { .. } | Item::AtOnce { .. })
}

impl Line {
    /// What for, in words.
    pub fn text(&self) -> String {
        match &self.item {
            Item::Looked { count } => tr_with("answers looked at: {count}", &[("count", count)]),
            Item::Foreseen { count } => tr_with("answers foreseen: {count}", &[("count", count)]),
            Item::Misjudged { count } => tr_with("answers guessed wrong: {count}", &[("count", count)]),
            Item::AtOnce { count } => tr_with("answers shown all at once: {count}", &[("count", count)]),
            Item::Enough => tr_with("checks cost {count} at most", &[("count", &CHECKS_MOST)]),
            Item::Hints { count } => tr_with("hints taken: {count}", &[("count", count)]),
            Item::WrongCauses { count } => tr_with("wrong causes named: {count}", &[("count", count)]),
            Item::InVain { count } => tr_with("changes that did not help: {count}", &[("count", count)]),
            Item::Riskier => tr("more risk than needed").to_owned(),
            Item::Downtime => tr("an interruption that was not needed").to_owned(),
            Item::Lasting => tr("a change that cannot be taken back").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cases {
        case: Vec<Case>,
    }

    /// What was done, and what it is worth.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[derive(Default)]
    struct Case {
        does: String,
        best: String,
        foreseen: usize,
        looked: usize,
        misjudged: usize,
        at_once: usize,
        hints: usize,
        wrong_causes: usize,
        in_vain: usize,
        fix: Option<String>,
        by_hand: Vec<super::super::hand::Call>,
        points: u32,
        safest: Option<bool>,
        lines: Vec<String>,
    }

    #[test]
    fn the_fewest_checks_and_the_safest_fix_give_the_most() {
        let file = include_str!("../../../tests/cases/practice/score.toml");
        let cases: Cases = toml::from_str(file).expect("score.toml is well formed");
        assert!(cases.case.len() > 10);
        for case in cases.case {
            let mut tally = Tally { hints: case.hints, fix: case.fix.clone(), ..Tally::default() };
            for (how, count) in [
                (Seen::Foreseen, case.foreseen),
                (Seen::Looked, case.looked),
                (Seen::Misjudged, case.misjudged),
                (Seen::AtOnce, case.at_once),
            ] {
                for at in 0..count {
                    tally.see(&format!("{how:?} {at}"), how);
                }
            }
            tally.wrong_causes = (0..case.wrong_causes).map(|at| at.to_string()).collect();
            tally.in_vain = (0..case.in_vain).map(|at| at.to_string()).collect();
            tally.by_hand = super::super::hand::weigh(&case.by_hand);
            let lesson = Lesson { fix: case.best.clone(), ..Lesson::default() };
            let bill = bill(&lesson, &tally);
            let told: Vec<String> = bill.lines.iter().map(|line| format!("{} {}", line.text(), line.cost)).collect();
            assert_eq!((bill.points, bill.safest, told), (case.points, case.safest, case.lines), "{}", case.does);
        }
    }

    #[test]
    fn an_answer_is_counted_once_as_it_was_first_seen() {
        let mut tally = Tally::default();
        tally.see("tcp-port", Seen::Foreseen);
        tally.see("tcp-port", Seen::AtOnce);
        assert_eq!(tally.seen.get("tcp-port"), Some(&Seen::Foreseen));
        assert_eq!(bill(&Lesson::default(), &tally).checks, 1);
    }
}
