//! The document of the small router, as readers get it.

use crate::app;

#[test]
fn the_document_says_what_each_endpoint_takes_and_answers() {
    let document = app::document();
    insta::assert_json_snapshot!(document);
}
