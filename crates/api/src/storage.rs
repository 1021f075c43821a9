use std::fmt::Debug;
use std::fs::File;
use std::io;

/// Where what must outlive the program is kept; its calls may wait for a disk.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Every planned room, by its key.
    ///
    /// # Errors
    /// When it cannot be read.
    fn plans(&self) -> io::Result<Vec<(String, Vec<u8>)>>;

    /// Keeps a planned room, instead of one there may be under this key.
    ///
    /// # Errors
    /// When it cannot be kept; what was there is still there.
    fn put_plan(&self, key: &str, plan: &[u8]) -> io::Result<()>;

    /// Forgets a planned room.
    ///
    /// # Errors
    /// When it could not be taken away.
    fn remove_plan(&self, key: &str) -> io::Result<()>;

    /// The file of a month's audit log, opened to append to and to read, private; `month` is
    /// `2026-11`.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn audit_file(&self, month: &str) -> io::Result<File>;
}
