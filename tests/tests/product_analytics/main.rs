//! Product analytics with other people's programs against a running Tally: Cube's client, a chart in a browser, trackers;
//! and a crowd of hostile queries. One binary, because each costs a link.

mod chart;
mod cube_api;
mod cube_client;
mod fuzz;
mod trackers;
mod visits;
