//! The hosts of the proxies that the environment names. Which request goes through which is the HTTP client's affair.

use std::collections::HashSet;

use reqwest::Url;

/// The variables that name a proxy, in the spellings that the HTTP client reads.
const VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The host names of all proxies, in lower case.
pub(super) fn hosts(variable: impl Fn(&str) -> Option<String>) -> HashSet<String> {
    VARIABLES.iter().filter_map(|name| host(&variable(name)?)).collect()
}

/// The host of a proxy's address, which may lack its scheme.
fn host(proxy: &str) -> Option<String> {
    let address = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    Url::parse(&address).ok()?.host_str().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_host_is_found_in_every_spelling() {
        let table = [
            ("http://proxy.example.com:3128", "proxy.example.com"),
            ("http://user:secret@Proxy.Example.com:3128/", "proxy.example.com"),
            ("proxy:3128", "proxy"),
            ("socks5h://proxy", "proxy"),
        ];
        for (address, expected) in table {
            let found = hosts(|name| (name == "https_proxy").then(|| address.to_owned()));
            assert_eq!(found, HashSet::from([expected.to_owned()]), "{address}");
        }
        assert!(hosts(|_| None).is_empty());
        assert!(hosts(|_| Some(String::new())).is_empty());
    }
}
