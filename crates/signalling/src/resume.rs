//! Sessions that may be gone on with (XEP-0198), by the id their clients were given. The id is a
//! bearer secret: the first half finds the session, the second is compared in constant time.

use crate::clock::OsEntropy;
use crate::wire::Connection;
use althing_model::{ClientInfo, Entropy as _, Identity, Secret};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Letters and digits, five bits each: the half that finds a session.
const HANDLE: usize = 16;
/// The half that is compared.
const SECRET: usize = 32;
/// How many connections may want one session at once; a further one is told that it is not there.
pub(crate) const CLAIMS: usize = 4;

/// A connection that wants to go on with a session; sent to that session's task.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) connection: Connection,
    pub(crate) info: ClientInfo,
    pub(crate) identity: Option<Arc<Identity>>,
    /// How many stanzas the client has.
    pub(crate) handled: u32,
    /// Where the connection goes back to if it came too late. Dropped when it is taken.
    pub(crate) refused: oneshot::Sender<Connection>,
}

#[derive(Debug)]
struct Entry {
    secret: Secret,
    node: String,
    identity: Option<Arc<Identity>>,
    claims: mpsc::Sender<Box<Claim>>,
    ended: CancellationToken,
}

/// All sessions of this node that may be gone on with.
#[derive(Debug, Default)]
pub(crate) struct Resumable {
    entries: Mutex<HashMap<String, Entry>>,
}

impl Resumable {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a session whose client has this local part, and whose task takes `claims`; `ended`
    /// is what ends it.
    pub(crate) fn issue(
        &self,
        node: String,
        identity: Option<Arc<Identity>>,
        claims: mpsc::Sender<Box<Claim>>,
        ended: CancellationToken,
    ) -> String {
        let handle = OsEntropy.token(HANDLE);
        let secret = OsEntropy.token(SECRET);
        let id = format!("{handle}-{secret}");
        let entry = Entry {
            secret: Secret::new(secret),
            node,
            identity,
            claims,
            ended,
        };
        self.entries().insert(handle, entry);
        id
    }

    pub(crate) fn withdraw(&self, id: &str) {
        if let Some((handle, _)) = id.split_once('-') {
            self.entries().remove(handle);
        }
    }

    /// Whoever goes on with a session from now on is compared with this person.
    pub(crate) fn identify(&self, id: &str, identity: Option<Arc<Identity>>) {
        if let Some((handle, _)) = id.split_once('-')
            && let Some(entry) = self.entries().get_mut(handle)
        {
            entry.identity = identity;
        }
    }

    fn find<T>(
        &self,
        id: &str,
        identity: Option<&Identity>,
        read: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let (handle, secret) = id.split_once('-')?;
        let entries = self.entries();
        let entry = entries.get(handle)?;
        let may = entry.secret.matches(secret) && same(entry.identity.as_deref(), identity);
        may.then(|| read(entry))
    }

    /// The local part that whoever knows this id logs in by, too (protocol 1 §7.3).
    pub(crate) fn node(&self, id: &str, identity: Option<&Identity>) -> Option<String> {
        self.find(id, identity, |entry| entry.node.clone())
    }

    /// The way to the session of this id.
    pub(crate) fn claims(
        &self,
        id: &str,
        identity: Option<&Identity>,
    ) -> Option<mpsc::Sender<Box<Claim>>> {
        self.find(id, identity, |entry| entry.claims.clone())
    }

    /// Ends the session of this id: its client begins anew (protocol 1 §10.3).
    pub(crate) fn supersede(&self, id: &str, identity: Option<&Identity>) {
        if let Some(ended) = self.find(id, identity, |entry| entry.ended.clone()) {
            ended.cancel();
        }
    }
}

/// Whether a new token speaks of the same person, for the same rooms. A guest may have logged in
/// meanwhile; nobody becomes a guest, or somebody else.
fn same(before: Option<&Identity>, now: Option<&Identity>) -> bool {
    match (before, now) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(before), Some(now)) => {
            let person = match before.id() {
                Some(id) => now.id() == Some(id),
                None => before.user == now.user,
            };
            person && before.rooms == now.rooms && before.tenant == now.tenant
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_model::RoomClaim;

    fn person(id: &str) -> Identity {
        Identity {
            user: [("id".to_owned(), id.to_owned())].into(),
            ..Identity::default()
        }
    }

    #[test]
    fn only_the_same_person_goes_on() {
        let elsewhere = Identity {
            rooms: RoomClaim::Named("other".into()),
            ..person("ada")
        };
        let mut renamed = person("ada");
        renamed.user.insert("name".into(), "Ada L.".into());
        for (before, now, expected) in [
            (None, None, true),
            (None, Some(person("ada")), true),
            (Some(person("ada")), None, false),
            (Some(person("ada")), Some(person("ada")), true),
            (Some(person("ada")), Some(renamed), true),
            (Some(person("ada")), Some(person("eve")), false),
            (Some(person("ada")), Some(elsewhere), false),
            (Some(Identity::default()), Some(person("eve")), false),
            (Some(Identity::default()), Some(Identity::default()), true),
        ] {
            assert_eq!(same(before.as_ref(), now.as_ref()), expected);
        }
    }

    #[test]
    fn an_id_is_all_or_nothing() {
        let resumable = Resumable::default();
        let (claims, _receiver) = mpsc::channel(1);
        let ended = CancellationToken::new();
        let id = resumable.issue("4a1f09c2-x".into(), None, claims, ended.clone());
        assert!(
            id.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "{id}"
        );
        assert_eq!(resumable.node(&id, None).as_deref(), Some("4a1f09c2-x"));
        let mut other = id.clone();
        other.pop();
        other.push(if id.ends_with('a') { 'b' } else { 'a' });
        let longer = format!("{id}a");
        for wrong in [
            "",
            "-",
            "x",
            &id[..HANDLE + 1],
            &id[..HANDLE],
            &other,
            &longer,
        ] {
            assert_eq!(resumable.node(wrong, None), None, "{wrong}");
            resumable.supersede(wrong, None);
        }
        assert!(!ended.is_cancelled());
        resumable.supersede(&id, None);
        assert!(ended.is_cancelled());
        resumable.withdraw(&id);
        assert!(resumable.claims(&id, None).is_none());
    }
}
