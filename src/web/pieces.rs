//! The pieces of a body as they come in, and an end to waiting for them: whoever stops sending holds up neither a worker
//! nor the end of the server.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, Data};
use futures_util::{Stream, StreamExt};
use tokio::time::sleep;

use super::App;

/// How long the next piece may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take once the server is about to stop.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);

/// Why a body did not come in whole.
#[derive(Debug)]
pub enum Broken {
    Off(PayloadError),
    /// Nothing came for a long time.
    Silent,
}

pub struct Pieces<S> {
    payload: S,
    app: Option<Data<App>>,
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Pieces<S> {
    pub fn of(req: &HttpRequest, payload: S) -> Self {
        Self { payload, app: req.app_data::<Data<App>>().cloned() }
    }

    pub async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let app = &self.app;
        let at_end = async {
            let Some(app) = app else { return std::future::pending().await };
            // an error says that the server is gone
            let _ = app.run.stopping().wait_for(|stopping| *stopping).await;
            sleep(PATIENCE_AT_END).await;
        };
        tokio::select! {
            biased;
            piece = self.payload.next() => piece.map(|piece| piece.map_err(Broken::Off)),
            () = at_end => Some(Err(Broken::Silent)),
            () = sleep(PATIENCE) => Some(Err(Broken::Silent)),
        }
    }
}
