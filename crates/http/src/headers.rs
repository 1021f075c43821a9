//! The headers that tell a browser what our pages may do.

use althing_model::Origin;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What a meeting needs, for our own pages only; the rest is off for everybody.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), \
    speaker-selection=(self), screen-wake-lock=(self), autoplay=(self), fullscreen=(self), \
    picture-in-picture=(self), clipboard-write=(self), geolocation=(), midi=(), payment=(), \
    usb=(), serial=(), hid=(), browsing-topics=()";

/// Puts what every answer carries; what a handler has set itself stays.
pub(crate) fn common(headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert_with(|| HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // A room's name is in its address: no other site needs to know it.
    set(header::REFERRER_POLICY, "same-origin");
    // For what is no page: nothing at all may run or load.
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    );
}

/// Puts what the web client's page carries.
pub(crate) fn page(headers: &mut HeaderMap, origin: &Origin) {
    headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(origin));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
}

/// Everything from this origin and nothing from elsewhere; no inline script or style. The JSON
/// block in the page is no script to a browser. The WebSocket's origin is spelt out because not
/// every browser counts it as `'self'`. Framing is for our own pages until there is an embedding
/// interface that an operator can open.
fn policy(origin: &Origin) -> HeaderValue {
    let socket = origin.websocket_url("");
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; \
         img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; \
         connect-src 'self' {socket}; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors 'self'"
    );
    HeaderValue::try_from(text).expect("an authority that the door let in is plain ASCII")
}
