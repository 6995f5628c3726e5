//! Numbers over time beside the check that judged them: a line of bars with the least, the most and the last.
//!
//! Shows and judges nothing: what a number means is said in `rules`. Source of the numbers: the facts alone.

use crate::core::facts::Facts;
use crate::core::facts::host::Sample;
use serde_json::{Value, json};

/// Bars of a line at most.
const WIDEST: i64 = 40;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN: [char; 8] = ['_', '.', '-', '~', '=', '+', '*', '#'];

/// One number over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The metric's own name, as the console shows it.
    pub name: &'static str,
    /// Unit: `%`, `ms`, or nothing.
    pub unit: &'static str,
    /// Values, oldest first.
    pub samples: Vec<Sample>,
}

impl Series {
    /// A series; `None` with fewer than two values, which show nothing that a number does not.
    pub fn new(name: &'static str, unit: &'static str, samples: &[Sample]) -> Option<Self> {
        (samples.len() > 1).then(|| Self { name, unit, samples: samples.to_vec() })
    }

    /// The least, the most and the last value.
    fn ends(&self) -> (f64, f64, f64) {
        let values = || self.samples.iter().map(|s| s.value);
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(f64::NEG_INFINITY, f64::max);
        (least, most, values().next_back().unwrap_or_default())
    }

    /// The values by the places of their times: a gap where none came. Neighbours share a place where there are more
    /// than fit; then the highest is shown, so that no peak is lost.
    fn places(&self) -> Vec<Option<f64>> {
        let times = || self.samples.iter().map(|s| s.at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Vec::new() };
        let steps = self.samples.windows(2).map(|w| w[1].at - w[0].at).filter(|step| *step > 0);
        let step = steps.min().unwrap_or(1).max((last - first) / (WIDEST - 1) + 1).max(1);
        let step = if (last - first) / step < WIDEST { step } else { step + 1 };
        let places = usize::try_from((last - first) / step).unwrap_or_default() + 1;
        let mut out = vec![None; places];
        for sample in &self.samples {
            let at = usize::try_from((sample.at - first) / step).unwrap_or_default();
            if let Some(place) = out.get_mut(at) {
                *place = Some(place.map_or(sample.value, |v: f64| v.max(sample.value)));
            }
        }
        out
    }

    /// The values as bars; percent against a hundred, all others against their highest.
    pub fn bars(&self, ascii: bool) -> String {
        let (_, most, _) = self.ends();
        let top = if self.unit == "%" { most.max(100.0) } else { most };
        let signs = if ascii { PLAIN } else { BARS };
        let bar = |value: f64| {
            let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
            signs[(0_u8..7).filter(|n| share * 7.0 >= f64::from(*n) + 0.5).count()]
        };
        self.places().into_iter().map(|place| place.map_or(' ', bar)).collect()
    }

    /// One line: `CPUUtilization ▁▂█▇ 3–97, last 42 %`.
    pub fn line(&self, ascii: bool) -> String {
        let (least, most, last) = self.ends();
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let number = |value: f64| {
            if most < 10.0 && value.fract() != 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
        };
        let (least, most, last) = (number(least), number(most), number(last));
        let minutes = self.minutes().map(|m| format!(" ({m} min)")).unwrap_or_default();
        format!("{} {} min {least} max {most} last {last}{unit}{minutes}", self.name, self.bars(ascii))
    }

    /// How long it lasts, in whole minutes; `None` below one.
    fn minutes(&self) -> Option<i64> {
        let (first, last) = (self.samples.first()?.at, self.samples.last()?.at);
        Some((last - first) / 60).filter(|m| *m > 0)
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "times": self.samples.iter().map(|s| s.at).collect::<Vec<_>>(),
            "values": self.samples.iter().map(|s| s.value).collect::<Vec<_>>(),
        })
    }
}

