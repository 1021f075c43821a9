use super::*;
use crate::settings::Draining;
use althing_model::MediaMode;
use axum::body::to_bytes;
use std::time::Duration;
use tower::ServiceExt as _;

static ASSETS: &[Asset] = &[
    Asset {
        path: "assets/index-12345678.js",
        hash: 1,
        identity: b"let it = 1;",
        brotli: None,
        gzip: None,
    },
    Asset {
        path: "favicon.ico",
        hash: 2,
        identity: b"icon",
        brotli: None,
        gzip: None,
    },
    Asset {
        path: INDEX,
        hash: 3,
        identity: b"<html><head><!--althing:config--></head></html>",
        brotli: None,
        gzip: None,
    },
];

fn site(assets: &'static [Asset]) -> Arc<Site> {
    Arc::new(Site {
        client: ClientConfig {
            domain: "meet.jitsi".into(),
            version: "1.2.3".into(),
            login_url: None,
            media: MediaMode::All,
            redundant_audio: true,
        },
        assets,
        registry: Arc::new(althing_telemetry::registry("1.2.3")),
        stopping: CancellationToken::new(),
        health: Arc::new(()),
        rooms: Arc::new(Halls),
        body_limit: 1000,
    })
}

/// Names that begin with `hall` are halls.
#[derive(Debug)]
struct Halls;

impl Rooms for Halls {
    fn media(&self, tenant: Option<&str>, room: &str) -> Option<MediaMode> {
        let is_hall = tenant.is_none() && room.starts_with("hall");
        is_hall.then_some(MediaMode::Audio)
    }
}

/// Somebody is here still.
#[derive(Debug)]
struct LastMeeting;

impl Health for LastMeeting {
    fn draining(&self) -> Option<Draining> {
        Some(Draining {
            rooms: 1,
            occupants: 7,
            time_left: Some(Duration::from_millis(89_900)),
        })
    }
}

async fn ask(router: Router, method: Method, path: &str) -> (Response<()>, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(ClientInfo {
        address: [192, 0, 2, 1].into(),
        origin: Origin {
            secure: true,
            authority: "meet.example".into(),
        },
    });
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 100_000).await.unwrap();
    (
        Response::from_parts(parts, ()),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

async fn get(path: &str) -> (Response<()>, String) {
    ask(site(ASSETS).public(Router::new()), Method::GET, path).await
}

#[tokio::test]
async fn every_room_has_the_page_with_its_configuration() {
    for path in ["/", "/standup", "/acme/standup", "/-/test"] {
        let (answer, body) = get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let socket = "\"websocket\":\"wss://meet.example/xmpp-websocket\"";
        assert!(body.contains(socket), "{body}");
        assert!(!body.contains(PLACEHOLDER));
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains("connect-src 'self' wss://meet.example;"));
        assert!(policy.contains("script-src 'self'; style-src 'self';"));
        let permissions = answer.headers()["permissions-policy"].to_str().unwrap();
        assert!(
            permissions.starts_with("camera=(self), microphone=(self), display-capture=(self)")
        );
    }
}

#[tokio::test]
async fn the_page_of_a_room_says_what_its_name_says_of_it() {
    for (path, is_hall) in [
        ("/hall-north", true),
        ("/Hall%2Dnorth", true),
        ("/standup", false),
        ("/acme/hall-north", false),
        ("/", false),
    ] {
        let (_, body) = get(path).await;
        let said = body.contains("\"roomMedia\":\"audio\"");
        assert_eq!(said, is_hall, "{path}: {body}");
    }
}

#[tokio::test]
async fn files_are_files() {
    let (answer, body) = get("/assets/index-12345678.js").await;
    assert_eq!(body, "let it = 1;");
    assert_eq!(
        answer.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
    let (answer, _) = get("/favicon.ico").await;
    assert_eq!(answer.headers()["cache-control"], "no-cache");
}

#[tokio::test]
async fn what_is_not_there_is_no_room() {
    for path in [
        "/assets/index-gone.js",
        "/assets/x/y",
        "/assets",
        "/index.html",
        "/metrics",
        "/about/health",
        "/colibri/stats",
        "/debug",
        "/colibri-ws/n/c/e",
        "/robots.txt",
        "/-/config.js",
        "/metrics/config.js",
        "/a%2Fb/config.js",
    ] {
        let (answer, body) = get(path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(body, "", "{path}");
    }
}

#[tokio::test]
async fn methods_are_answered_as_they_should() {
    let check = async |method: &Method, path: &str, status: u16| {
        let router = site(ASSETS).public(Router::new());
        let (answer, body) = ask(router, method.clone(), path).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        (answer, body)
    };
    for path in ["/standup", "/favicon.ico", "/config.js", "/health"] {
        let (answer, body) = check(&Method::HEAD, path, 200).await;
        assert_eq!(body, "", "{path}");
        assert_ne!(answer.headers()["content-length"], "0", "{path}");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let (answer, _) = check(&method, path, 405).await;
            assert_eq!(answer.headers()["allow"], "GET,HEAD");
        }
    }
    check(&Method::POST, "/metrics", 404).await;
}

#[tokio::test]
async fn a_slash_too_much_is_redirected_within_the_site() {
    let (answer, _) = get("/standup/?lang=de").await;
    assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers()["location"], "/standup?lang=de");
    assert_eq!(
        get("//evil.example/").await.0.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn without_the_client_the_page_says_so_and_how_to_build_it() {
    let router = || site(&[]).public(Router::new());
    let (answer, body) = ask(router(), Method::GET, "/standup").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("web client is missing") && body.contains("script/build-web"));
    let (answer, _) = ask(router(), Method::GET, "/config.js").await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_route_it_was_given_comes_before_a_room() {
    let inner = Router::new().route(
        "/{tenant}/xmpp-websocket",
        axum::routing::get(|| async { "x" }),
    );
    let (_, body) = ask(site(ASSETS).public(inner), Method::GET, "/t/xmpp-websocket").await;
    assert_eq!(body, "x");
}

#[tokio::test]
async fn health_turns_when_stopping_begins() {
    let site = site(ASSETS);
    let (answer, _) = ask(site.public(Router::new()), Method::GET, "/health").await;
    assert_eq!(answer.status(), StatusCode::OK);
    site.stopping.cancel();
    let (answer, _) = ask(site.public(Router::new()), Method::GET, "/health").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn while_it_drains_balancers_send_nobody_and_the_operator_sees_what_is_waited_for() {
    let site = Arc::new(Site {
        health: Arc::new(LastMeeting),
        rooms: Arc::new(()),
        ..Arc::into_inner(site(ASSETS)).unwrap()
    });
    let (answer, body) = ask(site.public(Router::new()), Method::GET, "/health").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, "{\"status\":\"draining\"}\n");
    let (answer, body) = ask(site.admin(Router::new()), Method::GET, "/health").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({ "status": "draining", "rooms": 1, "occupants": 7, "seconds_left": 89 });
    assert_eq!(told, expected);
    // Pages go on: those who are in may load what they need.
    let (answer, _) = ask(site.public(Router::new()), Method::GET, "/standup").await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn admin_pages_are_only_on_the_admin_listener() {
    let router = || site(ASSETS).admin(Router::new());
    let (answer, body) = ask(router(), Method::GET, "/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(body.contains("althing_build_info{version=\"1.2.3\"} 1"));
    let (answer, _) = ask(router(), Method::GET, "/standup").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
