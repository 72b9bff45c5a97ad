//! From what a tracker says of an event, and what its request tells, to a page event.

mod contexts;
mod time;
mod unstruct;

use std::net::IpAddr;

use prometheus::IntCounter;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tally_schemas::{DropReason, PageEvent};
use uuid::{Builder, Uuid};

use crate::config::CaptureConfig;
use crate::enrich::agent::{Agent, Agents};
use crate::enrich::page::{self, Campaign, PageParts};
use crate::enrich::person::Privacy;
use crate::enrich::referrer::Referrer;
use crate::snowplow::parameters::Parameters;
use crate::snowplow::schema;

/// What a request tells of all its events.
#[derive(Debug, Clone)]
pub(crate) struct Receipt<'r> {
    /// In milliseconds since the epoch.
    pub(crate) received_at: i64,
    /// The client's; `None` if it asked for anonymity.
    pub(crate) address: Option<IpAddr>,
    /// The visitor by the collector's cookie; empty where there is none.
    pub(crate) network_user_id: String,
    /// The client asked that neither address nor cookie be looked at.
    pub(crate) is_anonymous: bool,
    pub(crate) user_agent: &'r str,
    pub(crate) referrer: &'r str,
}

/// Why an event is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Refused {
    pub(crate) reason: DropReason,
    /// For a person to read.
    pub(crate) detail: String,
}

impl Refused {
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self { reason: DropReason::Invalid, detail: detail.into() }
    }
}

/// Makes page events.
pub(crate) struct EventBuilder {
    agents: Agents,
    pub(crate) privacy: Privacy,
    max_text_bytes: usize,
    max_json_bytes: usize,
    max_age_ms: i64,
    max_lead_ms: i64,
    /// Counts texts that were cut.
    cut: IntCounter,
}

impl EventBuilder {
    pub(crate) fn new(config: &CaptureConfig, privacy: Privacy, cut: IntCounter) -> Self {
        Self {
            agents: Agents::new(config.agents_remembered),
            privacy,
            max_text_bytes: config.max_text_bytes,
            max_json_bytes: config.max_json_bytes,
            max_age_ms: i64::from(config.max_event_age_s) * 1000,
            max_lead_ms: i64::from(config.max_event_lead_s) * 1000,
            cut,
        }
    }

    /// The project's event. `new_id` is its id if the tracker gave none.
    pub(crate) fn build(
        &self,
        project_id: i64,
        new_id: Uuid,
        parameters: &Parameters<'_>,
        receipt: &Receipt<'_>,
    ) -> Result<PageEvent, Refused> {
        let mut event = PageEvent { project_id, received_at: receipt.received_at, ..PageEvent::default() };
        let given_id = event_id(project_id, &parameters.event_id);
        event.client_event_id = given_id.is_some();
        event.event_id = given_id.unwrap_or(new_id);
        event.timestamp = self.timestamp(parameters, receipt);
        self.add_words(&mut event, parameters);
        self.add_person(&mut event, parameters, receipt);
        self.add_agent(&mut event, parameters, receipt);
        self.add_page(&mut event, parameters, receipt);
        self.add_kind(&mut event, parameters)?;
        self.add_contexts(&mut event, parameters)?;
        self.check_json(&event)?;
        Ok(event)
    }

    fn timestamp(&self, parameters: &Parameters<'_>, receipt: &Receipt<'_>) -> i64 {
        let received_at = receipt.received_at;
        let derived = time::derived(parameters, received_at);
        // Saturating: a tracker may say any number.
        derived
            .clamp(received_at.saturating_sub(self.max_age_ms), received_at.saturating_add(self.max_lead_ms))
    }

