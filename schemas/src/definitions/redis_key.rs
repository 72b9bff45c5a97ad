//! A counter's key as GitLab writes it in Redis, without slot and week: what its lists of legacy names go by
//! (contracts/gitlab-definitions.md, 1.6).

use std::fmt::Write as _;

use crate::counter::{Counter, CounterKind, FilterValue, Identifier};

/// `<name>[-operator:<operator>][-filter:[<key>:<value>,…]][-<identifier>]`, the filter's keys in order, of the
/// identifier the part before its first dot.
pub(super) fn redis_key(counter: &Counter) -> String {
    let mut key = counter.event.clone();
    let (operator, identifier) = match &counter.kind {
        CounterKind::Total => (None, None),
        CounterKind::SumOfValue => (Some("sum(value)"), None),
        CounterKind::Unique(identifier) => (None, Some(identifier)),
        CounterKind::UniqueTotals(identifier) => (Some("total"), Some(identifier)),
    };
    if let Some(operator) = operator {
        write_infallibly(&mut key, format_args!("-operator:{operator}"));
    }
    if !counter.filter.is_empty() {
        let pairs: Vec<String> =
            counter.filter.iter().map(|(name, value)| format!("{name}:{}", plain(value))).collect();
        write_infallibly(&mut key, format_args!("-filter:[{}]", pairs.join(",")));
    }
    if let Some(identifier) = identifier {
        write_infallibly(&mut key, format_args!("-{}", head(identifier)));
    }
    key
}

fn write_infallibly(key: &mut String, part: std::fmt::Arguments<'_>) {
    key.write_fmt(part).expect("writing to a string can't fail");
}

fn plain(value: &FilterValue) -> String {
    match value {
        FilterValue::String(text) => text.clone(),
        FilterValue::Number(number) => number.to_string(),
    }
}

fn head(identifier: &Identifier) -> &str {
    let unique = identifier.as_unique();
    unique.split_once('.').map_or(unique, |(head, _)| head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_gitlabs_lists() {
        let table = [
            ("create_snippet", "create_snippet"),
            ("create_snippet.unique(user.id)", "create_snippet-user"),
            ("push_tag.unique(property)", "push_tag-property"),
            (
                r#"ci_template_included{label="android",property="false"}.unique(project.id)"#,
                "ci_template_included-filter:[label:android,property:false]-project",
            ),
            (r#"delete_package{label="conan"}"#, "delete_package-filter:[label:conan]"),
            ("minutes{value=1}.sum(value)", "minutes-operator:sum(value)-filter:[value:1]"),
            ("minutes.totals(label)", "minutes-operator:total-label"),
        ];
        for (counter, key) in table {
            assert_eq!(redis_key(&counter.parse().unwrap()), key);
        }
    }
}
