//! What a request and its event tell beyond their own words, one file a source.

pub(crate) mod agent;
pub(crate) mod page;
pub(crate) mod person;
pub(crate) mod referrer;
