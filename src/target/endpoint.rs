//! Which server answers at the other end of a URL.
//!
//! Reads of several servers say nothing together: one of them may be behind another. So every connection says which server
//! it leads to before anything is read through it. An address behind which several servers answer is refused. One that
//! leads to another server from some moment on (a failover) is followed, but not before somebody has looked at what stands
//! there now: see [`Endpoint::admit`].

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{ConnectOptions, Connection as _, Database};

use super::TargetError;
use super::failure;

/// Connections opened for one look. Servers that take turns, or the one with the fewest connections, show at once; of two
/// drawn by lot the other stays unseen once in 128 looks, and is met by a later connection.
const LOOKS: u32 = 8;

/// Looks in a row that must reach one server only, once several were met.
const AGREE: u32 = 3;

/// A server, as far as it can be told from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it says it is: what does not change with a restart.
    pub place: String,
    /// When its process began, in microseconds since the epoch; `None` where the place alone is unmistakable.
    pub started: Option<i64>,
}

impl Server {
    /// One process answers at all addresses of its machine.
    fn is(&self, other: &Server) -> bool {
        if self.started.is_some() { self.started == other.started } else { self.place == other.place }
    }

    fn restarted_as(&self, other: &Server) -> bool {
        self.place == other.place && self.started < other.started
    }

    fn leads_to(&self, next: &Server) -> bool {
        self.is(next) || self.restarted_as(next)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = self.started.and_then(chrono::DateTime::from_timestamp_micros);
        match started {
            Some(started) => write!(f, "{} (running since {})", self.place, started.format("%FT%T%.3fZ")),
            None => f.write_str(&self.place),
        }
    }
}

/// A database whose servers can be told apart.
pub(super) trait Identify: Database {
    /// Which server answers; `None` where it does not say. An error is a lost connection.
    fn identify(conn: &mut Self::Connection) -> impl Future<Output = Result<Option<Server>, sqlx::Error>> + Send;
}

/// What is known of the other end.
#[derive(Debug, Default)]
enum Standing {
    /// No server said who it is.
    #[default]
    Unknown,
    /// Reads go to this one.
    One(Server),
    /// A connection reached another one: nothing is read.
    Doubtful(Server),
    /// Only this one answers now. It is not read before it was looked at.
    Arrived(Server),
    /// Several answer; so many looks since reached one only.
    Several(Vec<Server>, u32),
}

/// The other end of a URL.
#[derive(Debug, Default)]
pub(super) struct Endpoint(Mutex<Standing>);

impl Endpoint {
    /// A connection leads to this server.
    pub(super) fn met(&self, server: Option<Server>) {
        let Some(server) = server else { return };
        let mut standing = self.standing();
        match &mut *standing {
            Standing::Unknown => *standing = Standing::One(server),
            Standing::One(known) | Standing::Arrived(known) if known.leads_to(&server) => *known = server,
            Standing::One(known) | Standing::Arrived(known) => *standing = Standing::Doubtful(known.clone()),
            Standing::Doubtful(_) | Standing::Several(..) => {}
        }
    }

    /// The server that is read.
    pub(super) fn known(&self) -> Option<Server> {
        match &*self.standing() {
            Standing::One(server) | Standing::Arrived(server) | Standing::Doubtful(server) => Some(server.clone()),
            Standing::Unknown | Standing::Several(..) => None,
        }
    }

    /// Another server than the known one answered a read, which was given up.
    pub(super) fn doubt(&self) {
        let mut standing = self.standing();
        if let Standing::One(known) | Standing::Arrived(known) = &*standing {
            *standing = Standing::Doubtful(known.clone());
        }
    }

    /// Whether reads must wait until [`Endpoint::judge`] has told who answers.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(&*self.standing(), Standing::Doubtful(_) | Standing::Several(..))
    }

    /// Takes in a look: the servers that fresh connections reached, in their order. Whether reads move to another server.
    pub(super) fn judge(&self, seen: &[Server]) -> bool {
        let Some(last) = seen.last() else { return false };
        let mut standing = self.standing();
        if !seen.windows(2).all(|pair| pair[0].leads_to(&pair[1])) {
            *standing = Standing::Several(distinct(seen), 0);
            return false;
        }
        match &mut *standing {
            Standing::Unknown => *standing = Standing::One(last.clone()),
            Standing::One(known) | Standing::Arrived(known) if known.leads_to(last) => *known = last.clone(),
            Standing::Several(_, agreed) if *agreed + 1 < AGREE => *agreed += 1,
            Standing::One(_) | Standing::Arrived(_) | Standing::Doubtful(_) | Standing::Several(..) => {
                *standing = Standing::Arrived(last.clone());
                return true;
            }
        }
        false
    }

    /// The server that answers now was looked at: reads may go there.
    pub(super) fn admit(&self) {
        let mut standing = self.standing();
        if let Standing::Arrived(server) = &*standing {
            *standing = Standing::One(server.clone());
        }
    }

    /// Why nothing is read at all, where several servers answer.
    pub(super) fn refusal(&self) -> Option<String> {
        match &*self.standing() {
            Standing::Several(servers, _) => Some(several(servers)),
            Standing::Unknown | Standing::One(_) | Standing::Doubtful(_) | Standing::Arrived(_) => None,
        }
    }

    /// Whether reads may go on.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn gate(&self) -> Result<(), TargetError> {
        match &*self.standing() {
            Standing::Unknown | Standing::One(_) => Ok(()),
            Standing::Doubtful(_) | Standing::Arrived(_) => Err(failure::moved()),
            Standing::Several(servers, _) => Err(failure::refused(several(servers))),
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn distinct(seen: &[Server]) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for server in seen {
        if !servers.iter().any(|known| known.is(server)) {
            servers.push(server.clone());
        }
    }
    servers
}

