//! A compiled query: SQL text in which every value is a bound parameter. Values reach ClickHouse beside the text, never
//! inside it; identifiers in the text come from Tally's own code or from a data model, never from a request.

use std::fmt;

/// A value bound to a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    Text(String),
    Texts(Vec<String>),
    Integer(i64),
    Integers(Vec<i64>),
    Unsigned(u64),
    Float(f64),
    Floats(Vec<f64>),
}

/// SQL and the values of its parameters: `{p0:String}` takes the first value, `{p1:…}` the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    /// The text, with ClickHouse's `{name:Type}` placeholders.
    pub sql: String,
    /// The values, in the order of their placeholders' numbers.
    pub parameters: Vec<Parameter>,
}

impl Statement {
    /// Binds a value and returns the placeholder to write where it belongs. `kind` is a ClickHouse type.
    pub fn bind(&mut self, value: Parameter, kind: &str) -> String {
        let placeholder = format!("{{{}:{kind}}}", Self::parameter_name(self.parameters.len()));
        self.parameters.push(value);
        placeholder
    }

    /// Binds a text as `String`.
    pub fn bind_text(&mut self, value: impl Into<String>) -> String {
        self.bind(Parameter::Text(value.into()), "String")
    }

    /// The name of the parameter with this number.
    pub fn parameter_name(number: usize) -> String {
        format!("p{number}")
    }
}

/// The text, then one line a parameter: what tests compare and logs show.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)?;
        for (number, value) in self.parameters.iter().enumerate() {
            write!(f, "\n{} = {value:?}", Self::parameter_name(number))?;
        }
        Ok(())
    }
}
