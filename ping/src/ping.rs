//! The Service Ping as everybody else sees it: one handle, cheap to clone, over what all its steps share. The steps are
//! in `scheduler`, `generation` and `delivery`.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use reqwest::Url;
use tally_directory::{Directory, State};
use tally_eventlog::EventLog;
use tally_query::service_ping::{PayloadKind, Plan};
use tally_query::warehouse::Warehouse;
use tally_query::{InstanceConfig, LicenseConfig};
use tally_schemas::Framings;
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;
use tally_store::Store;

use crate::config::PingConfig;
use crate::error::{PingError, StartError};
use crate::lease::Leases;
use crate::metrics::PingMetrics;
use crate::outgoing::{HttpTransport, Transport};
use crate::payload::{CYCLE, Generator, PlannedGenerator, StoredPayload};
use crate::schedule::{Schedule, Try};
use crate::scheduler::submission;
use crate::settings::{Settings, SettingsChange};
use crate::slot::WeeklySlot;
use crate::status::Status;
use crate::storage::{ClickHouseStorage, Storage};
use crate::submission::Submission;
use crate::version_check::{self, VersionStatus};

/// How long an answer to the version check is taken for the current one (GitLab's: 12 hours).
const VERSION_CHECK_INTERVAL: SignedDuration = SignedDuration::from_hours(12);

/// How many tries to send [`Status`] shows.
const SHOWN_SUBMISSIONS: usize = 5;

/// What the Service Ping stands on; made by the process.
pub struct Dependencies {
    /// What has to be read for a payload.
    pub plan: Arc<Plan>,
    /// ClickHouse, read within limits.
    pub warehouse: Warehouse,
    /// ClickHouse, where payloads are stored.
    pub store: Store,
    /// Settings, leases and the schedule; users and projects for the payload.
    pub directory: Arc<Directory>,
    /// Where the request for a payload is tracked.
    pub log: Arc<dyn EventLog>,
    /// How records of the log are framed.
    pub framings: Framings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Splay and the holder's number.
    pub randomness: Arc<dyn Randomness>,
    /// Who the instance is.
    pub instance: InstanceConfig,
    /// Its licence.
    pub license: LicenseConfig,
    /// A Prometheus server for metrics that ask one; empty for none.
    pub prometheus_url: String,
    /// Where the ping's metrics go.
    pub registry: Registry,
}

/// What a [`Ping`] is put together from; tests bring their own.
pub struct Parts {
    /// Computes payloads.
    pub generator: Arc<dyn Generator>,
    /// Keeps payloads.
    pub storage: Arc<dyn Storage>,
    /// Carries requests to the receiver.
    pub transport: Arc<dyn Transport>,
    /// As in [`Dependencies`].
    pub directory: Arc<Directory>,
    /// As in [`Dependencies`].
    pub log: Arc<dyn EventLog>,
    /// As in [`Dependencies`].
    pub framings: Framings,
    /// As in [`Dependencies`].
    pub clock: Arc<dyn Clock>,
    /// As in [`Dependencies`].
    pub randomness: Arc<dyn Randomness>,
    /// As in [`Dependencies`].
    pub instance: InstanceConfig,
    /// As in [`Dependencies`].
    pub registry: Registry,
}

/// The Service Ping.
#[derive(Clone)]
pub struct Ping(pub(crate) Arc<Shared>);

/// What [`Ping`] points to.
pub(crate) struct Shared {
    pub config: PingConfig,
    pub parts: Parts,
    pub metrics: PingMetrics,
    pub slot: WeeklySlot,
    /// `ping.base_url` without a slash at its end; `None` for nobody.
    pub receiver: Option<String>,
    /// This process, as leases name it.
    pub holder: String,
    /// Held while a payload is being sent.
    pub sending: tokio::sync::Mutex<()>,
    /// Payloads that were taken, while the directory could not be told.
    pub unnoted: Mutex<Vec<(Try, Submission)>>,
    /// The try that was announced and can still be taken back.
    withdrawable: Mutex<Option<Try>>,
    version: Mutex<Option<(Timestamp, VersionStatus)>>,
}

impl Ping {
    /// Puts the ping together over ClickHouse and the network.
    pub fn new(config: PingConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        let generator = PlannedGenerator {
            plan: dependencies.plan,
            warehouse: dependencies.warehouse,
            directory: Arc::clone(&dependencies.directory),
            instance: dependencies.instance.clone(),
            license: dependencies.license,
            prometheus_url: dependencies.prometheus_url,
        };
        let storage =
            ClickHouseStorage { store: dependencies.store, organization_id: config.organization_id };
        let parts = Parts {
            generator: Arc::new(generator),
            storage: Arc::new(storage),
            transport: Arc::new(HttpTransport::new(&config)?),
            directory: dependencies.directory,
            log: dependencies.log,
            framings: dependencies.framings,
            clock: dependencies.clock,
            randomness: dependencies.randomness,
            instance: dependencies.instance,
            registry: dependencies.registry,
        };
        Self::assemble(config, parts)
    }

