//! What a page's URL tells: its parts, the campaign that led there, and the click that was paid for.

use std::borrow::Cow;

use url::Url;

/// A page's URL in parts; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PageParts {
    pub(crate) scheme: String,
    pub(crate) host: String,
    /// The scheme's usual one where the URL names none, 0 where the scheme has none.
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) fragment: String,
}

impl PageParts {
    pub(crate) fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or(0),
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            fragment: url.fragment().unwrap_or_default().to_owned(),
        }
    }
}

/// A URL as it may be kept: without the name and password that some hold.
pub(crate) fn parse(text: &str) -> (Cow<'_, str>, Option<Url>) {
    let Ok(mut url) = Url::parse(text) else { return (Cow::Borrowed(text), None) };
    if url.username().is_empty() && url.password().is_none() {
        return (Cow::Borrowed(text), Some(url));
    }
    // Fails only where there is no host, and then there is no name either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    (Cow::Owned(url.to_string()), Some(url))
}

/// The parameters of marketing in a page's URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Campaign {
    pub(crate) medium: String,
    pub(crate) source: String,
    pub(crate) term: String,
    pub(crate) content: String,
    pub(crate) name: String,
    pub(crate) click_id: String,
    pub(crate) click_network: String,
}

/// Parameters that advertising networks add to a URL, and whose they are.
const CLICK_IDS: [(&str, &str); 7] = [
    ("gclid", "Google"),
    ("dclid", "DoubleClick"),
    ("msclkid", "Microsoft"),
    ("fbclid", "Facebook"),
    ("twclid", "Twitter"),
    ("li_fat_id", "LinkedIn"),
    ("ttclid", "TikTok"),
];

impl Campaign {
    pub(crate) fn of(url: &Url) -> Self {
        let mut campaign = Self::default();
        for (name, value) in url.query_pairs().filter(|(_, value)| !value.is_empty()) {
            campaign.set(&name, &value);
        }
        campaign
    }

    /// The first of several counts.
    fn set(&mut self, name: &str, value: &str) {
        let field = match name {
            "utm_medium" => &mut self.medium,
            "utm_source" => &mut self.source,
            "utm_term" => &mut self.term,
            "utm_content" => &mut self.content,
            "utm_campaign" => &mut self.name,
            name => {
                let network = CLICK_IDS.iter().find(|(parameter, _)| *parameter == name);
                let Some((_, network)) = network.filter(|_| self.click_id.is_empty()) else { return };
                (*network).clone_into(&mut self.click_network);
                &mut self.click_id
            }
        };
        if field.is_empty() {
            value.clone_into(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let (kept, url) = parse("https://docs.example:8443/a%b_c/d?x=1&y=%20#top");
        assert_eq!(kept, "https://docs.example:8443/a%b_c/d?x=1&y=%20#top");
        let expected = PageParts {
            scheme: "https".into(),
            host: "docs.example".into(),
            port: 8443,
            path: "/a%b_c/d".into(),
            query: "x=1&y=%20".into(),
            fragment: "top".into(),
        };
        assert_eq!(PageParts::of(&url.unwrap()), expected);
        let port = |url| PageParts::of(&parse(url).1.unwrap()).port;
        assert_eq!(
            [port("http://a/"), port("https://a/"), port("file:///a"), port("app://a")],
            [80, 443, 0, 0]
        );
    }

    #[test]
    fn names_and_passwords_are_not_kept() {
        assert_eq!(parse("https://alice:secret@a.example/x").0, "https://a.example/x");
        assert_eq!(parse("https://alice@a.example/x").0, "https://a.example/x");
    }

    #[test]
    fn what_is_no_url_is_kept_as_it_is() {
        for text in ["", "/relative", "a@b", "http://"] {
            assert_eq!(parse(text), (Cow::Borrowed(text), None));
        }
    }

    #[test]
    fn campaigns_and_clicks_are_found() {
        let url = "https://a/?utm_source=news&utm_medium=e-mail&utm_campaign=Spring+%C3%BC&utm_term=t&utm_content=c\
                   &utm_source=second&gclid=&msclkid=m1&fbclid=f1";
        let expected = Campaign {
            medium: "e-mail".into(),
            source: "news".into(),
            term: "t".into(),
            content: "c".into(),
            name: "Spring ü".into(),
            click_id: "m1".into(),
            click_network: "Microsoft".into(),
        };
        assert_eq!(Campaign::of(&parse(url).1.unwrap()), expected);
    }
}
