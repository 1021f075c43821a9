use super::*;
use std::fs::File;

/// Rows in memory; whether they can be written.
#[derive(Debug, Default)]
struct Memory {
    rows: Mutex<BTreeMap<String, Vec<u8>>>,
    broken: Mutex<bool>,
}

impl Memory {
    fn writable(&self) -> io::Result<MutexGuard<'_, BTreeMap<String, Vec<u8>>>> {
        if *self.broken.lock().unwrap() {
            return Err(io::Error::other("the disk is full"));
        }
        Ok(self.rows.lock().unwrap())
    }
}

impl Storage for Memory {
    fn plans(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.rows.lock().unwrap().clone().into_iter().collect())
    }

    fn put_plan(&self, key: &str, plan: &[u8]) -> io::Result<()> {
        self.writable()?.insert(key.to_owned(), plan.to_vec());
        Ok(())
    }

    fn remove_plan(&self, key: &str) -> io::Result<()> {
        self.writable()?.remove(key);
        Ok(())
    }

    fn audit_file(&self, _: &str) -> io::Result<File> {
        Err(io::Error::other("there is no audit log here"))
    }
}

fn room(tenant: Option<&str>, name: &str) -> RoomName {
    room_name(name, tenant).unwrap()
}

fn wanted(json: &str) -> Result<RoomPlan, Error> {
    let wanted: Wanted = serde_json::from_str(json).map_err(|e| Error::invalid(e.to_string()))?;
    wanted.checked(clock::read("2026-01-01T00:00:00Z").unwrap())
}

#[test]
fn plans_survive_a_restart_and_end_by_themselves() {
    let memory = Arc::new(Memory::default());
    let storage: Arc<dyn Storage> = Arc::<Memory>::clone(&memory);
    let plans = Plans::load(Arc::clone(&storage)).unwrap();
    let (school, board) = (room(Some("School"), "Board"), room(None, "board"));
    let locked = wanted(r#"{"password":"hunter2","max_duration_seconds":90}"#).unwrap();
    assert!(plans.put(school.clone(), locked.clone()).unwrap());
    assert!(!plans.put(school.clone(), locked.clone()).unwrap());
    let over = RoomPlan {
        expires_millis: Some(1),
        ..RoomPlan::default()
    };
    assert!(plans.put(board.clone(), over).unwrap());

    let plans = Plans::load(storage).unwrap();
    assert_eq!(plans.find(&school), Some(locked.clone()));
    assert_eq!(plans.find(&board), None);
    assert_eq!(plans.all(), [(school.clone(), locked)]);
    // What is over is forgotten when something is stored.
    assert_eq!(memory.rows.lock().unwrap().len(), 2);
    assert!(plans.put(school.clone(), RoomPlan::default()).is_ok());
    assert_eq!(memory.rows.lock().unwrap().len(), 1);
    assert!(plans.remove(&school).unwrap());
    assert!(!plans.remove(&school).unwrap());
    assert!(memory.rows.lock().unwrap().is_empty());
}

#[test]
fn what_cannot_be_stored_changes_nothing() {
    let memory = Arc::new(Memory::default());
    let plans = Plans::load(Arc::<Memory>::clone(&memory)).unwrap();
    let board = room(None, "board");
    plans.put(board.clone(), RoomPlan::default()).unwrap();
    *memory.broken.lock().unwrap() = true;
    let lobby = wanted(r#"{"lobby":true}"#).unwrap();
    let error = plans.put(board.clone(), lobby).unwrap_err();
    assert_eq!(error.code(), Code::Failed);
    assert!(plans.remove(&board).is_err());
    assert_eq!(plans.find(&board), Some(RoomPlan::default()));
}

#[test]
fn a_malformed_row_is_named() {
    let memory = Memory::default();
    memory.put_plan("/board", b"{").unwrap();
    let error = Plans::load(Arc::new(memory)).unwrap_err().to_string();
    assert!(error.contains("/board"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for json in [
        r#"{"password":""}"#,
        r#"{"max_occupants":0}"#,
        r#"{"max_duration_seconds":59}"#,
        r#"{"start_muted":["desktop"]}"#,
        r#"{"opens_at":"tomorrow"}"#,
        r#"{"expires_at":"2025-12-31T23:59:59Z"}"#,
        r#"{"opens_at":"2026-02-02T00:00:00Z","expires_at":"2026-02-01T00:00:00Z"}"#,
        r#"{"passwort":"hunter2"}"#,
        "[]",
    ] {
        assert!(wanted(json).is_err(), "{json}");
    }
    assert_eq!(wanted("{}"), Ok(RoomPlan::default()));
    for (name, tenant) in [
        ("", None),
        (" ", None),
        ("a\nb", None),
        ("a", Some("x y")),
        ("a", Some("")),
    ] {
        assert!(room_name(name, tenant).is_err(), "{name:?} {tenant:?}");
    }
    assert_eq!(
        room(Some("Acme.Corp"), " My Room "),
        RoomName {
            tenant: Some("acme_corp".into()),
            name: "my room".into(),
        }
    );
}

#[test]
fn nobody_is_told_a_password() {
    let plan = wanted(r#"{"password":"hunter2","start_muted":["audio"]}"#).unwrap();
    let shown = serde_json::to_string(&Shown::of(room(None, "board"), plan)).unwrap();
    assert_eq!(
        shown,
        r#"{"name":"board","has_password":true,"start_muted":["audio"]}"#
    );
}
