//! The query service's Prometheus metrics; each field's doc comment is its help text.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Seconds: from a listing's page to a query at its time limit.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the query service measures about itself.
#[derive(Clone)]
pub struct QueryMetrics {
    /// Seconds from a request's headers to its response's, by endpoint and status.
    pub request_seconds: HistogramVec,
    /// ClickHouse queries, by purpose and outcome: `ok`, or how it failed.
    pub clickhouse_queries: IntCounterVec,
    /// Seconds a ClickHouse query took with its answer read, by purpose.
    pub clickhouse_query_seconds: HistogramVec,
    /// Cube queries by where their rows came from: `hit` and `stale` out of the cache, `miss` and `revalidated` not.
    pub cube_cache: IntCounterVec,
    /// Bytes of request bodies held at the moment.
    pub in_flight_bytes: IntGauge,
}

impl QueryMetrics {
    /// Creates the metrics and registers them.
    ///
    /// # Panics
    /// When the registry holds metrics of these names: one query service a process.
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            request_seconds: histogram(
                "tally_query_request_seconds",
                "Seconds from a request's headers to its response's, by endpoint and status",
                &["endpoint", "status"],
            ),
            clickhouse_queries: IntCounterVec::new(
                Opts::new(
                    "tally_query_clickhouse_queries_total",
                    "ClickHouse queries, by purpose and outcome",
                ),
                &["purpose", "outcome"],
            )
            .expect("name and labels are valid"),
            clickhouse_query_seconds: histogram(
                "tally_query_clickhouse_query_seconds",
                "Seconds a ClickHouse query took with its answer read, by purpose",
                &["purpose"],
            ),
            cube_cache: IntCounterVec::new(
                Opts::new(
                    "tally_query_cube_cache_total",
                    "Cube queries by where their rows came from: hit and stale out of the cache, miss and revalidated not",
                ),
                &["outcome"],
            )
            .expect("name and labels are valid"),
            in_flight_bytes: IntGauge::new(
                "tally_query_in_flight_bytes",
                "Bytes of request bodies held at the moment",
            )
            .expect("the name is valid"),
        };
        let collectors: [Box<dyn prometheus::core::Collector>; 5] = [
            Box::new(metrics.request_seconds.clone()),
            Box::new(metrics.clickhouse_queries.clone()),
            Box::new(metrics.clickhouse_query_seconds.clone()),
            Box::new(metrics.cube_cache.clone()),
            Box::new(metrics.in_flight_bytes.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect("one query service a registry");
        }
        metrics
    }
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
        .expect("name, buckets and labels are valid")
}
