//! The interface as a whole, without rooms.

use super::*;
use althing_bus::InProcess;
use std::fs::File;
use std::io;

/// Keeps nothing; the audit log goes to a file without a name.
#[derive(Debug)]
struct Nowhere;

impl Storage for Nowhere {
    fn plans(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        Ok(Vec::new())
    }

    fn put_plan(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn remove_plan(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn audit_file(&self, _: &str) -> io::Result<File> {
        tempfile::tempfile()
    }
}

/// Requests may still be under way then.
#[tokio::test]
async fn everything_ends_while_the_routes_are_still_there() {
    let secret = Secret::new("0123456789abcdef");
    let settings = Settings {
        node: NodeId::new("n1").unwrap(),
        keys: vec![Key {
            name: "ops".into(),
            secret: secret.clone(),
        }],
        webhooks: vec![Webhook {
            url: "http://127.0.0.1:9/".into(),
            secret,
            events: Vec::new(),
        }],
        audit: Audit::Attendance,
    };
    let mut registry = althing_telemetry::registry("0");
    let bus = Arc::new(InProcess::new());
    let api = Api::start(settings, bus, Arc::new(Nowhere), &mut registry).unwrap();
    let router = api.router();
    // The feed, the audit log, and the webhook.
    assert_eq!(api.tasks.len(), 3);
    api.shutdown().await;
    assert_eq!(api.tasks.len(), 0);
    drop(router);
}
