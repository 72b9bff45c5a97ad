//! What a project says about its product analytics: the key that its trackers send, and its funnels. The YAML form of a
//! funnel is GitLab's, with one more action.

use serde::{Deserialize, Serialize};

/// The product analytics of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProductAnalytics {
    /// What trackers send as their application's id. Whoever reads the site reads it, so it is no secret, but no two
    /// projects share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instrumentation_key: Option<String>,
    /// In the order in which they are listed; no two have the same [`Funnel::cube_name`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub funnels: Vec<Funnel>,
}

impl ProductAnalytics {
    /// How many funnels a project may have.
    pub const MAX_FUNNELS: usize = 100;
    const MAX_KEY_BYTES: usize = 255;

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The funnel with this cube's name.
    pub fn funnel(&self, cube_name: &str) -> Option<&Funnel> {
        self.funnels.iter().find(|funnel| funnel.cube_name() == cube_name)
    }

    /// Everything that is wrong, each with the field below `product_analytics`, such as `funnels[1].steps`.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let Some(key) = &self.instrumentation_key
            && let Err(problem) = Self::check_key(key)
        {
            problems.push(("instrumentation_key".to_owned(), problem));
        }
        if self.funnels.len() > Self::MAX_FUNNELS {
            problems.push(("funnels".to_owned(), format!("expected at most {}", Self::MAX_FUNNELS)));
        }
        for (index, funnel) in self.funnels.iter().enumerate() {
            let problem_of =
                |(field, problem): (String, String)| (format!("funnels[{index}].{field}"), problem);
            problems.extend(funnel.problems().into_iter().map(problem_of));
            let name = funnel.cube_name();
            if self.funnels[..index].iter().any(|earlier| earlier.cube_name() == name) {
                problems.push((
                    format!("funnels[{index}].name"),
                    format!("{name:?} is another funnel's name, too"),
                ));
            }
        }
        problems
    }

    /// Whether trackers can send this key; says why not.
    pub fn check_key(key: &str) -> Result<(), String> {
        let is_plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain && key.len() <= Self::MAX_KEY_BYTES {
            Ok(())
        } else {
            Err(format!("expected 1 to {} printable ASCII characters without spaces", Self::MAX_KEY_BYTES))
        }
    }
}

/// Steps that visitors take one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funnel {
    /// What people call it.
    pub name: String,
    /// How long a visitor has from the first step to the last.
    pub seconds_to_convert: u64,
    /// In their order.
    pub steps: Vec<FunnelStep>,
}

impl Funnel {
    /// ClickHouse's `windowFunnel` takes no more.
    pub const MAX_STEPS: usize = 32;
    /// Ninety days. An event is looked at once for each day of the window on which its visitor entered the funnel.
    pub const MAX_SECONDS_TO_CONVERT: u64 = 90 * 24 * 60 * 60;
    const MAX_NAME_BYTES: usize = 100;

    /// The name in the data model, as GitLab makes it: lower case, everything but letters and digits as `_`.
    pub fn cube_name(&self) -> String {
        cube_name(&self.name)
    }

    /// Everything that is wrong, each with its field.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, text: String| problems.push((field.to_owned(), text));
        if !self.cube_name().starts_with(|first: char| first.is_ascii_lowercase()) {
            problem("name", "expected a name that begins with a letter from A to Z".to_owned());
        } else if self.name.len() > Self::MAX_NAME_BYTES {
            problem("name", format!("expected at most {} bytes", Self::MAX_NAME_BYTES));
        }
        if !(1..=Self::MAX_SECONDS_TO_CONVERT).contains(&self.seconds_to_convert) {
            let text = format!("expected 1 to {} seconds", Self::MAX_SECONDS_TO_CONVERT);
            problem("seconds_to_convert", text);
        }
        if !(1..=Self::MAX_STEPS).contains(&self.steps.len()) {
            problem("steps", format!("expected 1 to {} steps", Self::MAX_STEPS));
        }
        for (index, step) in self.steps.iter().enumerate() {
            let field = |name: &str| format!("steps[{index}].{name}");
            if let Err(text) = step.check_name() {
                problem(&field("name"), text);
            } else if self.steps[..index].iter().any(|earlier| earlier.name == step.name) {
                problem(&field("name"), format!("{:?} is another step's name, too", step.name));
            }
            if let Err(text) = step.check_target() {
                problem(&field("target"), text);
            }
        }
        problems
    }
}