    /// What is kept as it was said.
    fn add_words(&self, event: &mut PageEvent, parameters: &Parameters<'_>) {
        event.domain_user_id = self.text(&parameters.domain_user_id);
        event.session_id = self.text(&parameters.session_id);
        event.session_index = parameters.session_index.parse().unwrap_or(0);
        event.platform = self.text(&parameters.platform);
        event.tracker_version = self.text(&parameters.tracker_version);
        event.tracker_name = self.text(&parameters.tracker_name);
        event.page_title = self.text(&parameters.page_title);
        event.browser_language = self.text(&parameters.language);
        event.charset = self.text(&parameters.charset);
        event.time_zone = self.text(&parameters.time_zone);
        event.screen_resolution = self.text(&parameters.screen_resolution);
        event.viewport_size = self.text(&parameters.viewport_size);
        event.document_size = self.text(&parameters.document_size);
    }

    /// The tracker may speak for somebody else's address and collector, as one on a server does.
    fn add_person(&self, event: &mut PageEvent, parameters: &Parameters<'_>, receipt: &Receipt<'_>) {
        event.user_id = self.privacy.user_id(event.project_id, &self.text(&parameters.user_id));
        if receipt.is_anonymous {
            return;
        }
        let given = parameters.ip_address.parse().ok();
        let address = given.or(receipt.address).and_then(|address| self.privacy.address(address));
        event.ip_address = address.map_or_else(String::new, |address| address.to_string());
        let known_as =
            [&*parameters.trackers_network_user_id, &receipt.network_user_id, &parameters.network_user_id];
        if let Some(id) = known_as.into_iter().find(|id| !id.is_empty()) {
            event.network_user_id = self.text(id);
        }
    }

    fn add_agent(&self, event: &mut PageEvent, parameters: &Parameters<'_>, receipt: &Receipt<'_>) {
        let given = &*parameters.user_agent;
        event.user_agent = self.text(if given.is_empty() { receipt.user_agent } else { given });
        let agent = self.agents.of(&event.user_agent);
        let Agent { name, version, os_family, os_name, os_version, device_type, is_mobile, is_bot } = &*agent;
        event.agent_name.clone_from(name);
        event.agent_version.clone_from(version);
        event.os_family.clone_from(os_family);
        event.os_name.clone_from(os_name);
        event.os_version.clone_from(os_version);
        event.device_type.clone_from(device_type);
        event.is_mobile = *is_mobile;
        event.is_bot = *is_bot;
    }

    /// A pixel in a page without a script says its page by the request's own referrer.
    fn add_page(&self, event: &mut PageEvent, parameters: &Parameters<'_>, receipt: &Receipt<'_>) {
        let given = &*parameters.page_url;
        let (text, url) = page::parse(if given.is_empty() { receipt.referrer } else { given });
        event.page_url = self.text(&text);
        if let Some(url) = url {
            let PageParts { scheme, host, port, path, query, fragment } = PageParts::of(&url);
            event.page_url_scheme = self.owned(scheme);
            event.page_url_host = self.owned(host);
            event.page_url_port = port;
            event.page_url_path = self.owned(path);
            event.page_url_query = self.owned(query);
            event.page_url_fragment = self.owned(fragment);
            let Campaign { medium, source, term, content, name, click_id, click_network } =
                Campaign::of(&url);
            event.campaign_medium = self.owned(medium);
            event.campaign_source = self.owned(source);
            event.campaign_term = self.owned(term);
            event.campaign_content = self.owned(content);
            event.campaign_name = self.owned(name);
            event.click_id = self.owned(click_id);
            event.click_network = click_network;
        }
        let (text, url) = page::parse(&parameters.page_referrer);
        event.page_referrer = self.text(&text);
        if let Some(url) = url {
            let Referrer { host, path, medium, source, term } = Referrer::of(&url, &event.page_url_host);
            event.referrer_host = self.owned(host);
            event.referrer_path = self.owned(path);
            medium.clone_into(&mut event.referrer_medium);
            source.clone_into(&mut event.referrer_source);
            event.referrer_term = self.owned(term);
        }
    }

