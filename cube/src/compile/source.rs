//! Where a cube's rows come from in SQL, and how they are kept to the project that asks.

use super::writer::{Rows, Writer, is_identifier, quoted};
use crate::CubeError;
use crate::model::{Cube, Piece, Source, Sql, Tenant};

/// Rows and the condition that keeps them to the project, which is the caller's to write.
pub(super) struct Origin {
    /// What may follow FROM, without an alias.
    pub from: String,
    pub tenant_condition: Option<String>,
}

impl Origin {
    pub fn of(writer: &mut Writer<'_>, cube: &Cube, rows: Rows) -> Result<Self, CubeError> {
        let from = match (&cube.source, table_of(cube)) {
            (_, Some(table)) => quoted_path(&table),
            (Source::Select(sql), None) => format!("({})", writer.text(cube, sql)?),
            (Source::Table(table), None) => quoted_path(table),
        };
        let tenant_condition = match &cube.tenant {
            Tenant::Column(column) => {
                let tenant = writer.tenant();
                let column = match rows {
                    Rows::Aliased => format!("{}.{}", quoted(&cube.alias), quoted(column)),
                    Rows::Bare => quoted(column),
                };
                Some(format!("{column} = {tenant}"))
            }
            Tenant::Project(project) if !writer.is_project(*project) => {
                return Err(CubeError::User(format!("Cube '{0}' not found for path '{0}'", cube.name)));
            }
            Tenant::Project(_) | Tenant::InSource => None,
        };
        Ok(Self { from, tenant_condition })
    }
}

/// The cube's rows of the project alone, to be joined to others'.
pub(super) fn own_rows(writer: &mut Writer<'_>, cube: &Cube) -> Result<String, CubeError> {
    let origin = Origin::of(writer, cube, Rows::Bare)?;
    let rows = match origin.tenant_condition {
        Some(condition) => format!("(SELECT * FROM {} WHERE {condition})", origin.from),
        None => origin.from,
    };
    Ok(format!("{rows} AS {}", quoted(&cube.alias)))
}

/// The table that a cube's rows are, if they are all rows of one: `sql_table`, or a SELECT of everything from it.
pub(super) fn table_of(cube: &Cube) -> Option<String> {
    match &cube.source {
        Source::Table(table) => Some(table.clone()),
        Source::Select(Sql(pieces)) => {
            let [Piece::Text(text)] = pieces.as_slice() else { return None };
            let words: Vec<&str> = text.split_whitespace().collect();
            let [select, "*", from, table] = words.as_slice() else { return None };
            let is_path = table.split('.').count() <= 2 && table.split('.').all(is_identifier);
            let is_plain = select.eq_ignore_ascii_case("select") && from.eq_ignore_ascii_case("from");
            (is_plain && is_path).then(|| (*table).to_owned())
        }
    }
}

/// `database.table` or `table` with its names between backquotes.
fn quoted_path(path: &str) -> String {
    path.split('.').map(quoted).collect::<Vec<_>>().join(".")
}
