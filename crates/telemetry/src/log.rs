use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For a person: one line each, coloured on a terminal.
    #[default]
    Text,
    /// For a log collector: one JSON object each.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as
    /// `info,althing_signalling=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
    /// Whether text may be coloured: only when stderr is a terminal.
    pub colour: bool,
}

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor a list of directives.
    #[error("log level {level:?} is not understood: {source}")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A log is already running in this process.
    #[error("the log is already running")]
    AlreadyRunning,
}

/// Checks a level without starting anything.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| LogError::Level {
            level: level.to_owned(),
            source,
        })
}

impl LogSettings {
    /// Whether the level is understood.
    ///
    /// # Errors
    /// [`LogError::Level`].
    pub fn check(&self) -> Result<(), LogError> {
        filter(&self.level).map(drop)
    }
}

/// Starts logging to stderr; stdout stays for what a person asked for.
///
/// # Errors
/// [`LogError::Level`] when the level is not understood; [`LogError::AlreadyRunning`] the second
/// time.
pub fn start_log(settings: &LogSettings) -> Result<(), LogError> {
    let builder = fmt()
        .with_env_filter(filter(&settings.level)?)
        .with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => builder.with_ansi(settings.colour).finish().try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .finish()
            .try_init(),
    };
    started.map_err(|_| LogError::AlreadyRunning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_named() {
        let settings = |level: &str| LogSettings {
            level: level.into(),
            format: LogFormat::Text,
            colour: false,
        };
        assert!(settings("debug").check().is_ok());
        assert!(settings("info,althing_bridge=trace").check().is_ok());
        let error = settings("althing=loud").check().unwrap_err().to_string();
        assert!(error.contains("\"althing=loud\""), "{error}");
    }
}
