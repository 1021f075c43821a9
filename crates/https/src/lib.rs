//! The one way in which Althing asks other servers something: key servers, webhooks.
//!
//! Whom to ask is configured, and nobody on the way changes it: no redirect is followed, no proxy of the
//! environment is used. Refused: what is asked, how long an answer may take, and how much of it is read;
//! those are for whoever asks.

use reqwest::{Client, redirect};
use rustls::RootCertStore;
use std::sync::Arc;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The library for TLS does not offer what it should.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The library for HTTP does not.
    #[error("HTTP: {0}")]
    Http(#[from] reqwest::Error),
}

/// A client that trusts what this machine trusts; one connection to each server is kept open.
///
/// # Errors
/// [`ClientError`], on a machine where nothing of the kind would work.
pub fn client() -> Result<Client, ClientError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots())
        .with_no_client_auth();
    let client = Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(1)
        .user_agent(concat!("Althing/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

/// The machine's own list first: it has the authority of a company's own servers.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that is not understood is one that is not trusted.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_server_that_sends_elsewhere_is_not_followed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            let answer =
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let asked = client()
            .unwrap()
            .get(format!("http://{address}/keys"))
            .send();
        let (request, answer) = tokio::join!(server, asked);
        assert_eq!(answer.unwrap().status(), 302);
        let request = request.to_lowercase();
        assert!(request.contains("user-agent: althing/"), "{request}");
    }

    #[test]
    fn somebody_is_trusted() {
        assert!(!roots().is_empty());
    }
}
