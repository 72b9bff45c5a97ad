//! What a referrer tells: whether somebody came from the site itself, a search, a network, or a mailbox, and what they
//! searched for. The list holds the sites that most visits come from; all others are `unknown`.

use url::Url;

/// Where somebody came from; empty where there is no referrer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Referrer {
    pub(crate) host: String,
    pub(crate) path: String,
    /// `internal`, `search`, `social`, `email` or `unknown`.
    pub(crate) medium: &'static str,
    pub(crate) source: &'static str,
    pub(crate) term: String,
}

/// A site's medium, its name, a host (or, ending with a dot, what comes before any country's domain), and the parameters
/// of searches.
type Site = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// The first that matches counts.
const SITES: &[Site] = &[
    ("email", "Gmail", "mail.google.com", &[]),
    ("email", "Outlook.com", "outlook.live.com", &[]),
    ("email", "Outlook", "outlook.office.com", &[]),
    ("email", "Outlook", "outlook.office365.com", &[]),
    ("email", "Yahoo! Mail", "mail.yahoo.", &[]),
    ("email", "Proton Mail", "mail.proton.me", &[]),
    ("email", "Fastmail", "app.fastmail.com", &[]),
    ("email", "GMX", "gmx.net", &[]),
    ("search", "Google", "google.", &["q"]),
    ("search", "Bing", "bing.com", &["q"]),
    ("search", "DuckDuckGo", "duckduckgo.com", &["q"]),
    ("search", "Yahoo!", "search.yahoo.", &["p", "q"]),
    ("search", "Yandex", "yandex.", &["text"]),
    ("search", "Yandex", "ya.ru", &["text"]),
    ("search", "Baidu", "baidu.com", &["wd", "word"]),
    ("search", "Ecosia", "ecosia.org", &["q"]),
    ("search", "Startpage", "startpage.com", &["query"]),
    ("search", "Qwant", "qwant.com", &["q"]),
    ("search", "Brave", "search.brave.com", &["q"]),
    ("search", "Kagi", "kagi.com", &["q"]),
    ("search", "Naver", "search.naver.com", &["query"]),
    ("search", "Seznam", "search.seznam.cz", &["q"]),
    ("search", "Sogou", "sogou.com", &["query"]),
    ("search", "Perplexity", "perplexity.ai", &["q"]),
    ("social", "Facebook", "facebook.com", &[]),
    ("social", "Facebook", "fb.me", &[]),
    ("social", "Instagram", "instagram.com", &[]),
    ("social", "Threads", "threads.net", &[]),
    ("social", "Twitter", "twitter.com", &[]),
    ("social", "Twitter", "t.co", &[]),
    ("social", "Twitter", "x.com", &[]),
    ("social", "Bluesky", "bsky.app", &[]),
    ("social", "Mastodon", "mastodon.social", &[]),
    ("social", "LinkedIn", "linkedin.com", &[]),
    ("social", "LinkedIn", "lnkd.in", &[]),
    ("social", "Reddit", "reddit.com", &[]),
    ("social", "YouTube", "youtube.com", &[]),
    ("social", "YouTube", "youtu.be", &[]),
    ("social", "Hacker News", "news.ycombinator.com", &[]),
    ("social", "Pinterest", "pinterest.", &[]),
    ("social", "TikTok", "tiktok.com", &[]),
    ("social", "VKontakte", "vk.com", &[]),
    ("social", "WhatsApp", "web.whatsapp.com", &[]),
    ("social", "Telegram", "t.me", &[]),
    ("social", "Quora", "quora.com", &[]),
    ("social", "Stack Overflow", "stackoverflow.com", &[]),
];

impl Referrer {
    /// `page_host` is the host of the page that somebody came to.
    pub(crate) fn of(referrer: &Url, page_host: &str) -> Self {
        let host = referrer.host_str().unwrap_or_default();
        let mut found = Self { host: host.to_owned(), path: referrer.path().to_owned(), ..Self::default() };
        if host == page_host {
            found.medium = "internal";
            return found;
        }
        let Some((medium, source, _, terms)) = SITES.iter().find(|(_, _, site, _)| is_of(host, site)) else {
            found.medium = "unknown";
            return found;
        };
        found.medium = medium;
        found.source = source;
        let asked = |name: &str| referrer.query_pairs().find(|(key, _)| key == name);
        if let Some((_, term)) = terms.iter().find_map(|name| asked(name)) {
            found.term = term.into_owned();
        }
        found
    }
}

/// Whether the host is the site's or within it.
fn is_of(host: &str, site: &str) -> bool {
    if !site.ends_with('.') {
        return host.strip_suffix(site).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    }
    let Some(at) = host.find(site).filter(|at| *at == 0 || host.as_bytes()[at - 1] == b'.') else {
        return false;
    };
    // `com`, `de`, `co.uk`, but not `google.attacker.example`.
    let country = &host[at + site.len()..];
    let labels: Vec<&str> = country.split('.').collect();
    match labels[..] {
        [label] => !label.is_empty(),
        [second, top] => matches!(second, "co" | "com") && top.len() == 2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(referrer: &str) -> String {
        let found = Referrer::of(&Url::parse(referrer).unwrap(), "www.example.com");
        format!("{}|{}|{}", found.medium, found.source, found.term)
    }

    #[test]
    fn sites_are_told_apart() {
        for (referrer, expected) in [
            ("https://www.example.com/a", "internal||"),
            ("https://example.com/a", "unknown||"),
            ("https://www.google.com/", "search|Google|"),
            ("https://www.google.co.uk/search?q=tally+counts&x=1", "search|Google|tally counts"),
            ("https://google.attacker.example/?q=a", "unknown||"),
            ("https://notgoogle.com/", "unknown||"),
            ("https://mail.google.com/mail/u/0/", "email|Gmail|"),
            ("https://search.yahoo.com/search?p=a", "search|Yahoo!|a"),
            ("https://yandex.ru/search/?text=%C3%BC", "search|Yandex|ü"),
            ("https://t.co/abc", "social|Twitter|"),
            ("https://at.co/abc", "unknown||"),
            ("https://old.reddit.com/r/x", "social|Reddit|"),
            ("android-app://com.slack/", "unknown||"),
        ] {
            assert_eq!(summary(referrer), expected, "{referrer}");
        }
    }
}
