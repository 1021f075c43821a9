//! Why a variable of docker-jitsi-meet is not taken over.

/// By name, or by how it begins when that ends in `*`; the first that fits counts.
const REASONS: &[(&[&str], &str)] = &[
    (
        &[
            "CONFIG",
            "TZ",
            "RESTART_POLICY",
            "JITSI_IMAGE_VERSION",
            "JITSI_REPO",
            "VIDEOBRIDGE_MAX_MEMORY",
            "JICOFO_MAX_MEMORY",
            "NGINX_*",
        ],
        "it is about containers; Althing is one program, and its data lies in \"data\"",
    ),
    (
        &[
            "JICOFO_AUTH_PASSWORD",
            "JICOFO_AUTH_USER",
            "JICOFO_COMPONENT_SECRET",
            "JVB_AUTH_*",
            "JVB_BREWERY_MUC",
            "JVB_MUC_NICKNAME",
            "JIGASI_XMPP_*",
            "JIBRI_XMPP_*",
            "JIBRI_RECORDER_*",
            "JIBRI_BREWERY_MUC",
            "XMPP_SERVER",
            "XMPP_PORT",
            "XMPP_BOSH_URL_BASE",
            "XMPP_INTERNAL_MUC_DOMAIN",
            "XMPP_AUTH_DOMAIN",
            "JVB_XMPP_*",
            "ENABLE_JVB_XMPP_SERVER",
            "PROSODY_MODE",
        ],
        "the parts of Althing are one program and do not log in to each other",
    ),
    (
        &[
            "XMPP_GUEST_DOMAIN",
            "XMPP_MUC_DOMAIN",
            "XMPP_HIDDEN_DOMAIN",
            "XMPP_RECORDER_DOMAIN",
            "ENABLE_AUTH_DOMAIN",
            "PROSODY_GUEST_AUTH_TYPE",
        ],
        "these names follow from \"domain\"; guests and hosts share it",
    ),
    (
        &["JWT_AUTH_TYPE", "JWT_TOKEN_AUTH_MODULE"],
        "it names a module of Prosody",
    ),
    (
        &[
            "XMPP_MODULES",
            "XMPP_MUC_MODULES",
            "XMPP_INTERNAL_MUC_MODULES",
            "GLOBAL_MODULES",
            "GLOBAL_CONFIG",
        ],
        "it names modules of Prosody; with auth.hosts = \"authenticated\" guests wait for a host, as with \
         muc_wait_for_host",
    ),
    (
        &[
            "JICOFO_ENABLE_AUTH",
            "PROSODY_AUTH_TYPE",
            "JICOFO_AUTH_TYPE",
        ],
        "there are no parts to be told apart; auth.hosts and auth.moderators say what it was for",
    ),
    (
        &["ENABLE_AUTO_LOGIN", "JICOFO_AUTH_LIFETIME"],
        "nothing is remembered beside the token, which says itself how long it is good for",
    ),
    (
        &[
            "JWT_ACCEPTED_ALLOWNER_ISSUERS",
            "WAIT_FOR_HOST_DISABLE_AUTO_OWNERS",
        ],
        "a token says itself who is a moderator (context.user.moderator); else auth.moderators does",
    ),
    (&["LDAP_*", "MATRIX_*"], "people log in with tokens only"),
    (
        &[
            "ENABLE_LETSENCRYPT",
            "LETSENCRYPT_*",
            "ENABLE_HTTP_REDIRECT",
            "ENABLE_HSTS",
        ],
        "certificates are not fetched; let a reverse proxy do HTTPS, or use the self-signed one",
    ),
    (
        &[
            "TURN_*",
            "TURNS_*",
            "STUN_*",
            "JVB_STUN_SERVERS",
            "JVB_DISABLE_STUN",
            "P2P_*",
            "ENABLE_P2P",
        ],
        "media goes to media.port at the local and the advertised addresses; there is no TURN or STUN",
    ),
    (
        &[
            "ENABLE_RECORDING",
            "ENABLE_SERVICE_RECORDING",
            "ENABLE_FILE_RECORDING_SHARING",
            "ENABLE_LIVESTREAMING*",
            "ENABLE_LOCAL_RECORDING*",
            "DISABLE_LOCAL_RECORDING",
            "JIBRI_*",
            "DROPBOX_*",
        ],
        "there is no recording yet",
    ),
    (
        &[
            "ENABLE_COLIBRI_WEBSOCKET*",
            "COLIBRI_WEBSOCKET_*",
            "JVB_WS_*",
            "DISABLE_COLIBRI_WEBSOCKET_JVB_LOOKUP",
            "ENABLE_XMPP_WEBSOCKET",
            "BOSH_RELATIVE",
            "JVB_PREFER_SCTP",
            "ENABLE_SUBDOMAINS",
        ],
        "clients are always offered what works; there is nothing to choose",
    ),
    (
        &[
            "ENABLE_OCTO",
            "JVB_OCTO_*",
            "OCTO_*",
            "JICOFO_OCTO_*",
            "MAX_BRIDGE_PARTICIPANTS",
            "BRIDGE_*",
            "AUTOSCALER_*",
        ],
        "there is one bridge, inside the program",
    ),
    (
        &[
            "JVB_COLIBRI_PORT",
            "COLIBRI_REST_ENABLED",
            "SHUTDOWN_REST_ENABLED",
            "PROSODY_ENABLE_METRICS",
            "PROSODY_METRICS_*",
            "JICOFO_ENABLE_HEALTH_CHECKS",
            "JICOFO_ENABLE_REST",
            "JICOFO_REST_PORT",
        ],
        "statistics and health are always at http.admin_listen",
    ),
    (
        &["ENABLE_VISITORS", "VISITORS_*", "PROSODY_VISITORS_*"],
        "there are no visitor nodes",
    ),
    (
        &[
            "JIGASI_*",
            "ENABLE_TRANSCRIPTIONS",
            "DIALIN_*",
            "DIALOUT_*",
            "CONFCODE_URL",
            "INVITE_SERVICE_URL",
            "PEOPLE_SEARCH_URL",
            "ENABLE_JAAS_COMPONENTS",
            "ETHERPAD_*",
            "WHITEBOARD_*",
        ],
        "it is for another service, which Althing does not speak to",
    ),
    (
        &[
            "ENABLE_LOBBY",
            "ENABLE_AV_MODERATION",
            "ENABLE_BREAKOUT_ROOMS",
            "ENABLE_END_CONFERENCE",
        ],
        "the moderators of each meeting decide; there is no setting for all",
    ),
    (
        &[
            "AMPLITUDE_ID",
            "GOOGLE_ANALYTICS_ID",
            "MATOMO_*",
            "ANALYTICS_*",
            "RTCSTATS_*",
        ],
        "nothing is told to others",
    ),
];

/// Why nothing was made of it.
pub(super) fn reason(name: &str) -> &'static str {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    REASONS
        .iter()
        .find(|(patterns, _)| patterns.iter().any(|pattern| fits(pattern)))
        .map_or("there is no such setting", |(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_the_reason_that_is_theirs() {
        for (name, part) in [
            ("JVB_AUTH_PASSWORD", "one program"),
            ("JIBRI_XMPP_PASSWORD", "one program"),
            ("JIBRI_RECORDING_DIR", "no recording"),
            ("LDAP_URL", "tokens only"),
            ("SOMETHING_ELSE", "no such setting"),
        ] {
            assert!(reason(name).contains(part), "{name}: {}", reason(name));
        }
    }
}
