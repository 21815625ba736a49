//! Who may ask. A page of another site must not reach the daemon through its visitor's browser (DNS
//! rebinding, forged requests): foreign `Host` and `Origin` are refused. Where a token is set, the
//! API asks for it.

use std::net::{IpAddr, SocketAddr};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// What is asked of callers.
pub(super) struct Gate {
    ip: IpAddr,
    token: Option<Vec<u8>>,
    allowed_hosts: Vec<String>,
}

/// Probes and scrapes come from anywhere, under any name, without a token.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

impl Gate {
    pub(super) fn new(listen: SocketAddr, token: Option<&str>, allowed_hosts: &[String]) -> Self {
        Self {
            ip: listen.ip(),
            token: token.map(|token| token.as_bytes().to_vec()),
            allowed_hosts: allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    fn check(
        &self,
        path: &str,
        headers: &HeaderMap,
        target_host: Option<&str>,
    ) -> Result<(), Problem> {
        if OPEN.contains(&path) { Ok(()) } else { self.check_names(headers, target_host) }
    }

    /// Whether the daemon's details are for this caller, who may ask an open path: one who could
    /// ask the API.
    pub(super) fn trusts(&self, request: &HttpRequest) -> bool {
        let headers = request.headers();
        self.is_authorized(headers) && self.check_names(headers, request.uri().host()).is_ok()
    }

    fn check_names(&self, headers: &HeaderMap, target_host: Option<&str>) -> Result<(), Problem> {
        let host = match headers.get_all(HOST).collect::<Vec<_>>()[..] {
            [host] => host.to_str().ok(),
            [] => target_host,
            _ => None,
        };
        let Some(host) = host else {
            return Err(Problem::malformed("a request has one Host header"));
        };
        if !self.is_allowed(host) {
            let detail = format!("`{}` is no name of this host", shown(host));
            return Err(
                Problem::forbidden(detail).with_hint("add the name to `server.allowed_hosts`")
            );
        }
        if let Some(origin) = headers.get(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
            let is_same = authority.eq_ignore_ascii_case(host);
            if !is_same && !self.allowed_hosts.contains(&name_of(authority)) {
                let detail = format!("pages of `{}` may not ask this daemon", shown(origin));
                return Err(Problem::forbidden(detail)
                    .with_hint("add the page's host to `server.allowed_hosts`"));
            }
        }
        Ok(())
    }

    /// Whether `host` (with or without a port) is a name of this host.
    fn is_allowed(&self, host: &str) -> bool {
        let name = name_of(host);
        if name == "localhost" || self.allowed_hosts.contains(&name) {
            return true;
        }
        // A name can be bound to any address, an address cannot.
        name.parse::<IpAddr>()
            .is_ok_and(|ip| ip == self.ip || ip.is_loopback() || self.ip.is_unspecified())
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let bearer =
            shown.filter(|value| value.len() > 7 && value[..7].eq_ignore_ascii_case(b"bearer "));
        bearer.is_some_and(|value| value[7..].trim_ascii().ct_eq(token).into())
    }
}

/// The name in `name:port`, `[::1]:port` or either without a port; lower case.
fn name_of(authority: &str) -> String {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    name.to_ascii_lowercase()
}

/// What a caller sent, short enough to be told.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The check before every handler: Host and Origin.
pub(super) async fn check<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let verdict = gate(&request)
        .and_then(|gate| gate.check(request.path(), request.headers(), request.uri().host()));
    pass(verdict, request, next).await
}

/// The check before every handler of the API: the token. It stands at the API's scope, for a path
/// has many spellings, and only the router knows them all.
pub(super) async fn authorize<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let verdict = gate(&request).and_then(|gate| {
        if gate.is_authorized(request.headers()) { Ok(()) } else { Err(Problem::unauthorized()) }
    });
    pass(verdict, request, next).await
}

fn gate(request: &ServiceRequest) -> Result<&web::Data<Gate>, Problem> {
    request.app_data::<web::Data<Gate>>().ok_or_else(|| Problem::internal("there is no gate"))
}

async fn pass<B: MessageBody + 'static>(
    verdict: Result<(), Problem>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match verdict {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(problem) => Ok(request.into_response(problem.respond()).map_into_right_body()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    fn gate(token: Option<&str>) -> Gate {
        Gate::new("127.0.0.1:9464".parse().unwrap(), token, &["Bench.Example".to_owned()])
    }

    fn status(guard: &Gate, path: &str, headers: &[(HeaderName, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        guard.check(path, &map, None).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn only_names_of_this_host_are_answered() {
        let gate = gate(None);
        for host in [
            "localhost",
            "LOCALHOST:9464",
            "127.0.0.1:9464",
            "[::1]:9464",
            "bench.example:80",
            "127.0.0.2",
        ] {
            assert_eq!(status(&gate, "/api/v1/status", &[(HOST, host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "127.0.0.1.evil.example:9464",
        ] {
            assert_eq!(status(&gate, "/api/v1/status", &[(HOST, host)]), 403, "{host}");
            assert_eq!(status(&gate, "/metrics", &[(HOST, host)]), 200, "{host}");
        }
        assert_eq!(status(&gate, "/", &[]), 400);
        assert_eq!(status(&gate, "/", &[(HOST, "localhost"), (HOST, "evil.example")]), 400);
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let gate = gate(None);
        let with =
            |origin| status(&gate, "/api/v1/runs", &[(HOST, "localhost:9464"), (ORIGIN, origin)]);
        assert_eq!((with("http://localhost:9464"), with("https://bench.example")), (200, 200));
        for origin in ["http://evil.example", "null", "http://localhost:3000", "localhost:9464", ""]
        {
            assert_eq!(with(origin), 403, "{origin}");
        }
    }

    #[test]
    fn only_the_whole_token_fits() {
        let gate = gate(Some("s3cret"));
        let fits = |token| {
            let mut map = HeaderMap::new();
            map.append(AUTHORIZATION, HeaderValue::from_str(token).unwrap());
            gate.is_authorized(&map)
        };
        assert!(fits("Bearer s3cret") && fits("bearer s3cret"));
        for token in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "s3cret", "Basic s3cret", ""] {
            assert!(!fits(token), "{token}");
        }
        assert!(!gate.is_authorized(&HeaderMap::new()));
    }
}
