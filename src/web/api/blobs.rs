//! Files that records refer to: sent in parts, given with ranges, never run in our origin.

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentEncoding};
use actix_web::web::{Bytes, Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::{Problem, matches_none, segment};
use crate::domain::blob::{BlobHash, CHUNK, FileRef};
use crate::domain::people::Operation;
use crate::node::{Blobs, NodeError};
use crate::store::StoreError;
use crate::store::blob::{Arrived, BlobError};
use crate::web::App;
use crate::web::pieces::{Broken, Pieces};

/// What is given is looked at, and nothing in it runs, whatever it says it is.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox";

fn files(app: &App) -> Result<&std::sync::Arc<Blobs>, Problem> {
    app.node.blobs().ok_or_else(|| Problem::not_found("This node keeps no files."))
}

fn named(req: &HttpRequest) -> Result<BlobHash, Problem> {
    let wrong = || Problem::bad("A file is named by its SHA-256: 64 hexadecimal digits in lower case.");
    segment(req, "hash").parse().map_err(|_| wrong())
}

impl From<BlobError> for Problem {
    fn from(err: BlobError) -> Self {
        match err {
            BlobError::Gap { have } => Problem::conflict(format!("Its first {have} bytes are here; go on from there.")),
            BlobError::TooLong => Problem::bad("There are more bytes than the size that was said."),
            BlobError::Mismatch => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The bytes are not those that the name stands for: their SHA-256 is another. What arrived was thrown away.",
            ),
            BlobError::Full => NodeError::Store(StoreError::Full).into(),
            BlobError::Io(err) => NodeError::Store(StoreError::Database(Box::new(err))).into(),
        }
    }
}

fn too_large(most: u64) -> Problem {
    Problem::too_large(format!("This file is too large; {} MiB is the most.", most >> 20))
}

#[derive(Deserialize)]
struct Where {
    #[serde(default)]
    offset: u64,
    size: Option<u64>,
}

/// `PUT /blobs/{hash}?offset=&size=`: some bytes of a file, as many as one likes; the next ones may come with another request.
pub async fn put(req: HttpRequest, app: Data<App>, caller: Caller, payload: Payload) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Create)?;
    let (files, hash) = (files(&app)?, named(&req)?);
    let at = Query::<Where>::from_query(req.query_string());
    let Where { offset, size } = at.map_err(|err| Problem::bad(format!("The address: {err}")))?.into_inner();
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let Some(size) = size.or_else(|| offset.checked_add(length?)) else {
        return Err(Problem::bad("Say with size= how many bytes the whole file has."));
    };
    if size > files.most() {
        return Err(too_large(files.most()));
    }
    let mut arrived = files.arrived(hash);
    let was_here = arrived == Arrived::Whole;
    let (mut at, mut kept) = (offset, Vec::new());
    let mut pieces = Pieces::of(&req, payload);
    loop {
        let piece = match pieces.next().await {
            Some(Ok(piece)) => Some(piece),
            None => None,
            Some(Err(why)) => {
                // what came before it broke is of use
                if !kept.is_empty() {
                    files.append(hash, size, at, kept).await?;
                }
                return Err(broken(why));
            }
        };
        kept.extend_from_slice(piece.as_deref().unwrap_or_default());
        if kept.len() as u64 > size.saturating_sub(at.min(size)) {
            return Err(BlobError::TooLong.into());
        }
        if piece.is_none() || kept.len() as u64 >= CHUNK {
            let some = std::mem::take(&mut kept);
            let length = some.len() as u64;
            if length > 0 || size == 0 {
                arrived = files.append(hash, size, at, some).await?;
            }
            at += length;
        }
        if piece.is_none() {
            break;
        }
    }
    files.brought(hash, caller.actor.person()).await?;
    let offset = match arrived {
        Arrived::Whole => size,
        Arrived::Bytes(bytes) => bytes,
    };
    let is_whole = arrived == Arrived::Whole;
    let body = json!({ "sha256": hash.to_string(), "size": size, "offset": offset, "whole": is_whole });
    let status = match (is_whole, was_here) {
        (false, _) => StatusCode::ACCEPTED,
        (true, false) => StatusCode::CREATED,
        (true, true) => StatusCode::OK,
    };
    let mut response = super::json(&body);
    *response.status_mut() = status;
    Ok(response)
}

fn broken(why: Broken) -> Problem {
    match why {
        Broken::Off(err) => {
            Problem::bad(format!("The bytes stopped coming: {err}. What arrived is kept; go on from there."))
        }
        Broken::Silent => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "The bytes stopped coming. What arrived is kept; go on from there.",
        ),
    }
}

/// Whoever may see a record that refers to it, or brought it.
async fn may_see(files: &Blobs, caller: &Caller, hash: BlobHash) -> Result<(), Problem> {
    caller.may(Operation::See)?;
    let person = caller.actor.person();
    // what records say of it is told, too, so whoever brought it does not do
    if files.file(hash).is_none() {
        files.catch_up().await?;
    }
    // as if it were not there: what nobody may see is not told of either
    if files.is_for(hash, person) { Ok(()) } else { Err(gone()) }
}

fn gone() -> Problem {
    Problem::not_found("There is no such file here.")
}

