//! The page event's Avro form, field by field in the schema's order.

use super::binary::{Reader, put_bool, put_double, put_long, put_option, put_str};
use super::schema::{self, Versions};
use super::{CodecError, Record};
use crate::PageEvent;

impl Record<'_> for PageEvent {
    fn versions() -> &'static Versions {
        &schema::PAGE_EVENT
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.event_id.as_bytes());
        put_bool(out, self.client_event_id);
        put_long(out, self.project_id);
        put_str(out, &self.event);
        put_str(out, &self.event_name);
        put_long(out, self.timestamp);
        put_long(out, self.received_at);
        put_str(out, &self.user_id);
        put_str(out, &self.domain_user_id);
        put_str(out, &self.network_user_id);
        put_str(out, &self.session_id);
        put_long(out, i64::from(self.session_index));
        put_str(out, &self.platform);
        put_str(out, &self.tracker_version);
        put_str(out, &self.tracker_name);
        put_str(out, &self.page_url);
        put_str(out, &self.page_title);
        put_str(out, &self.page_url_scheme);
        put_str(out, &self.page_url_host);
        put_long(out, i64::from(self.page_url_port));
        put_str(out, &self.page_url_path);
        put_str(out, &self.page_url_query);
        put_str(out, &self.page_url_fragment);
        put_str(out, &self.page_referrer);
        put_str(out, &self.referrer_host);
        put_str(out, &self.referrer_path);
        put_str(out, &self.referrer_medium);
        put_str(out, &self.referrer_source);
        put_str(out, &self.referrer_term);
        put_str(out, &self.campaign_medium);
        put_str(out, &self.campaign_source);
        put_str(out, &self.campaign_term);
        put_str(out, &self.campaign_content);
        put_str(out, &self.campaign_name);
        put_str(out, &self.click_id);
        put_str(out, &self.click_network);
        put_str(out, &self.user_agent);
        put_str(out, &self.agent_name);
        put_str(out, &self.agent_version);
        put_str(out, &self.os_family);
        put_str(out, &self.os_name);
        put_str(out, &self.os_version);
        put_str(out, &self.device_type);
        put_bool(out, self.is_mobile);
        put_bool(out, self.is_bot);
        put_str(out, &self.browser_language);
        put_str(out, &self.document_language);
        put_str(out, &self.viewport_size);
        put_str(out, &self.screen_resolution);
        put_str(out, &self.document_size);
        put_str(out, &self.time_zone);
        put_str(out, &self.charset);
        put_str(out, &self.ip_address);
        put_str(out, &self.category);
        put_str(out, &self.action);
        put_str(out, &self.label);
        put_str(out, &self.property);
        put_option(out, self.value, put_double);
        put_str(out, &self.custom_event_name);
        put_str(out, &self.custom_event_props);
        put_str(out, &self.custom_user_props);
        put_str(out, &self.element_id);
        put_str(out, &self.target_url);
        put_option(out, self.load_ms, put_double);
        put_str(out, &self.unstruct);
        put_str(out, &self.contexts);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            event_id: reader.uuid()?,
            client_event_id: reader.bool()?,
            project_id: reader.long()?,
            event: reader.string()?,
            event_name: reader.string()?,
            timestamp: reader.long()?,
            received_at: reader.long()?,
            user_id: reader.string()?,
            domain_user_id: reader.string()?,
            network_user_id: reader.string()?,
            session_id: reader.string()?,
            session_index: reader.unsigned()?,
            platform: reader.string()?,
            tracker_version: reader.string()?,
            tracker_name: reader.string()?,
            page_url: reader.string()?,
            page_title: reader.string()?,
            page_url_scheme: reader.string()?,
            page_url_host: reader.string()?,
            page_url_port: reader.unsigned()?,
            page_url_path: reader.string()?,
            page_url_query: reader.string()?,
            page_url_fragment: reader.string()?,
            page_referrer: reader.string()?,
            referrer_host: reader.string()?,
            referrer_path: reader.string()?,
            referrer_medium: reader.string()?,
            referrer_source: reader.string()?,
            referrer_term: reader.string()?,
            campaign_medium: reader.string()?,
            campaign_source: reader.string()?,
            campaign_term: reader.string()?,
            campaign_content: reader.string()?,
            campaign_name: reader.string()?,
            click_id: reader.string()?,
            click_network: reader.string()?,
            user_agent: reader.string()?,
            agent_name: reader.string()?,
            agent_version: reader.string()?,
            os_family: reader.string()?,
            os_name: reader.string()?,
            os_version: reader.string()?,
            device_type: reader.string()?,
            is_mobile: reader.bool()?,
            is_bot: reader.bool()?,
            browser_language: reader.string()?,
            document_language: reader.string()?,
            viewport_size: reader.string()?,
            screen_resolution: reader.string()?,
            document_size: reader.string()?,
            time_zone: reader.string()?,
            charset: reader.string()?,
            ip_address: reader.string()?,
            category: reader.string()?,
            action: reader.string()?,
            label: reader.string()?,
            property: reader.string()?,
            value: reader.option(Reader::double)?,
            custom_event_name: reader.string()?,
            custom_event_props: reader.string()?,
            custom_user_props: reader.string()?,
            element_id: reader.string()?,
            target_url: reader.string()?,
            load_ms: reader.option(Reader::double)?,
            unstruct: reader.string()?,
            contexts: reader.string()?,
        })
    }

    fn read_owned(body: &[u8]) -> Result<Self, CodecError> {
        Self::read(&mut Reader::new(body))
    }
}