    /// Puts the ping together from ready parts.
    pub fn assemble(config: PingConfig, parts: Parts) -> Result<Self, StartError> {
        let mut holder = [0; 8];
        parts.randomness.fill(&mut holder);
        Ok(Self(Arc::new(Shared {
            receiver: receiver(&config.base_url)?,
            metrics: PingMetrics::register(&parts.registry),
            slot: WeeklySlot::of(&parts.instance.uuid),
            holder: hex::encode(holder),
            config,
            parts,
            sending: tokio::sync::Mutex::default(),
            unnoted: Mutex::default(),
            withdrawable: Mutex::default(),
            version: Mutex::default(),
        })))
    }

    /// Computes the three payloads of a generation, stores them, and returns the full one. Nothing is sent.
    pub async fn generate(&self) -> Result<StoredPayload, PingError> {
        let settings = self.settings();
        if !settings.usage_ping_generation_enabled {
            return Err(PingError::GenerationOff);
        }
        let recorded_at = self.0.recording_time();
        for kind in [PayloadKind::NonSql, PayloadKind::Queries] {
            self.0.generate_kind(kind, recorded_at, settings.consent()).await?;
        }
        Ok(self.0.generate_kind(PayloadKind::Full, recorded_at, settings.consent()).await?)
    }

    /// The newest stored payload of this kind, if it was recorded within the reporting cycle, the last 7 days.
    pub async fn latest(&self, kind: PayloadKind) -> Result<Option<StoredPayload>, PingError> {
        Ok(self.0.parts.storage.latest(kind, self.0.now() - CYCLE).await?)
    }

    /// The full payload that is sent next: the reporting cycle's, or one computed and stored now, also when the customer
    /// has taken back since what the cycle's was made under.
    pub async fn preview(&self) -> Result<StoredPayload, PingError> {
        match self.latest(PayloadKind::Full).await? {
            Some(payload) if !self.0.exceeds_consent(&payload) => Ok(payload),
            _ => self.generate().await,
        }
    }

    /// The tries to send the payload that was recorded at this time, in their order.
    pub async fn submissions(&self, recorded_at: Timestamp) -> Result<Vec<Submission>, PingError> {
        Ok(self.0.parts.storage.submissions(recorded_at).await?)
    }

    /// The newest tries to send any payload, newest first.
    pub async fn recent_submissions(&self, limit: usize) -> Result<Vec<Submission>, PingError> {
        Ok(self.0.parts.storage.recent_submissions(limit).await?)
    }

    /// Sends the payload of [`Self::preview`] now. One that was taken before is not sent again: that try is returned. A
    /// failure is stored as a try, too, and returned as an error.
    pub async fn send_now(&self) -> Result<Submission, PingError> {
        let shared = &self.0;
        let settings = self.settings();
        check_consent(settings)?;
        let receiver = shared.receiver.clone().ok_or(PingError::NoReceiver)?;
        let _sending = shared.sending.lock().await;
        let payload = self.preview().await?;
        shared.store_submissions().await;
        let earlier = self.submissions(payload.recorded_at).await?;
        if let Some(taken) = earlier.iter().find(|one| one.usage_data_id.is_some()) {
            return Ok(taken.clone());
        }
        let stored_attempts = earlier.iter().map(|one| one.attempt).max().unwrap_or(0);
        let now = shared.now();
        let announced = shared.transact(|state, _, schedule| {
            let settings_now = shared.settings_of(state);
            let agreed = check_consent(settings_now).and_then(|()| {
                let is_less = settings.include_optional_data_in_service_ping
                    && !settings_now.include_optional_data_in_service_ping;
                if is_less { Err(PingError::ConsentChanged) } else { Ok(()) }
            });
            if let Err(refusal) = agreed {
                return (Err(refusal), None);
            }
            let mut begun = None;
            let schedule = schedule.unwrap_or_else(|| begun.insert(Schedule::beginning(now)));
            (Ok(schedule.announce_by_hand(payload.recorded_at, stored_attempts, now)), begun)
        });
        let one = announced.await??;
        let sent = match shared.deliver(&receiver, &payload).await {
            Ok(taken) => {
                let sent = submission(&one, &payload, Ok(taken));
                shared.succeed(&one, &sent).await?;
                shared.deliver_metadata(&payload).await;
                Ok(sent)
            }
            Err(error) => {
                shared.fail(&one, Some(&payload), error.clone()).await?;
                Err(PingError::NotTaken(error))
            }
        };
        shared.store_submissions().await;
        sent
    }

    /// The settings' effective values.
    pub fn settings(&self) -> Settings {
        self.0.settings()
    }

    /// Whether the configuration file forbids sending, so that no setting can allow it.
    pub fn is_forbidden_by_file(&self) -> bool {
        !self.0.config.usage_ping_enabled
    }

