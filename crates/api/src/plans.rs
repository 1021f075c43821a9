//! Rooms planned beforehand: kept by a [`Storage`], and in memory for rooms to be made by.

use crate::clock;
use crate::error::{Code, Error};
use crate::storage::Storage;
use althing_control::rooms::{RoomName, RoomPlan};
use althing_model::{MediaMode, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many rooms may be planned.
const MAX_PLANS: usize = 10_000;
const MAX_NAME: usize = 200;
const MAX_PASSWORD: usize = 256;
const MAX_SUBJECT: usize = 500;
/// A week; longer than any meeting.
const MAX_SECONDS: u64 = 7 * 24 * 3600;
const MAX_OCCUPANTS: usize = 100_000;

/// The rooms planned beforehand. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Plans(Arc<Table>);

#[derive(Debug)]
struct Table {
    storage: Arc<dyn Storage>,
    plans: Mutex<BTreeMap<RoomName, RoomPlan>>,
    /// Held by whoever changes what is stored, for as long as that takes.
    writer: Mutex<()>,
}

/// As it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    room: RoomName,
    plan: RoomPlan,
}

impl Plans {
    pub(crate) fn load(storage: Arc<dyn Storage>) -> io::Result<Self> {
        let mut plans = BTreeMap::new();
        for (key, row) in storage.plans()? {
            let row: Row = serde_json::from_slice(&row).map_err(|error| {
                io::Error::other(format!("the plan of {key:?} is malformed: {error}"))
            })?;
            plans.insert(row.room, row.plan);
        }
        Ok(Self(Arc::new(Table {
            storage,
            plans: Mutex::new(plans),
            writer: Mutex::new(()),
        })))
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<RoomName, RoomPlan>> {
        self.0.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is planned for a room, its name in lower case.
    #[must_use]
    pub fn find(&self, room: &RoomName) -> Option<RoomPlan> {
        let plan = self.table().get(room).cloned();
        plan.filter(|plan| !is_over(plan, clock::now_millis()))
    }

    pub(crate) fn all(&self) -> Vec<(RoomName, RoomPlan)> {
        let now = clock::now_millis();
        self.table()
            .iter()
            .filter(|(_, plan)| !is_over(plan, now))
            .map(|(room, plan)| (room.clone(), plan.clone()))
            .collect()
    }

    /// Plans a room, or plans it anew; whether it was not planned before. Waits for the disk.
    pub(crate) fn put(&self, room: RoomName, plan: RoomPlan) -> Result<bool, Error> {
        let _writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_past()?;
        let known = self.table();
        let is_new = !known.contains_key(&room);
        let full = is_new && known.len() >= MAX_PLANS;
        drop(known);
        if full {
            let text = format!("{MAX_PLANS} rooms are planned, and no more can be");
            return Err(Error::new(Code::TooManyPlans, text));
        }
        let row = Row {
            room: room.clone(),
            plan: plan.clone(),
        };
        let bytes = serde_json::to_vec(&row).map_err(|e| failed(&io::Error::other(e)))?;
        let stored = self.0.storage.put_plan(&key(&room), &bytes);
        stored.map_err(|e| failed(&e))?;
        self.table().insert(room, plan);
        Ok(is_new)
    }

    /// Forgets a plan; whether there was one. Waits for the disk.
    pub(crate) fn remove(&self, room: &RoomName) -> Result<bool, Error> {
        let _writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.find(room).is_none() {
            return Ok(false);
        }
        self.0
            .storage
            .remove_plan(&key(room))
            .map_err(|e| failed(&e))?;
        self.table().remove(room);
        Ok(true)
    }

    fn forget_past(&self) -> Result<(), Error> {
        let now = clock::now_millis();
        let past: Vec<RoomName> = self
            .table()
            .iter()
            .filter(|(_, plan)| is_over(plan, now))
            .map(|(room, _)| room.clone())
            .collect();
        for room in past {
            self.0
                .storage
                .remove_plan(&key(&room))
                .map_err(|e| failed(&e))?;
            self.table().remove(&room);
        }
        Ok(())
    }
}

fn failed(error: &io::Error) -> Error {
    tracing::error!(%error, "planned rooms cannot be stored");
    Error::new(Code::Failed, "it could not be stored; the log says why")
}

fn is_over(plan: &RoomPlan, now: u64) -> bool {
    plan.expires_millis.is_some_and(|end| end <= now)
}

/// No tenant has a slash in it.
fn key(room: &RoomName) -> String {
    format!(
        "{}/{}",
        room.tenant.as_deref().unwrap_or_default(),
        room.name
    )
}

/// A room by what stands in a request; in the form that links and addresses lead to.
pub(crate) fn room_name(name: &str, tenant: Option<&str>) -> Result<RoomName, Error> {
    let name = name.trim().to_lowercase();
    let strange = name.chars().any(char::is_control);
    if name.is_empty() || name.len() > MAX_NAME || strange {
        let text = format!("a room's name has 1 to {MAX_NAME} bytes, and no control characters");
        return Err(Error::invalid(text));
    }
    let tenant = tenant.map(|t| t.to_lowercase().replace('.', "_"));
    let fits = |tenant: &String| {
        (1..=63).contains(&tenant.len())
            && tenant
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    if tenant.as_ref().is_some_and(|tenant| !fits(tenant)) {
        let text = "a tenant has 1 to 63 letters, digits, dots, hyphens and underscores";
        return Err(Error::invalid(text));
    }
    Ok(RoomName { tenant, name })
}

/// A plan as a request says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    password: Option<Secret>,
    lobby: Option<bool>,
    max_occupants: Option<usize>,
    subject: Option<String>,
    start_muted: Option<Vec<Media>>,
    media: Option<MediaMode>,
    max_duration_seconds: Option<u64>,
    opens_at: Option<String>,
    expires_at: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Media {
    Audio,
    Video,
}

impl Wanted {
    pub(crate) fn checked(self, now: u64) -> Result<RoomPlan, Error> {
        let check = |fits: bool, text: &str| {
            if fits {
                Ok(())
            } else {
                Err(Error::invalid(text))
            }
        };
        if let Some(password) = &self.password {
            let length = password.expose().len();
            check(
                (1..=MAX_PASSWORD).contains(&length),
                "password has 1 to 256 bytes",
            )?;
        }
        if let Some(most) = self.max_occupants {
            check(
                (1..=MAX_OCCUPANTS).contains(&most),
                "max_occupants is 1 to 100000",
            )?;
        }
        if let Some(subject) = &self.subject {
            check(
                subject.len() <= MAX_SUBJECT,
                "subject has 500 bytes at most",
            )?;
        }
        if let Some(seconds) = self.max_duration_seconds {
            check(
                (60..=MAX_SECONDS).contains(&seconds),
                "max_duration_seconds is 60 to 604800",
            )?;
        }
        let time = |text: Option<String>, what: &str| match text {
            None => Ok(None),
            Some(text) => clock::read(&text).map(Some).ok_or_else(|| {
                Error::invalid(format!("{what} is a time such as 2026-11-21T08:00:00Z"))
            }),
        };
        let opens = time(self.opens_at, "opens_at")?;
        let expires = time(self.expires_at, "expires_at")?;
        if let Some(expires) = expires {
            check(expires > now, "expires_at is over")?;
            check(
                opens.is_none_or(|opens| opens < expires),
                "expires_at is after opens_at",
            )?;
        }
        let muted = |media| self.start_muted.as_ref().map(|all| all.contains(&media));
        Ok(RoomPlan {
            start_muted_audio: muted(Media::Audio),
            start_muted_video: muted(Media::Video),
            password: self.password,
            lobby: self.lobby,
            max_occupants: self.max_occupants,
            subject: self.subject,
            media: self.media,
            max_duration: self.max_duration_seconds.map(Duration::from_secs),
            opens_millis: opens,
            expires_millis: expires,
        })
    }
}

/// A plan as it is answered; nobody is told the password.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    room: RoomName,
    has_password: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lobby: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_occupants: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_muted: Option<Vec<Media>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duration_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Shown {
    pub(crate) fn of(room: RoomName, plan: RoomPlan) -> Self {
        let muted = [
            (Media::Audio, plan.start_muted_audio),
            (Media::Video, plan.start_muted_video),
        ];
        let said = muted.iter().any(|(_, said)| said.is_some());
        Self {
            room,
            has_password: plan.password.is_some(),
            lobby: plan.lobby,
            max_occupants: plan.max_occupants,
            subject: plan.subject,
            start_muted: said.then(|| {
                let muted = muted.into_iter().filter(|(_, said)| *said == Some(true));
                muted.map(|(media, _)| media).collect()
            }),
            media: plan.media,
            max_duration_seconds: plan.max_duration.map(|longest| longest.as_secs()),
            opens_at: plan.opens_millis.map(clock::written),
            expires_at: plan.expires_millis.map(clock::written),
        }
    }
}

#[cfg(test)]
mod tests;
