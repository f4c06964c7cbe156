//! The checks of the `Host` and `Origin` headers. The `Host` check stops a web page whose own name resolves to this machine (DNS
//! rebinding). The `Origin` check stops a web page that opens a WebSocket, which CORS does not cover.
//!
//! `localhost` and IP literals always pass, since a rebinding attack needs a name. Other names pass if the operator lists them.

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tower::{Layer, Service};

/// Wraps the server in the checks.
#[derive(Debug, Clone)]
pub(crate) struct HostCheckLayer {
    allowed: Arc<Allowed>,
}

impl HostCheckLayer {
    /// `hosts` and `origins` as in [`RpcConfig`](crate::RpcConfig).
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        Self { allowed: Arc::new(Allowed { hosts: AllowedHosts::new(hosts), origins: AllowedOrigins::new(origins) }) }
    }
}

#[derive(Debug)]
struct Allowed {
    hosts: AllowedHosts,
    origins: AllowedOrigins,
}

impl<S> Layer<S> for HostCheckLayer {
    type Service = HostCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HostCheck { inner, allowed: Arc::clone(&self.allowed) }
    }
}

/// The server behind the checks.
#[derive(Debug, Clone)]
pub(crate) struct HostCheck<S> {
    inner: S,
    allowed: Arc<Allowed>,
}

impl<S, B> Service<HttpRequest<B>> for HostCheck<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let host = request
            .headers()
            .get("host")
            .and_then(|value| value.to_str().ok())
            .or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        if !self.allowed.hosts.accepts(host) {
            return Box::pin(std::future::ready(Ok(refusal(
                "the Host header is not one of this node's allowed hosts\n",
            ))));
        }
        let origin = request.headers().get("origin").map(|value| value.as_bytes());
        if !self.allowed.origins.accepts(origin) {
            return Box::pin(std::future::ready(Ok(refusal(
                "the Origin header is not one of this node's allowed origins\n",
            ))));
        }
        Box::pin(self.inner.call(request))
    }
}

const FORBIDDEN: u16 = 403;

fn refusal(text: &'static str) -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(text));
    *response.status_mut() = FORBIDDEN.try_into().expect("403 is a status");
    response
}

#[derive(Debug)]
struct AllowedHosts {
    any: bool,
    names: Vec<String>,
}

impl AllowedHosts {
    fn new(names: &[String]) -> Self {
        Self {
            any: names.iter().any(|name| name == "*"),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// A request without a host passes: browsers always send one, and HTTP/1.0 tools do not.
    fn accepts(&self, host: Option<&str>) -> bool {
        let Some(host) = host else { return true };
        if self.any {
            return true;
        }
        let Some(name) = without_port(host) else { return false };
        let name = name.to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.names.contains(&name)
    }
}

#[derive(Debug)]
struct AllowedOrigins {
    any: bool,
    origins: Vec<String>,
}

impl AllowedOrigins {
    fn new(origins: &[String]) -> Self {
        Self { any: origins.iter().any(|origin| origin == "*"), origins: origins.to_vec() }
    }

    /// A request without an origin passes: it does not come from a browser.
    fn accepts(&self, origin: Option<&[u8]>) -> bool {
        match origin {
            Some(origin) => self.any || self.origins.iter().any(|allowed| allowed.as_bytes() == origin),
            None => true,
        }
    }
}

/// The host in `name`, `name:port`, `[v6]` or `[v6]:port`; `None` for any other form.
fn without_port(host: &str) -> Option<&str> {
    if let Some(rest) = host.strip_prefix('[') {
        let (literal, port) = rest.split_once(']')?;
        literal.parse::<Ipv6Addr>().ok()?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(literal);
    }
    match host.split_once(':') {
        Some((name, port)) => is_port(port).then_some(name),
        None => Some(host),
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_and_ip_literals_pass_with_any_port() {
        let hosts = AllowedHosts::new(&[]);
        for host in ["localhost", "LOCALHOST:8545", "127.0.0.1:1", "10.1.2.3", "[::1]", "[::1]:8545", "0.0.0.0:8545"] {
            assert!(hosts.accepts(Some(host)), "{host}");
        }
        assert!(hosts.accepts(None));
    }

    #[test]
    fn a_foreign_name_is_refused() {
        let hosts = AllowedHosts::new(&["rpc.example.org".to_owned()]);
        for host in [
            "evil.example.com",
            "localhost.evil.com:8545",
            "127.0.0.1.evil.com",
            "",
            "localhost:x",
            "[::1",
            "[evil]",
            "[::1]x",
        ] {
            assert!(!hosts.accepts(Some(host)), "{host}");
        }
        assert!(hosts.accepts(Some("RPC.example.org:443")));
    }

    #[test]
    fn only_listed_origins_pass_and_no_origin_is_no_browser() {
        let origins = AllowedOrigins::new(&["https://app.example.org".to_owned()]);
        assert!(origins.accepts(None));
        assert!(origins.accepts(Some(b"https://app.example.org")));
        assert!(!origins.accepts(Some(b"https://evil.example.com")));
        assert!(!origins.accepts(Some(b"\xff")));
        assert!(AllowedOrigins::new(&["*".to_owned()]).accepts(Some(b"https://evil.example.com")));
        assert!(!AllowedOrigins::new(&[]).accepts(Some(b"https://evil.example.com")));
    }

    #[test]
    fn a_star_switches_the_check_off() {
        assert!(AllowedHosts::new(&["*".to_owned()]).accepts(Some("evil.example.com")));
    }
}
