//! What each variable of docker-jitsi-meet means here (protocol 6 §3).

use super::environment::Variable;
use super::reasons::reason;
use althing_model::Entropy;
use std::collections::BTreeMap;

/// A line of the file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// No section is the top of the file.
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// As TOML writes it.
    pub(super) value: String,
    /// Which variables it came from, or why it is there.
    pub(super) comment: String,
}

/// The configuration, and what is not in it.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) settings: Vec<Setting>,
    /// The variable and the reason, in the order of the file.
    pub(super) left: Vec<(String, String)>,
    /// What the operator has to know or do.
    pub(super) notes: Vec<String>,
}

/// The section of a further key, a list in the file.
pub(super) const KEY_SECTION: &str = "[auth.key]";

impl Translated {
    pub(super) fn has_secrets(&self) -> bool {
        self.settings.iter().any(|setting| setting.key == "secret")
    }
}

/// Makes settings of variables; `entropy` is for a secret, where there has to be one and is none.
pub(super) fn translate(variables: &[Variable], entropy: &mut dyn Entropy) -> Translated {
    let mut work = Work {
        values: BTreeMap::new(),
        refused: BTreeMap::new(),
        used: Vec::new(),
        out: Translated::default(),
    };
    for variable in variables {
        match &variable.unresolved {
            Some(name) => {
                let why = format!("its value refers to {name}, which this file does not set");
                work.refused.insert(variable.name.clone(), why);
            }
            // As docker has it: an empty variable is one that is not set.
            None if variable.value.is_empty() => {}
            None => {
                work.values
                    .insert(variable.name.clone(), variable.value.clone());
            }
        }
    }
    work.addresses();
    work.media();
    work.rooms();
    work.auth(entropy);
    for variable in variables {
        let name = &variable.name;
        let why = match work.refused.get(name) {
            Some(why) => why.clone(),
            None if variable.value.is_empty() || work.used.contains(name) => continue,
            None => reason(name).to_owned(),
        };
        work.out.left.push((name.clone(), why));
    }
    work.out
}

struct Work {
    values: BTreeMap<String, String>,
    /// Variables that are understood and could not be taken.
    refused: BTreeMap<String, String>,
    used: Vec<String>,
    out: Translated,
}

