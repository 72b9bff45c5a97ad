//! How things stand with the Service Ping, for people.

use std::fmt;

use jiff::Timestamp;

use crate::lease::Lease;
use crate::schedule::{Cycle, Outcome};
use crate::settings::Settings;
use crate::slot::WeeklySlot;
use crate::submission::Submission;

/// How things stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The instance's minute of the week.
    pub slot: WeeklySlot,
    /// When the next generation is due.
    pub next_slot: Timestamp,
    /// Where payloads go; `None` for nowhere.
    pub receiver: Option<String>,
    /// The settings' effective values.
    pub settings: Settings,
    /// What became of the last slot; `None` before the first.
    pub cycle: Option<Cycle>,
    /// When the next try to send is due, of a payload that was not taken yet.
    pub next_attempt: Option<Timestamp>,
    /// When a payload was taken last.
    pub last_success: Option<Timestamp>,
    /// Leases that hold at the moment.
    pub leases: Vec<Lease>,
    /// The newest tries to send, newest first.
    pub submissions: Vec<Submission>,
}

impl Status {
    /// Whether the next payload will be sent, and to whom.
    pub fn destination(&self) -> String {
        match &self.receiver {
            _ if !self.settings.usage_ping_generation_enabled => {
                "no payload is computed: usage_ping_generation_enabled is off".to_owned()
            }
            _ if !self.settings.usage_ping_enabled => "not sent: usage_ping_enabled is off".to_owned(),
            None => "not sent: ping.base_url is empty".to_owned(),
            Some(receiver) => format!("sent to {receiver}"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "slot          {}, next {}", self.slot, self.next_slot)?;
        writeln!(f, "destination   {}", self.destination())?;
        match &self.cycle {
            None => writeln!(f, "last slot     none yet")?,
            Some(cycle) => {
                writeln!(f, "last slot     {}: {}", cycle.slot, cycle.outcome)?;
                match cycle.recorded_at {
                    Some(recorded_at) => writeln!(f, "payload       recorded {recorded_at}")?,
                    None => writeln!(f, "payload       none")?,
                }
                writeln!(f, "tries         {}", cycle.attempts)?;
                if let Some(error) = &cycle.last_error {
                    writeln!(f, "last error    {error}")?;
                }
            }
        }
        if let Some(next_attempt) = self.next_attempt {
            writeln!(f, "next try      {next_attempt}")?;
        }
        match self.last_success {
            Some(last_success) => writeln!(f, "last success  {last_success}")?,
            None => writeln!(f, "last success  never")?,
        }
        for lease in &self.leases {
            writeln!(f, "lease         {} held by {} until {}", lease.kind, lease.holder, lease.until)?;
        }
        for submission in &self.submissions {
            writeln!(f, "submission    {submission}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "under way",
            Self::Sent => "sent",
            Self::NotSent => "computed and stored, not sent",
            Self::GenerationOff => "nothing computed, as usage_ping_generation_enabled was off",
            Self::GivenUp => "given up after the last try",
        })
    }
}
