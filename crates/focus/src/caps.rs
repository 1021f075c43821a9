//! What clients can do: asked once for each kind of client, believed for others only when the
//! answer proves itself.

use althing_room::Caps;
use althing_xmpp::features::ClientFeatures;
use althing_xmpp::{Element, ns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many kinds of client one conference remembers.
const MAX_KNOWN: usize = 64;

/// Answers to disco#info by the hash clients announce (XEP-0115).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct CapsCache {
    known: BTreeMap<String, ClientFeatures>,
}

impl CapsCache {
    pub(crate) fn get(&self, caps: &Caps) -> Option<ClientFeatures> {
        self.known.get(&caps.ver).copied()
    }

    /// Keeps an answer for others who announce the same hash, if the hash is really its own:
    /// else one client could say what all others can do.
    pub(crate) fn learn(&mut self, caps: &Caps, query: &Element) {
        let proven =
            caps.hash == "sha-1" && verification(query).is_some_and(|proof| proof == caps.ver);
        if proven && self.known.len() < MAX_KNOWN {
            self.known
                .insert(caps.ver.clone(), ClientFeatures::from_query(query));
        }
    }
}

/// The verification string of a disco#info answer (XEP-0115 §5.1), forms left out: Jitsi clients
/// have none, and an answer with one is then merely asked for again. `None` when it proves nothing:
/// a `<` inside a part reads like the end of one, so one feature could pass for all of somebody
/// else's (XEP-0115 §7).
fn verification(query: &Element) -> Option<String> {
    let attr = |e: &Element, key: &str| e.attr(key).unwrap_or_default().to_owned();
    let mut identities: Vec<[String; 4]> = query
        .children()
        .filter(|c| c.is("identity", ns::DISCO_INFO))
        .map(|c| {
            [
                attr(c, "category"),
                attr(c, "type"),
                attr(c, "xml:lang"),
                attr(c, "name"),
            ]
        })
        .collect();
    identities.sort();
    let mut features: Vec<&str> = query
        .children()
        .filter(|c| c.is("feature", ns::DISCO_INFO))
        .filter_map(|c| c.attr("var"))
        .collect();
    features.sort_unstable();
    let mut parts = identities.iter().flatten().map(String::as_str);
    if parts.any(|part| part.contains('<')) || features.iter().any(|f| f.contains('<')) {
        return None;
    }
    let mut text = String::new();
    for identity in &identities {
        text.push_str(&identity.join("/"));
        text.push('<');
    }
    for feature in features {
        text.push_str(feature);
        text.push('<');
    }
    Some(base64(&sha1(text.as_bytes())))
}

/// SHA-1 (FIPS 180-4): nothing here rests on its strength but a cache, and XEP-0115 names it.
fn sha1(data: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    let mut padded = data.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if data.len() % 64 > 55 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (data.len() as u64).wrapping_mul(8);
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&bits.to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut w = [0_u32; 80];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(f)
                .wrapping_add(e)
                .wrapping_add(k)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn base64(data: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let mut bits = 0_u32;
        for i in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
        }
        for i in 0..4 {
            let index = (bits >> (18 - 6 * i)) & 63;
            let padding = i > chunk.len();
            out.push(if padding {
                '='
            } else {
                char::from(ALPHABET[index as usize])
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_xmpp::{Limits, parse};

    #[test]
    fn digests_are_those_of_the_standard() {
        for (text, digest) in [
            ("", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
            ("abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "hJg+RBw70m66rkqh+VEp5eVGcPE=",
            ),
        ] {
            assert_eq!(base64(&sha1(text.as_bytes())), digest);
        }
        // Lengths around a block's edge.
        assert_eq!(base64(&sha1(&[b'a'; 55])), "wci73CJ5bijA4VFj0giZtlYh1lo=");
        assert_eq!(base64(&sha1(&[b'a'; 56])), "wtszD2CDhUyZ1LW/tujynyAb5pk=");
    }

    /// XEP-0115 §5.2.
    #[test]
    fn the_verification_string_is_that_of_the_specification() {
        let query = parse(
            "<query xmlns='http://jabber.org/protocol/disco#info'>
               <identity category='client' name='Exodus 0.9.1' type='pc'/>
               <feature var='http://jabber.org/protocol/caps'/>
               <feature var='http://jabber.org/protocol/disco#info'/>
               <feature var='http://jabber.org/protocol/disco#items'/>
               <feature var='http://jabber.org/protocol/muc'/>
             </query>",
            &Limits::default(),
        )
        .unwrap();
        assert_eq!(
            verification(&query).as_deref(),
            Some("QgayPKawpkPSDYmwT/WM94uAlu0=")
        );
    }

    /// Whoever learnt from it would believe that nobody with this hash has any feature.
    #[test]
    fn one_feature_that_spells_out_all_of_anothers_proves_nothing() {
        let query = |features: &[&str]| {
            features.iter().fold(
                Element::new("query", ns::DISCO_INFO).with_child(
                    Element::new("identity", ns::DISCO_INFO)
                        .with_attr("category", "client")
                        .with_attr("type", "web"),
                ),
                |query, var| {
                    query.with_child(Element::new("feature", ns::DISCO_INFO).with_attr("var", *var))
                },
            )
        };
        let honest = query(&["a", "b"]);
        let caps = Caps {
            node: "n".into(),
            ver: verification(&honest).unwrap(),
            hash: "sha-1".into(),
        };
        let mut cache = CapsCache::default();
        cache.learn(&caps, &query(&["a<b"]));
        assert_eq!(cache.get(&caps), None);
        cache.learn(&caps, &honest);
        assert!(cache.get(&caps).is_some());
    }
}
