//! ClickHouse's exceptions as they travel: code, text, and the HTTP status that ClickHouse gives each code.

use http::StatusCode;

/// An error as ClickHouse reports it: `Code: N. DB::Exception: … (NAME)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    pub code: u32,
    pub message: String,
}

impl Exception {
    /// An exception of this server, in ClickHouse's words.
    pub fn new(code: u32, name: &str, message: &str) -> Self {
        Self { code, message: format!("Code: {code}. DB::Exception: {message} ({name})") }
    }

    /// An exception text of the engine. One without a code counts as `STD_EXCEPTION` (1001).
    pub fn from_engine(message: String) -> Self {
        let code = message
            .split_once("Code: ")
            .and_then(|(_, rest)| rest.split(|character: char| !character.is_ascii_digit()).next())
            .and_then(|digits| digits.parse().ok());
        match code {
            Some(code) => Self { code, message },
            None => Self::new(1001, "STD_EXCEPTION", &message),
        }
    }

    pub fn cancelled() -> Self {
        Self::new(394, "QUERY_WAS_CANCELLED", "Query was cancelled.")
    }

    pub fn bad_request(message: &str) -> Self {
        Self::new(408, "BAD_REQUEST_PARAMETER", message)
    }

    /// The text as ClickHouse sends it: with the version, one line break at the end.
    pub fn text(&self, version: &str) -> String {
        let message = self.message.trim_end();
        if message.contains("(version ") {
            format!("{message}\n")
        } else {
            format!("{message} (version {version} (official build))\n")
        }
    }

    /// The HTTP status, as in ClickHouse's own table.
    pub fn status(&self) -> StatusCode {
        match self.code {
            // REQUIRED_PASSWORD
            194 => StatusCode::UNAUTHORIZED,
            // UNKNOWN_USER, WRONG_PASSWORD, ACCESS_DENIED, SET_NON_GRANTED_ROLE, AUTHENTICATION_FAILED
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            // Whatever can't be parsed, and BAD_ARGUMENTS.
            6
            | 8
            | 15
            | 25..=27
            | 36..=38
            | 41
            | 44
            | 53
            | 62
            | 72
            | 117
            | 123
            | 167
            | 168
            | 223
            | 321
            | 376
            | 408
            | 427
            | 441
            | 675
            | 676 => StatusCode::BAD_REQUEST,
            // UNKNOWN_TABLE, UNKNOWN_DATABASE, UNKNOWN_SETTING and the other unknown things.
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            // TIMEOUT_EXCEEDED
            159 => StatusCode::REQUEST_TIMEOUT,
            // HTTP_LENGTH_REQUIRED
            381 => StatusCode::LENGTH_REQUIRED,
            // QUERY_IS_TOO_LARGE, TOO_MANY_BYTES (a request body past the limit)
            229 | 307 => StatusCode::PAYLOAD_TOO_LARGE,
            // UNSUPPORTED_MEDIA_TYPE
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // NOT_IMPLEMENTED
            48 => StatusCode::NOT_IMPLEMENTED,
            // CANNOT_OPEN_FILE, SOCKET_TIMEOUT, CANNOT_SCHEDULE_TASK, TOO_MANY_SIMULTANEOUS_QUERIES
            76 | 202 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The frame at the end of a body whose headers said success: ClickHouse 25.11 and later put the text between
    /// markers with a tag that the `X-ClickHouse-Exception-Tag` header announced.
    pub fn frame(&self, tag: &str, version: &str) -> String {
        let text = self.text(version);
        format!("\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n", text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_engines_text() {
        let text = "Code: 60. DB::Exception: Unknown table 'x'. (UNKNOWN_TABLE)";
        let exception = Exception::from_engine(text.to_owned());
        assert_eq!((exception.code, exception.status()), (60, StatusCode::NOT_FOUND));
        assert_eq!(exception.text("26.7"), format!("{text} (version 26.7 (official build))\n"));
        assert_eq!(Exception::from_engine("boom".to_owned()).code, 1001);
    }

    #[test]
    fn the_frame_counts_the_text_with_its_line_break() {
        let frame = Exception::new(1, "X", "y.").frame("tag", "v");
        assert_eq!(
            frame,
            "\r\n__exception__\r\ntag\r\nCode: 1. DB::Exception: y. (X) (version v (official build))\n60 tag\r\n__exception__\r\n"
        );
    }
}