/// `GET /blobs/{hash}/state`: where it is.
pub async fn state(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (files, hash) = (files(&app)?, named(&req)?);
    may_see(files, &caller, hash).await?;
    let said = files.file(hash);
    let size = files.size(hash).or(said.as_ref().map(|file| file.size)).unwrap_or(0);
    let state = files.state(hash, size);
    Ok(super::json(&json!({
        "sha256": hash.to_string(),
        "name": said.as_ref().map(|file| &file.name),
        "mime": said.as_ref().map(|file| &file.mime),
        "size": size,
        "state": state.place,
        "parts": { "done": state.done, "of": state.of },
        "offset": match files.arrived(hash) { Arrived::Whole => size, Arrived::Bytes(bytes) => bytes },
        "words": state.words(),
        "reason": state.trouble,
    })))
}

/// `GET /blobs/{hash}`, with ranges.
pub async fn show(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (files, hash) = (files(&app)?.clone(), named(&req)?);
    may_see(&files, &caller, hash).await?;
    let Some(size) = files.size(hash) else {
        return Err(Problem::not_found("This file is not on this node yet; /state says how it stands."));
    };
    let tag = format!("\"{hash}\"");
    if !matches_none(&req, &tag) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish());
    }
    let asked = req.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    let same = req.headers().get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let range = asked.filter(|_| same).map_or(Range::All, |asked| Range::of(asked, size));
    let (from, length) = match range {
        Range::All => (0, size),
        Range::Part(from, length) => (from, length),
        Range::Outside => {
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("The file has {size} bytes."));
            return Err(problem.with_header(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let said = files.file(hash);
    let mut response = HttpResponse::Ok();
    if matches!(range, Range::Part(..)) {
        response.status(StatusCode::PARTIAL_CONTENT);
        response.insert_header((header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", from + length - 1)));
    }
    let pieces = stream::unfold(Some((files, from, length)), move |rest| async move {
        let (files, from, length) = rest.filter(|(_, _, length)| *length > 0)?;
        let read = files.read(hash, from, length.min(CHUNK)).await;
        let bytes = match read {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            Ok(_) => return Some((Err(std::io::Error::other("the file ended before its end")), None)),
            Err(err) => return Some((Err(std::io::Error::other(err.to_string())), None)),
        };
        let read = bytes.len() as u64;
        Some((Ok(Bytes::from(bytes)), Some((files, from + read, length - read))))
    });
    let mime = said.as_ref().and_then(FileRef::picture).unwrap_or("application/octet-stream");
    Ok(response
        .content_type(mime)
        .insert_header((header::ETAG, tag))
        // it never changes, and is only for who may see it
        .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CONTENT_DISPOSITION, disposition(said.as_ref())))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::VARY, "Authorization, Cookie"))
        .insert_header(ContentEncoding::Identity)
        .body(SizedStream::new(length, Box::pin(pieces))))
}

/// Pictures are shown, everything else is kept; under the name that the record gives, whatever is in that.
fn disposition(said: Option<&FileRef>) -> String {
    let how = if said.is_some_and(|file| file.picture().is_some()) { "inline" } else { "attachment" };
    let name = said.map(|file| file.name.as_str()).filter(|name| !name.trim().is_empty()).unwrap_or("file");
    let plain: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "-_. ".contains(char) { char } else { '_' })
        .collect();
    let encoded: String = name
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    All,
    /// From where, and how many.
    Part(u64, u64),
    Outside,
}

impl Range {
    /// The range of a header; several at once, or what is none, is all of it (RFC 9110).
    fn of(asked: &str, size: u64) -> Self {
        let Some((from, to)) = asked.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::All;
        };
        let number = |text: &str| text.trim().parse::<u64>();
        match (from.trim(), to.trim()) {
            ("", last) => match number(last) {
                Ok(0) => Self::Outside,
                Ok(_) if size == 0 => Self::Outside,
                Ok(last) => Self::Part(size - last.min(size), last.min(size)),
                Err(_) => Self::All,
            },
            (from, to) => match (number(from), number(to)) {
                (Ok(from), _) if from >= size => Self::Outside,
                (Ok(from), _) if to.is_empty() => Self::Part(from, size - from),
                (Ok(from), Ok(to)) if from <= to => Self::Part(from, to.min(size - 1) - from + 1),
                _ => Self::All,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_standard_says() {
        for (asked, range) in [
            ("bytes=0-9", Range::Part(0, 10)),
            ("bytes=90-", Range::Part(90, 10)),
            ("bytes=90-200", Range::Part(90, 10)),
            ("bytes=-10", Range::Part(90, 10)),
            ("bytes=-1000", Range::Part(0, 100)),
            ("bytes=100-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=9-3", Range::All),
            ("bytes=0-1,5-6", Range::All),
            ("bytes=x-", Range::All),
            ("lines=0-1", Range::All),
            ("", Range::All),
            ("bytes=18446744073709551616-", Range::All),
        ] {
            assert_eq!(Range::of(asked, 100), range, "{asked}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        let file =
            |name: &str, mime: &str| FileRef { hash: BlobHash([0; 32]), name: name.into(), mime: mime.into(), size: 1 };
        let hostile = disposition(Some(&file("a\"; x=\r\nSet-Cookie: b\u{202e}.html", "text/html")));
        assert!(hostile.starts_with("attachment; filename=\"a__ x___Set-Cookie_ b_.html\""), "{hostile}");
        assert!(!hostile.contains(['\r', '\n']));
        assert_eq!(
            disposition(Some(&file("pømp.jpg", "image/jpeg"))),
            "inline; filename=\"p_mp.jpg\"; filename*=UTF-8''p%C3%B8mp.jpg"
        );
        assert!(disposition(None).starts_with("attachment; filename=\"file\""));
        assert!(disposition(Some(&file("x.svg", "image/svg+xml"))).starts_with("attachment"));
    }
}
