//! What ClickHouse's errors mean to Tally: whether the same request may succeed at once, later, or never.

use clickhouse::error::Error;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It passes by itself: try again soon.
    Passing,
    /// Neither time nor other data help: somebody has to act (credentials, a missing table, a full disk).
    Standing,
    /// ClickHouse can't take these data.
    BadData,
}

/// ClickHouse did not answer a request, or refused it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// ClickHouse can't be reached or can't work now; the same request may succeed later.
    #[error("clickhouse is unavailable: {0}")]
    Outage(String),
    /// ClickHouse refused the request itself: sending it again won't help.
    #[error("clickhouse refused the request: {0}")]
    Refused(String),
}

impl StoreError {
    pub(super) fn timeout() -> Self {
        Self::Outage("no answer within the timeout".to_owned())
    }

    /// The code of ClickHouse's exception, if there was one.
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Outage(message) | Self::Refused(message) => code(message),
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match meaning(&error) {
            Meaning::Passing => Self::Outage(describe(&error)),
            Meaning::Standing | Meaning::BadData => Self::Refused(describe(&error)),
        }
    }
}

/// The error with its causes: the outermost alone often says just "network error".
pub fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// What to do about an error of the client.
pub fn meaning(error: &Error) -> Meaning {
    match error {
        Error::Network(_) | Error::TimedOut | Error::Decompression(_) => Meaning::Passing,
        Error::BadResponse(text) => meaning_of_response(text),
        _ => Meaning::Standing,
    }
}

fn meaning_of_response(text: &str) -> Meaning {
    match code(text) {
        Some(code) => meaning_of_code(code),
        // No exception text: something in between answered, or ClickHouse while it starts or stops.
        None => match status(text) {
            Some(408 | 425 | 429 | 500..) => Meaning::Passing,
            _ => Meaning::Standing,
        },
    }
}

/// The first `Code: N` of an exception text.
fn code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// The status that the client gives for an answer without a body: `503 Service Unavailable`.
fn status(text: &str) -> Option<u16> {
    text.split(' ').next()?.parse().ok().filter(|status| (100..600).contains(status))
}

/// By ClickHouse's error codes.
fn meaning_of_code(code: u32) -> Meaning {
    match code {
        // CANNOT_PARSE_TEXT, INCORRECT_NUMBER_OF_COLUMNS, SIZE_OF_FIXED_STRING_DOESNT_MATCH, CANNOT_PARSE_* (25, 26, 27),
        // CANNOT_READ_ALL_DATA, CANNOT_PARSE_DATE, CANNOT_PARSE_DATETIME, TYPE_MISMATCH, ARGUMENT_OUT_OF_BOUND,
        // CANNOT_CONVERT_TYPE, CANNOT_PARSE_NUMBER, INCORRECT_DATA, TOO_LARGE_ARRAY_SIZE, CANNOT_READ_ARRAY_FROM_TEXT,
        // TOO_LARGE_STRING_SIZE, SIZES_OF_ARRAYS_DONT_MATCH, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE,
        // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, CANNOT_PARSE_UUID, DECIMAL_OVERFLOW, CANNOT_PARSE_BOOL,
        // VIOLATED_CONSTRAINT, CANNOT_READ_MAP_FROM_TEXT, CANNOT_PARSE_IPV4, CANNOT_PARSE_IPV6, UNKNOWN_ELEMENT_OF_ENUM
        6
        | 7
        | 19
        | 25..=27
        | 33
        | 38
        | 41
        | 53
        | 69
        | 70
        | 72
        | 117
        | 128
        | 130
        | 131
        | 190
        | 321
        | 349
        | 376
        | 407
        | 467
        | 469
        | 563
        | 675
        | 676
        | 691 => Meaning::BadData,
        // RECEIVED_ERROR_FROM_REMOTE_IO_SERVER, CANNOT_READ_FROM_SOCKET, CANNOT_WRITE_TO_SOCKET, TIMEOUT_EXCEEDED,
        // READONLY, CANNOT_ALLOCATE_MEMORY, QUOTA_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION,
        // SOCKET_TIMEOUT, NETWORK_ERROR, NO_ZOOKEEPER, ABORTED, MEMORY_LIMIT_EXCEEDED, TABLE_IS_READ_ONLY, TOO_MANY_PARTS,
        // NO_ACTIVE_REPLICAS, CANNOT_DECOMPRESS, ALL_CONNECTION_TRIES_FAILED, UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE,
        // REPLICA_IS_NOT_IN_QUORUM, SHARD_HAS_NO_CONNECTIONS, UNKNOWN_STATUS_OF_INSERT, UNFINISHED, QUERY_WAS_CANCELLED,
        // CANNOT_SCHEDULE_TASK, DEADLOCK_AVOIDED, TOO_MANY_MUTATIONS, TABLE_IS_BEING_RESTARTED, KEEPER_EXCEPTION
        86
        | 95
        | 96
        | 159
        | 164
        | 173
        | 201..=203
        | 209
        | 210
        | 225
        | 236
        | 241
        | 242
        | 252
        | 254
        | 271
        | 279
        | 286
        | 289
        | 297
        | 319
        | 341
        | 394
        | 439
        | 473
        | 692
        | 733
        | 999 => Meaning::Passing,
        _ => Meaning::Standing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_clickhouses_code() {
        let cases = [
            (
                "Code: 252. DB::Exception: Too many parts (301). (TOO_MANY_PARTS) (version 26.7)",
                Meaning::Passing,
            ),
            (
                "Code: 241. DB::Exception: (total) memory limit exceeded (MEMORY_LIMIT_EXCEEDED)",
                Meaning::Passing,
            ),
            ("Code: 242. DB::Exception: Table is in readonly mode (TABLE_IS_READ_ONLY)", Meaning::Passing),
            ("Code: 999. Coordination::Exception: Session expired. (KEEPER_EXCEPTION)", Meaning::Passing),
            ("503 Service Unavailable", Meaning::Passing),
            ("Code: 33. DB::Exception: Cannot read all data. (CANNOT_READ_ALL_DATA)", Meaning::BadData),
            ("Code: 117. DB::Exception: Bad data. (INCORRECT_DATA)", Meaning::BadData),
            ("Code: 60. DB::Exception: Table tally.t does not exist. (UNKNOWN_TABLE)", Meaning::Standing),
            ("Code: 516. DB::Exception: Authentication failed (AUTHENTICATION_FAILED)", Meaning::Standing),
            ("Code: 243. DB::Exception: No space (NOT_ENOUGH_SPACE)", Meaning::Standing),
            ("404 Not Found", Meaning::Standing),
        ];
        for (text, meaning_expected) in cases {
            assert_eq!(meaning(&Error::BadResponse(text.to_owned())), meaning_expected, "{text}");
        }
        assert_eq!(meaning(&Error::TimedOut), Meaning::Passing);
        assert_eq!(meaning(&Error::Network("reset".into())), Meaning::Passing);
    }

    #[test]
    fn a_description_names_the_cause() {
        assert_eq!(describe(&Error::Network("connection reset".into())), "network error: connection reset");
    }
}
