//! `tally token`: makes, lists and revokes access tokens, in the running process or in the log.

use anyhow::Result;
use tally_directory::Scope;

use crate::administer::Request;
use crate::cli::TokenCommand;
use crate::commands::directory::ask;

/// Runs `tally token …`.
pub async fn run(command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create { config, name, user, admin, scopes, expires_at } => {
            let scopes = scopes.iter().map(|scope| scope.parse()).collect::<Result<Vec<Scope>, _>>()?;
            ask(&config, Request::CreateToken { name, user, admin, scopes, expires_at }).await
        }
        TokenCommand::List { config } => ask(&config, Request::ListTokens).await,
        TokenCommand::Revoke { config, name, user } => {
            ask(&config, Request::RevokeToken { name, user }).await
        }
    }
}
