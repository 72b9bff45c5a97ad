//! What `make run` prints: the address, an administrator's token, and three requests to try.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use tally_directory::{Directory, Scope};

use crate::administer::{NewToken, create_token};
use crate::config::Config;
use crate::instance::write_private;

/// The user, and the token's name.
const ADMIN: &str = "root";
const TOKEN_NAME: &str = "welcome";

/// What to greet with.
pub struct Welcome {
    token: String,
}

impl Welcome {
    /// Takes the token made on an earlier start, or makes one. It is kept in `admin.token` in the data folder, readable by
    /// the owner only, since the directory keeps but its hash.
    pub async fn prepare(config: &Config, directory: &Directory) -> Result<Self> {
        let file = config.standalone.data_dir.join("admin.token");
        if let Ok(token) = fs::read_to_string(&file) {
            return Ok(Self { token: token.trim().to_owned() });
        }
        let new = NewToken { name: TOKEN_NAME, user: ADMIN, scopes: &[Scope::Api], expires_at: None };
        let token = create_token(directory, &new, true).await?;
        write_private(&file, &token).with_context(|| format!("can't write {}", file.display()))?;
        Ok(Self { token })
    }

    /// Prints it on standard output.
    pub fn print(&self, address: SocketAddr) {
        let url = format!("http://{address}/api/v4");
        let token = &self.token;
        println!(
            r#"
Tally is ready at http://{address}

  administrator's token: {token}

Try, in another terminal:

1. Track an event. The answer is 200 once the log has it.
   curl -X POST -H 'PRIVATE-TOKEN: {token}' -H 'Content-Type: application/json' \
     -d '{{"event":"view_dashboard","project_id":1,"additional_properties":{{"label":"overview"}}}}' \
     {url}/usage_data/track_event

2. Ask how many events project 1 has had, by name. The answer's data has view_dashboard with a count of "1".
   curl -X POST -H 'PRIVATE-TOKEN: {token}' -H 'Content-Type: application/json' \
     -d '{{"query":{{"measures":["TrackedEvents.count"],"dimensions":["TrackedEvents.eventName"]}}}}' \
     {url}/projects/1/product_analytics/request/load

3. Read the Service Ping. counts.count_total_view_dashboard is 1; weekly figures begin with the next complete week.
   curl -H 'PRIVATE-TOKEN: {token}' {url}/usage_data/service_ping

Stop with Ctrl-C. `tally --help` shows what else there is.
"#
        );
    }
}
