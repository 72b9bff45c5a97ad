//! Where a metric's value comes from, chosen once from its definition: counters, SQL, a fact about the instance, an
//! application setting, the licence, Prometheus; or why there is nothing.

use tally_schemas::{Counter, CounterKind, DataSource, Identifier, Metric, MetricKind};

use super::fact::Fact;
use super::license::LicenseField;
use super::reason::Reason;
use super::sql::Sql;
use super::{catalog, settings};

/// What makes a metric's value. Counters are named by their canonical text, as in the tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// The sum of these counters' counts.
    Total(Vec<String>),
    /// The sum of these counters' sums.
    Sum(Vec<String>),
    /// The distinct identifiers that this counter saw.
    Unique(String),
    /// The distinct identifiers that the counters of the union with this number saw together.
    Union(usize),
    /// How often each value of `property` occurred, over these counters.
    UniqueTotals { property: String, counters: Vec<String> },
    /// A query of ClickHouse.
    Sql(Sql),
    /// Something that the process or the directory knows.
    Fact(Fact),
    /// The application setting of this name.
    Setting(String),
    /// Whether the application setting of this name has a value.
    SettingPresent(&'static str),
    /// A field of the licence.
    License(LicenseField),
    /// A query of Prometheus, in PromQL.
    Prometheus(String),
    /// Nothing.
    Absent(Reason),
}

/// What a definition that isn't made of distinct identifiers is read from; `None` for those that are.
pub(super) fn choose(metric: &Metric) -> Option<Source> {
    let counters = || metric.rules.iter().map(ToString::to_string).collect();
    match metric.kind {
        Some(MetricKind::Total) => return Some(Source::Total(counters())),
        Some(MetricKind::Sum) => return Some(Source::Sum(counters())),
        Some(MetricKind::UniqueTotals) => {
            return Some(Source::UniqueTotals {
                property: counted_property(&metric.rules)?,
                counters: counters(),
            });
        }
        Some(MetricKind::Unique) => return None,
        None => {}
    }
    if let Some(sql) = text_option(metric, "sql") {
        return Some(Source::Sql(Sql::own(sql)));
    }
    Some(known(metric).unwrap_or_else(|| Source::Absent(absent(metric))))
}

/// What Tally has for a metric that isn't made of counters.
fn known(metric: &Metric) -> Option<Source> {
    let class = text_field(metric, "instrumentation_class").unwrap_or_default();
    if catalog::is_removed(&metric.key_path) {
        return Some(Source::Absent(Reason::RemovedInstrumentation));
    }
    if metric.data_source == DataSource::Prometheus {
        let query = text_option(metric, "query").or_else(|| catalog::promql(class));
        return query.map(|query| Source::Prometheus(query.to_owned()));
    }
    if let Some(field) = LicenseField::at(&metric.key_path) {
        return Some(Source::License(field));
    }
    catalog::sql(&metric.key_path, metric.time_frame)
        .map(Source::Sql)
        .or_else(|| Fact::of(&metric.key_path, class).map(Source::Fact))
        .or_else(|| settings::of(class))
        .or_else(|| named_setting(metric, class))
}

/// `GitlabSettingsMetric` names a method of GitLab's settings; without its question mark, that is a setting.
fn named_setting(metric: &Metric, class: &str) -> Option<Source> {
    let method = text_option(metric, "setting_method").filter(|_| class == "GitlabSettingsMetric")?;
    Some(Source::Setting(settings::named_by(method).to_owned()))
}

fn absent(metric: &Metric) -> Reason {
    match metric.data_source {
        DataSource::Database if catalog::has_no_times(&metric.key_path) => Reason::NoTimes,
        DataSource::Database => Reason::NoData,
        DataSource::Redis | DataSource::RedisHll | DataSource::InternalEvents => Reason::NoCounters,
        DataSource::Prometheus => Reason::NoPromQl,
        DataSource::System => Reason::NoInstallation,
        DataSource::License => Reason::NoLicenseField,
    }
}

/// A text among the definition's fields.
pub(super) fn text_field<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    metric.document.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// A text among the definition's `options`.
fn text_option<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    metric.document.get("options")?.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The key that unique totals stand under: the property's name, or the head of an identifier's (`user` of `user.id`).
fn counted_property(rules: &[Counter]) -> Option<String> {
    rules.iter().find_map(|rule| match &rule.kind {
        CounterKind::UniqueTotals(identifier) => Some(match identifier {
            Identifier::User => "user".to_owned(),
            Identifier::Project => "project".to_owned(),
            Identifier::Namespace => "namespace".to_owned(),
            Identifier::Property(name) => name.clone(),
        }),
        _ => None,
    })
}