/// The numbers that a check looked at.
pub fn of_check(check: &str, facts: &Facts) -> Vec<Series> {
    let Some(metrics) = facts.host.metrics.value() else { return Vec::new() };
    let cpu = ("CPUUtilization", "%", &metrics.cpu);
    let wanted = match check {
        "cpu-credits" => vec![("CPUCreditBalance", "", &metrics.credits), cpu],
        "machine-load" => {
            vec![cpu, ("mem_used_percent", "%", &metrics.memory), ("disk_used_percent", "%", &metrics.disk)]
        }
        _ => Vec::new(),
    };
    wanted.into_iter().filter_map(|(name, unit, samples)| Series::new(name, unit, samples)).collect()
}

/// The numbers behind a cause.
pub fn of_cause(cause: &str, facts: &Facts) -> Vec<Series> {
    match cause {
        "cpu-credits-exhausted" => of_check("cpu-credits", facts),
        "cpu-or-memory-overload" => {
            of_check("machine-load", facts).into_iter().filter(|s| s.name != "disk_used_percent").collect()
        }
        "disk-full" => of_check("machine-load", facts).into_iter().filter(|s| s.name == "disk_used_percent").collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;
    use crate::core::facts::host::Metrics;

    fn samples(step: i64, values: &[f64]) -> Vec<Sample> {
        values.iter().zip(0_i64..).map(|(value, n)| Sample { at: 1_000 + step * n, value: *value }).collect()
    }

    #[test]
    fn percent_is_shown_against_a_hundred_and_the_rest_against_its_highest() {
        let cpu = Series::new("CPUUtilization", "%", &samples(300, &[0.0, 50.0, 100.0, 3.0])).unwrap();
        assert_eq!((cpu.bars(false), cpu.bars(true)), ("▁▅█▁".to_owned(), "_=#_".to_owned()));
        assert_eq!(cpu.line(false), "CPUUtilization ▁▅█▁ min 0 max 100 last 3 % (15 min)");
        let low = Series::new("CPUUtilization", "%", &samples(300, &[2.0, 4.0])).unwrap();
        assert_eq!(low.bars(false), "▁▁", "a machine that idles looks idle");
        let credits = Series::new("CPUCreditBalance", "", &samples(300, &[4.5, 0.4])).unwrap();
        assert_eq!(credits.line(false), "CPUCreditBalance █▂ min 0.4 max 4.5 last 0.4 (5 min)");
        let none = Series::new("CPUCreditBalance", "", &samples(300, &[0.0, 0.0])).unwrap();
        assert_eq!(none.bars(false), "▁▁");
    }

    #[test]
    fn what_is_missing_is_a_gap_and_many_values_keep_their_peaks() {
        let mut some = samples(300, &[10.0, 20.0, 30.0, 40.0, 50.0]);
        some.remove(2);
        some.remove(2);
        assert_eq!(Series::new("x", "%", &some).unwrap().bars(false), "▂▂  ▅");
        let mut many = vec![1.0; 500];
        many[250] = 100.0;
        let bars = Series::new("x", "%", &samples(1, &many)).unwrap().bars(false);
        assert!(bars.chars().count() <= 40, "{bars}");
        assert_eq!(bars.matches('█').count(), 1, "{bars}");
        assert_eq!(Series::new("x", "%", &samples(1, &[1.0])), None);
        // Two values of one second.
        let mut twice = samples(0, &[1.0, 2.0]);
        twice[1].at = twice[0].at;
        assert_eq!(Series::new("x", "", &twice).unwrap().bars(false).chars().count(), 1);
    }

    #[test]
    fn a_check_has_the_numbers_that_it_looked_at() {
        let mut facts = Facts::default();
        assert!(of_check("cpu-credits", &facts).is_empty());
        let metrics =
            Metrics { cpu: samples(300, &[1.0, 2.0]), credits: samples(300, &[9.0, 8.0]), ..Metrics::default() };
        facts.host.metrics = Fact::known(metrics, "GetMetricData i-1");
        let names = |check| of_check(check, &facts).iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names("cpu-credits"), ["CPUCreditBalance", "CPUUtilization"]);
        assert_eq!(names("machine-load"), ["CPUUtilization"]);
        assert!(names("tcp-port").is_empty());
        assert_eq!(of_cause("cpu-credits-exhausted", &facts).len(), 2);
        assert!(of_cause("disk-full", &facts).is_empty());
        assert_eq!(of_check("machine-load", &facts)[0].json()["values"][1], 2.0);
    }
}
