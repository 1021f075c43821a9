//! File, environment and flags, turned once into plain [`Settings`].
//!
//! Every key is one entry of a table ([`keys`]): its name, its documentation, its default as
//! written in a file, and how it is read. The file's keys, the `ALTHING_…` variables, the
//! command-line flags and the example file all come from that table, so none can be forgotten. The
//! keys of tokens (`[[auth.key]]`) and what rooms begin with (`[[room]]`) are lists of tables, and
//! stand in the file alone.
//!
//! ```text
//!   defaults ◄── file (TOML) ◄── ALTHING_* ◄── flags        the later one wins
//!       └──────────────┬─────────────────────────┘
//!                   Settings ──► each shell's own settings (in the program)
//! ```
//!
//! An unknown key is an error that names it, where it stands, and the nearest known one. Nothing
//! here opens a socket, creates a file or reads the environment: it is all handed in.

mod api;
mod auth;
mod example;
mod file;
mod keys;
mod load;
mod room;
mod settings;
mod value;

pub use example::example;
pub use keys::{Key, keys, nearest};
pub use load::{ConfigError, Problem, Sources, Where, load};
pub use settings::{
    Advertise, Api, ApiKey, Audit, Auth, AuthKey, AuthKeySource, Endpoint, Hosts, Http, Limits,
    Log, LogFormat, Media, Moderators, PasswordSource, Rate, RoomPreset, Rooms, SecretSource,
    Settings, TokenRules, Webhook,
};
pub use value::duration;
