//! Whether new meetings should go elsewhere.

use tokio::sync::watch;

/// The switch: turned by the operator over HTTP, and for good by the program when it is to end.
/// Clones are one switch.
#[derive(Debug, Clone, Default)]
pub struct Drain(watch::Sender<Asked>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    by_operator: bool,
    by_the_end: bool,
}

impl Drain {
    /// Whether new meetings should go elsewhere.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let asked = *self.0.borrow();
        asked.by_operator || asked.by_the_end
    }

    /// The program is going to end: nobody turns this off again.
    pub fn for_good(&self) {
        self.change(|asked| asked.by_the_end = true);
    }

    /// What the operator wants; says what holds then.
    pub(crate) fn ask(&self, on: bool) -> bool {
        self.change(|asked| asked.by_operator = on);
        self.is_on()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Asked> {
        self.0.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Asked)) {
        let before = self.is_on();
        self.0.send_if_modified(|asked| {
            let old = *asked;
            change(asked);
            *asked != old
        });
        let after = self.is_on();
        if before != after {
            tracing::info!(
                on = after,
                "drain switched: new meetings should go elsewhere"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_turns_it_on_and_off_but_not_back_from_the_end() {
        let drain = Drain::default();
        assert!(!drain.is_on());
        assert!(drain.ask(true));
        assert!(drain.is_on());
        assert!(!drain.ask(false));
        drain.for_good();
        assert!(drain.is_on());
        assert!(drain.ask(false));
    }

    #[test]
    fn who_listens_is_told_of_changes_alone() {
        let drain = Drain::default();
        let changes = drain.changes();
        drain.ask(false);
        assert!(!changes.has_changed().unwrap());
        drain.ask(true);
        assert!(changes.has_changed().unwrap());
    }
}
