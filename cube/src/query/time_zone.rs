//! Time zones by name, in the one spelling that the time zone database has for them.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::tz::TimeZone;

/// Files of the machine's time zone database that are no zone of IANA's: what they mean depends on the machine.
const NO_ZONES: [&str; 3] = ["localtime", "posixrules", "Factory"];

/// Every zone's name by the form that Cube compares: lower case, slashes as underscores.
static NAMES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let known = jiff::tz::db().available().filter(|name| !NO_ZONES.contains(&name.as_str()));
    known.map(|name| (comparable(name.as_str()), name.as_str().to_owned())).collect()
});

/// The zone of that name, and the name as the database spells it. `utc` and `america_new_york` are found, too, as Cube finds
/// them.
pub(super) fn find(name: &str) -> Option<(TimeZone, String)> {
    let spelled = NAMES.get(&comparable(name))?;
    Some((TimeZone::get(spelled).ok()?, spelled.clone()))
}

fn comparable(name: &str) -> String {
    name.to_lowercase().replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_in_any_case_and_spelled_as_in_the_database() {
        for (sent, spelled) in [
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("america/los_angeles", "America/Los_Angeles"),
            ("America_New_York", "America/New_York"),
            ("Etc/GMT+5", "Etc/GMT+5"),
        ] {
            assert_eq!(find(sent).map(|(_, name)| name).as_deref(), Some(spelled));
        }
        for unknown in ["", "Foo/Bar", "+02:00", "../UTC", "Local", "Etc/Unknown"] {
            assert!(find(unknown).is_none(), "{unknown}");
        }
    }
}
