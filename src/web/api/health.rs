//! For those who operate a node: whether it lives, whether it is ready, and its figures for Prometheus.

use std::fmt::{Display, Write};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::caller::Caller;
use super::{NO_STORE, Problem, metrics};
use crate::domain::people::Operation;
use crate::meter::Histogram;
use crate::web::App;

/// Counts what the API answers.
pub async fn count(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = std::time::Instant::now();
    let app = req.app_data::<Data<App>>().cloned();
    let method = req.method().clone();
    let result = next.call(req).await;
    if let Some(app) = app {
        let status = match &result {
            Ok(response) => response.status(),
            Err(err) => err.as_response_error().status_code(),
        };
        app.run.note(method.as_str(), status.as_u16(), started.elapsed());
    }
    result
}

/// `GET /healthz`: the process answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").insert_header(NO_STORE).body("ok\n")
}

/// `GET /readyz`: the database answers, and the node is not stopping.
pub async fn ready(app: Data<App>) -> HttpResponse {
    let stopping = *app.run.stopping().borrow();
    let (mut response, text) = match app.node.store().waiting().await {
        Ok(_) if !stopping => (HttpResponse::Ok(), "ready\n"),
        Ok(_) => (HttpResponse::ServiceUnavailable(), "stopping\n"),
        Err(err) => {
            tracing::warn!("not ready: {err}");
            (HttpResponse::ServiceUnavailable(), "the database does not answer; the log says why\n")
        }
    };
    response.content_type("text/plain; charset=utf-8").insert_header(NO_STORE).body(text)
}

/// `GET /metrics`. Open, as scrapers expect; the names of types and partitions are for those who may see records.
pub async fn metrics(req: HttpRequest, app: Data<App>) -> Result<HttpResponse, Problem> {
    let named = if Caller::is_named(&req) { Caller::of(&req).await?.may(Operation::See).is_ok() } else { false };
    let mut page = Page::default();
    page.family("outpost_info", "gauge", "Which version this is; always 1.");
    page.value("outpost_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("outpost_uptime_seconds", "gauge", "How long this server has run.");
    page.value("outpost_uptime_seconds", &[], app.run.uptime().as_secs_f64());
    page.family("outpost_api_requests_total", "counter", "Answers of the API, by method and class of status.");
    for (method, status, count) in app.run.answered() {
        page.value("outpost_api_requests_total", &[("method", method), ("status", status)], count);
    }
    page.family("outpost_api_request_seconds_total", "counter", "Time spent on answers of the API.");
    page.value("outpost_api_request_seconds_total", &[], app.run.spent().as_secs_f64());
    store(&app, named, &mut page).await?;
    metrics::conversations(&app, named, &mut page).await?;
    if let Some(bytes) = resident_memory() {
        page.family("process_resident_memory_bytes", "gauge", "Memory of this process.");
        page.value("process_resident_memory_bytes", &[], bytes);
    }
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(HttpResponse::Ok().content_type(media_type).insert_header(NO_STORE).body(page.0))
}

async fn store(app: &App, named: bool, page: &mut Page) -> Result<(), Problem> {
    let store = app.node.store();
    let mut tallies = store.tallies().await?;
    tallies.retain(|tally| !tally.type_name.is_built_in());
    let label = |name: &'static str, value| if named { Some((name, value)) } else { None };
    page.family("outpost_records", "gauge", "Records, in the bin and not.");
    let (mut living, mut binned, mut flagged) = (0, 0, 0);
    for tally in &tallies {
        living += tally.living;
        binned += tally.binned;
        flagged += tally.flagged;
        if let Some(of_type) = label("type", tally.type_name.as_str()) {
            page.value("outpost_records", &[of_type, ("state", "living")], tally.living);
            page.value("outpost_records", &[of_type, ("state", "binned")], tally.binned);
        }
    }
    if !named {
        page.value("outpost_records", &[("state", "living")], living);
        page.value("outpost_records", &[("state", "binned")], binned);
    }
    page.family("outpost_records_flagged", "gauge", "Records that people should look at.");
    page.value("outpost_records_flagged", &[], flagged);
    page.family("outpost_outbox_saves", "gauge", "Saves the hub has not acknowledged.");
    page.value("outpost_outbox_saves", &[], store.waiting().await?);
    let partitions = store.partitions().await?;
    page.family("outpost_partitions", "gauge", "Partitions that ever held a record here.");
    page.value("outpost_partitions", &[], partitions.len());
    page.family("outpost_partition_head", "gauge", "The number of the newest change, of all partitions or of each.");
    if named {
        for state in &partitions {
            page.value("outpost_partition_head", &[("partition", &state.partition.0)], state.head);
        }
    } else {
        page.value("outpost_partition_head", &[], partitions.iter().map(|state| state.head).max().unwrap_or(0));
    }
    metrics::writes(app, page).await?;
    Ok(())
}

/// Resident bytes of this process, where the system tells them.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Text in the exposition format of Prometheus, version 0.0.4.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if i == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{label}=\"{text}\""));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    /// The lines of a histogram, whose family is `name`.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut all = 0;
        for (bound, count) in histogram.buckets() {
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            self.value(&format!("{name}_bucket"), &[labels, &[("le", bound.as_str())]].concat(), count);
            all = count;
        }
        self.value(&format!("{name}_sum"), labels, histogram.sum());
        self.value(&format!("{name}_count"), labels, all);
    }

    fn write(&mut self, text: std::fmt::Arguments) {
        self.0.write_fmt(text).expect("a String takes all that is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.value("x", &[("a", "q\"\\\n"), ("b", "")], 1.5);
        page.value("y", &[], 2);
        assert_eq!(page.0, "x{a=\"q\\\"\\\\\\n\",b=\"\"} 1.5\ny 2\n");
    }
}
