//! Calls to machines that somebody named in a setting: which addresses they may go to. What is sent, and how often it is
//! tried, is the caller's affair.

mod address;
mod proxy;

use std::error::Error;
use std::sync::Arc;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

pub use self::address::{Forbidden, check_literal, is_public};

/// Begins a client that follows no redirects, since the check of an address is of the one that was asked for. Unless
/// private addresses are allowed, names resolve to public ones only, but for the proxies that the environment names;
/// addresses that are written out are for [`check_literal`].
pub fn client(allow_private_addresses: bool) -> ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("tally/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none());
    if allow_private_addresses {
        return builder;
    }
    let proxies = Arc::new(proxy::hosts(|name| std::env::var(name).ok()));
    builder.dns_resolver(address::GuardedResolver { proxies })
}

/// The host without an address that may be called, if that is why a request failed.
pub fn forbidden_host(error: &reqwest::Error) -> Option<&str> {
    causes(error).find_map(|cause| cause.downcast_ref::<Forbidden>()).map(|Forbidden(host)| host.as_str())
}

/// An error and its causes as a text. The address is left out of it, as it may hold a password.
pub fn failure_text(error: &reqwest::Error) -> String {
    let reasons: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    let what = if error.is_connect() { "can't connect" } else { "the connection failed" };
    if reasons.is_empty() { what.to_owned() } else { format!("{what}: {}", reasons.join(": ")) }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |cause| {
        let cause: &(dyn Error + 'static) = *cause;
        cause.source()
    })
}
