//! Event definitions: the rules of GitLab's `config/events/schema.json`. Its closed list of product groups is
//! not kept, any non-empty string is one: the groups are GitLab's teams, and other products have others.

use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

use super::errors::LoadError;
use super::fields::{self, Fields, nullable};

/// One event definition.
#[derive(Debug, Clone)]
pub struct EventDefinition {
    /// The event's name.
    pub action: String,
    /// What it means, for people.
    pub description: String,
    /// Whether it is an internal event, which producers may send by name. The others are older Snowplow events.
    pub internal_events: bool,
    /// Whose ids come with the event: `project`, `user`, `namespace`, `feature_enabled_by_namespace_ids`.
    pub identifiers: Vec<String>,
    /// The declared additional properties, name and description, in the file's order.
    pub additional_properties: Vec<(String, String)>,
    /// All fields as in the file.
    pub document: Arc<Value>,
    /// The file it came from.
    pub path: Arc<str>,
}

impl EventDefinition {
    /// Whether the definition declares the additional property.
    pub fn declares(&self, property: &str) -> bool {
        self.additional_properties.iter().any(|(name, _)| name == property)
    }
}

const KNOWN: &[&str] = &[
    "description",
    "action",
    "product_group",
    "introduced_by_url",
    "milestone",
    "tiers",
    "category",
    "internal_events",
    "identifiers",
    "additional_properties",
    "extra_properties",
    "product_categories",
    "status",
    "milestone_removed",
    "removed_by_url",
    "classification",
    "iglu_schema_url",
    "extra_trackers",
];

const IDENTIFIERS: &[&str] = &["project", "user", "namespace", "feature_enabled_by_namespace_ids"];

/// Reads an event definition; `None` if anything is wrong with it, which `errors` then tells.
pub(super) fn parse(
    path: &Arc<str>,
    mapping: &Mapping,
    errors: &mut Vec<LoadError>,
) -> Option<EventDefinition> {
    let errors_before = errors.len();
    let mut fields = Fields::new(path, mapping, errors);
    fields.only(KNOWN);
    let description = fields.text("description").unwrap_or_default().to_owned();
    let action = fields.required("action", "lower-case letters, digits and underscores", action);
    let action = action.unwrap_or_default().to_owned();
    fields.required("product_group", "a non-empty string", fields::filled);
    fields.required("introduced_by_url", "an absolute URL or null", nullable(fields::url));
    // Null in a few of GitLab's Snowplow events, which are older than the rule.
    fields.required("milestone", fields::MILESTONE, nullable(fields::milestone));
    fields.required("tiers", fields::TIERS, fields::tiers);
    let internal_events = fields.optional("internal_events", "true or no such field", |value| {
        value.as_bool().filter(|internal| *internal)
    });
    let identifiers = fields.optional(
        "identifiers",
        "null or a list of different words out of project, user, namespace, feature_enabled_by_namespace_ids",
        nullable(|value| fields::words(value, IDENTIFIERS)),
    );
    let identifiers = identifiers.flatten().unwrap_or_default();
    let additional_properties = additional_properties(&mut fields);
    check_legacy_fields(&mut fields);
    check_status(&mut fields);
    if errors.len() > errors_before {
        return None;
    }
    Some(EventDefinition {
        action,
        description,
        internal_events: internal_events.unwrap_or(false),
        identifiers: identifiers.into_iter().map(ToOwned::to_owned).collect(),
        additional_properties,
        document: Arc::new(Value::Mapping(mapping.clone())),
        path: Arc::clone(path),
    })
}

/// `^[a-z0-9_]+$`
fn action(value: &Value) -> Option<&str> {
    let in_action = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    fields::filled(value).filter(|text| text.bytes().all(in_action))
}

fn additional_properties(fields: &mut Fields<'_, '_>) -> Vec<(String, String)> {
    const NAME: &str = "additional_properties";
    let mapping = fields.optional(NAME, "a mapping of names to {description: string}", Value::as_mapping);
    let Some(mapping) = mapping else { return Vec::new() };
    fields.nested(NAME, mapping, |properties| {
        let entries = properties.entries();
        entries
            .into_iter()
            .filter_map(|(name, value)| {
                // Null in one of GitLab's own files, which so declares the property without describing it.
                if value.is_null() {
                    return Some((name.to_owned(), String::new()));
                }
                let Some(property) = value.as_mapping() else {
                    properties.error(name, "{description: string} or null");
                    return None;
                };
                properties.nested(name, property, |property| {
                    property.only(&["description"]);
                    property.text("description").map(|description| (name.to_owned(), description.to_owned()))
                })
            })
            .collect()
    })
}

fn check_legacy_fields(fields: &mut Fields<'_, '_>) {
    fields.optional("category", "a string", Value::as_str);
    fields.optional("extra_properties", "a mapping or null", nullable(Value::as_mapping));
    fields.optional("product_categories", "a list of strings", fields::strings);
    fields.optional(
        "classification",
        "duo or null",
        nullable(|value| value.as_str().filter(|text| *text == "duo")),
    );
    fields.optional("iglu_schema_url", "a string", Value::as_str);
    let trackers = fields.optional("extra_trackers", "a list of mappings", |value| {
        value.as_sequence()?.iter().map(Value::as_mapping).collect::<Option<Vec<_>>>()
    });
    for (index, tracker) in trackers.into_iter().flatten().enumerate() {
        fields.nested(&format!("extra_trackers.{index}"), tracker, |tracker| {
            tracker.only(&["tracking_class", "protected_properties"]);
            tracker.text("tracking_class");
            tracker.optional("protected_properties", "a mapping", Value::as_mapping);
        });
    }
}

/// A removed event says when and by what; an active one must not.
fn check_status(fields: &mut Fields<'_, '_>) {
    let status = fields.optional("status", "active or removed", |value| {
        value.as_str().filter(|status| ["active", "removed"].contains(status))
    });
    match status {
        Some("removed") => {
            fields.required("milestone_removed", fields::MILESTONE, fields::milestone);
            fields.required("removed_by_url", fields::URL, fields::url);
        }
        Some(_) => {
            for name in ["milestone_removed", "removed_by_url"] {
                fields.optional(name, "null, because the event is active", Value::as_null);
            }
        }
        None => {
            fields.optional("milestone_removed", fields::MILESTONE, nullable(fields::milestone));
            fields.optional("removed_by_url", "an absolute URL or null", nullable(fields::url));
        }
    }
}