impl Work {
    /// A variable's value; it counts as taken over.
    fn take(&mut self, name: &str) -> Option<String> {
        let value = self.values.get(name)?.trim().to_owned();
        self.used.push(name.to_owned());
        Some(value)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name).map(|value| {
            matches!(
                value.to_ascii_lowercase().as_str(),
                "1" | "true" | "yes" | "on"
            )
        })
    }

    fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let items: Vec<String> = self
            .take(name)?
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect();
        (!items.is_empty()).then_some(items)
    }

    fn refuse(&mut self, name: &str, why: impl Into<String>) {
        self.refused.insert(name.to_owned(), why.into());
    }

    /// Writes a setting if the configuration takes its value; otherwise the variable is left, with
    /// the configuration's own words.
    fn set(&mut self, section: &'static str, key: &'static str, value: String, from: &str) -> bool {
        let text = if section.is_empty() {
            format!("{key} = {value}\n")
        } else {
            format!("[{section}]\n{key} = {value}\n")
        };
        // Whether there is a key for tokens is seen at the end.
        let rehearsal = format!("{text}[[auth.key]]\nsecret = \"rehearsal\"\n");
        let checked = althing_config::load(&althing_config::Sources {
            file: Some((Default::default(), rehearsal)),
            ..Default::default()
        });
        if let Err(error) = checked {
            let why = error
                .problems
                .first()
                .map_or_else(String::new, |problem| problem.message.clone());
            self.refuse(from, why);
            return false;
        }
        self.put(section, key, value, from);
        true
    }

    fn put(&mut self, section: &'static str, key: &'static str, value: String, comment: &str) {
        self.out.settings.push(Setting {
            section,
            key,
            value,
            comment: comment.to_owned(),
        });
    }

    fn addresses(&mut self) {
        if let Some(domain) = self.take("XMPP_DOMAIN") {
            self.set("", "domain", quoted(&domain.to_lowercase()), "XMPP_DOMAIN");
        }
        if let Some(url) = self.take("PUBLIC_URL") {
            let url = if url.contains("://") {
                url
            } else {
                format!("https://{url}")
            };
            self.set("http", "public_url", quoted(&url), "PUBLIC_URL");
        }
        if let Some(port) = self.take("HTTP_PORT") {
            self.set("http", "listen", list(&[listen(&port)]), "HTTP_PORT");
        }
        if self.flag("DISABLE_HTTPS") == Some(true) {
            self.take("HTTPS_PORT");
            self.put("http", "tls_listen", list(&[]), "DISABLE_HTTPS");
        } else if let Some(port) = self.take("HTTPS_PORT") {
            self.set("http", "tls_listen", list(&[listen(&port)]), "HTTPS_PORT");
        }
        if let Some(level) = self.take("LOG_LEVEL") {
            self.set("log", "level", quoted(&level.to_lowercase()), "LOG_LEVEL");
        }
    }

    fn media(&mut self) {
        if let Some(port) = self.take("JVB_PORT") {
            // A number, if it is one; otherwise the configuration says what is wrong.
            let value = match port.parse::<u32>() {
                Ok(number) => number.to_string(),
                Err(_) => quoted(&port),
            };
            self.set("media", "port", value, "JVB_PORT");
        }
        let name = if self.values.contains_key("JVB_ADVERTISE_IPS") {
            "JVB_ADVERTISE_IPS"
        } else {
            "DOCKER_HOST_ADDRESS"
        };
        if let Some(addresses) = self.list(name) {
            let addresses: Vec<String> = addresses.iter().map(|a| advertise(a)).collect();
            self.set("media", "advertise", list(&addresses), name);
        }
        if name == "JVB_ADVERTISE_IPS" && self.values.contains_key("DOCKER_HOST_ADDRESS") {
            self.refuse(
                "DOCKER_HOST_ADDRESS",
                "JVB_ADVERTISE_IPS is its newer name, and is set too",
            );
        }
    }

    fn rooms(&mut self) {
        if let Some(number) = self.take("MAX_PARTICIPANTS") {
            let value = match number.parse::<u32>() {
                Ok(number) => number.to_string(),
                Err(_) => quoted(&number),
            };
            self.set("rooms", "max_occupants", value, "MAX_PARTICIPANTS");
        }
    }

    fn auth(&mut self, entropy: &mut dyn Entropy) {
        let enabled = self.flag("ENABLE_AUTH").unwrap_or(false);
        let auto_owner = self.flag("ENABLE_AUTO_OWNER");
        if !enabled {
            if auto_owner == Some(false) {
                self.refuse(
                    "ENABLE_AUTO_OWNER",
                    "without tokens somebody has to be the moderator: auth.moderators is \"first\" or \
                     \"everyone\"",
                );
            }
            let further = [
                "AUTH_TYPE",
                "ENABLE_GUESTS",
                "JWT_ALLOW_EMPTY",
                "TOKEN_AUTH_URL",
            ];
            let further = further.map(str::to_owned).into_iter();
            for name in self.token_variables().into_iter().chain(further) {
                if self.values.contains_key(&name) {
                    self.refuse(&name, "ENABLE_AUTH is off");
                }
            }
            return;
        }
        if auto_owner.is_some() {
            self.refuse(
                "ENABLE_AUTO_OWNER",
                "hosts log in, and are moderators by that",
            );
        }
        let kind = self
            .take("AUTH_TYPE")
            .unwrap_or_else(|| "internal".to_owned());
        // One published set-up says "token" for it.
        let by_token = matches!(kind.as_str(), "jwt" | "token");
        self.put("auth", "hosts", quoted("authenticated"), "ENABLE_AUTH");
        let guests = self.flag("ENABLE_GUESTS").unwrap_or(false);
        let empty = self.flag("JWT_ALLOW_EMPTY").unwrap_or(false);
        self.put(
            "auth",
            "guests",
            (guests || empty).to_string(),
            "ENABLE_GUESTS, JWT_ALLOW_EMPTY",
        );
        self.put(
            "auth",
            "moderators",
            quoted("authenticated"),
            "ENABLE_AUTH: whoever logs in is a moderator",
        );
        self.login_url();
        if by_token {
            self.keys();
            self.token_rules();
        } else {
            for name in self.token_variables() {
                self.refuse(&name, format!("AUTH_TYPE is {kind}"));
            }
            self.used.retain(|name| name != "AUTH_TYPE");
            self.refuse(
                "AUTH_TYPE",
                format!("there are no accounts of the kind \"{kind}\"; hosts come with tokens"),
            );
        }
        let has_key = self
            .out
            .settings
            .iter()
            .any(|s| s.key == "secret" || s.section == KEY_SECTION);
        if !has_key {
            // Better closed than open to everybody.
            self.put(
                "auth",
                "secret",
                quoted(&entropy.token(52)),
                "made just now, since there was none to take over",
            );
            self.out.notes.push(
                "Nobody could be a host by what was taken over, so a secret was made: \
                 \"althing token --room ROOM --name NAME --moderator --config FILE\" makes a host's link."
                    .to_owned(),
            );
        }
    }

    fn token_variables(&self) -> Vec<String> {
        self.values
            .keys()
            .filter(|name| name.starts_with("JWT_") && name.as_str() != "JWT_ALLOW_EMPTY")
            .cloned()
            .collect()
    }

    fn login_url(&mut self) {
        let Some(url) = self.take("TOKEN_AUTH_URL") else {
            return;
        };
        if url.contains('{') {
            self.set("auth", "login_url", quoted(&url), "TOKEN_AUTH_URL");
        } else {
            self.refuse(
                "TOKEN_AUTH_URL",
                "it names neither {room} nor {state}, so nobody would come back to their room with a \
                 token; a login server's own address needs an adapter before it",
            );
        }
    }

    fn keys(&mut self) {
        let sign_type = self.take("JWT_SIGN_TYPE");
        let signs = |family: &str| sign_type.clone().filter(|name| name.starts_with(family));
        if signs("HS").is_none()
            && sign_type.is_some()
            && !self.values.contains_key("JWT_ASAP_KEYSERVER")
        {
            self.refuse("JWT_SIGN_TYPE", "there is no key of that kind");
        }
        if let Some(secret) = self.take("JWT_APP_SECRET") {
            match signs("HS").filter(|name| name != "HS256") {
                None => {
                    self.set("auth", "secret", quoted(&secret), "JWT_APP_SECRET");
                }
                Some(algorithm) => {
                    self.key(
                        "secret",
                        &secret,
                        &algorithm,
                        "JWT_APP_SECRET, JWT_SIGN_TYPE",
                    );
                }
            }
        }
        if let Some(url) = self.take("JWT_ASAP_KEYSERVER") {
            let algorithm = signs("RS")
                .or_else(|| signs("ES"))
                .unwrap_or_else(|| "RS256".to_owned());
            if url.starts_with("http://") && !is_loopback(&url) {
                self.refuse(
                    "JWT_ASAP_KEYSERVER",
                    "keys that come over plain http can be replaced on the way; it must be https",
                );
            } else {
                self.key("asap_url", &url, &algorithm, "JWT_ASAP_KEYSERVER");
            }
        }
    }

    fn key(&mut self, source: &'static str, value: &str, algorithm: &str, from: &str) {
        let name = from.split(',').next().unwrap_or(from);
        let rehearsal = format!(
            "[[auth.key]]\n{source} = {}\nalgorithms = [{}]\n",
            quoted(value),
            quoted(algorithm)
        );
        let checked = althing_config::load(&althing_config::Sources {
            file: Some((Default::default(), rehearsal)),
            ..Default::default()
        });
        if let Err(error) = checked {
            let why = error
                .problems
                .first()
                .map_or_else(String::new, |problem| problem.message.clone());
            return self.refuse(name, why);
        }
        self.put(KEY_SECTION, source, quoted(value), from);
        self.put(KEY_SECTION, "algorithms", list(&[algorithm.to_owned()]), "");
    }

    fn token_rules(&mut self) {
        let app_id = self.take("JWT_APP_ID");
        match self.list("JWT_ACCEPTED_ISSUERS") {
            Some(issuers) => {
                self.set(
                    "auth.token",
                    "issuers",
                    list(&issuers),
                    "JWT_ACCEPTED_ISSUERS",
                );
            }
            None => {
                if let Some(app_id) = app_id {
                    self.set("auth.token", "issuers", list(&[app_id]), "JWT_APP_ID");
                }
            }
        }
        if let Some(audiences) = self.list("JWT_ACCEPTED_AUDIENCES") {
            self.set(
                "auth.token",
                "audiences",
                list(&audiences),
                "JWT_ACCEPTED_AUDIENCES",
            );
        }
        if let Some(verify) = self.flag("JWT_ENABLE_DOMAIN_VERIFICATION") {
            let from = "JWT_ENABLE_DOMAIN_VERIFICATION";
            self.set("auth.token", "verify_domain", verify.to_string(), from);
        }
    }
}

fn is_loopback(url: &str) -> bool {
    ["http://localhost", "http://127.", "http://[::1]"]
        .iter()
        .any(|start| url.starts_with(start))
}

/// A port as docker publishes it, perhaps on one address only.
fn listen(port: &str) -> String {
    if port.contains(':') {
        port.to_owned()
    } else {
        format!("[::]:{port}")
    }
}

/// `IP#PORT` is `IP:PORT` here.
fn advertise(address: &str) -> String {
    match address.split_once('#') {
        None => address.to_owned(),
        Some((ip, port)) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some((ip, port)) => format!("{ip}:{port}"),
    }
}

/// A basic string of TOML; JSON escapes what it must.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests;
