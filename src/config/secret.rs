//! Values that must not be shown: secrets, and URLs that may hold one.

use secrecy::{ExposeSecret, SecretString};

use super::unit::{Scalar, field};

/// What stands in place of a secret wherever it would be shown.
pub const REDACTED: &str = "<redacted>";

/// A secret. Never shown.
#[derive(Debug, Clone, Default)]
pub struct Secret(pub SecretString);

impl Secret {
    /// The secret, unless it is empty.
    #[must_use]
    pub fn non_empty(&self) -> Option<SecretString> {
        (!self.0.expose_secret().is_empty()).then(|| self.0.clone())
    }
}

impl Scalar for Secret {
    fn expected() -> String {
        "a text".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Secret(text.to_owned().into()))
    }

    fn written(&self) -> serde_json::Value {
        if self.0.expose_secret().is_empty() { "".into() } else { REDACTED.into() }
    }
}

/// A URL whose user information or parameters may hold a secret. Shown without it.
#[derive(Debug, Clone, Default)]
pub struct Address(pub SecretString);

impl Address {
    /// The URL as it is.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Address {
        Address(url.to_owned().into())
    }
}

impl Scalar for Address {
    fn expected() -> String {
        "a URL".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn written(&self) -> serde_json::Value {
        mask(self.expose()).into()
    }
}

/// An address of which all behind the host is secret, as with webhooks of chat services.
#[derive(Debug, Clone, Default)]
pub struct Hook(pub SecretString);

impl Scalar for Hook {
    fn expected() -> String {
        "an address such as \"https://alerts.example.com/hook\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Hook(text.to_owned().into()))
    }

    fn written(&self) -> serde_json::Value {
        let url = self.0.expose_secret();
        let scheme = url.find("://").map_or(0, |at| at + 3);
        let host = url[scheme..].find('/').map_or(url.len(), |at| scheme + at);
        let (shown, hidden) = url.split_at(host);
        match hidden.trim_start_matches('/') {
            "" => mask(shown).into(),
            _ => format!("{}/{REDACTED}", mask(shown)).into(),
        }
    }
}

field!(Secret, Address, Hook);

/// Whether a property or parameter of this name is a secret by its name.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "jaas", "key.pem", "api_key", "apikey", "credential", "basic.auth"]
        .iter()
        .any(|part| name.contains(part))
}

/// A URL without its password and without parameters that are secret by name. What cannot be told apart is hidden rather
/// than shown.
#[must_use]
pub fn mask(url: &str) -> String {
    let (head, rest) = url.split_at(url.find("://").map_or(0, |scheme| scheme + 3));
    let (user, rest) = rest.split_at(end_of_login(rest).filter(|_| !head.is_empty()).unwrap_or_default());
    let mut masked = match user.split_once(':') {
        Some((user, _)) => format!("{head}{user}:***"),
        None => format!("{head}{user}"),
    };
    let (main, query) = rest.split_once('?').map_or((rest, None), |(main, query)| (main, Some(query)));
    masked.push_str(main);
    for (index, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        masked.push(if index == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if is_secret_name(name) => masked.push_str(&format!("{name}=***")),
            _ => masked.push_str(parameter),
        }
    }
    masked
}

/// Where the `@` behind the user information is, if there is any. A question mark may be one of a password that should have
/// been escaped: what stands before it is a host only if its port is a number.
fn end_of_login(rest: &str) -> Option<usize> {
    let main = rest.split('?').next().unwrap_or_default();
    let host = main.split('/').next().unwrap_or_default();
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_host = |host: &str| match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((_, port)) => port.is_empty() || port.strip_prefix(':').is_some_and(is_port),
        None => host.split_once(':').is_none_or(|(_, port)| is_port(port)),
    };
    let hosts = host.split(',').all(is_host);
    match main.rfind('@') {
        None if !hosts => rest.rfind('@'),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_holds_no_secret() {
        for (url, shown) in [
            ("postgres://app:pw@db:5432/crm", "postgres://app:***@db:5432/crm"),
            ("postgres://app@db/crm", "postgres://app@db/crm"),
            ("postgres://app:p@ss/w:rd@db/crm?sslmode=require", "postgres://app:***@db/crm?sslmode=require"),
            ("postgres://db/crm?user=a&password=pw", "postgres://db/crm?user=a&password=***"),
            ("postgres://app:p?ss@db/crm?password=pw", "postgres://app:***@db/crm?password=***"),
            ("postgres://app:p/a?ss@db/crm", "postgres://app:***@db/crm"),
            ("postgres://app:p:5/a?ss@db/crm", "postgres://app:***@db/crm"),
            ("postgres://db:5432/crm?user=a@b", "postgres://db:5432/crm?user=a@b"),
            ("postgres://[::1]:5432,[::2]/crm?user=a@b", "postgres://[::1]:5432,[::2]/crm?user=a@b"),
            ("kafka://a:1,b:2/t?group=a@b", "kafka://a:1,b:2/t?group=a@b"),
            ("sqlite:a@b.db", "sqlite:a@b.db"),
        ] {
            assert_eq!(mask(url), shown);
        }
    }

    #[test]
    fn a_hook_shows_its_host_only() {
        let shown = |url: &str| Hook::parse(url).unwrap().written();
        assert_eq!(shown("https://hooks.example.com/T0/B0/xyz"), "https://hooks.example.com/<redacted>");
        assert_eq!(shown("https://u:pw@alerts.example.com"), "https://u:***@alerts.example.com");
        assert_eq!(shown(""), "");
    }
}
