//! What `make run` prints: the address, an administrator's token, and requests to try.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tally_directory::{Directory, Scope, State};

use crate::administer::{NewToken, create_token};
use crate::config::Config;
use crate::instance::write_private;

/// The user, and the token's name.
const ADMIN: &str = "root";
const TOKEN_NAME: &str = "welcome";

/// The tracking key under which trackers may send to project 1 where no key is known at all.
const TRACKING_KEY: &str = "welcome";

/// Gives a newcomer's instance, whose settings name no tracking key, one for project 1.
pub fn add_tracking_key(config: &mut Config) {
    if config.capture.keys.is_empty() {
        config.capture.keys.insert(TRACKING_KEY.to_owned(), 1);
    }
}

/// What to greet with.
pub struct Welcome {
    token: String,
    /// A tracking key and its project.
    tracking: Option<(String, i64)>,
}

impl Welcome {
    /// Takes the token made on an earlier start while it is good, or makes one. It is kept in `admin.token` in the data
    /// folder, readable by the owner only, since the directory keeps but its hash.
    pub async fn prepare(config: &Config, directory: &Directory) -> Result<Self> {
        let tracking = config.capture.keys.first_key_value().map(|(key, project)| (key.clone(), *project));
        let file = config.standalone.data_dir.join("admin.token");
        if let Ok(text) = fs::read_to_string(&file) {
            let token = text.trim();
            if directory.authenticate(token, Timestamp::now()).is_ok() {
                return Ok(Self { token: token.to_owned(), tracking });
            }
            fs::remove_file(&file).with_context(|| format!("can't replace {}", file.display()))?;
        }
        let name = free_name(&directory.read());
        let new = NewToken { name: &name, user: ADMIN, scopes: &[Scope::Api], expires_at: None };
        let token = create_token(directory, &new, true).await?;
        write_private(&file, &token).with_context(|| format!("can't write {}", file.display()))?;
        Ok(Self { token, tracking })
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
     -d '{{"query":{{"measures":["InternalEvents.count"],"dimensions":["InternalEvents.eventName"]}}}}' \
     {url}/projects/1/product_analytics/request/load

3. Compute a Service Ping. counts.count_total_view_dashboard is 1; weekly figures begin with the next complete week.
   curl -X POST -H 'PRIVATE-TOKEN: {token}' {url}/tally/service_ping
"#
        );
        if let Some((key, project)) = &self.tracking {
            println!(
                r#"4. Send what a Snowplow tracker with the app id `{key}` sends for a page view.
   curl --fail --output /dev/null 'http://{address}/i?e=pv&p=web&tv=curl&aid={key}&duid=visitor-1&page=Home&url=https%3A%2F%2Fexample.com%2F'

5. Ask for the page views of project {project}, a moment later. The answer's data has / with a count of "1".
   curl -X POST -H 'PRIVATE-TOKEN: {token}' -H 'Content-Type: application/json' \
     -d '{{"query":{{"measures":["TrackedEvents.pageViewsCount"],"dimensions":["TrackedEvents.pageUrlpath"]}}}}' \
     {url}/projects/{project}/product_analytics/request/load
"#
            );
        }
        println!("Stop with Ctrl-C. `tally --help` shows what else there is.");
    }
}

/// A name for the token that no earlier one has, as a revoked token or one whose file was lost keeps its name.
fn free_name(state: &State) -> String {
    let is_taken = |name: &str| {
        let admin = state.user_named(ADMIN);
        admin.is_some_and(|admin| state.token_named(admin.id, name).is_some())
    };
    let mut name = TOKEN_NAME.to_owned();
    let mut number = 1;
    while is_taken(&name) {
        number += 1;
        name = format!("{TOKEN_NAME}-{number}");
    }
    name
}

#[cfg(test)]
mod tests {
    use tally_directory::commands;

    use super::*;

    #[tokio::test]
    async fn there_is_a_good_token_whatever_became_of_the_last_one() {
        let folder = std::env::temp_dir().join(format!("tally-welcome-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let config = Config::load(None, &[format!("standalone.data_dir={}", folder.display())]).unwrap();
        let directory = Directory::in_memory();
        let token = async || Welcome::prepare(&config, &directory).await.unwrap().token;
        let first = token().await;
        assert_eq!(token().await, first);
        fs::remove_file(folder.join("admin.token")).unwrap();
        let second = token().await;
        assert!(directory.authenticate(&second, Timestamp::now()).is_ok());
        let revoke = |state: &State| commands::revoke_token(state, "welcome-2", None);
        directory.transact(Timestamp::now(), revoke).await.unwrap();
        let third = token().await;
        assert!(directory.authenticate(&third, Timestamp::now()).is_ok());
        fs::remove_dir_all(folder).unwrap();
    }
}
