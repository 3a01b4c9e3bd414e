//! The server: sockets, workers, and an end in which nothing that was begun is broken off.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App as Server, HttpServer};

use super::{App, configure, error, security};

/// How long requests that are under way may take after the server was asked to stop, in seconds.
const PATIENCE: u64 = 30;

/// Serves until `shutdown` is ready: then live streams close, open requests finish, and this returns. `extra` adds what
/// other parts serve beside pages and API.
pub async fn serve(
    app: App,
    listener: TcpListener,
    extra: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let app = Data::new(app);
    let shared = app.clone();
    let server = HttpServer::new(move || {
        Server::new()
            .app_data(shared.clone())
            .wrap(from_fn(error::dress))
            .wrap(Compress::default())
            .wrap(from_fn(security::headers))
            .configure(extra.clone())
            .configure(configure)
    })
    .workers(std::thread::available_parallelism().map_or(2, usize::from))
    .client_request_timeout(Duration::from_secs(15))
    .shutdown_timeout(PATIENCE)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    let mut server = std::pin::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => {}
    }
    app.run.stop();
    let ((), ended) = tokio::join!(handle.stop(true), server);
    ended
}
