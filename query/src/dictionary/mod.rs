//! The dictionary: every event and metric definition, for people (a page to search) and for programs (JSON). Made once,
//! from the definitions alone; also written to files by the command line.

mod document;
pub(crate) mod http;
mod page;

use std::sync::{Arc, OnceLock};

use tally_schemas::Definitions;

pub use document::render_json;
pub use page::render_html;

use self::http::Text;

/// Both forms, made on the first request.
pub(crate) struct Dictionary {
    definitions: Arc<Definitions>,
    json: OnceLock<Text>,
    html: OnceLock<Text>,
}

impl Dictionary {
    pub fn new(definitions: Arc<Definitions>) -> Self {
        Self { definitions, json: OnceLock::new(), html: OnceLock::new() }
    }

    fn json(&self) -> &Text {
        self.json.get_or_init(|| Text::new(render_json(&self.definitions)))
    }

    fn html(&self) -> &Text {
        self.html.get_or_init(|| Text::new(render_html(&self.definitions)))
    }
}
