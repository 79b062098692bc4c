//! A TCP proxy before several servers, as a load balancer or a failover address is one.
#![expect(clippy::disallowed_methods, reason = "each connection is carried by a task of its own")]

use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Where new connections go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leads {
    /// To one server after another, beginning with this one.
    InTurnsFrom(usize),
    /// To this one.
    To(usize),
}

#[derive(Debug)]
struct State {
    leads: Leads,
    /// Connections since it leads there.
    count: usize,
    carried: Vec<AbortHandle>,
}

/// A running proxy; it ends with its value.
pub(crate) struct Balancer {
    address: String,
    state: Arc<Mutex<State>>,
    _accepts: JoinSet<()>,
}

impl Balancer {
    /// Listens before servers at `host:port`.
    pub(crate) async fn before(servers: &[String], leads: Leads) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket").to_string();
        let state = Arc::new(Mutex::new(State { leads, count: 0, carried: Vec::new() }));
        let (shared, servers) = (Arc::clone(&state), servers.to_vec());
        let mut accepts = JoinSet::new();
        accepts.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut state = shared.lock().expect("nobody panicked");
                let server = match state.leads {
                    Leads::InTurnsFrom(first) => (first + state.count) % servers.len(),
                    Leads::To(server) => server,
                };
                state.count += 1;
                let carried = tokio::spawn(carry(client, servers[server].clone()));
                state.carried.push(carried.abort_handle());
            }
        });
        Self { address, state, _accepts: accepts }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where connections go from now on. Those there are are cut.
    pub(crate) fn lead(&self, leads: Leads) {
        let mut state = self.state.lock().expect("nobody panicked");
        (state.leads, state.count) = (leads, 0);
        state.carried.drain(..).for_each(|carried| carried.abort());
    }
}

async fn carry(mut client: TcpStream, server: String) {
    let mut server = TcpStream::connect(server).await.expect("the server listens");
    // Either end may go first; the other learns of it by the end of the task.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