    /// Changes settings and returns the effective values, which may differ from what was asked for.
    pub async fn change_settings(&self, change: SettingsChange) -> Result<Settings, PingError> {
        let file_allows = self.0.config.usage_ping_enabled;
        let decided = self.0.parts.directory.transact(self.0.now(), |state| {
            Ok::<_, std::convert::Infallible>(((), change.changes(state, file_allows)))
        });
        decided.await?;
        Ok(self.settings())
    }

    /// What the receiver says about this version, asked at most every 12 hours; `None` when the version check is off or
    /// there is no receiver.
    pub async fn version_check(&self) -> Result<Option<VersionStatus>, PingError> {
        let shared = &self.0;
        let Some(receiver) = shared.receiver.as_ref().filter(|_| self.settings().version_check_enabled)
        else {
            return Ok(None);
        };
        let now = shared.now();
        let known = shared.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((asked_at, status)) =
            known.filter(|(asked_at, _)| now < *asked_at + VERSION_CHECK_INTERVAL)
        {
            tracing::debug!(%asked_at, "the version check was answered before");
            return Ok(Some(status));
        }
        let answer = version_check::check(&*shared.parts.transport, receiver, &shared.parts.instance).await;
        let status = answer.map_err(|error| {
            shared.metrics.failures.with_label_values(&["version_check"]).inc();
            PingError::VersionCheck(error)
        })?;
        *shared.version.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, status.clone()));
        Ok(Some(status))
    }

    /// Where the value at `key_path` comes from, as a text; `None` if no definition has that key path.
    pub async fn explain(&self, key_path: &str) -> Option<String> {
        let consent = self.settings().consent();
        self.0.parts.generator.explain(key_path, self.0.recording_time(), consent).await
    }

    /// How things stand.
    pub async fn status(&self) -> Result<Status, PingError> {
        let shared = &self.0;
        let now = shared.now();
        let submissions = self.recent_submissions(SHOWN_SUBMISSIONS).await?;
        let state = shared.parts.directory.read();
        let schedule = Schedule::read(&state);
        Ok(Status {
            slot: shared.slot,
            next_slot: shared.slot.after(now),
            receiver: shared.shown_receiver(),
            settings: shared.settings_of(&state),
            next_attempt: schedule.as_ref().and_then(Schedule::next_attempt),
            last_success: schedule.as_ref().and_then(|schedule| schedule.last_success),
            cycle: schedule.and_then(|schedule| schedule.cycle),
            leases: Leases::read(&state).held(now),
            submissions,
        })
    }
}

impl Shared {
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub fn settings(&self) -> Settings {
        self.settings_of(&self.parts.directory.read())
    }

    pub fn settings_of(&self, state: &State) -> Settings {
        Settings::effective(state, self.config.usage_ping_enabled)
    }

    /// Whom to send to, if anything may be sent at this moment, as far as this process knows.
    pub fn receiver_if_allowed(&self) -> Option<String> {
        self.receiver.clone().filter(|_| self.settings().allow_sending())
    }

    /// The receiver as people may see it: without the password that its address may hold.
    pub fn shown_receiver(&self) -> Option<String> {
        let mut url = Url::parse(self.receiver.as_ref()?).ok()?;
        let is_cleared = url.set_username("").is_ok() && url.set_password(None).is_ok();
        is_cleared.then(|| url.as_str().trim_end_matches('/').to_owned())
    }

    /// Whether the payload holds what may not be sent any more.
    pub fn exceeds_consent(&self, payload: &StoredPayload) -> bool {
        !self.settings().include_optional_data_in_service_ping && payload.may_hold_optional_data()
    }

    pub fn set_withdrawable(&self, one: Option<Try>) {
        *self.withdrawable.lock().unwrap_or_else(PoisonError::into_inner) = one;
    }

    pub fn withdrawable(&self) -> Option<Try> {
        *self.withdrawable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses what these settings forbid to send.
fn check_consent(settings: Settings) -> Result<(), PingError> {
    if !settings.usage_ping_enabled {
        return Err(PingError::OptedOut);
    }
    if settings.usage_ping_generation_enabled { Ok(()) } else { Err(PingError::GenerationOff) }
}

/// The receiver that a configuration names, checked.
fn receiver(base_url: &str) -> Result<Option<String>, StartError> {
    let base_url = base_url.trim().trim_end_matches('/');
    if base_url.is_empty() {
        return Ok(None);
    }
    let url =
        Url::parse(base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(_) => Ok(Some(base_url.to_owned())),
        None => Err(StartError::BaseUrl(base_url.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_an_http_address_or_nobody() {
        let table = [
            ("", None),
            (" ", None),
            ("https://a.example/", Some("https://a.example")),
            ("http://a/b/", Some("http://a/b")),
        ];
        for (base_url, expected) in table {
            assert_eq!(receiver(base_url).unwrap().as_deref(), expected, "{base_url:?}");
        }
        for base_url in ["a.example", "ftp://a.example", "https://", "/usage_data", "mailto:a@example.com"] {
            assert!(matches!(receiver(base_url), Err(StartError::BaseUrl(_))), "{base_url:?}");
        }
    }
}
