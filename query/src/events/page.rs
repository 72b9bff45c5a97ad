//! Pagination headers as GitLab sends them: `X-Page` and its kin, and `Link`. Other listings use them, too.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// Past this many events the total is not told, as in GitLab.
pub(super) const COUNTED_EVENTS: u64 = 10_000;

/// The parameters that links set anew, and the token, which they don't repeat.
const OF_PAGES: [&str; 5] = ["page", "per_page", "pagination", "cursor", "private_token"];

/// Where a numbered page stands in its listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberedPage {
    /// From 1.
    pub number: u64,
    pub size: u64,
    /// Whether there are events after this page.
    pub has_next: bool,
    /// All events of the listing, or any number past [`COUNTED_EVENTS`].
    pub total: u64,
}

/// A page of keyset pagination.
#[derive(Debug, Clone)]
pub(crate) struct KeysetPage {
    pub size: u64,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// The request whose page it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requested<'r> {
    /// The instance's address.
    pub base: &'r str,
    pub uri: &'r Uri,
}

impl NumberedPage {
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

    /// The headers of the page's response.
    pub(super) fn headers(self, requested: Requested<'_>) -> HeaderMap {
        let optional = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut headers = HeaderMap::new();
        put(&mut headers, "x-page", &self.number.to_string());
        put(&mut headers, "x-per-page", &self.size.to_string());
        put(&mut headers, "x-next-page", &optional(self.next()));
        put(&mut headers, "x-prev-page", &optional(self.previous()));
        if self.is_counted() {
            put(&mut headers, "x-total", &self.total.to_string());
            put(&mut headers, "x-total-pages", &self.pages().to_string());
        }
        put(&mut headers, "link", &self.link(requested));
        headers
    }

    fn link(self, requested: Requested<'_>) -> String {
        let last = self.is_counted().then(|| self.pages());
        let relations =
            [("prev", self.previous()), ("next", self.next()), ("first", Some(1)), ("last", last)];
        let links: Vec<String> = relations
            .into_iter()
            .filter_map(|(relation, number)| {
                let url =
                    requested.url(&[("page", &number?.to_string()), ("per_page", &self.size.to_string())]);
                Some(format!("<{url}>; rel=\"{relation}\""))
            })
            .collect();
        links.join(", ")
    }
}

impl KeysetPage {
    /// The headers of the page's response. The last page has no `Link`.
    pub(crate) fn headers(&self, requested: Requested<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let size = self.size.to_string();
        put(&mut headers, "x-per-page", &size);
        put(&mut headers, "x-next-cursor", self.next.as_deref().unwrap_or_default());
        if let Some(cursor) = &self.next {
            let url = requested.url(&[("pagination", "keyset"), ("per_page", &size), ("cursor", cursor)]);
            put(&mut headers, "link", &format!("<{url}>; rel=\"next\""));
        }
        headers
    }
}

impl Requested<'_> {
    /// The request's URL with these parameters in place of its own, and without its token.
    fn url(self, own: &[(&str, &str)]) -> String {
        let kept = self.uri.query().unwrap_or_default().split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && !OF_PAGES.contains(&name)
        });
        let own = own.iter().map(|(name, value)| format!("{name}={value}"));
        let query: Vec<String> = kept.map(str::to_owned).chain(own).collect();
        format!("{}{}?{}", self.base, self.uri.path(), query.join("&"))
    }
}

/// Adds a header, unless the request's own text in it can't be one.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(number: u64, has_next: bool, total: u64) -> Vec<(String, String)> {
        let uri: Uri = "/api/v4/events?action=pushed&page=9&private_token=secret".parse().unwrap();
        let requested = Requested { base: "https://t.example", uri: &uri };
        let headers = NumberedPage { number, size: 20, has_next, total }.headers(requested);
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

    #[test]
    fn keyset_pages_link_forwards_only() {
        let uri: Uri = "/api/v4/events?sort=asc&pagination=keyset&cursor=old&per_page=5".parse().unwrap();
        let requested = Requested { base: "https://t.example", uri: &uri };
        let page = KeysetPage { size: 5, next: Some("new".to_owned()) }.headers(requested);
        let link = "<https://t.example/api/v4/events?sort=asc&pagination=keyset&per_page=5&cursor=new>; rel=\"next\"";
        assert_eq!(page["link"], link);
        assert_eq!(
            (&page["x-per-page"], &page["x-next-cursor"], page.len()),
            (&"5".parse().unwrap(), &"new".parse().unwrap(), 3)
        );
        let last = KeysetPage { size: 5, next: None }.headers(requested);
        assert_eq!((last.get("link"), &last["x-next-cursor"]), (None, &"".parse().unwrap()));
    }
}
