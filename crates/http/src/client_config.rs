//! What clients are told before they connect: `config.js` and `interface_config.js` for stock
//! clients, and the block in our own index page. All of it is made for the request's own origin.

use althing_model::{MediaMode, Origin};
use serde_json::{Value, json};

/// What `config.js` tells, apart from the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The XMPP domain.
    pub domain: String,
    /// The version of this build, shown by our own client.
    pub version: String,
    /// Where clients send people to log in (`tokenAuthUrl`), if anywhere.
    pub login_url: Option<String>,
    /// What of media rooms are for, where nothing else is said of one.
    pub media: MediaMode,
    /// Whether clients that can send sound twice (RED).
    pub redundant_audio: bool,
}

/// The buttons of a stock client in an audio hall: all it has, without camera, screen, and what is
/// about pictures.
const HALL_BUTTONS: &[&str] = &[
    "chat",
    "closedcaptions",
    "etherpad",
    "feedback",
    "filmstrip",
    "fullscreen",
    "hangup",
    "help",
    "highlight",
    "invite",
    "linktosalesforce",
    "livestreaming",
    "microphone",
    "noisesuppression",
    "participants-pane",
    "profile",
    "raisehand",
    "recording",
    "security",
    "settings",
    "shareaudio",
    "shortcuts",
    "stats",
    "tileview",
    "whiteboard",
];

