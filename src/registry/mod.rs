//! Schemas that records name, asked for over HTTP of a registry: Confluent's, one that answers as it does, or Apicurio.
//!
//! One call asks each address once and says what came of it; whoever calls decides whether to wait and ask again. What was
//! answered is kept, also that there is no such schema, so that a schema is asked for once for all threads.

mod answer;
mod place;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use reqwest::{Certificate, Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use self::answer::Answer;
pub use self::place::Numbers;
use self::place::{Path, Place};
use crate::model::{Definition, Reference, SchemaId};

/// A registry that has not answered by then is asked again, or another one.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A host that has not taken the connection by then is taken to be down.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long it is believed that a schema is not there: a registry that follows another one has it a moment later.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// Ids that are known to be missing; past it the oldest are asked for again.
const MISSING: u64 = 10_000;

/// Bytes of schemas that are kept for threads that have not asked yet; past it those not used for longest are asked for again.
const KEPT_BYTES: u64 = 64 << 20;

/// The most bytes of one schema with all that it refers to. Confluent's registry takes 1 MB by default.
const SCHEMA_BYTES: usize = 16 << 20;

/// The most schemas that one refers to, whatever the depth.
const REFERENCES: usize = 256;

/// Where schemas are, and how they are asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses of one registry, asked in turn. Each may hold a user and a password.
    pub urls: Vec<SecretString>,
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A file of certificates, in PEM, that are trusted besides the system's.
    pub authority: Option<PathBuf>,
    /// What the number before a record counts.
    pub numbers: Numbers,
}

/// Why a schema is not known.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry answers, and has no such schema.
    #[error("{id} is not in the registry at {places}")]
    Missing {
        /// The schema.
        id: SchemaId,
        /// The addresses that were asked.
        places: String,
    },
    /// It does not answer, or not now.
    #[error("the registry at {place} does not answer: check that it runs and that this host may connect to it")]
    Unreachable {
        /// Its address.
        place: String,
        /// The client's error, without the address.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// It answers, and refuses.
    #[error("the registry at {place} answered {status}: {hint}")]
    Refused {
        /// Its address.
        place: String,
        /// HTTP status.
        status: u16,
        /// What to do.
        hint: &'static str,
    },
    /// It answers something else.
    #[error("the registry at {place} answered what is no schema ({what}): check that this is a registry's address")]
    Strange {
        /// Its address.
        place: String,
        /// What was wrong.
        what: String,
    },
    /// The address, the token or the certificates cannot be used.
    #[error("the registry cannot be asked: {what}")]
    Unusable {
        /// What is wrong with them, never the token.
        what: String,
    },
}

/// A registry. Clones share what was answered.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    places: Vec<Place>,
    token: Option<SecretString>,
    numbers: Numbers,
    kept: Cache<SchemaId, Arc<Definition>>,
    missing: Cache<SchemaId, ()>,
    /// The address that answered last, and is asked first. One question at a time: what another thread just asked for is there.
    asking: Mutex<usize>,
}

impl Registry {
    /// A registry that was not asked yet.
    ///
    /// # Errors
    /// When an address or the certificates cannot be used.
    pub fn new(options: Options) -> Result<Registry, RegistryError> {
        let client = client(&options)?;
        let places = options.urls.iter().map(|url| Place::of(url.expose_secret()));
        let places = places.collect::<Result<Vec<_>, _>>().map_err(|what| RegistryError::Unusable { what })?;
        let weigh = |_: &SchemaId, definition: &Arc<Definition>| u32::try_from(definition.bytes()).unwrap_or(u32::MAX);
        Ok(Registry(Arc::new(Inner {
            client,
            places,
            token: options.token,
            numbers: options.numbers,
            kept: Cache::builder().weigher(weigh).max_capacity(KEPT_BYTES).build(),
            missing: Cache::builder().time_to_live(MISSING_FOR).max_capacity(MISSING).build(),
            asking: Mutex::new(0),
        })))
    }

