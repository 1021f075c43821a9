//! The one embedded database: tables of bytes by name, each change on disk before it is done.
//!
//! Its schema version is that of what all its rows mean together. It rises when an older Althing
//! could no longer read them rightly; such an older one then refuses the database, and changes
//! nothing in it.

use crate::directory::{DataDir, StoreError};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::fmt::Display;
use std::fs::OpenOptions;
use std::path::PathBuf;

/// The schema version that this Althing writes, and the highest that it reads.
pub const SCHEMA: u32 = 1;
/// The database's file in the data directory.
const FILE: &str = "althing.redb";
/// How much of it is kept in memory at most, in bytes; it is small.
const CACHE: usize = 4 * 1024 * 1024;
const ABOUT: TableDefinition<'_, &str, u32> = TableDefinition::new("about");
const VERSION: &str = "schema";

/// The tables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Rooms planned beforehand, by name.
    PlannedRooms,
}

impl Table {
    const fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        match self {
            Self::PlannedRooms => TableDefinition::new("planned_rooms"),
        }
    }
}

/// The database, open. Its calls wait for the disk.
#[derive(Debug)]
pub struct Database {
    database: redb::Database,
    path: PathBuf,
}

impl Database {
    /// Opens it, or makes an empty one with mode 0600. After a crash it is what it was after the
    /// last change that was done.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer Althing wrote it; [`StoreError::Database`] when it is
    /// damaged or no database; [`StoreError::Io`].
    pub fn open(data: &DataDir) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        let file = data.open_file(FILE, options.read(true).write(true).truncate(false))?;
        let path = data.path().join(FILE);
        let failed = |reason: &dyn Display| StoreError::Database {
            action: "open",
            path: path.clone(),
            reason: reason.to_string(),
        };
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .create_file(file)
            .map_err(|e| failed(&e))?;
        let opened = Self { database, path };
        opened.check_version()?;
        Ok(opened)
    }

    /// Looks at the version before anything is written; a new database is given ours.
    fn check_version(&self) -> Result<(), StoreError> {
        let found = self.attempt("read", || {
            let read = self.database.begin_read()?;
            match read.open_table(ABOUT) {
                Ok(table) => Ok(table.get(VERSION)?.map(|version| version.value())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(other) => Err(other.into()),
            }
        })?;
        match found {
            Some(found) if found > SCHEMA => Err(StoreError::Newer {
                path: self.path.clone(),
                found,
                ours: SCHEMA,
            }),
            Some(_) => Ok(()),
            None => self.set_version(SCHEMA),
        }
    }

    fn set_version(&self, version: u32) -> Result<(), StoreError> {
        self.attempt("write", || {
            let write = self.database.begin_write()?;
            write.open_table(ABOUT)?.insert(VERSION, version)?;
            Ok(write.commit()?)
        })
    }

    /// Writes a row, instead of one there may be.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing changed then.
    pub fn put(&self, table: Table, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.attempt("write", || {
            let write = self.database.begin_write()?;
            write.open_table(table.definition())?.insert(key, value)?;
            Ok(write.commit()?)
        })
    }

    /// A row, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.attempt("read", || {
            let read = self.database.begin_read()?;
            match read.open_table(table.definition()) {
                Ok(table) => Ok(table.get(key)?.map(|row| row.value().to_vec())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(other) => Err(other.into()),
            }
        })
    }

    /// Takes a row away; whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing changed then.
    pub fn remove(&self, table: Table, key: &str) -> Result<bool, StoreError> {
        self.attempt("write", || {
            let write = self.database.begin_write()?;
            let was_there = write.open_table(table.definition())?.remove(key)?.is_some();
            write.commit()?;
            Ok(was_there)
        })
    }

    /// All rows, by key.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn all(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.attempt("read", || {
            let read = self.database.begin_read()?;
            let table = match read.open_table(table.definition()) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(other) => return Err(other.into()),
            };
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(rows)
        })
    }

    fn attempt<T>(
        &self,
        action: &'static str,
        deed: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        deed().map_err(|error| StoreError::Database {
            action,
            path: self.path.clone(),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const TABLE: Table = Table::PlannedRooms;

    #[test]
    fn rows_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let database = Database::open(&data).unwrap();
        assert_eq!(database.all(TABLE).unwrap(), []);
        assert_eq!(database.get(TABLE, "a").unwrap(), None);
        database.put(TABLE, "b", b"2").unwrap();
        database.put(TABLE, "a", b"0").unwrap();
        database.put(TABLE, "a", b"1").unwrap();
        drop(database);
        let mode = std::fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let database = Database::open(&data).unwrap();
        let rows = [
            ("a".to_owned(), b"1".to_vec()),
            ("b".to_owned(), b"2".to_vec()),
        ];
        assert_eq!(database.all(TABLE).unwrap(), rows);
        assert!(database.remove(TABLE, "a").unwrap());
        assert!(!database.remove(TABLE, "a").unwrap());
        assert_eq!(database.get(TABLE, "a").unwrap(), None);
        assert_eq!(
            database.get(TABLE, "b").unwrap().as_deref(),
            Some(&b"2"[..])
        );
    }

    #[test]
    fn a_newer_schema_is_refused_by_both_versions_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let database = Database::open(&data).unwrap();
        database.put(TABLE, "a", b"1").unwrap();
        database.set_version(SCHEMA + 6).unwrap();
        drop(database);
        for _ in 0..2 {
            let error = Database::open(&data).unwrap_err();
            let newer = matches!(error, StoreError::Newer { found, ours, .. }
                if found == SCHEMA + 6 && ours == SCHEMA);
            assert!(newer, "{error}");
            let text = error.to_string();
            assert!(
                text.contains("schema version 7") && text.contains("up to 1"),
                "{text}"
            );
        }
    }

    /// What is on disk while the program runs is what a kill leaves.
    #[test]
    fn a_kill_loses_nothing_that_was_done() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let database = Database::open(&data).unwrap();
        database.put(TABLE, "a", b"1").unwrap();
        let killed = tempfile::tempdir().unwrap();
        let other = DataDir::open(killed.path()).unwrap();
        std::fs::copy(folder.path().join(FILE), killed.path().join(FILE)).unwrap();
        database.put(TABLE, "b", b"2").unwrap();
        let left = Database::open(&other).unwrap();
        assert_eq!(left.all(TABLE).unwrap(), [("a".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn what_is_no_database_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        std::fs::write(folder.path().join(FILE), b"something else entirely").unwrap();
        let error = Database::open(&data).unwrap_err().to_string();
        assert!(error.starts_with("cannot open the database"), "{error}");
        let kept = std::fs::read(folder.path().join(FILE)).unwrap();
        assert_eq!(kept, b"something else entirely");
    }
}
