//! Addresses of registries, and the paths under them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use secrecy::SecretString;

use crate::model::SchemaId;

/// What the number behind a record's zero byte counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Numbers {
    /// Of 4 bytes: what the registry's Confluent-compatible interface counts, or contents where it has none. Of 8 bytes:
    /// Apicurio's versions of artifacts.
    #[default]
    Usual,
    /// Apicurio's versions of artifacts, over all of them.
    Global,
    /// Apicurio's contents.
    Content,
}

/// The interfaces that registries have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    /// Confluent's.
    Confluent,
    /// Apicurio's own.
    Apicurio,
}

/// One address of a registry.
#[derive(Debug)]
pub(super) struct Place {
    /// As it may be shown: without a password.
    pub(super) name: String,
    /// User and password.
    pub(super) login: Option<(String, SecretString)>,
    /// Ends with a slash.
    base: Url,
    interface: Interface,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) url: Url,
    /// Where the list of references is, if the answer itself does not hold it.
    pub(super) references: Option<Box<Path>>,
}

/// What stands between slashes.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where Apicurio's own interface begins.
const APICURIO: &str = "/apis/registry/";

/// Where Apicurio answers as Confluent's registry does.
const COMPATIBLE: &str = "/apis/ccompat/";

impl Place {
    /// # Errors
    /// What is wrong with the address. Never the address itself, which may hold a password.
    pub(super) fn of(address: &str) -> Result<Place, String> {
        let mut base = Url::parse(address.trim()).map_err(|error| format!("an address that is none: {error}"))?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = (!base.username().is_empty())
            .then(|| (decoded(base.username()), decoded(base.password().unwrap_or_default()).into()));
        if base.set_username("").is_err() || base.set_password(None).is_err() || base.host_str().is_none() {
            return Err("an address without a host".to_owned());
        }
        base.set_query(None);
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let interface = if base.path().contains(APICURIO) { Interface::Apicurio } else { Interface::Confluent };
        Ok(Place { name: base.as_str().trim_end_matches('/').to_owned(), login, base, interface })
    }

    /// Where a schema is; `None` where this registry has no such ids.
    pub(super) fn schema(&self, id: SchemaId, numbers: Numbers) -> Option<Path> {
        let plain = |path: String| Some(self.path(&path));
        match (id, self.interface, numbers) {
            (SchemaId::Guid(_), Interface::Confluent, _) => {
                let text = id.to_string();
                plain(format!("schemas/guids/{}", text.trim_start_matches("schema ")))
            }
            (SchemaId::Guid(_), Interface::Apicurio, _) => None,
            (SchemaId::Short(id), Interface::Confluent, Numbers::Usual) => plain(format!("schemas/ids/{id}")),
            (SchemaId::Short(id), Interface::Apicurio, Numbers::Usual) => self.native("contentIds", id.into()),
            (SchemaId::Long(id), _, Numbers::Usual) | (SchemaId::Global(id), _, _) => self.native("globalIds", id),
            (SchemaId::Content(id), _, _) => self.native("contentIds", id),
            (SchemaId::Short(id), _, Numbers::Global) => self.native("globalIds", id.into()),
            (SchemaId::Short(id), _, Numbers::Content) => self.native("contentIds", id.into()),
            (SchemaId::Long(id), _, Numbers::Global) => self.native("globalIds", id),
            (SchemaId::Long(id), _, Numbers::Content) => self.native("contentIds", id),
        }
    }

    /// Under Apicurio's own interface, which stands beside the compatible one.
    fn native(&self, kind: &str, id: u64) -> Option<Path> {
        let mut base = self.base.clone();
        if self.interface == Interface::Confluent {
            let at = base.path().find(COMPATIBLE)?;
            let path = format!("{}{APICURIO}v2/", &base.path()[..at]);
            base.set_path(&path);
        }
        let references = Path { url: joined(&base, &format!("ids/{kind}/{id}/references")), references: None };
        Some(Path { url: joined(&base, &format!("ids/{kind}/{id}")), references: Some(Box::new(references)) })
    }

