//! What a gateway tells over HTTP, for people's browsers and for monitoring: read-only, on loopback.
//!
//! | path | what it answers |
//! |---|---|
//! | `GET /healthz` | 200 if a quorum works in one view, 503 and the reason if not |
//! | `GET /status` | the facts of [`GroupFacts`], as JSON |
//! | `GET /metrics` | counters and latencies, in Prometheus' text format |
//!
//! **The adversary** is any program of this machine: nothing here changes anything, nothing takes a body, and what it
//! costs to answer is bounded by the client's own limit of open questions. An answer is old by at most a few seconds.

mod latency;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::get;
use bezant_types::Genesis;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::client::Client;
use crate::cluster::{GroupFacts, Verdict};

pub(crate) use latency::measured;
pub(crate) use metrics::Metrics;

/// Why the pages are not served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address can be reached from other machines.
    #[error("{0} can be reached from other machines, and these pages ask nobody who he is. Use a loopback address")]
    NotLoopback(SocketAddr),
    /// Another program listens there.
    #[error("{0} is taken by another program: stop it, or choose another port with --http")]
    Taken(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// What it says.
        source: std::io::Error,
    },
}

/// What the pages are made of.
pub(crate) struct Sources {
    pub(crate) client: Client,
    pub(crate) genesis: Genesis,
    pub(crate) metrics: Metrics,
}

/// Listens on a loopback address.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    if !address.ip().is_loopback() {
        return Err(HttpError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| {
        let taken = source.kind() == std::io::ErrorKind::AddrInUse;
        if taken { HttpError::Taken(address) } else { HttpError::Io { address, source } }
    })
}

/// Serves the pages until it is dropped.
pub(crate) async fn serve(listener: TcpListener, sources: Sources) {
    let pages = Router::new()
        .route("/healthz", get(health))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(sources));
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::error!("the HTTP pages are gone: {error}");
    }
}

impl Sources {
    async fn facts(&self) -> GroupFacts {
        GroupFacts::ask(&self.client, &self.genesis, Instant::now() + PATIENCE).await
    }
}

async fn health(State(sources): State<Arc<Sources>>) -> Response {
    match sources.facts().await.verdict {
        Verdict::Healthy => (StatusCode::OK, "ok\n").into_response(),
        unwell @ (Verdict::NotSettled | Verdict::NoQuorum) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{unwell}\n")).into_response()
        }
    }
}

async fn status(State(sources): State<Arc<Sources>>) -> Json<GroupFacts> {
    Json(sources.facts().await)
}

async fn metrics(State(sources): State<Arc<Sources>>) -> Response {
    let text = sources.metrics.text(&sources.client.group().await);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// How long replicas have to report.
const PATIENCE: Duration = Duration::from_secs(2);
