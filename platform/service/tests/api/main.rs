//! The layers that every API stands on, on a small router: who may do what, how often, and what the audit log says.

mod app;
mod audit;
mod authentication;
mod limits;