/// A name as GitLab parameterizes it (`"Completed purchase!"` is `completed_purchase`).
pub fn cube_name(name: &str) -> String {
    let words =
        name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// One step of a funnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunnelStep {
    /// Unique within the funnel.
    pub name: String,
    /// What a visitor does.
    pub action: FunnelAction,
    /// With what: a page's path, or an event's name.
    pub target: String,
}

impl FunnelStep {
    const MAX_NAME_BYTES: usize = 255;
    const MAX_TARGET_BYTES: usize = 2_048;

    fn check_name(&self) -> Result<(), String> {
        check_text(&self.name, Self::MAX_NAME_BYTES)
    }

    fn check_target(&self) -> Result<(), String> {
        check_text(&self.target, Self::MAX_TARGET_BYTES)?;
        let is_path = self.target.starts_with('/') && !self.target.contains(['?', '#']);
        match self.action {
            FunnelAction::Pageview if !is_path => {
                Err("expected a path that begins with / and has neither ? nor #".to_owned())
            }
            FunnelAction::Pageview | FunnelAction::Event => Ok(()),
        }
    }
}

fn check_text(text: &str, max_bytes: usize) -> Result<(), String> {
    let is_good = (1..=max_bytes).contains(&text.len()) && !text.contains('\0');
    if is_good { Ok(()) } else { Err(format!("expected 1 to {max_bytes} bytes, none of them 0")) }
}

/// What a visitor does in a step. GitLab knows `pageview` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunnelAction {
    /// Views the page with this path.
    Pageview,
    /// Does something that is recorded as an event of this name.
    Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn funnel(name: &str) -> Funnel {
        let step = |name: &str, action, target: &str| FunnelStep {
            name: name.into(),
            action,
            target: target.into(),
        };
        let steps = vec![
            step("look", FunnelAction::Pageview, "/products"),
            step("buy", FunnelAction::Event, "purchase completed"),
        ];
        Funnel { name: name.into(), seconds_to_convert: 3_600, steps }
    }

    #[test]
    fn names_become_the_names_of_cubes_as_in_gitlab() {
        for (name, expected) in [
            ("completed_purchase", "completed_purchase"),
            ("Completed purchase!", "completed_purchase"),
            ("  a -- B2 ", "a_b2"),
            ("Ärger", "rger"),
            ("###", ""),
        ] {
            assert_eq!(cube_name(name), expected, "{name}");
        }
    }

    #[test]
    fn every_problem_names_its_field() {
        let mut bad = funnel("1st");
        bad.seconds_to_convert = 0;
        bad.steps[0].target = "products".into();
        bad.steps[1].name = "look".into();
        let mut long = funnel("long");
        long.steps.clear();
        let analytics = ProductAnalytics {
            instrumentation_key: Some("a b".into()),
            funnels: vec![funnel("One two"), bad, long, funnel("one-two")],
        };
        let problems = analytics.problems();
        let fields: Vec<&str> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "instrumentation_key",
                "funnels[1].name",
                "funnels[1].seconds_to_convert",
                "funnels[1].steps[0].target",
                "funnels[1].steps[1].name",
                "funnels[2].steps",
                "funnels[3].name",
            ]
        );
    }

    #[test]
    fn a_funnel_without_problems_has_none() {
        let analytics = ProductAnalytics {
            instrumentation_key: Some("AppKey_0-9.~".into()),
            funnels: vec![funnel("one"), funnel("two")],
        };
        assert_eq!(analytics.problems(), []);
        assert_eq!(analytics.funnel("two"), Some(&analytics.funnels[1]));
    }
}
