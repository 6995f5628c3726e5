//! The last hour of the instance's CloudWatch metrics, by one GetMetricData.
//!
//! Reads and converts. What a number means is judged in `core::rules`. Source: CloudWatch API reference, GetMetricData.

use super::client::Aws;
use super::query::{self, Service};
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::host::{Metrics, Sample};
use crate::core::probe::ProbeId;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};

/// How far back is asked, in seconds.
const BACK: i64 = 3600;
/// EC2's basic monitoring has one value in 5 minutes (CloudWatch User Guide).
const PERIOD: i64 = 300;

const CLOUDWATCH: Service = Service { signing_name: "monitoring", id: "CLOUDWATCH", host: "monitoring" };

/// Query id, namespace, metric name, statistic.
const QUERIES: &[(&str, &str, &str, &str)] = &[
    ("cpu", "AWS/EC2", "CPUUtilization", "Maximum"),
    ("credits", "AWS/EC2", "CPUCreditBalance", "Minimum"),
    ("system", "AWS/EC2", "StatusCheckFailed_System", "Maximum"),
    ("instance", "AWS/EC2", "StatusCheckFailed_Instance", "Maximum"),
    ("memory", "CWAgent", "mem_used_percent", "Maximum"),
    ("disk", "CWAgent", "disk_used_percent", "Maximum"),
];

/// Reads the metrics of an instance; `now` in seconds since 1970.
pub(super) async fn read(aws: &Aws, instance: &Instance, now: i64, doing: &str) -> Fact<Metrics> {
    let action = ProbeId::Metrics.action().unwrap_or_default();
    match query::call(aws, &CLOUDWATCH, &instance.region, &form(&instance.id, now), action, doing).await {
        Err(why) => Fact::unknown(why),
        Ok(xml) => match parse(&xml) {
            Ok(metrics) => Fact::known(metrics, format!("GetMetricData {}", instance.id)),
            Err(e) => Fact::unknown(Why::failed(doing, format!("the answer could not be read ({e})"))),
        },
    }
}

fn form(id: &str, now: i64) -> Vec<(String, String)> {
    let time = |at: i64| DateTime::from_secs(at).fmt(Format::DateTime).unwrap_or_default();
    let mut out = vec![
        ("Action".to_owned(), "GetMetricData".to_owned()),
        ("Version".to_owned(), "2010-08-01".to_owned()),
        ("StartTime".to_owned(), time(now - BACK)),
        ("EndTime".to_owned(), time(now + PERIOD)),
        ("ScanBy".to_owned(), "TimestampAscending".to_owned()),
    ];
    for (n, (query, namespace, metric, statistic)) in QUERIES.iter().enumerate() {
        let at = format!("MetricDataQueries.member.{}", n + 1);
        let mut put = |key: &str, value: &str| out.push((format!("{at}.{key}"), value.to_owned()));
        put("Id", query);
        put("MetricStat.Metric.Namespace", namespace);
        put("MetricStat.Metric.MetricName", metric);
        put("MetricStat.Metric.Dimensions.member.1.Name", "InstanceId");
        put("MetricStat.Metric.Dimensions.member.1.Value", id);
        put("MetricStat.Period", &PERIOD.to_string());
        put("MetricStat.Stat", statistic);
        put("ReturnData", "true");
    }
    out
}

fn parse(xml: &str) -> Result<Metrics, XmlDecodeError> {
    let mut document = Document::new(xml);
    let mut root = document.root_element()?;
    let mut out = Metrics::default();
    while let Some(mut result) = root.next_tag() {
        if !result.start_el().matches("GetMetricDataResult") {
            continue;
        }
        while let Some(mut list) = result.next_tag() {
            if !list.start_el().matches("MetricDataResults") {
                continue;
            }
            while let Some(mut member) = list.next_tag() {
                let (id, samples) = series(&mut member)?;
                match id.as_str() {
                    "cpu" => out.cpu = samples,
                    "credits" => out.credits = samples,
                    "system" => out.system_failed = samples,
                    "instance" => out.instance_failed = samples,
                    "memory" => out.memory = samples,
                    "disk" => out.disk = samples,
                    _ => {}
                }
            }
        }
    }
    Ok(out)
}

fn series(member: &mut ScopedDecoder<'_, '_>) -> Result<(String, Vec<Sample>), XmlDecodeError> {
    let (mut id, mut times, mut values) = (String::new(), Vec::new(), Vec::new());
    while let Some(mut tag) = member.next_tag() {
        match tag.start_el().local() {
            "Id" => id = try_data(&mut tag)?.into_owned(),
            "Timestamps" => {
                while let Some(mut item) = tag.next_tag() {
                    let text = try_data(&mut item)?;
                    times.push(DateTime::from_str(&text, Format::DateTimeWithOffset).map_or(0, |t| t.secs()));
                }
            }
            "Values" => {
                while let Some(mut item) = tag.next_tag() {
                    values.push(try_data(&mut item)?.parse::<f64>().unwrap_or(f64::NAN));
                }
            }
            _ => {}
        }
    }
    let mut samples: Vec<Sample> = times
        .into_iter()
        .zip(values)
        .filter(|(at, value)| *at > 0 && value.is_finite())
        .map(|(at, value)| Sample { at, value })
        .collect();
    samples.sort_by_key(|s| s.at);
    Ok((id, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_oldest_first_and_by_their_query() {
        let xml = "<GetMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><GetMetricDataResult>\
<MetricDataResults><member><Id>credits</Id><Label>CPUCreditBalance</Label><StatusCode>Complete</StatusCode>\
<Timestamps><member>2026-11-21T10:05:00Z</member><member>2026-11-21T10:00:00+00:00</member></Timestamps>\
<Values><member>0.0</member><member>1.5</member></Values></member><member><Id>cpu</Id><Values/><Timestamps/></member>\
</MetricDataResults></GetMetricDataResult></GetMetricDataResponse>";
        let read = parse(xml).unwrap();
        assert_eq!(read.credits.iter().map(|s| s.value).collect::<Vec<_>>(), [1.5, 0.0]);
        assert_eq!(read.credits[1].at - read.credits[0].at, 300);
        assert!(read.cpu.is_empty());
        assert!(parse("<html>").is_err() || parse("<html></html>").unwrap() == Metrics::default());
    }

    #[test]
    fn the_form_asks_for_every_metric_of_the_instance() {
        let form = form("i-1", 1_800_000_000);
        assert_eq!(form.iter().filter(|(_, v)| v == "i-1").count(), QUERIES.len());
        assert!(form.iter().any(|(k, v)| k == "StartTime" && v == "2027-01-15T07:00:00Z"), "{form:?}");
    }
}
