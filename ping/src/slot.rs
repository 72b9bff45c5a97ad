//! The instance's weekly slot: which minute of the week, in UTC, its UUID stands for.

use std::fmt;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A minute of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeeklySlot {
    /// The day.
    pub weekday: Weekday,
    /// 0 to 23.
    pub hour: i8,
    /// 0 to 59.
    pub minute: i8,
}

impl WeeklySlot {
    /// The slot of the instance with this UUID, by the contract's rule: minute = SHA256(uuid + "minute") mod 60, hour =
    /// SHA256(uuid + "hour") mod 24, weekday = SHA256(uuid) mod 7 from Sunday.
    pub fn of(uuid: &str) -> Self {
        let hashed = |suffix: &str, modulus| remainder(&Sha256::digest(format!("{uuid}{suffix}")), modulus);
        let weekday = Weekday::from_sunday_zero_offset(hashed("", 7)).expect("a remainder of 7 is a weekday");
        Self { weekday, hour: hashed("hour", 24), minute: hashed("minute", 60) }
    }

    /// The last such minute's beginning that is not after `now`.
    pub fn at_or_before(self, now: Timestamp) -> Timestamp {
        let today = now.to_zoned(TimeZone::UTC).date();
        let days = today.weekday().since(self.weekday);
        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute);
        let midnight = today.to_zoned(TimeZone::UTC).expect("UTC has every midnight").timestamp();
        let slot =
            midnight - SignedDuration::from_hours(24 * i64::from(days)) + SignedDuration::from_mins(minutes);
        if slot > now { slot - WEEK } else { slot }
    }

    /// The first such minute's beginning after `now`.
    pub fn after(self, now: Timestamp) -> Timestamp {
        self.at_or_before(now) + WEEK
    }
}

/// The hash, read as one big hexadecimal number, modulo `modulus`.
fn remainder(hash: &[u8], modulus: u32) -> i8 {
    let rest = hash.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % modulus);
    i8::try_from(rest).expect("the moduli are at most 60")
}

impl fmt::Display for WeeklySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:02}:{:02} UTC", self.weekday, self.hour, self.minute)
    }
}
