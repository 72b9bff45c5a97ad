//! What a `User-Agent` tells: browser, system, device, and whether a machine browses. Agents repeat, so each is parsed once
//! as long as it is remembered.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use woothee::parser::{Parser, WootheeResult};
use woothee::woothee::VALUE_UNKNOWN;

/// Bytes of an agent that are looked at: what can be told stands well before.
const MAX_BYTES: usize = 1024;

/// What is known of an agent; empty where nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) os_family: String,
    pub(crate) os_name: String,
    pub(crate) os_version: String,
    pub(crate) device_type: String,
    pub(crate) is_mobile: bool,
    pub(crate) is_bot: bool,
}

/// Agents by their text. Bounded: when the young are half of what may be remembered they become the old, and the old that
/// nobody asked for since are forgotten.
pub(crate) struct Agents {
    parser: Parser,
    generation: usize,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    young: HashMap<Box<str>, Arc<Agent>>,
    old: HashMap<Box<str>, Arc<Agent>>,
}

impl Agents {
    /// Remembers at most so many.
    pub(crate) fn new(limit: usize) -> Self {
        Self { parser: Parser::new(), generation: limit.div_ceil(2), remembered: Mutex::default() }
    }

    /// What the header's text tells.
    pub(crate) fn of(&self, text: &str) -> Arc<Agent> {
        let text = &text[..text.floor_char_boundary(MAX_BYTES)];
        if let Some(agent) = self.recall(text) {
            return agent;
        }
        let agent = Arc::new(parse(&self.parser, text));
        self.remembered.lock().add(text.into(), Arc::clone(&agent), self.generation);
        agent
    }

    fn recall(&self, text: &str) -> Option<Arc<Agent>> {
        let mut remembered = self.remembered.lock();
        if let Some(agent) = remembered.young.get(text) {
            return Some(Arc::clone(agent));
        }
        let (text, agent) = remembered.old.remove_entry(text)?;
        remembered.add(text, Arc::clone(&agent), self.generation);
        Some(agent)
    }
}

impl Remembered {
    fn add(&mut self, text: Box<str>, agent: Arc<Agent>, generation: usize) {
        if self.young.len() >= generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text, agent);
    }
}

fn parse(parser: &Parser, text: &str) -> Agent {
    let is_automated = is_automated(text);
    let Some(found) = parser.parse(text) else {
        return Agent { is_bot: is_automated, ..Agent::default() };
    };
    let (os_family, os_name, os_version) = system(&found, text);
    Agent {
        name: known(found.name),
        version: known(found.version),
        os_family,
        os_name,
        os_version,
        device_type: known(found.category),
        is_mobile: matches!(found.category, "smartphone" | "mobilephone"),
        is_bot: is_automated || found.category == "crawler",
    }
}

fn known(text: &str) -> String {
    if text == VALUE_UNKNOWN { String::new() } else { text.to_owned() }
}

/// Browsers without a screen, which the parser takes for people's. Libraries are none: trackers on servers use them.
fn is_automated(text: &str) -> bool {
    ["HeadlessChrome", "PhantomJS", "Lighthouse", "PTST/"].iter().any(|mark| text.contains(mark))
}

/// Family, name and version of the system, as dashboards group them: `Windows`, `Windows 10`, `10`.
fn system(found: &WootheeResult<'_>, text: &str) -> (String, String, String) {
    let version = known(&found.os_version);
    let named = |family: &str, version: String| (family.to_owned(), family.to_owned(), version);
    match found.os {
        "Mac OSX" => named("Mac OS X", version),
        "iPhone" | "iPad" | "iPod" | "iOS" => named("iOS", version),
        "Linux" if text.contains("Ubuntu") => ("Linux".to_owned(), "Ubuntu".to_owned(), version),
        // The parser's version is that of the kernel, such as `NT 10.0`.
        os if os.starts_with("Windows ") && !os.starts_with("Windows Phone") => {
            ("Windows".to_owned(), os.to_owned(), os["Windows ".len()..].to_owned())
        }
        os => named(&known(os), version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> Agents {
        Agents::new(100)
    }

    fn summary(text: &str) -> String {
        let agent = agents().of(text);
        format!(
            "{} {}|{}|{}|{}|{}{}{}",
            agent.name,
            agent.version,
            agent.os_family,
            agent.os_name,
            agent.os_version,
            agent.device_type,
            if agent.is_mobile { " mobile" } else { "" },
            if agent.is_bot { " bot" } else { "" },
        )
    }

    #[test]
    fn browsers_and_systems_are_told_apart() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (agent, expected) in [
            (
                format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/126.0.0.0 Safari/537.36"),
                "Chrome 126.0.0.0|Windows|Windows 10|10|pc",
            ),
            (
                format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Version/17.5 Safari/605.1.15"),
                "Safari 17.5|Mac OS X|Mac OS X|10.15.7|pc",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1".to_owned(),
                "Safari 17.1|iOS|iOS|17.1.1|smartphone mobile",
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0".to_owned(),
                "Firefox 127.0|Linux|Ubuntu||pc",
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 14; Pixel 8) {webkit} Chrome/126.0.0.0 Mobile Safari/537.36"),
                "Chrome 126.0.0.0|Android|Android|14|smartphone mobile",
            ),
            (
                format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/126.0.0.0 Safari/537.36"),
                "Chrome 126.0.0.0|Linux|Linux||pc bot",
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)".to_owned(),
                "Googlebot ||||crawler bot",
            ),
            ("python-requests/2.32.3".to_owned(), " ||||"),
            ("something else".to_owned(), " ||||"),
            (String::new(), " ||||"),
        ] {
            assert_eq!(summary(&agent), expected, "{agent}");
        }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let agents = Agents::new(10);
        let favourite = agents.of("favourite");
        for index in 0..1000 {
            agents.of(&format!("agent {index}"));
            assert!(Arc::ptr_eq(&agents.of("favourite"), &favourite), "{index}");
        }
        let remembered = agents.remembered.lock();
        assert!(remembered.young.len() + remembered.old.len() <= 10);
    }
}
