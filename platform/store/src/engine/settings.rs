//! Settings and database of one request: `SET` and `USE` on the request's own connection.

use super::{
    exception::Exception,
    ffi::{Connection, QueryResult},
};

/// `Some(value)` or the default.
type Setting<V> = (String, V);

/// A value that `SET` understands.
pub trait SettingValue {
    fn sql(&self) -> String;
}

impl SettingValue for String {
    fn sql(&self) -> String {
        quote(self)
    }
}

impl SettingValue for Option<String> {
    fn sql(&self) -> String {
        self.as_deref().map_or_else(|| "DEFAULT".to_owned(), quote)
    }
}

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn run(connection: &mut Connection, sql: &str) -> Result<QueryResult, Exception> {
    connection.query(sql.as_bytes(), "JSONCompactEachRow", &[]).map_err(Exception::from_engine)
}

/// Makes `database` the current one.
pub fn use_database(connection: &mut Connection, database: &str) -> Result<(), Exception> {
    let quoted = database.replace('\\', "\\\\").replace('`', "\\`");
    run(connection, &format!("USE `{quoted}`")).map(drop)
}

/// The name of the current database.
pub fn current_database(connection: &mut Connection) -> Result<String, Exception> {
    let rows = run(connection, "SELECT currentDatabase()")?;
    let (database,): (String,) = serde_json::from_slice(rows.as_ref()).map_err(|error| unreadable(&error))?;
    Ok(database)
}

fn unreadable(error: &serde_json::Error) -> Exception {
    Exception::new(1001, "STD_EXCEPTION", &format!("The session's state can't be read: {error}"))
}

/// Sets every setting. The errors are the engine's own.
pub fn apply<V: SettingValue>(connection: &mut Connection, settings: &[Setting<V>]) -> Result<(), Exception> {
    if settings.is_empty() {
        return Ok(());
    }
    for (name, _) in settings {
        check_name(name)?;
    }
    let list: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name} = {}", value.sql())).collect();
    run(connection, &format!("SET {}", list.join(", "))).map(drop)
}

/// Setting names are words; anything else would be SQL.
fn check_name(name: &str) -> Result<(), Exception> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(Exception::new(
        115,
        "UNKNOWN_SETTING",
        &format!(
            "Setting {name} is neither a builtin setting nor started with the prefix 'SQL_' registered for user-defined settings"
        ),
    ))
}

/// What the named settings are now, to be applied again later: a value where one is set, else the default.
pub fn current(
    connection: &mut Connection,
    settings: &[Setting<String>],
) -> Result<Vec<Setting<Option<String>>>, Exception> {
    if settings.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = settings.iter().map(|(name, _)| quote(name)).collect();
    let sql =
        format!("SELECT name, value FROM system.settings WHERE changed AND name IN ({})", names.join(", "));
    let rows = run(connection, &sql)?;
    let changed: Vec<(String, String)> = serde_json::Deserializer::from_slice(rows.as_ref())
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    let value_of =
        |name: &str| changed.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    Ok(settings.iter().map(|(name, _)| (name.clone(), value_of(name))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_names_are_words() {
        assert_eq!("it's \\ 1".to_owned().sql(), "'it\\'s \\\\ 1'");
        assert_eq!(None::<String>.sql(), "DEFAULT");
        assert!(check_name("max_threads").is_ok());
        for name in ["", "a b", "a=1, b", "a'"] {
            assert_eq!(check_name(name).unwrap_err().code, 115, "{name}");
        }
    }
}
