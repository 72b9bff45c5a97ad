//! One event as a tracker sends it: the parameters of the tracker protocol, out of a JSON object or a query string.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use url::form_urlencoded;

/// Declares [`Parameters`] and how a name finds its field.
macro_rules! parameters {
    ($($(#[$comment:meta])* $field:ident: $name:literal,)*) => {
        /// What a tracker says of one event. What it doesn't say is empty.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub(crate) struct Parameters<'a> {
            $($(#[$comment])* pub(crate) $field: Cow<'a, str>,)*
            /// Those of kinds of events that have no columns of their own.
            pub(crate) others: Vec<(Cow<'a, str>, Cow<'a, str>)>,
        }

        impl<'a> Parameters<'a> {
            fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
                match &*name {
                    $($name => self.$field = value,)*
                    other if OTHERS.iter().any(|prefix| other.starts_with(prefix)) => {
                        self.others.push((name, value));
                    }
                    _ => {}
                }
            }
        }
    };
}

parameters! {
    /// The kind of event, in two letters.
    kind: "e",
    event_id: "eid",
    app_id: "aid",
    platform: "p",
    tracker_version: "tv",
    tracker_name: "tna",
    /// When the device made the event, by its own clock.
    created_at: "dtm",
    /// When it sent it, by the same clock.
    sent_at: "stm",
    /// When it happened, by a clock that the site trusts.
    happened_at: "ttm",
    user_id: "uid",
    domain_user_id: "duid",
    network_user_id: "nuid",
    /// Wins over the collector's cookie.
    trackers_network_user_id: "tnuid",
    session_id: "sid",
    session_index: "vid",
    ip_address: "ip",
    user_agent: "ua",
    page_url: "url",
    page_title: "page",
    page_referrer: "refr",
    language: "lang",
    charset: "cs",
    time_zone: "tz",
    screen_resolution: "res",
    viewport_size: "vp",
    document_size: "ds",
    category: "se_ca",
    action: "se_ac",
    label: "se_la",
    property: "se_pr",
    value: "se_va",
    /// A self-describing event in base64, and as it is.
    unstruct_base64: "ue_px",
    unstruct: "ue_pr",
    /// Contexts in base64, and as they are.
    contexts_base64: "cx",
    contexts: "co",
}

/// Prefixes of the parameters of page pings, transactions, their items, and impressions.
const OTHERS: [&str; 4] = ["pp_", "tr_", "ti_", "ad_"];

impl<'a> Parameters<'a> {
    /// Out of the query of a GET.
    pub(crate) fn of_query(query: &'a str) -> Self {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters.set(name, value);
        }
        parameters
    }
}

impl<'de> Deserialize<'de> for Parameters<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Parameters<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters<'de>, A::Error> {
                let mut parameters = Parameters::default();
                while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    parameters.set(name.0, value.0);
                }
                Ok(parameters)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A text; the protocol says that everything is one, and some trackers send numbers nevertheless.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, a boolean or null")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_string())))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_string())))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_string())))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_string())))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed("")))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_object_and_a_query_say_the_same() {
        let json = r#"{"e":"pv","url":"https:\/\/a.example/ü","page":"A & B","vid":2,"unknown":"x","pp_mix":"0","refr":null}"#;
        let of_json: Parameters<'_> = serde_json::from_str(json).unwrap();
        let query = "e=pv&url=https%3A%2F%2Fa.example%2F%C3%BC&page=A+%26+B&vid=2&unknown=x&pp_mix=0&refr=";
        assert_eq!(of_json, Parameters::of_query(query));
        assert_eq!(of_json.page_url, "https://a.example/ü");
        assert_eq!(of_json.session_index, "2");
        assert_eq!(of_json.others, [("pp_mix".into(), "0".into())]);
    }

    #[test]
    fn a_nested_value_is_no_parameter() {
        for json in [r#"{"e":["pv"]}"#, r#"{"e":{"a":1}}"#, "[]", r#""pv""#, "null"] {
            assert!(serde_json::from_str::<Parameters<'_>>(json).is_err(), "{json}");
        }
    }
}
