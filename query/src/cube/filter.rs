//! The grammar of `filters`: members with operators and values, nested under `and` and `or`. Knows no model.

use serde_json::{Map, Value, json};

/// A condition as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    Member { member: String, operator: Operator, values: Vec<Option<String>> },
    And(Vec<Filter>),
    Or(Vec<Filter>),
}

macro_rules! operators {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// A filter's operator; its name is Cube's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operator { $($variant),+ }

        impl Operator {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

operators! {
    Equals = "equals", NotEquals = "notEquals", In = "in", NotIn = "notIn",
    Contains = "contains", NotContains = "notContains",
    StartsWith = "startsWith", NotStartsWith = "notStartsWith",
    EndsWith = "endsWith", NotEndsWith = "notEndsWith",
    Gt = "gt", Gte = "gte", Lt = "lt", Lte = "lte",
    Set = "set", NotSet = "notSet",
    InDateRange = "inDateRange", NotInDateRange = "notInDateRange", OnTheDate = "onTheDate",
    BeforeDate = "beforeDate", BeforeOrOnDate = "beforeOrOnDate",
    AfterDate = "afterDate", AfterOrOnDate = "afterOrOnDate",
}

impl Operator {
    /// Whether the operator works without values.
    pub fn needs_values(self) -> bool {
        !matches!(self, Self::Set | Self::NotSet)
    }

    /// Whether the operator compares pieces of text.
    pub fn is_on_text(self) -> bool {
        matches!(
            self,
            Self::Contains
                | Self::NotContains
                | Self::StartsWith
                | Self::NotStartsWith
                | Self::EndsWith
                | Self::NotEndsWith
        )
    }

    /// Whether the operator compares by order.
    pub fn is_order(self) -> bool {
        matches!(self, Self::Gt | Self::Gte | Self::Lt | Self::Lte)
    }
}

/// Deeper nesting than this is refused: a query is written by people or dashboards.
const MAX_DEPTH: usize = 16;

/// A filter of a query; `None` for anything that isn't one, which Cube reports without saying where.
pub(super) fn parse(value: &Value) -> Option<Filter> {
    parse_within(value, MAX_DEPTH)
}

fn parse_within(value: &Value, depth: usize) -> Option<Filter> {
    let object = value.as_object().filter(|_| depth > 0)?;
    let group = |key: &str| -> Option<Vec<Filter>> {
        let members = object.get(key)?.as_array().filter(|_| object.len() == 1)?;
        members.iter().map(|member| parse_within(member, depth - 1)).collect()
    };
    if object.contains_key("and") {
        return group("and").map(Filter::And);
    }
    if object.contains_key("or") {
        return group("or").map(Filter::Or);
    }
    parse_member(object)
}

fn parse_member(object: &Map<String, Value>) -> Option<Filter> {
    let known = ["member", "dimension", "operator", "values"];
    if object.keys().any(|key| !known.contains(&key.as_str())) {
        return None;
    }
    let member = match (object.get("member"), object.get("dimension")) {
        (Some(member), None) | (None, Some(member)) => {
            member.as_str().filter(|id| super::query::is_member_id(id))?
        }
        _ => return None,
    };
    let operator = Operator::from_name(object.get("operator")?.as_str()?)?;
    let values = match object.get("values") {
        None => Vec::new(),
        Some(Value::Array(values)) => texts(values)?,
        Some(_) => return None,
    };
    Some(Filter::Member { member: member.to_owned(), operator, values })
}

/// The texts of an array's values, numbers and booleans as theirs; null stays. `None` when a value has parts.
fn texts(values: &[Value]) -> Option<Vec<Option<String>>> {
    if values.iter().any(|value| value.is_array() || value.is_object()) {
        return None;
    }
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Some(values.iter().map(text).collect())
}

impl Filter {
    /// The filter as the normalized query shows it: values as text, `dimension` renamed to `member`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Member { member, operator, values } if values.is_empty() && !operator.needs_values() => {
                json!({"member": member, "operator": operator.as_str()})
            }
            Self::Member { member, operator, values } => {
                json!({"member": member, "operator": operator.as_str(), "values": values})
            }
            Self::And(filters) => json!({"and": filters.iter().map(Self::to_json).collect::<Vec<_>>()}),
            Self::Or(filters) => json!({"or": filters.iter().map(Self::to_json).collect::<Vec<_>>()}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_text_and_groups_nest() {
        let sent = json!({"or": [
            {"dimension": "T.a", "operator": "equals", "values": [1, true, null, "x"]},
            {"and": [{"member": "T.b", "operator": "set"}]},
        ]});
        let shown = json!({"or": [
            {"member": "T.a", "operator": "equals", "values": ["1", "true", null, "x"]},
            {"and": [{"member": "T.b", "operator": "set"}]},
        ]});
        assert_eq!(parse(&sent).unwrap().to_json(), shown);
    }

    #[test]
    fn anything_else_is_no_filter() {
        for sent in [
            json!("x"),
            json!({"operator": "equals", "values": ["x"]}),
            json!({"member": "T.a", "dimension": "T.a", "operator": "equals", "values": ["x"]}),
            json!({"member": "a", "operator": "equals", "values": ["x"]}),
            json!({"member": "T.a; DROP", "operator": "equals", "values": ["x"]}),
            json!({"member": "T.a", "operator": "like", "values": ["x"]}),
            json!({"member": "T.a", "operator": "equals", "values": "x"}),
            json!({"member": "T.a", "operator": "equals", "values": null}),
            json!({"member": "T.a", "operator": "equals", "values": [{"a": 1}]}),
            json!({"member": "T.a", "operator": "equals", "values": ["x"], "foo": 1}),
            json!({"or": [], "and": []}),
            json!({"or": {}}),
        ] {
            assert_eq!(parse(&sent), None, "{sent}");
        }
    }

    #[test]
    fn endless_nesting_is_no_filter() {
        let mut filter = json!({"member": "T.a", "operator": "set"});
        for _ in 0..MAX_DEPTH {
            filter = json!({"or": [filter]});
        }
        assert_eq!(parse(&filter), None);
    }
}
