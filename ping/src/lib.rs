//! The weekly Service Ping: when it is generated, where it is stored, how it is sent, who may look at it, and the settings
//! that switch it off. What stands in a payload is the query service's affair (`tally_query::service_ping`).
