//! Pagination headers as GitLab sends them: `X-Page` and its kin, and `Link`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

/// Past this many events the total is not told, as in GitLab.
pub(super) const COUNTED_EVENTS: u64 = 10_000;

/// Where a page stands in its listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// From 1.
    pub number: u64,
    pub size: u64,
    /// Whether there are events after this page.
    pub has_next: bool,
    /// All events of the listing, or any number past [`COUNTED_EVENTS`].
    pub total: u64,
}

impl Page {
    fn pages(self) -> u64 {
        self.total.div_ceil(self.size).max(1)
    }

    fn is_counted(self) -> bool {
        self.total <= COUNTED_EVENTS
    }

    fn next(self) -> Option<u64> {
        self.has_next.then_some(self.number + 1)
    }

    fn previous(self) -> Option<u64> {
        (self.number > 1).then(|| self.number - 1)
    }

    /// The headers of the page's response. `base` is the instance's address, `uri` the request's.
    pub fn headers(self, base: &str, uri: &Uri) -> HeaderMap {
        let optional = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: String| {
            let value = HeaderValue::from_str(&value).expect("digits are a header value");
            headers.insert(HeaderName::from_static(name), value);
        };
        put("x-page", self.number.to_string());
        put("x-per-page", self.size.to_string());
        put("x-next-page", optional(self.next()));
        put("x-prev-page", optional(self.previous()));
        if self.is_counted() {
            put("x-total", self.total.to_string());
            put("x-total-pages", self.pages().to_string());
        }
        if let Ok(link) = HeaderValue::from_str(&self.link(base, uri)) {
            headers.insert(header::LINK, link);
        }
        headers
    }

    fn link(self, base: &str, uri: &Uri) -> String {
        let last = self.is_counted().then(|| self.pages());
        let relations =
            [("prev", self.previous()), ("next", self.next()), ("first", Some(1)), ("last", last)];
        let links: Vec<String> = relations
            .into_iter()
            .filter_map(|(relation, number)| {
                Some(format!("<{}>; rel=\"{relation}\"", self.url(base, uri, number?)))
            })
            .collect();
        links.join(", ")
    }

    /// The request's URL with another page, without its token.
    fn url(self, base: &str, uri: &Uri, number: u64) -> String {
        let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && !["page", "per_page", "private_token"].contains(&name)
        });
        let own = [format!("page={number}"), format!("per_page={}", self.size)];
        let query: Vec<&str> = kept.chain(own.iter().map(String::as_str)).collect();
        format!("{base}{}?{}", uri.path(), query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(number: u64, has_next: bool, total: u64) -> Vec<(String, String)> {
        let uri: Uri = "/api/v4/events?action=pushed&page=9&private_token=secret".parse().unwrap();
        let headers = Page { number, size: 20, has_next, total }.headers("https://t.example", &uri);
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn a_middle_page_links_both_ways() {
        insta::assert_debug_snapshot!(headers(2, true, 45));
    }

    #[test]
    fn the_only_page_links_to_itself() {
        insta::assert_debug_snapshot!(headers(1, false, 0));
    }

    #[test]
    fn past_the_counted_events_there_is_no_total_and_no_last_page() {
        let names: Vec<String> =
            headers(2, true, COUNTED_EVENTS + 1).into_iter().map(|(name, _)| name).collect();
        assert!(!names.contains(&"x-total".to_owned()) && !names.contains(&"x-total-pages".to_owned()));
        let link = headers(2, true, COUNTED_EVENTS + 1).pop().unwrap().1;
        assert!(link.contains("rel=\"next\"") && !link.contains("rel=\"last\""), "{link}");
    }
}
