//! What `tally definitions lint` reports: everything that keeps definitions from loading, and what loads and is
//! still likely to be a mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::load::{self, Loaded};
use super::{DataSource, Definitions, Metric, MetricKind, ValueType};
use crate::counter::{Counter, CounterKind, Identifier};
use crate::matcher::Matcher;
use crate::time_frame::TimeFrame;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The definitions don't load.
    Error,
    /// The definitions load, and something will not be counted as its author may think.
    Warning,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: Arc<str>,
    /// The field, dotted; empty for the file as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// What was found, and how much was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LintReport {
    /// Errors first, in the order of the files.
    pub findings: Vec<Finding>,
    /// Files with an event definition.
    pub event_files: usize,
    /// Internal events among them.
    pub internal_events: usize,
    /// Files with a metric definition.
    pub metric_files: usize,
    /// Metrics after expansion, by data source and time frame.
    pub metrics: BTreeMap<(DataSource, TimeFrame), usize>,
    /// Distinct counters that tracked events would change.
    pub counters: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let colon = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{severity}: {}: {}{colon}{}", self.path, self.field, self.message)
    }
}

impl LintReport {
    /// Whether the definitions load.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// Reads the definitions as [`Definitions::load`] does and reports on all of them. References between files are
/// only checked when every file is sound.
pub fn lint<P: AsRef<str>>(paths: &[P]) -> LintReport {
    let Loaded { definitions, errors, event_files, metric_files } = load::load(paths);
    let is_sound = errors.is_empty();
    let errors = errors.into_iter().map(|error| Finding {
        severity: Severity::Error,
        message: format!("expected {}, got {}", error.expected, error.got),
        path: error.path,
        field: error.field,
    });
    let mut report = LintReport {
        findings: errors.collect(),
        event_files,
        internal_events: definitions.events().filter(|event| event.internal_events).count(),
        metric_files,
        counters: Matcher::new(&definitions).tracked_counters().len(),
        ..LintReport::default()
    };
    for metric in definitions.metrics() {
        *report.metrics.entry((metric.data_source, metric.time_frame)).or_default() += 1;
        if is_sound && metric.is_tracked() {
            warn_about(&definitions, metric, &mut report.findings);
        }
    }
    // A file's metrics differ in their time frame only, so that each says the same.
    report.findings.dedup();
    report
}

fn warn_about(definitions: &Definitions, metric: &Metric, findings: &mut Vec<Finding>) {
    let mut warn = |field: String, message: String| {
        let path = Arc::clone(&metric.path);
        findings.push(Finding { severity: Severity::Warning, path, field, message });
    };
    for (index, rule) in metric.rules.iter().enumerate() {
        for message in doubts(definitions, rule) {
            warn(format!("events.{index}"), message);
        }
    }
    let natural =
        if metric.kind == Some(MetricKind::UniqueTotals) { ValueType::Object } else { ValueType::Number };
    if metric.value_type != natural {
        let message =
            format!("is {}, though the value is of type {}", metric.value_type.as_str(), natural.as_str());
        warn("value_type".to_owned(), message);
    }
    let mut identifiers = metric.rules.iter().map(|rule| &rule.kind);
    if let Some(first) = identifiers.next()
        && identifiers.any(|other| other != first)
    {
        warn("events".to_owned(), "counts different identifiers together".to_owned());
    }
}

/// Why a rule may count less than it seems to.
fn doubts(definitions: &Definitions, rule: &Counter) -> Vec<String> {
    let Some(event) = definitions.event(&rule.event) else {
        return vec![format!("no internal event is called {:?}", rule.event)];
    };
    let undeclared = |property: &str| format!("{:?} doesn't declare the property {property:?}", rule.event);
    let filter_keys = rule.filter.keys().map(String::as_str);
    let read = match &rule.kind {
        CounterKind::SumOfValue => Some("value"),
        CounterKind::Unique(Identifier::Property(name))
        | CounterKind::UniqueTotals(Identifier::Property(name)) => Some(name.as_str()),
        _ => None,
    };
    let properties = filter_keys.chain(read).filter(|name| !event.declares(name)).map(undeclared);
    let record = match &rule.kind {
        CounterKind::Unique(Identifier::User) => Some("user"),
        CounterKind::Unique(Identifier::Project) => Some("project"),
        CounterKind::Unique(Identifier::Namespace) => Some("namespace"),
        _ => None,
    };
    let identifier = record
        .filter(|record| !event.identifiers.iter().any(|identifier| identifier == record))
        .map(|record| format!("{:?} doesn't declare the identifier {record:?}", rule.event));
    properties.chain(identifier).collect()
}
