//! The HTTP side of the practice endpoint.
//!
//! Used by `Lab`. Must not know any action: it reads a request, hands it to `api` and sends the
//! answer back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Shared;
use super::{api, ids, record, serial, session, tunnel};

/// Requests of the tools are a few kilobytes.
const BODY_LIMIT: usize = 1 << 20;

/// How long a client may say nothing before it is taken for one that speaks HTTP.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer of `api`.
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// A request, as far as `api` looks at it.
pub(super) struct Call<'a> {
    /// The X-Amz-Target header of JSON services.
    pub target: Option<&'a str>,
    /// The form, or the JSON document.
    pub form: &'a str,
    /// The Region that the caller signed for.
    pub region: Option<&'a str>,
    /// When the caller signed: `20251121T133347Z`.
    pub date: Option<&'a str>,
    pub id: &'a str,
}

/// Serves connections for as long as the task lives.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the task.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: go on after a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            // What speaks first tells what it is: the tunnels and the serial console are at the same port.
            let mut begun = [0; 16];
            let begun = match tokio::time::timeout(PATIENCE, stream.peek(&mut begun)).await {
                Ok(Ok(count)) => &begun[..count],
                _ => &[],
            };
            if begun.starts_with(tunnel::BEGINNING) {
                return tunnel::serve(stream, shared).await;
            }
            if begun.starts_with(serial::BEGINNING) {
                return serial::serve(stream, shared).await;
            }
            let service = service_fn(move |request| respond(request, shared.clone()));
            // A client that breaks the connection is not the lab's concern.
            let _ = stream.set_nodelay(true);
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path().starts_with(session::PATH) {
        return Ok(session::upgrade(request, &shared));
    }
    if request.uri().path() == record::PATH {
        let answer = record::answer(&shared);
        let mut response = Response::new(Full::new(Bytes::from(answer)));
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let (head, body) = request.into_parts();
    let target = header(&head.headers, "x-amz-target");
    let (region, date) = (region(&head.headers), header(&head.headers, "x-amz-date"));
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(_) => String::new(),
    };
    let form = if body.is_empty() { head.uri.query().unwrap_or_default().to_owned() } else { body };
    if !shared.delay.is_zero() {
        tokio::time::sleep(shared.delay).await;
    }
    let number = shared.next_request();
    let request_id = ids::request_id(shared.world().seed, number);
    let call = Call {
        target: target.as_deref(),
        form: &form,
        region: region.as_deref(),
        date: date.as_deref(),
        id: &request_id,
    };
    let answer = api::answer(&shared, &call);
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(answer.content_type));
    if shared.api.clock_ahead != 0
        && let Ok(value) = ids::http_date(shared.now()).parse()
    {
        headers.insert(DATE, value);
    }
    if let Ok(value) = request_id.parse() {
        headers.insert("x-amzn-requestid", value);
    }
    Ok(response)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The Region that the caller signed for: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
/// The signature itself is not looked at.
fn region(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let scope = text.split_once("Credential=")?.1.split(',').next()?;
    scope.split('/').nth(2).map(str::to_owned)
}