    /// The schema of an id.
    ///
    /// # Errors
    /// Why it is not known, by the last address asked; [`RegistryError::Missing`] only where every one answered so.
    pub async fn schema(&self, id: SchemaId) -> Result<Arc<Definition>, RegistryError> {
        let inner = &*self.0;
        let mut first = inner.asking.lock().await;
        if let Some(known) = inner.kept.get(&id) {
            return Ok(known);
        }
        if inner.missing.contains_key(&id) {
            return Err(inner.no_such(id));
        }
        let mut failed = None;
        for turn in 0..inner.places.len() {
            let index = (*first + turn) % inner.places.len();
            match inner.ask(&inner.places[index], id).await {
                Ok(definition) => {
                    *first = index;
                    let definition = Arc::new(definition);
                    inner.kept.insert(id, Arc::clone(&definition));
                    return Ok(definition);
                }
                Err(RegistryError::Missing { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| inner.no_such(id)))
    }

    /// Remembers for a while that a schema is not there.
    pub fn believe_missing(&self, id: SchemaId) {
        self.0.missing.insert(id, ());
    }

    /// Whether each address answers, by its name.
    pub async fn probe(&self) -> Vec<(String, Result<(), RegistryError>)> {
        let mut told = Vec::new();
        for place in &self.0.places {
            let answered = match self.0.get(place, &place.probe()).await {
                Ok((StatusCode::NOT_FOUND, _)) => Err(RegistryError::Strange {
                    place: place.name.clone(),
                    what: "404 to what every registry knows".to_owned(),
                }),
                answered => answered.map(drop),
            };
            told.push((place.name.clone(), answered));
        }
        told
    }
}

impl Inner {
    fn no_such(&self, id: SchemaId) -> RegistryError {
        let places: Vec<&str> = self.places.iter().map(|place| &*place.name).collect();
        RegistryError::Missing { id, places: places.join(", ") }
    }

    /// A schema and, before it, those that it refers to.
    async fn ask(&self, place: &Place, id: SchemaId) -> Result<Definition, RegistryError> {
        let path = place.schema(id, self.numbers).ok_or_else(|| self.no_such(id))?;
        let (mut met, mut texts) = (Vec::new(), Vec::new());
        let mut open = vec![(String::new(), self.answer(place, &path, id).await?)];
        let language = open[0].1.language.clone();
        while let Some((_, last)) = open.last_mut() {
            match last.references.pop() {
                Some((_, path)) if met.contains(&path) => {}
                Some((name, path)) => {
                    open.push((name, self.answer(place, &path, id).await?));
                    met.push(path);
                }
                None => texts.extend(open.pop().map(|(name, answer)| Reference { name, text: answer.text })),
            }
            if met.len() > REFERENCES || texts.iter().map(|one| one.text.len()).sum::<usize>() > SCHEMA_BYTES {
                let what = "it refers to more than can be read".to_owned();
                return Err(RegistryError::Strange { place: place.name.clone(), what });
            }
        }
        let text = texts.pop().map(|own| own.text).unwrap_or_default();
        Ok(Definition { language, text, references: texts })
    }

    async fn answer(&self, place: &Place, path: &Path, id: SchemaId) -> Result<Answer, RegistryError> {
        let strange = |what: String| RegistryError::Strange { place: place.name.clone(), what };
        let (status, body) = self.get(place, path).await?;
        if status == StatusCode::NOT_FOUND {
            return Err(match answer::says_missing(&body) {
                true => self.no_such(id),
                false => strange("404, and not a registry's own".to_owned()),
            });
        }
        let mut answer = Answer::read(&body, path, place).map_err(strange)?;
        if let Some(references) = &path.references {
            let (status, body) = self.get(place, references).await?;
            if status.is_success() {
                answer.references = answer::native_references(&body, place).map_err(strange)?;
            }
        }
        Ok(answer)
    }

    async fn get(&self, place: &Place, path: &Path) -> Result<(StatusCode, String), RegistryError> {
        let unreachable = |source: reqwest::Error| RegistryError::Unreachable {
            place: place.name.clone(),
            source: Some(source.without_url()),
        };
        let mut request = self.client.get(path.url.clone());
        if let Some((user, password)) = &place.login {
            request = request.basic_auth(user, Some(password.expose_secret()));
        } else if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check its user and password, or the token",
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => "it is busy, and will be asked again",
            _ if status.is_success() || status == StatusCode::NOT_FOUND => "",
            _ if status.is_server_error() => "see its own log",
            _ => "check that this is a registry's address",
        };
        if !hint.is_empty() {
            return Err(RegistryError::Refused { place: place.name.clone(), status: status.as_u16(), hint });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > SCHEMA_BYTES {
                let what = format!("more than {SCHEMA_BYTES} bytes");
                return Err(RegistryError::Strange { place: place.name.clone(), what });
            }
        }
        let text = String::from_utf8(body).map_err(|_| RegistryError::Strange {
            place: place.name.clone(),
            what: "bytes that are no text".to_owned(),
        })?;
        Ok((status, text))
    }
}

/// Redirects are not followed: who may see the password is whom the user named.
fn client(options: &Options) -> Result<Client, RegistryError> {
    let unusable = |what: String| RegistryError::Unusable { what };
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("afterimage/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &options.authority {
        let cannot = |error: String| unusable(format!("the certificates in `{}`: {error}", path.display()));
        let pem = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| cannot(error.to_string()))?;
        if authorities.is_empty() {
            return Err(cannot("there is none in it: expected PEM".to_owned()));
        }
        builder = authorities.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    builder.build().map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests;