fn several(servers: &[Server]) -> String {
    let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!(
        "several servers answer at this URL, {}: what one of them lacks another may hold, so nothing is judged by their \
         rows; name the server that the applier writes instead of an address that balances",
        names.join(" and ")
    )
}

/// The servers that fresh connections reach, in their order; at most `at_once` connections are open at a time.
///
/// # Errors
/// Not even one connection could be opened.
pub(super) async fn look<DB, C>(connect: &C, at_once: u32) -> Result<Vec<Server>, sqlx::Error>
where
    DB: Identify,
    C: ConnectOptions<Connection = DB::Connection>,
{
    let mut seen = Vec::new();
    let mut asked = 0;
    while asked < LOOKS {
        let mut held = Vec::new();
        while asked < LOOKS && held.len() < at_once.max(1) as usize {
            let mut conn = match connect.connect().await {
                Ok(conn) => conn,
                // The server has no further connection to spare: those that came up tell enough.
                Err(_) if asked > 0 => return Ok(seen),
                Err(error) => return Err(error),
            };
            seen.extend(DB::identify(&mut conn).await?);
            held.push(conn);
            asked += 1;
        }
        for conn in held {
            // The server closes it as well if this does not reach it.
            let _ = conn.close().await;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        let (place, started) = text.split_once('@').map_or((text, None), |(place, at)| (place, Some(at)));
        Server { place: place.to_owned(), started: started.map(|at| at.parse().expect("a number")) }
    }

    fn servers(text: &str) -> Vec<Server> {
        text.split(' ').map(server).collect()
    }

    fn state(endpoint: &Endpoint) -> &'static str {
        match &*endpoint.standing() {
            Standing::Unknown => "unknown",
            Standing::One(_) => "one",
            Standing::Doubtful(_) => "doubtful",
            Standing::Arrived(_) => "arrived",
            Standing::Several(..) => "several",
        }
    }

    #[test]
    fn each_further_connection_says_whether_it_is_the_same_server() {
        for (first, next, expected) in [
            ("a:1@5", "a:1@5", "one"),
            ("a:1@5", "b:1@5", "one"),      // another address of the same machine
            ("a:1@5", "a:1@7", "one"),      // it was restarted
            ("a:1@5", "a:1@3", "doubtful"), // hidden behind one address, and older
            ("a:1@5", "b:1@7", "doubtful"),
            ("uuid-1", "uuid-1", "one"),
            ("uuid-1", "uuid-2", "doubtful"),
        ] {
            let endpoint = Endpoint::default();
            endpoint.met(Some(server(first)));
            endpoint.met(Some(server(next)));
            assert_eq!(state(&endpoint), expected, "{first} then {next}");
            assert_eq!(endpoint.gate().is_ok(), expected == "one");
        }
    }

    #[test]
    fn a_look_tells_a_failover_from_a_balanced_address() {
        for (seen, expected) in [
            ("a@1 a@1 a@1", "one"),
            ("a@1 a@2 a@2", "one"), // restarted meanwhile
            ("b@2 b@2 b@2", "arrived"),
            ("a@1 b@2 b@2", "several"),
            ("a@1 b@2 a@1", "several"),
            ("a@2 a@1 a@2", "several"), // hidden behind one address
        ] {
            let endpoint = Endpoint::default();
            endpoint.met(Some(server("a@1")));
            assert_eq!(endpoint.judge(&servers(seen)), expected == "arrived", "{seen}");
            assert_eq!(state(&endpoint), expected, "{seen}");
            assert_eq!(endpoint.gate().is_ok(), expected == "one", "{seen}");
            endpoint.admit();
            assert_eq!(endpoint.gate().is_ok(), expected != "several", "{seen}");
        }
    }

    #[test]
    fn where_several_answered_one_look_is_not_enough() {
        let endpoint = Endpoint::default();
        endpoint.judge(&servers("a@1 b@2 a@1"));
        assert!(endpoint.refusal().is_some_and(|why| why.contains("a (running") && why.contains("b (running")));
        for moved in [false, false, true] {
            assert!(endpoint.gate().is_err());
            assert_eq!(endpoint.judge(&servers("b@2 b@2")), moved);
        }
        endpoint.admit();
        assert!(endpoint.gate().is_ok());
    }
}
