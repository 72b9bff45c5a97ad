//! Capture: what Snowplow trackers send becomes page events of the log. `snowplow` reads the tracker protocol, `enrich`
//! adds what the request tells, `forward` sends tracked events on to a collector elsewhere.
