//! The dictionary as one HTML page that holds the JSON and searches it in the browser. It loads nothing from anywhere, so
//! that it works from a file, too.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tally_schemas::Definitions;

use super::document::render_json;

const SCRIPT: &str = include_str!("../../templates/dictionary.js");
const STYLE: &str = include_str!("../../templates/dictionary.css");

/// What the page may do: run its one script and its one style, and nothing else.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64.encode(Sha256::digest(text));
    let (script, style) = (hash(SCRIPT), hash(STYLE));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
});

#[derive(Template)]
#[template(path = "dictionary.html")]
struct Page<'a> {
    events: usize,
    metrics: usize,
    script: &'a str,
    style: &'a str,
    json: &'a str,
}

/// The whole page.
pub fn render_html(definitions: &Definitions) -> String {
    // Inside a script element only `<` could end it; in JSON it stands in texts only, where its escape means the same.
    let json = render_json(definitions).replace('<', "\\u003c");
    let page = Page {
        events: definitions.events().count(),
        metrics: definitions.metrics().len(),
        script: SCRIPT,
        style: STYLE,
        json: &json,
    };
    page.render().expect("texts can be written into a text")
}
