use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

/// The lock file: its lock says who owns the directory, its text is the owner's process id.
const LOCK: &str = "lock";
/// Owner only: the directory holds keys.
const DIRECTORY_MODE: u32 = 0o700;
/// Owner only, for the same reason.
const FILE_MODE: u32 = 0o600;

/// Why the data directory, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("the data directory {} is in use by {}; stop it, or give this one its own with --data",
        path.display(), owner(*holder))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, when it could be read.
        holder: Option<u32>,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, for instance `create`.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The directory holds something else and is open to others: closing it to them might break
    /// what they do there.
    #[error("{} is not a data directory: it holds other things, and others may enter it; name one \
        of Althing's own with --data", .0.display())]
    NotOurs(PathBuf),
    /// The database was written by a newer Althing, which may have put into it what this one would
    /// lose.
    #[error("the database {} has schema version {found}, this Althing reads versions up to {ours}; \
        start the newer Althing that wrote it, or restore the data directory as it was before",
        path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that we read.
        ours: u32,
    },
    /// The database cannot be read or written.
    #[error("cannot {action} the database {}: {reason}", path.display())]
    Database {
        /// What was being done, for instance `open`.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file name that would leave the directory, or is the lock's.
    #[error("{0:?} is not a file name inside the data directory")]
    Name(String),
}

fn owner(holder: Option<u32>) -> String {
    holder.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

/// The data directory, open and locked; dropping it unlocks it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock lives as long as this file is open: the kernel lets go of it even when the process
    /// is killed, so a crash never leaves a stale lock.
    _lock: File,
}

impl DataDir {
    /// Creates the directory (and its parents) if need be, makes it private and locks it.
    ///
    /// A directory that others may enter is tightened to 0700, with a warning in the log, if it is
    /// empty or has been ours before: `--data /tmp`, said by root, must not close `/tmp`.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process holds it; [`StoreError::NotOurs`] when it is open
    /// to others and has other things in it; [`StoreError::Io`] when it cannot be made, or belongs
    /// to somebody else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        refuse_foreign(path)?;
        create_private(path)?;
        let lock = lock(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file's content, or `None` when there is no such file. `name` may have directories in it.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.inside(name)?;
        match std::fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("read", &path)(e)),
        }
    }

    /// Writes a file as a whole, mode 0600: after a crash it holds either the old content or the
    /// new. `name` may have directories in it; they are made.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`]; the old content is then untouched.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.inside(name)?;
        let directory = path.parent().unwrap_or(&self.path).to_owned();
        create_private(&directory)?;
        // One process owns the directory, so a fixed temporary name is enough; what a crash left
        // under it is overwritten, not followed.
        let mut temporary = path.clone().into_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let result = write_new(&temporary, content)
            .map_err(failed("write", &temporary))
            .and_then(|()| std::fs::rename(&temporary, &path).map_err(failed("write", &path)))
            // The rename itself lasts only once the directory is on disk.
            .and_then(|()| {
                File::open(&directory)
                    .and_then(|d| d.sync_all())
                    .map_err(failed("write", &directory))
            });
        if result.is_err() {
            // Best effort: the error to tell is the first one.
            let _ = std::fs::remove_file(&temporary);
        }
        result
    }

    /// A file opened to append to, made with mode 0600 if it is not there. What is written to it may
    /// be there in half after a crash. `name` may have directories in it; they are made.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`].
    pub fn append(&self, name: &str) -> Result<File, StoreError> {
        self.open_file(name, OpenOptions::new().append(true).read(true))
    }

    pub(crate) fn open_file(
        &self,
        name: &str,
        options: &mut OpenOptions,
    ) -> Result<File, StoreError> {
        let path = self.inside(name)?;
        create_private(path.parent().unwrap_or(&self.path))?;
        let file = options
            .create(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failed("open", &path))?;
        // A file that somebody copied here may have kept another mode.
        file.set_permissions(Permissions::from_mode(FILE_MODE))
            .map_err(failed("make private", &path))?;
        Ok(file)
    }

    fn inside(&self, name: &str) -> Result<PathBuf, StoreError> {
        let plain = !name.is_empty()
            && name != LOCK
            && Path::new(name)
                .components()
                .all(|c| matches!(c, Component::Normal(_)));
        if plain {
            Ok(self.path.join(name))
        } else {
            Err(StoreError::Name(name.to_owned()))
        }
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let lax =
        std::fs::metadata(path).is_ok_and(|m| m.is_dir() && m.permissions().mode() & 0o077 != 0);
    if !lax || path.join(LOCK).exists() {
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path).map_err(failed("read", path))?;
    // A disk of its own has this in it from the beginning.
    let foreign = entries.any(|entry| !entry.is_ok_and(|e| e.file_name() == "lost+found"));
    if foreign {
        return Err(StoreError::NotOurs(path.to_owned()));
    }
    Ok(())
}

fn create_private(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(failed("create", path))?;
    let mode = std::fs::metadata(path)
        .map_err(failed("read", path))?
        .permissions()
        .mode()
        & 0o7777;
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))
            .map_err(failed("make private", path))?;
        tracing::warn!(
            path = %path.display(),
            was = %format_args!("{mode:04o}"),
            "data directory was open to others and has been made private"
        );
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = (&file)
                .take(16)
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(StoreError::InUse {
                path: directory.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    let mut record = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    record().map_err(failed("write", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_directory_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let data = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        data.write("tls/key.pem", b"secret").unwrap();
        assert_eq!(mode(&path.join("tls")), 0o700);
        assert_eq!(mode(&path.join("tls/key.pem")), 0o600);
        assert_eq!(mode(&path.join(LOCK)), 0o600);
    }

    #[test]
    fn a_lax_directory_is_tightened() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let _data = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn somebody_elses_directory_is_not_closed_to_them() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("shared");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("theirs"), b"").unwrap();
        let lax = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        lax(0o1777);
        let error = DataDir::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs(_)), "{error}");
        assert_eq!(mode(&path), 0o1777);
        // Private, it is taken; from then on it is ours, and closed again when somebody opens it.
        lax(0o700);
        drop(DataDir::open(&path).unwrap());
        lax(0o755);
        drop(DataDir::open(&path).unwrap());
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn the_second_to_open_is_refused_and_told_by_whom() {
        let parent = tempfile::tempdir().unwrap();
        let first = DataDir::open(parent.path()).unwrap();
        // A lock belongs to the open file, so a second opening in one process meets it as well.
        let error = DataDir::open(parent.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::InUse { holder: Some(pid), .. } if pid == std::process::id()),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains("--data") && text.contains(&std::process::id().to_string()));
        drop(first);
        assert!(DataDir::open(parent.path()).is_ok());
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let data = DataDir::open(parent.path()).unwrap();
        assert_eq!(data.read("x").unwrap(), None);
        data.write("x", b"a longer first content").unwrap();
        // What a crash left behind is in nobody's way.
        std::fs::write(parent.path().join("x.new"), b"half").unwrap();
        data.write("x", b"second").unwrap();
        assert_eq!(data.read("x").unwrap().as_deref(), Some(&b"second"[..]));
        assert!(!parent.path().join("x.new").exists());
    }

    #[test]
    fn names_stay_inside() {
        let parent = tempfile::tempdir().unwrap();
        let data = DataDir::open(parent.path()).unwrap();
        for name in ["", "..", "../x", "/etc/passwd", "a/../../x", "./x", LOCK] {
            assert!(
                matches!(data.write(name, b""), Err(StoreError::Name(_))),
                "{name}"
            );
            assert!(
                matches!(data.read(name), Err(StoreError::Name(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot create "), "{error}");
    }
}
