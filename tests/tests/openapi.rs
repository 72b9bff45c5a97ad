//! The OpenAPI document of everything that Tally serves, as it was agreed with whoever generates clients from it.

use anyhow::Result;
use tally_tests::process::run;

#[test]
fn the_document_is_the_agreed_one() -> Result<()> {
    insta::assert_snapshot!(run(&["openapi"])?);
    Ok(())
}
