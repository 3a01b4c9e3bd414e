//! Parts of files on the network: bytes as they are, with their hash beside them (RFC 9530), so that a flipped bit is noticed
//! before anything is kept.

use actix_web::http::header::{self, ContentEncoding};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::{HubData, PATIENCE, answer, bearer, its, problem, query, read};
use crate::domain::blob::{AskBlobs, BlobHash, CHUNK};
use crate::store::blob::hash_of;
use crate::sync::hub::HubError;
use crate::sync::wire::Malformed;

/// What a part's header says of its bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", data_encoding::BASE64.encode(&hash_of(bytes).0))
}

pub const CONTENT_DIGEST: &str = "content-digest";

#[derive(Deserialize)]
struct Size {
    size: u64,
}

/// `POST /sync/v1/blobs`: how it stands with some files.
pub async fn ask(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let told = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.ask_blobs(&node, &read::<AskBlobs>(&request, body).await?).await
    };
    answer(&request, told.await)
}

/// Which part of which file an address names.
fn named(request: &HttpRequest) -> Result<(BlobHash, u64), HubError> {
    let part = |name| request.match_info().get(name).unwrap_or_default();
    let meaningless = || HubError::Meaningless("that is no name of a part of a file".into());
    Ok((part("hash").parse().map_err(|_| meaningless())?, part("part").parse().map_err(|_| meaningless())?))
}

/// `PUT /sync/v1/blobs/{hash}/{part}?size=`: a part of a file.
pub async fn put(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let taken = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        let (hash, part) = named(&request)?;
        let Size { size } = query(&request)?;
        let late = || HubError::from(Malformed::Content("the rest of it did not come".into()));
        let whole = tokio::time::timeout(PATIENCE, body.to_bytes_limited(CHUNK as usize)).await.map_err(|_| late())?;
        let bytes = match whole {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(err)) => return Err(Malformed::Content(err.to_string()).into()),
            Err(_) => return Err(Malformed::TooLarge(CHUNK as usize).into()),
        };
        let said = request.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        if said.is_some_and(|said| said.contains("sha-256=") && said != digest(&bytes)) {
            return Err(Malformed::Content("its bytes are not those that were sent".into()).into());
        }
        hub.put_blob(&node, hash, size, part, bytes).await
    };
    answer(&request, taken.await)
}

/// `GET /sync/v1/blobs/{hash}/{part}`: a part of a file.
pub async fn get(hub: HubData, request: HttpRequest) -> HttpResponse {
    let given = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        let (hash, part) = named(&request)?;
        Ok((part, hub.blob(&node, hash, part).await?))
    };
    match given.await {
        Ok((part, (bytes, size))) => {
            let from = part * CHUNK;
            let range = match bytes.len() as u64 {
                0 => format!("bytes */{size}"),
                length => format!("bytes {from}-{}/{size}", from + length - 1),
            };
            HttpResponse::PartialContent()
                .content_type("application/octet-stream")
                .insert_header((header::CONTENT_RANGE, range))
                .insert_header((CONTENT_DIGEST, digest(&bytes)))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .insert_header(ContentEncoding::Identity)
                .body(bytes)
        }
        Err(err) => problem(&err),
    }
}
