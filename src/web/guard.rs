//! Who may ask.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::Site;
use super::api::problem;

/// Probes carry no row and no name of one, and their callers seldom can carry a token.
const PROBES: &[&str] = &["/livez", "/readyz", "/startupz"];

const UNSHOWN: &str =
    "expected `Authorization: Bearer` and the token of web.token, or the token as the password of any name";

/// Lets a request through, or says why not.
pub(super) async fn check(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let loopback = site.web.listen.ip().is_loopback();
    if loopback && !names_loopback(request.headers(), site.web.listen.ip()) {
        return problem(StatusCode::MISDIRECTED_REQUEST, "the Host header does not name this address");
    }
    if !loopback && !PROBES.contains(&request.uri().path()) && !shows_token(request.headers(), &site) {
        // A browser asks its user for the token as a password. To a script both ways are open.
        let refused = problem(StatusCode::UNAUTHORIZED, UNSHOWN);
        return ([(header::WWW_AUTHENTICATE, "Basic realm=\"afterimage\", Bearer")], refused).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some(refused) = refused_change(request.headers(), &site)
    {
        return refused;
    }
    next.run(request).await
}

/// Changes need the token on every address, and come from no other site's page.
fn refused_change(headers: &HeaderMap, site: &Site) -> Option<Response> {
    if site.web.token.is_none() {
        return Some(problem(StatusCode::FORBIDDEN, "changes need a token: set web.token, and restart"));
    }
    if !shows_token(headers, site) {
        let refused = problem(StatusCode::UNAUTHORIZED, UNSHOWN);
        return Some(([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or_default();
    let own = origin.split_once("://").is_some_and(|(_, place)| Some(place) == host);
    (!own).then(|| problem(StatusCode::FORBIDDEN, "the Origin header names another site"))
}

fn names_loopback(headers: &HeaderMap, listen: IpAddr) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address == listen);
    address || name.eq_ignore_ascii_case("localhost")
}

/// The token of `Bearer TOKEN`, or the password of `Basic`: the one way to show it that browsers have.
fn token_of(shown: &str) -> Option<String> {
    if let Some(token) = shown.strip_prefix("Bearer ") {
        return Some(token.to_owned());
    }
    let pair = STANDARD.decode(shown.strip_prefix("Basic ")?).ok()?;
    String::from_utf8(pair).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

/// Hashes are compared, so that the time it takes tells nothing about the token.
fn shows_token(headers: &HeaderMap, site: &Site) -> bool {
    let Some(token) = &site.web.token else { return false };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(token_of).unwrap_or_default();
    Sha256::digest(shown.as_bytes()) == Sha256::digest(token.expose_secret().as_bytes())
}
