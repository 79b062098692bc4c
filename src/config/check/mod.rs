//! Raw sections become the checked configuration. What is not of this version is refused by name.

mod alert;
mod pipeline;
mod schedule;
mod table;
mod tap;

pub use self::tap::archive_place;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use secrecy::SecretString;

use super::problem::Problems;
use super::raw::{RawConfig, RawStore, RawWeb};
use super::tree::{Node, Path};
use super::{Config, Store, StoreKind, Web};

/// Checks one configuration: holds where every value was written, and what is wrong so far.
struct Checker<'a> {
    written: &'a Node,
    /// Paths that are known to be wrong: what follows from them is not said again.
    failed: &'a [Path],
    problems: &'a mut Problems,
}

impl Checker<'_> {
    fn wrong(&mut self, path: &Path, message: impl Into<String>) {
        if self.failed.iter().any(|failed| failed.touches(path)) {
            return;
        }
        let written = (0..=path.0.len()).rev().map(|length| Path(path.0[..length].to_vec()));
        let origin = written.filter(|path| !path.0.is_empty()).find_map(|path| self.written.origin_at(&path));
        self.problems.at(path, origin, message);
    }

    fn is_written(&self, path: &Path) -> bool {
        self.written.get(path).is_some()
    }
}

/// Checks raw sections and fills in defaults that depend on other keys. `None` if anything is wrong.
pub(super) fn check(raw: &mut RawConfig, written: &Node, failed: &[Path], problems: &mut Problems) -> Option<Config> {
    let mut checker = Checker { written, failed, problems };
    let store = checker.store(&raw.store);
    let web = checker.web(&raw.web);
    for (name, pipeline) in &mut raw.pipelines {
        pipeline.tap.fill(name);
        if !checker.is_written(&Path::of(["pipelines", name, "tap", "from"])) {
            pipeline.tap.begin();
        }
    }
    let mut pipelines = Vec::new();
    for (name, pipeline) in &raw.pipelines {
        pipelines.extend(checker.pipeline(name, pipeline));
    }
    checker.groups(raw);
    let alerts = checker.alerts(raw);
    if !problems.is_empty() {
        return None;
    }
    Some(Config { store: store?, web, pipelines, alerts })
}

impl Checker<'_> {
    fn store(&mut self, raw: &RawStore) -> Option<Store> {
        let url = raw.url.expose();
        let kind = match url.split_once(':') {
            Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => StoreKind::Sqlite,
            Some(("postgres" | "postgresql", _)) => StoreKind::Postgres,
            _ => {
                self.wrong(
                    &Path::of(["store", "url"]),
                    "no store: expected sqlite:PATH or postgres://USER@HOST/DATABASE",
                );
                return None;
            }
        };
        Some(Store { kind, url: raw.url.0.clone() })
    }

    fn web(&mut self, raw: &RawWeb) -> Option<Web> {
        let path = Path::of(["web", "listen"]);
        if raw.listen.is_empty() {
            return None;
        }
        let Some(listen) = socket(&raw.listen) else {
            let message = format!(
                "`{}` is no address: expected ADDRESS:PORT such as \"127.0.0.1:8470\", or \"\" for off",
                raw.listen
            );
            self.wrong(&path, message);
            return None;
        };
        let token = raw.token.non_empty();
        if !listen.ip().is_loopback() && token.is_none() {
            let message = format!(
                "`{listen}` is no loopback address and there is no token: set web.token, or listen on 127.0.0.1"
            );
            self.wrong(&path, message);
        }
        Some(Web { listen, token })
    }

    fn http(&mut self, path: &Path, url: &SecretString, presence: Presence) -> Option<SecretString> {
        use secrecy::ExposeSecret;
        let text = url.expose_secret();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        match (host, presence) {
            (Some(host), _) if !host.is_empty() && !host.starts_with('/') => Some(url.clone()),
            (None, Presence::Optional) if text.is_empty() => None,
            (None, Presence::Required) if text.is_empty() => {
                self.wrong(path, "missing: expected http://… or https://…");
                None
            }
            _ => {
                self.wrong(path, "no web address: expected http://… or https://…");
                None
            }
        }
    }
}

/// Whether a key may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

fn socket(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    }
}

/// The expression between slashes, if the text is one.
///
/// # Errors
/// Why it is not valid.
fn pattern(text: &str) -> Result<Option<regex::Regex>, String> {
    let Some(inner) = text.strip_prefix('/').filter(|_| text.len() > 2).and_then(|text| text.strip_suffix('/')) else {
        return match text.starts_with('/') {
            true => Err(format!("`{text}` is no regular expression between slashes: expected \"/EXPRESSION/\"")),
            false => Ok(None),
        };
    };
    match regex::Regex::new(inner) {
        Ok(pattern) => Ok(Some(pattern)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("`{text}` is no regular expression: {reason}"))
        }
    }
}
