//! The collector's cookie, off by default: a visitor's id across the sites of an instance (Snowplow's `network_userid`).

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::config::CookieConfig;

/// The id in the request's cookie.
pub(crate) fn read(config: &CookieConfig, headers: &HeaderMap) -> Option<Uuid> {
    let values = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, id) = pairs.find(|(name, _)| *name == config.name)?;
    Uuid::try_parse(id).ok()
}

/// `Set-Cookie` with the id. Trackers call from other sites, which browsers allow to secure cookies only.
pub(crate) fn write(config: &CookieConfig, id: Uuid) -> HeaderValue {
    let CookieConfig { name, max_age_s, domain, .. } = config;
    let domain = if domain.is_empty() { String::new() } else { format!("; Domain={domain}") };
    let text = format!("{name}={id}; Max-Age={max_age_s}; Path=/{domain}; Secure; HttpOnly; SameSite=None");
    HeaderValue::try_from(text).expect("the configuration was checked to be header text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let config = CookieConfig { domain: "a.example".to_owned(), ..CookieConfig::default() };
        let id = Uuid::from_u128(7);
        let written = write(&config, id);
        assert_eq!(
            written.to_str().unwrap(),
            "sp=00000000-0000-0000-0000-000000000007; Max-Age=31536000; Path=/; Domain=a.example; Secure; HttpOnly; \
             SameSite=None"
        );
        let of = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, cookie.parse().unwrap());
            read(&config, &headers)
        };
        assert_eq!(of("a=b; sp=00000000-0000-0000-0000-000000000007;c=d"), Some(id));
        assert_eq!(of("spx=00000000-0000-0000-0000-000000000007"), None);
        assert_eq!(of("sp=<script>"), None);
        assert_eq!(read(&config, &HeaderMap::new()), None);
    }
}
