//! Parts of files to and from the hub.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE};
use tokio::time::timeout;

use super::{HttpTransport, SILENCE, SLOWEST, body, refusal, silent, unreachable};
use crate::domain::blob::{BlobHash, CHUNK, HubHas};
use crate::domain::protocol::Failure;
use crate::sync::http::blobs::{CONTENT_DIGEST, digest};

impl HttpTransport {
    pub(super) async fn send_part(
        &self,
        hash: BlobHash,
        size: u64,
        part: u64,
        bytes: Vec<u8>,
    ) -> Result<HubHas, Failure> {
        let length = bytes.len();
        let request = self
            .client
            .put(format!("{}/sync/v1/blobs/{hash}/{part}?size={size}", self.base))
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_DIGEST, digest(&bytes))
            .body(bytes);
        self.unless_cut(self.exchange(request, length)).await
    }

    /// A part, and how long the whole file is.
    pub(super) async fn fetch_part(&self, hash: BlobHash, part: u64) -> Result<(Vec<u8>, u64), Failure> {
        let request = self.get(&format!("blobs/{hash}/{part}"), "");
        let patience = SILENCE + Duration::from_secs(CHUNK / SLOWEST as u64);
        let fetch = async {
            let sent = timeout(patience, request.send()).await;
            let response = sent.map_err(|_| silent())?.map_err(|err| unreachable(&err))?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(refusal(response).await);
            }
            let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            let said = header(CONTENT_DIGEST);
            let size = header(CONTENT_RANGE.as_str()).and_then(|range| range.rsplit('/').next()?.parse::<u64>().ok());
            let size = size.ok_or_else(|| Failure::Faulty("the hub does not say how long a file is".into()))?;
            let bytes = body(response, CHUNK as usize).await?;
            if said.is_some_and(|said| said.contains("sha-256=") && said != digest(&bytes)) {
                return Err(Failure::Faulty("a part of a file came with other bytes than the hub sent".into()));
            }
            Ok((bytes, size))
        };
        let (bytes, size) = self.unless_cut(fetch).await?;
        self.meter.bytes_received.add(bytes.len());
        Ok((bytes, size))
    }
}