    /// A version of a subject.
    pub(super) fn subject(&self, subject: &str, version: i64) -> Path {
        self.path(&format!("subjects/{}/versions/{version}", segment(subject)))
    }

    /// A version of one of Apicurio's artifacts.
    pub(super) fn artifact(&self, group: &str, artifact: &str, version: &str) -> Path {
        let mut base = self.base.clone();
        if let Some(at) = base.path().find(COMPATIBLE) {
            let path = format!("{}{APICURIO}v2/", &base.path()[..at]);
            base.set_path(&path);
        }
        let group = if group.is_empty() { "default" } else { group };
        let place = format!("groups/{}/artifacts/{}/versions/{}", segment(group), segment(artifact), segment(version));
        let content = if base.path().contains("/v2/") { place.clone() } else { format!("{place}/content") };
        let references = Path { url: joined(&base, &format!("{place}/references")), references: None };
        Path { url: joined(&base, &content), references: Some(Box::new(references)) }
    }

    /// Something small that every registry answers.
    pub(super) fn probe(&self) -> Path {
        match self.interface {
            Interface::Confluent => self.path("schemas/types"),
            Interface::Apicurio => self.path("system/info"),
        }
    }

    fn path(&self, path: &str) -> Path {
        Path { url: joined(&self.base, path), references: None }
    }
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn joined(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}{path}", base.path());
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_schemas_are() {
        let confluent = "https://u:p%40ss@r.example.org:8081/reg?x=1";
        let compatible = "http://r/apis/ccompat/v7";
        let native = "http://r/apis/registry/v3/";
        for (address, id, numbers, expected) in [
            (confluent, SchemaId::Short(7), Numbers::Usual, Some("https://r.example.org:8081/reg/schemas/ids/7")),
            (
                confluent,
                SchemaId::Guid([0x11; 16]),
                Numbers::Usual,
                Some("https://r.example.org:8081/reg/schemas/guids/11111111-1111-1111-1111-111111111111"),
            ),
            (confluent, SchemaId::Long(7), Numbers::Usual, None),
            (compatible, SchemaId::Short(7), Numbers::Usual, Some("http://r/apis/ccompat/v7/schemas/ids/7")),
            (compatible, SchemaId::Long(7), Numbers::Usual, Some("http://r/apis/registry/v2/ids/globalIds/7")),
            (compatible, SchemaId::Short(7), Numbers::Global, Some("http://r/apis/registry/v2/ids/globalIds/7")),
            (native, SchemaId::Short(7), Numbers::Usual, Some("http://r/apis/registry/v3/ids/contentIds/7")),
            (native, SchemaId::Long(7), Numbers::Content, Some("http://r/apis/registry/v3/ids/contentIds/7")),
            (native, SchemaId::Global(7), Numbers::Usual, Some("http://r/apis/registry/v3/ids/globalIds/7")),
            (native, SchemaId::Guid([0; 16]), Numbers::Usual, None),
        ] {
            let place = Place::of(address).expect("an address");
            let path = place.schema(id, numbers);
            assert_eq!(path.as_ref().map(|path| path.url.as_str()), expected, "{address} {id} {numbers:?}");
        }
        let place = Place::of(native).expect("an address");
        let artifact = place.artifact("", "a b", "1");
        assert_eq!(
            artifact.url.as_str(),
            "http://r/apis/registry/v3/groups/default/artifacts/a%20b/versions/1/content"
        );
        let subject = Place::of(confluent).expect("an address").subject("io.x/Y", 3);
        assert_eq!(subject.url.as_str(), "https://r.example.org:8081/reg/subjects/io.x%2FY/versions/3");
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        use secrecy::ExposeSecret;
        let place = Place::of("https://u:p%40ss@r:8081/x").expect("an address");
        assert_eq!(place.name, "https://r:8081/x");
        let (user, password) = place.login.expect("it has a login");
        assert_eq!((user.as_str(), password.expose_secret()), ("u", "p@ss"));
        assert!(!Place::of("https://u:secret@").expect_err("no host").contains("secret"));
    }
}
