//! HTTP sessions (`session_id`): what `SET`, `USE` and temporary tables leave behind between requests. A session that
//! has made no such state holds no connection.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{exception::Exception, ffi::Connection};

/// More sessions than this, and the one that has been idle longest is closed.
const LIMIT: usize = 256;
/// ClickHouse's `default_session_timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// ClickHouse's `max_session_timeout`.
pub const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

/// The session part of a request.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    pub id: String,
    pub timeout: Duration,
    /// Whether the session must exist already.
    pub must_exist: bool,
}

struct Session {
    /// `None` while a request uses it, and as long as there is nothing to keep.
    connection: Option<Connection>,
    busy: bool,
    expires: Instant,
}

/// Every open session.
#[derive(Default)]
pub struct Sessions {
    by_id: Mutex<HashMap<String, Session>>,
}

impl Sessions {
    /// Takes the session for one request, together with the connection that it has kept.
    ///
    /// Fails as ClickHouse does: `SESSION_IS_LOCKED`, `SESSION_NOT_FOUND`.
    pub fn claim(&self, request: &SessionRequest, now: Instant) -> Result<Option<Connection>, Exception> {
        let mut by_id = self.by_id.lock();
        by_id.retain(|_, session| session.busy || session.expires > now);
        if let Some(session) = by_id.get_mut(&request.id) {
            if session.busy {
                let message = format!("Session {} is locked by a concurrent client", request.id);
                return Err(Exception::new(373, "SESSION_IS_LOCKED", &message));
            }
            session.busy = true;
            return Ok(session.connection.take());
        }
        if request.must_exist {
            return Err(Exception::new(
                372,
                "SESSION_NOT_FOUND",
                &format!("Session {} not found", request.id),
            ));
        }
        if by_id.len() >= LIMIT {
            let oldest =
                by_id.iter().filter(|(_, session)| !session.busy).min_by_key(|(_, session)| session.expires);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| by_id.remove(&id));
        }
        let session = Session { connection: None, busy: true, expires: now + request.timeout };
        by_id.insert(request.id.clone(), session);
        Ok(None)
    }

    /// Gives the session back, with the connection if it now holds state.
    pub fn release(&self, request: &SessionRequest, connection: Option<Connection>, now: Instant) {
        if let Some(session) = self.by_id.lock().get_mut(&request.id) {
            session.connection = connection;
            session.busy = false;
            session.expires = now + request.timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, must_exist: bool) -> SessionRequest {
        SessionRequest { id: id.to_owned(), timeout: Duration::from_secs(10), must_exist }
    }

    #[test]
    fn a_session_serves_one_request_at_a_time_and_expires() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let code = |result: Result<Option<Connection>, Exception>| result.err().map(|error| error.code);
        assert_eq!(code(sessions.claim(&request("a", true), start)), Some(372));
        assert_eq!(code(sessions.claim(&request("a", false), start)), None);
        assert_eq!(code(sessions.claim(&request("a", false), start)), Some(373));
        sessions.release(&request("a", false), None, start);
        assert_eq!(code(sessions.claim(&request("a", true), start + Duration::from_secs(9))), None);
        sessions.release(&request("a", false), None, start + Duration::from_secs(9));
        assert_eq!(code(sessions.claim(&request("a", true), start + Duration::from_secs(20))), Some(372));
    }

    #[test]
    fn sessions_are_bounded() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        for index in 0..2 * LIMIT {
            let request = request(&index.to_string(), false);
            let at = start + Duration::from_millis(index as u64);
            assert!(sessions.claim(&request, at).is_ok());
            sessions.release(&request, None, at);
        }
        assert!(sessions.by_id.lock().len() <= LIMIT);
        assert!(sessions.claim(&request("511", true), start).is_ok());
    }
}
