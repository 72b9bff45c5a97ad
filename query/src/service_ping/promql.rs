//! Asks Prometheus for the value of an instant query.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

/// How long Prometheus may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What Prometheus answers, as far as one number needs it. Its HTTP API's `query` endpoint.
#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Answer {
    Scalar(Sample),
    Vector(Vec<Series>),
}

/// Seconds since the epoch, and the value as a text.
type Sample = (f64, String);

#[derive(Deserialize)]
struct Series {
    value: Sample,
}

#[derive(Deserialize)]
struct Body {
    data: Answer,
}

/// The query's value at `now`: a scalar, or the first series as in GitLab. The text says why there is none.
pub(super) async fn query(
    client: &reqwest::Client,
    server: &str,
    query: &str,
    now: Timestamp,
) -> Result<f64, String> {
    let url = format!("{}/api/v1/query", server.trim_end_matches('/'));
    let time = now.as_second().to_string();
    let request = client.get(url).query(&[("query", query), ("time", &time)]).timeout(TIMEOUT);
    let response = request.send().await.map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("status {status}"));
    }
    let body: Body = response.json().await.map_err(|error| error.without_url().to_string())?;
    let (_, text) = match body.data {
        Answer::Scalar(sample) => sample,
        Answer::Vector(series) => series.into_iter().next().ok_or("no series")?.value,
    };
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| format!("{text} is no number"))
}