/// JSON that may stand inside a script or an HTML document: nothing in it ends either.
fn embeddable(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

impl ClientConfig {
    /// A tenant has its own rooms, told apart by the name of their service (protocol 1 §1).
    fn muc(&self, tenant: Option<&str>) -> String {
        match tenant {
            Some(tenant) => format!("muc.{tenant}.{}", self.domain),
            None => format!("muc.{}", self.domain),
        }
    }

    fn focus(&self) -> String {
        format!("focus.{}", self.domain)
    }

    /// A tenant's clients connect below its path; the reverse proxies of existing installations
    /// route by it.
    fn below(tenant: Option<&str>, path: &str) -> String {
        tenant.map_or_else(|| path.to_owned(), |tenant| format!("/{tenant}{path}"))
    }

    fn websocket(origin: &Origin, tenant: Option<&str>) -> String {
        origin.websocket_url(&Self::below(tenant, "/xmpp-websocket"))
    }

    fn bosh(origin: &Origin, tenant: Option<&str>) -> String {
        origin.http_url(&Self::below(tenant, "/http-bind"))
    }

    /// `config.js` (protocol 1 §2): plain data, since the mobile apps carry it on as JSON.
    ///
    /// `websocket` is what clients prefer; `bosh` is for those whose network lets nothing else
    /// through. No `conferenceRequestUrl`, since the request then travels on the socket that is open
    /// anyway.
    pub(crate) fn config_js(&self, origin: &Origin, tenant: Option<&str>) -> String {
        let mut config = json!({
            "hosts": {
                "domain": self.domain,
                "muc": self.muc(tenant),
                "focus": self.focus(),
            },
            "focusUserJid": format!("focus@auth.{}", self.domain),
            "websocket": Self::websocket(origin, tenant),
            "bosh": Self::bosh(origin, tenant),
            "enableWebsocketResume": true,
            "bridgeChannel": { "preferSctp": false },
            "p2p": { "enabled": false },
            "flags": {
                "sourceNameSignaling": true,
                "sendMultipleVideoStreams": true,
                "receiveMultipleVideoStreams": true,
                "ssrcRewritingEnabled": true,
            },
            "channelLastN": -1,
            // Stock clients ask for it only then, whatever the server has.
            "enableOpusRed": self.redundant_audio,
            // No request leaves this origin.
            "disableThirdPartyRequests": true,
            "gravatar": { "disabled": true },
            "analytics": { "disabled": true, "rtcstatsEnabled": false },
        });
        if let Some(url) = &self.login_url {
            config["tokenAuthUrl"] = url.as_str().into();
        }
        if !self.media.has_video() {
            config["channelLastN"] = 0.into();
            config["startAudioOnly"] = true.into();
            config["startWithVideoMuted"] = true.into();
            config["toolbarButtons"] = HALL_BUTTONS.into();
        }
        format!("var config = {};\n", embeddable(&config))
    }

    /// `interface_config.js`: stock web clients stop without it, even if it says little.
    pub(crate) fn interface_config_js() -> String {
        let config = json!({
            "APP_NAME": "Althing",
            "NATIVE_APP_NAME": "Althing",
            "PROVIDER_NAME": "Althing",
            "SHOW_JITSI_WATERMARK": false,
            "SHOW_POWERED_BY": false,
            "MOBILE_APP_PROMO": false,
        });
        format!("var interfaceConfig = {};\n", embeddable(&config))
    }

    /// The block our own client reads from its index page, instead of a further request. It has no
    /// tenant in it: that client reads the page's path itself. `media` is what the page's own room is
    /// for, where something is said of it.
    pub(crate) fn index_block(&self, origin: &Origin, media: Option<MediaMode>) -> String {
        let mut config = json!({
            "domain": self.domain,
            "muc": self.muc(None),
            "focus": self.focus(),
            "websocket": Self::websocket(origin, None),
            "version": self.version,
        });
        if let Some(url) = &self.login_url {
            config["login"] = url.as_str().into();
        }
        if !self.media.has_video() {
            config["media"] = self.media.as_str().into();
        }
        if let Some(media) = media.filter(|media| *media != self.media) {
            config["roomMedia"] = media.as_str().into();
        }
        format!(
            "<script type=\"application/json\" id=\"althing-config\">{}</script>",
            embeddable(&config)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ClientConfig {
        ClientConfig {
            domain: "meet.jitsi".into(),
            version: "1.2.3".into(),
            login_url: None,
            media: MediaMode::All,
            redundant_audio: true,
        }
    }

    fn origin(secure: bool, authority: &str) -> Origin {
        Origin {
            secure,
            authority: authority.into(),
        }
    }

    /// The object a script assigns.
    fn assigned(script: &str, name: &str) -> Value {
        let json = script
            .strip_prefix(&format!("var {name} = "))
            .and_then(|rest| rest.strip_suffix(";\n"))
            .unwrap();
        serde_json::from_str(json).unwrap()
    }

    /// What our own client reads.
    fn block(config: &ClientConfig, origin: &Origin) -> Value {
        let block = config.index_block(origin, None);
        let json = block
            .strip_prefix("<script type=\"application/json\" id=\"althing-config\">")
            .and_then(|rest| rest.strip_suffix("</script>"))
            .unwrap();
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn names_are_fixed_and_the_socket_follows_the_origin() {
        for (origin, socket, bosh) in [
            (
                origin(false, "localhost:8000"),
                "ws://localhost:8000/xmpp-websocket",
                "http://localhost:8000/http-bind",
            ),
            (
                origin(true, "192.0.2.1:8443"),
                "wss://192.0.2.1:8443/xmpp-websocket",
                "https://192.0.2.1:8443/http-bind",
            ),
            (
                origin(true, "meet.example"),
                "wss://meet.example/xmpp-websocket",
                "https://meet.example/http-bind",
            ),
        ] {
            let config = assigned(&config().config_js(&origin, None), "config");
            assert_eq!(config["websocket"], socket);
            assert_eq!(config["hosts"]["domain"], "meet.jitsi");
            assert_eq!(config["hosts"]["muc"], "muc.meet.jitsi");
            assert_eq!(config["hosts"]["focus"], "focus.meet.jitsi");
            assert_eq!(config["p2p"], json!({ "enabled": false }));
            // Cameras come in several sizes; the bridge picks.
            assert_eq!(config.get("disableSimulcast"), None);
            assert_eq!(config["flags"]["ssrcRewritingEnabled"], true);
            assert_eq!(config["bosh"], bosh);
            assert_eq!(config["enableWebsocketResume"], true);
        }
    }

    #[test]
    fn people_are_sent_to_log_in_only_where_there_is_a_place() {
        let origin = origin(true, "meet.example");
        let without = assigned(&config().config_js(&origin, None), "config");
        assert_eq!(without.get("tokenAuthUrl"), None);
        assert_eq!(block(&config(), &origin).get("login"), None);
        let with = ClientConfig {
            login_url: Some("https://login.example/?state={state}".into()),
            ..config()
        };
        assert_eq!(
            block(&with, &origin)["login"],
            "https://login.example/?state={state}"
        );
        let with = assigned(&with.config_js(&origin, None), "config");
        assert_eq!(with["tokenAuthUrl"], "https://login.example/?state={state}");
    }

    #[test]
    fn stock_clients_send_sound_twice_unless_switched_off() {
        let origin = origin(true, "meet.example");
        for redundant_audio in [true, false] {
            let config = ClientConfig {
                redundant_audio,
                ..config()
            };
            let config = assigned(&config.config_js(&origin, None), "config");
            assert_eq!(config["enableOpusRed"], redundant_audio);
        }
    }

    #[test]
    fn in_audio_halls_clients_have_nothing_to_do_with_video() {
        let origin = origin(true, "meet.example");
        let usual = assigned(&config().config_js(&origin, None), "config");
        assert_eq!(usual["channelLastN"], -1);
        for key in ["startAudioOnly", "startWithVideoMuted", "toolbarButtons"] {
            assert_eq!(usual.get(key), None, "{key}");
        }
        assert_eq!(block(&config(), &origin).get("media"), None);
        let hall = ClientConfig {
            media: MediaMode::Audio,
            ..config()
        };
        assert_eq!(block(&hall, &origin)["media"], "audio");
        // Of one room something else may be said.
        let all = hall.index_block(&origin, Some(MediaMode::All));
        assert!(all.contains("\"roomMedia\":\"all\""), "{all}");
        let same = hall.index_block(&origin, Some(MediaMode::Audio));
        assert!(!same.contains("roomMedia"), "{same}");
        let hall = assigned(&hall.config_js(&origin, None), "config");
        assert_eq!(hall["channelLastN"], 0);
        assert_eq!(hall["startAudioOnly"], true);
        assert_eq!(hall["startWithVideoMuted"], true);
        let buttons: Vec<&str> = hall["toolbarButtons"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(buttons.contains(&"microphone") && buttons.contains(&"hangup"));
        for gone in [
            "camera",
            "desktop",
            "sharedvideo",
            "videoquality",
            "select-background",
        ] {
            assert!(!buttons.contains(&gone), "{gone}");
        }
    }

    #[test]
    fn a_tenant_has_its_own_socket_and_rooms() {
        let script = config().config_js(&origin(true, "meet.example"), Some("acme"));
        let config = assigned(&script, "config");
        assert_eq!(
            config["websocket"],
            "wss://meet.example/acme/xmpp-websocket"
        );
        assert_eq!(config["bosh"], "https://meet.example/acme/http-bind");
        assert_eq!(config["hosts"]["muc"], "muc.acme.meet.jitsi");
        assert_eq!(config["hosts"]["domain"], "meet.jitsi");
    }

    #[test]
    fn the_block_cannot_end_its_script() {
        let hostile = ClientConfig {
            domain: "</script><!--".into(),
            version: "\u{2028}&".into(),
            login_url: None,
            media: MediaMode::All,
            redundant_audio: true,
        };
        let block = hostile.index_block(&origin(false, "a"), None);
        assert_eq!(block.matches("</script>").count(), 1);
        assert!(!block.contains("<!--") && !block.contains('\u{2028}') && !block.contains('&'));
        let read = self::block(&hostile, &origin(false, "a"));
        assert_eq!(read["domain"], "</script><!--");
    }

    #[test]
    fn interface_config_is_plain_data() {
        let script = ClientConfig::interface_config_js();
        assert_eq!(assigned(&script, "interfaceConfig")["APP_NAME"], "Althing");
    }
}
