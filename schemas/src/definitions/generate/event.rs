//! A new internal event.

use std::str::FromStr;
use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

use super::super::errors::LoadErrors;
use super::super::{Definitions, event};
use super::{GeneratedFile, TIERS, TO_DO};

/// Identifiers in the order in which they are written.
const IDENTIFIERS: [&str; 4] = ["feature_enabled_by_namespace_ids", "project", "namespace", "user"];

/// An internal event that is to be defined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// The event's name.
    pub action: String,
    /// What it means, for people.
    pub description: String,
    /// Whose ids come with it: `project`, `user`, `namespace`, `feature_enabled_by_namespace_ids`.
    pub identifiers: Vec<String>,
    /// What else comes with it, in the order of the file.
    pub additional_properties: Vec<NewProperty>,
    /// The team it belongs to.
    pub product_group: String,
    /// The product's parts that it is about.
    pub product_categories: Vec<String>,
    /// The release that brings it, such as `18.9`.
    pub milestone: String,
    /// The change that brings it; [`TO_DO`] stands there without.
    pub introduced_by_url: Option<String>,
    /// Which tiers have it: `free`, `premium`, `ultimate`.
    pub tiers: Vec<String>,
    /// `duo`, for events about GitLab Duo.
    pub classification: Option<String>,
}

/// An additional property of a new event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProperty {
    /// `label`, `property`, `value`, or a name of one's own.
    pub name: String,
    /// What it holds, for people; [`TO_DO`] stands there without.
    pub description: Option<String>,
}

/// Reads `name` or `name=description`.
impl FromStr for NewProperty {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, description) = match text.split_once('=') {
            Some((name, description)) => (name, Some(description.trim().to_owned())),
            None => (text, None),
        };
        Ok(Self { name: name.trim().to_owned(), description })
    }
}

impl NewEvent {
    /// The event's file. All that is wrong comes back at once, in the loader's words; that the event is defined already in
    /// `known` is an error, too.
    pub fn generate(&self, known: &Definitions) -> Result<GeneratedFile, LoadErrors> {
        let path = super::path(&self.tiers, "events", &self.action);
        let document = self.document();
        let name: Arc<str> = path.as_str().into();
        let mut errors = Vec::new();
        event::parse(&name, &super::with_url(&document), &mut errors);
        let properties = self.additional_properties.iter();
        let described = properties.filter_map(|property| {
            Some((format!("additional_properties.{}", property.name), property.description.as_deref()?))
        });
        let texts = [("description".to_owned(), self.description.as_str())].into_iter().chain(described);
        super::check_lines(&name, texts, &mut errors);
        super::check_tiers(&name, &self.tiers, &mut errors);
        for (index, property) in self.additional_properties.iter().enumerate() {
            if self.additional_properties[..index].iter().any(|other| other.name == property.name) {
                let got = format!("{:?} twice", property.name);
                errors.push(super::error(&name, "additional_properties", "different names", got));
            }
        }
        if let Some(other) = known.event(&self.action) {
            let got = format!("{:?}, which {} has", self.action, other.path);
            errors.push(super::error(&name, "action", "a name no other internal event has", got));
        }
        super::finish(path, &document, errors)
    }

    /// The fields in the order of GitLab's generator.
    fn document(&self) -> Mapping {
        let mut fields = Mapping::new();
        let mut add = |name: &str, value: Value| fields.insert(name.into(), value);
        add("description", self.description.as_str().into());
        add("internal_events", true.into());
        add("status", "active".into());
        add("action", self.action.as_str().into());
        if !self.identifiers.is_empty() {
            add("identifiers", super::list(&super::in_order_of(&IDENTIFIERS, &self.identifiers)));
        }
        if !self.additional_properties.is_empty() {
            let properties = self.additional_properties.iter().map(|property| {
                let description = property.description.as_deref().unwrap_or(TO_DO);
                let described = Mapping::from_iter([("description".into(), description.into())]);
                (Value::from(property.name.as_str()), Value::Mapping(described))
            });
            add("additional_properties", Value::Mapping(properties.collect()));
        }
        add("product_group", self.product_group.as_str().into());
        if !self.product_categories.is_empty() {
            add("product_categories", super::list(&super::sorted(self.product_categories.iter().cloned())));
        }
        add("milestone", self.milestone.as_str().into());
        add("introduced_by_url", self.introduced_by_url.as_deref().unwrap_or(TO_DO).into());
        add("tiers", super::list(&super::in_order_of(&TIERS, &self.tiers)));
        if let Some(classification) = &self.classification {
            add("classification", classification.as_str().into());
        }
        fields
    }
}
