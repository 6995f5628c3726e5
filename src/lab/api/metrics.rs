//! CloudWatch: the numbers of AWS/EC2 for one instance, as GetMetricData gives them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::params::Params;
use super::{Outcome, Problem, unknown};
use crate::lab::ids::time_text;
use crate::lab::world::{Instance, State, World};
use crate::lab::xml::Xml;

/// The most values of one answer that the story needs: a day of minutes.
const MOST: u64 = 1440;

/// One question: which numbers of which instance.
struct Query {
    id: String,
    label: Option<String>,
    namespace: String,
    metric: String,
    instance: String,
    period: u64,
}

/// A question with its answer: seconds since 1970 and values.
type Series = (Query, Vec<(u64, f64)>);

/// Answers all questions of a request.
fn answers(world: &World, queries: Vec<Query>, times: (u64, u64), ascending: bool) -> Result<Vec<Series>, Problem> {
    let (start, end) = times;
    if start >= end {
        return Err(Problem::new(
            "ValidationError",
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let answer = |query: Query| {
        let mut values = match world.instance(&query.instance) {
            Some(instance) => {
                let metric = format!("{} {}", query.namespace, query.metric);
                series(instance, &metric, start, end, query.period)
            }
            None => Vec::new(),
        };
        if !ascending {
            values.reverse();
        }
        (query, values)
    };
    Ok(queries.into_iter().map(answer).collect())
}

pub(super) fn run(world: &World, action: &str, params: &Params, xml: &mut Xml) -> Outcome {
    if action != "GetMetricData" {
        return Err(unknown(action));
    }
    let mut queries = Vec::new();
    for number in params.indices("MetricDataQueries.member") {
        let base = format!("MetricDataQueries.member.{number}.");
        let get = |name: &str| params.get(&format!("{base}{name}")).map(str::to_owned);
        let dimensions = format!("{base}MetricStat.Metric.Dimensions.member");
        let instance = params
            .indices(&dimensions)
            .into_iter()
            .find(|at| params.get(&format!("{dimensions}.{at}.Name")) == Some("InstanceId"))
            .and_then(|at| params.get(&format!("{dimensions}.{at}.Value")));
        let period = params.number(&format!("{base}MetricStat.Period"))?.unwrap_or(300).max(60);
        queries.push(Query {
            id: params.required(&format!("{base}Id"))?.to_owned(),
            label: get("Label"),
            namespace: get("MetricStat.Metric.Namespace").unwrap_or_default(),
            metric: params.required(&format!("{base}MetricStat.Metric.MetricName"))?.to_owned(),
            instance: instance.unwrap_or_default().to_owned(),
            period: u64::try_from(period).unwrap_or(300),
        });
    }
    let times = (moment(params, "StartTime")?, moment(params, "EndTime")?);
    let results = answers(world, queries, times, params.get("ScanBy") == Some("TimestampAscending"))?;
    xml.members("Messages", [(); 0], |_, ()| {});
    xml.members("MetricDataResults", results, |xml, (query, values)| {
        let label = query.label.as_ref().unwrap_or(&query.metric);
        xml.put("Id", &query.id).put("Label", label).put("StatusCode", "Complete");
        xml.members("Timestamps", &values, |xml, (at, _)| {
            xml.text(time_text(UNIX_EPOCH + Duration::from_secs(*at)));
        });
        xml.members("Values", &values, |xml, (_, value)| {
            xml.text(value);
        });
    });
    Ok(())
}

/// The same in JSON, which newer clients speak.
pub(super) fn run_json(world: &World, action: &str, body: &str) -> Result<Value, Problem> {
    if action != "GetMetricData" {
        return Err(unknown(action));
    }
    let request: Value = serde_json::from_str(body)
        .map_err(|error| Problem::new("SerializationException", format!("the request is no JSON: {error}")))?;
    let mut queries = Vec::new();
    for query in request["MetricDataQueries"].as_array().into_iter().flatten() {
        let metric = &query["MetricStat"]["Metric"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        let instance = dimensions.into_iter().find(|one| one["Name"] == "InstanceId").map(|one| text(&one["Value"]));
        queries.push(Query {
            id: text(&query["Id"]),
            label: query["Label"].as_str().map(str::to_owned),
            namespace: text(&metric["Namespace"]),
            metric: text(&metric["MetricName"]),
            instance: instance.unwrap_or_default(),
            period: query["MetricStat"]["Period"].as_u64().unwrap_or(300).max(60),
        });
    }
    let time = |name: &str| {
        let seconds = request[name].as_f64().filter(|seconds| *seconds > 0.0);
        // Whole seconds are enough for periods of a minute.
        seconds
            .map(|seconds| Duration::from_secs_f64(seconds).as_secs())
            .ok_or_else(|| Problem::new("ValidationError", format!("The parameter {name} is required")))
    };
    let results =
        answers(world, queries, (time("StartTime")?, time("EndTime")?), request["ScanBy"] == "TimestampAscending")?;
    let results: Vec<_> = results
        .into_iter()
        .map(|(query, values)| {
            let (times, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
            json!({
                "Id": query.id,
                "Label": query.label.unwrap_or(query.metric),
                "Timestamps": times,
                "Values": values,
                "StatusCode": "Complete",
            })
        })
        .collect();
    Ok(json!({ "MetricDataResults": results, "Messages": [] }))
}

/// Seconds since 1970 of a time in the request: `2025-09-01T07:30:00Z`, with or without a fraction.
fn moment(params: &Params, name: &str) -> Result<u64, Problem> {
    let text = params.required(name)?;
    let digits: String = text.split('.').next().unwrap_or_default().trim_end_matches('Z').replace(['-', ':'], "");
    crate::lab::ids::signed_seconds(&digits)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| Problem::new("ValidationError", format!("{name} is no time: {text}")))
}

/// The values of one metric at full periods, oldest first. A machine that does not run has none.
fn series(instance: &Instance, metric: &str, start: u64, end: u64, period: u64) -> Vec<(u64, f64)> {
    if instance.state != State::Running {
        return Vec::new();
    }
    let machine = &instance.machine;
    let failed = |check: &str| f64::from(u8::from(machine.impaired.iter().any(|known| known == check)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let end = end.min(now);
    let first = start.div_ceil(period) * period;
    let times = (0..MOST).map(|step| first + step * period).take_while(|at| *at < end);
    // The file's values are of the last hour, five minutes each; the last one goes on.
    let told = |values: &[f64], at: u64| {
        let age = (now.saturating_sub(at) / 300) as usize;
        let place = 11_usize.saturating_sub(age.min(11));
        values.get(place).or(values.last()).copied()
    };
    let value = |at: u64| match metric {
        "AWS/EC2 CPUUtilization" => told(&machine.cpu, at),
        "AWS/EC2 CPUCreditBalance" => instance.burstable().then(|| told(&machine.credit_balance, at)).flatten(),
        "AWS/EC2 CPUSurplusCreditBalance" | "AWS/EC2 CPUSurplusCreditsCharged" => instance.burstable().then_some(0.0),
        "AWS/EC2 StatusCheckFailed_System" => Some(failed("system")),
        "AWS/EC2 StatusCheckFailed_Instance" => Some(failed("instance")),
        "AWS/EC2 StatusCheckFailed_AttachedEBS" => Some(failed("ebs")),
        "AWS/EC2 StatusCheckFailed" => Some(failed("system").max(failed("instance"))),
        "CWAgent mem_used_percent" => told(&machine.memory_used, at),
        "CWAgent disk_used_percent" => told(&machine.disk_used, at),
        _ => None,
    };
    times.filter_map(|at| Some((at, value(at)?))).collect()
}
