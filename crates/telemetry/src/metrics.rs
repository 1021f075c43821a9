use crate::process::ProcessCollector;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of what [`encode`] writes (OpenMetrics 1.0, which Prometheus asks for first).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry whose every metric begins with `althing_`, with the process's own figures and the
/// build's version already in it.
///
/// A part takes its own corner with `sub_registry_with_prefix("bridge")`.
#[must_use]
pub fn registry(version: &'static str) -> Registry {
    let mut registry = Registry::with_prefix("althing");
    registry.register(
        "build",
        "What is running: the version of this build",
        Info::new(vec![("version", version)]),
    );
    registry.register_collector(Box::new(ProcessCollector::default()));
    registry
}

/// Every metric as OpenMetrics text, for the `/metrics` page.
#[must_use]
pub fn encode(registry: &Registry) -> String {
    let mut text = String::with_capacity(16 * 1024);
    prometheus_client::encoding::text::encode(&mut text, registry)
        .expect("writing to a string does not fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn the_page_has_build_process_and_registered_metrics() {
        let mut registry = registry("1.2.3");
        let sent = Counter::<u64>::default();
        registry.sub_registry_with_prefix("bridge").register(
            "packets_sent",
            "Packets sent to clients",
            sent.clone(),
        );
        sent.inc_by(7);
        let page = encode(&registry);
        for line in [
            "althing_build_info{version=\"1.2.3\"} 1\n",
            "# HELP althing_bridge_packets_sent Packets sent to clients.\n",
            "althing_bridge_packets_sent_total 7\n",
            "# TYPE althing_process_resident_memory_bytes gauge\n",
            "# EOF\n",
        ] {
            assert!(page.contains(line), "{line:?} is missing in\n{page}");
        }
    }
}