    /// What happened, and the fields of events of its kind.
    fn add_kind(&self, event: &mut PageEvent, parameters: &Parameters<'_>) -> Result<(), Refused> {
        let kind = match &*parameters.kind {
            "pv" => "page_view",
            "pp" => "page_ping",
            "se" => "struct",
            "ue" => return self.add_unstruct(event, parameters),
            "tr" => "transaction",
            "ti" => "transaction_item",
            "ad" => "ad_impression",
            "" => return Err(Refused::invalid("the event has no kind (e)")),
            other => {
                let kind: String = other.chars().take(20).collect();
                return Err(Refused::invalid(format!("{kind:?} is no kind of event (e)")));
            }
        };
        kind.clone_into(&mut event.event);
        kind.clone_into(&mut event.event_name);
        if kind == "struct" {
            self.add_struct(event, parameters)?;
        } else if !parameters.others.is_empty() {
            event.unstruct = object_of(&parameters.others);
        }
        Ok(())
    }

    fn add_struct(&self, event: &mut PageEvent, parameters: &Parameters<'_>) -> Result<(), Refused> {
        if parameters.action.is_empty() {
            return Err(Refused::invalid("the structured event has no action (se_ac)"));
        }
        event.category = self.text(&parameters.category);
        event.action = self.text(&parameters.action);
        event.event_name.clone_from(&event.action);
        event.label = self.text(&parameters.label);
        event.property = self.text(&parameters.property);
        event.value = parameters.value.parse().ok().filter(|value: &f64| value.is_finite());
        Ok(())
    }

    fn add_unstruct(&self, event: &mut PageEvent, parameters: &Parameters<'_>) -> Result<(), Refused> {
        let text = schema::text(&parameters.unstruct_base64, &parameters.unstruct)
            .map_err(|problem| Refused::invalid(format!("ue_px is no base64: {problem}")))?
            .ok_or_else(|| Refused::invalid("the self-describing event has no data (ue_pr, ue_px)"))?;
        unstruct::add(self, event, &text)
    }

    fn add_contexts(&self, event: &mut PageEvent, parameters: &Parameters<'_>) -> Result<(), Refused> {
        let text = schema::text(&parameters.contexts_base64, &parameters.contexts)
            .map_err(|problem| Refused::invalid(format!("cx is no base64: {problem}")))?;
        match text {
            Some(text) => contexts::add(self, event, &text),
            None => Ok(()),
        }
    }

    /// JSON can't be cut.
    fn check_json(&self, event: &PageEvent) -> Result<(), Refused> {
        let jsons = [
            ("the custom event's props", &event.custom_event_props),
            ("the user context", &event.custom_user_props),
            ("the self-describing event", &event.unstruct),
            ("contexts", &event.contexts),
        ];
        match jsons.iter().find(|(_, json)| json.len() > self.max_json_bytes) {
            None => Ok(()),
            Some((what, json)) => Err(Refused {
                reason: DropReason::Oversized,
                detail: format!(
                    "{what}: {} bytes are more than the {} allowed",
                    json.len(),
                    self.max_json_bytes
                ),
            }),
        }
    }

    /// As much of the text as is kept.
    fn text(&self, text: &str) -> String {
        self.kept(text).to_owned()
    }

    fn owned(&self, mut text: String) -> String {
        text.truncate(self.kept(&text).len());
        text
    }

    fn kept<'t>(&self, text: &'t str) -> &'t str {
        if text.len() <= self.max_text_bytes {
            return text;
        }
        self.cut.inc();
        &text[..text.floor_char_boundary(self.max_text_bytes)]
    }
}

/// The tracker's id; of a text that is no UUID one that is the same whenever that text comes again.
fn event_id(project_id: i64, text: &str) -> Option<Uuid> {
    match Uuid::try_parse(text) {
        Ok(id) => Some(id).filter(|id| !id.is_nil()),
        Err(_) if text.is_empty() => None,
        Err(_) => {
            let hash = Sha256::new().chain_update(project_id.to_le_bytes()).chain_update(text).finalize();
            let bytes = hash[..16].try_into().expect("a SHA-256 has 32 bytes");
            Some(Builder::from_custom_bytes(bytes).into_uuid())
        }
    }
}

fn object_of(parameters: &[(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)]) -> String {
    let members = parameters.iter().map(|(name, value)| (name.to_string(), Value::from(&**value)));
    Value::Object(members.collect::<Map<_, _>>()).to_string()
}
