//! What ingest's bodies and answers look like, for the `OpenAPI` document. The schemas allow what the parser takes, which is
//! more than what a producer should send: GitLab takes `"12"` for an integer and `"yes"` for true.

use serde_json::{Value, json};
use tally_schemas::contribution::{Action, PushAction, RefType, TargetType};
use tally_service::described;

described! {
    /// The body of `track_event`.
    pub(crate) struct TrackEvent = event();

    /// The same as a form, whose values are text; `additional_properties[label]=x` for the properties.
    pub(crate) struct TrackEventForm = json!({
        "type": "object",
        "required": ["event"],
        "properties": {
            "event": {"type": "string"},
            "namespace_id": {"type": "integer", "minimum": 1},
            "project_id": {"type": "integer", "minimum": 1},
            "send_to_snowplow": {"type": "boolean"},
        },
    });

    /// The body of `track_events`.
    pub(crate) struct TrackEvents = json!({
        "type": "object",
        "required": ["events"],
        "properties": {"events": {"type": "array", "maxItems": 50, "items": event()}},
    });

    /// 200, or with `Prefer: return=representation` a verdict on each event.
    pub(crate) struct Tracked = json!({
        "oneOf": [
            {"type": "integer", "enum": [200]},
            {
                "type": "object",
                "required": ["events"],
                "properties": {"events": {"type": "array", "items": {
                    "type": "object",
                    "required": ["event_id", "status", "notes"],
                    "properties": {
                        "event_id": {"type": "string", "format": "uuid"},
                        "status": {"type": "string", "enum": ["accepted", "duplicate", "unknown_event"]},
                        "notes": {"type": "array", "items": {"type": "string"}},
                    },
                }}},
            },
        ],
    });

    /// The body of `increment_counter` and `increment_unique_users`.
    pub(crate) struct IncrementEvent = json!({
        "type": "object",
        "required": ["event"],
        "properties": {"event": event_name()},
    });

    /// The same as a form.
    pub(crate) struct IncrementEventForm = json!({
        "type": "object",
        "required": ["event"],
        "properties": {"event": {"type": "string"}},
    });

    /// The number 200.
    pub(crate) struct Incremented = json!({"type": "integer", "enum": [200]});

    /// The body of `contributions`: one record or many.
    pub(crate) struct Contributions = json!({
        "anyOf": [
            {
                "type": "object",
                "required": ["contributions"],
                "properties": {"contributions": {"type": "array", "maxItems": 500, "items": contribution()}},
            },
            contribution(),
        ],
    });

    /// The ids of what was posted, in its order.
    pub(crate) struct ContributionIds = json!({
        "type": "object",
        "required": ["ids"],
        "properties": {"ids": {"type": "array", "items": {"type": "integer"}}},
    });
}

/// An event as GitLab's parameter declarations take it.
fn event() -> Value {
    json!({
        "type": "object",
        "required": ["event"],
        "properties": {
            "event": event_name(),
            "namespace_id": integer("Where it happened"),
            "project_id": integer("Where it happened"),
            "additional_properties": {
                "type": ["object", "null"],
                "description": "What the event's definition declares: label, property, value, ...",
            },
            "send_to_snowplow": boolean(),
            "event_id": optional(&json!({"type": "string", "format": "uuid"}), "The same id counts once within seven days"),
            "timestamp": optional(
                &json!({"type": "string", "format": "date-time"}),
                "When it happened, within the last seven days; now by default",
            ),
        },
    })
}

fn event_name() -> Value {
    json!({
        "type": ["string", "number", "boolean", "null"],
        "maxLength": 255,
        "description": "The event's name",
        "example": "view_dashboard",
    })
}

/// A record of the Events API.
fn contribution() -> Value {
    let names = |all: Vec<&str>| json!({"type": "string", "enum": all});
    json!({
        "type": "object",
        "required": ["action"],
        "properties": {
            "event_id": optional(&json!({"type": "string", "format": "uuid"}), "The same id counts once"),
            "action": names(Action::ALL.iter().map(|action| action.as_str()).collect()),
            "target_type": names(TargetType::ALL.iter().map(|kind| kind.as_str()).collect()),
            "target_id": integer("The target's id"),
            "target_iid": integer("The target's number within its project"),
            "target_title": text(),
            "project_id": integer("Where it happened"),
            "author_id": {"type": "integer", "description": "Another user than the token's: for administrators only"},
            "created_at": optional(&json!({"type": "string", "format": "date-time"}), "Now by default"),
            "imported_from": text(),
            "confidential": boolean(),
            "target_author_id": integer("Who may see a confidential target"),
            "assignee_ids": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "note": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "integer", "minimum": 1},
                    "type": text(),
                    "body": text(),
                    "noteable_id": integer("What it is on"),
                    "noteable_iid": integer("What it is on"),
                    "noteable_type": text(),
                    "system": boolean(),
                    "resolvable": boolean(),
                    "confidential": boolean(),
                    "internal": boolean(),
                },
            },
            "push_data": {
                "type": "object",
                "required": ["action", "ref_type"],
                "properties": {
                    "action": names(PushAction::ALL.iter().map(|action| action.as_str()).collect()),
                    "ref_type": names(RefType::ALL.iter().map(|kind| kind.as_str()).collect()),
                    "commit_count": integer("How many commits"),
                    "commit_from": text(),
                    "commit_to": text(),
                    "ref": text(),
                    "commit_title": text(),
                    "ref_count": integer("How many refs, for pushes of many at once"),
                },
            },
            "wiki_page": {
                "type": "object",
                "required": ["slug", "wiki_page_meta_id"],
                "properties": {
                    "slug": {"type": "string"},
                    "wiki_page_meta_id": {"type": "integer", "minimum": 1},
                    "format": text(),
                    "title": text(),
                },
            },
        },
    })
}

fn integer(description: &str) -> Value {
    json!({
        "description": description,
        "anyOf": [
            {"type": ["number", "null"]},
            {"type": "string", "pattern": "^(\\s*[+-]?[0-9]+(_[0-9]+)*\\s*)?$"},
        ],
    })
}

fn boolean() -> Value {
    json!({
        "anyOf": [
            {"type": ["boolean", "null"]},
            {"type": "integer", "enum": [0, 1]},
            {"type": "string", "enum": ["", "true", "false", "1", "0", "yes", "no", "on", "off", "t", "f"]},
        ],
    })
}

fn text() -> Value {
    json!({"type": ["string", "number", "boolean", "null"]})
}

/// Null and the empty text are as good as nothing.
fn optional(schema: &Value, description: &str) -> Value {
    json!({"description": description, "anyOf": [schema, {"type": "null"}, {"type": "string", "maxLength": 0}]})
}
