//! Cookies: out of reach of scripts and of other sites, all of them.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

/// The value of a cookie. A name that is there twice has its first value.
pub fn get<'a>(req: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let headers = req.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Sets a cookie for so many seconds; none takes it away. `name` and `value` are of letters, digits, `-`, `_` and `.`.
pub fn set(req: &HttpRequest, answer: &mut HttpResponse, name: &str, value: &str, seconds: u32) {
    let secure = if req.connection_info().scheme() == "https" { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let req = TestRequest::default()
            .insert_header((header::COOKIE, "a=1; outpost-12=se-cret_; b=x=y"))
            .append_header((header::COOKIE, "outpost-12=other;c="))
            .to_http_request();
        assert_eq!(get(&req, "outpost-12"), Some("se-cret_"));
        assert_eq!((get(&req, "b"), get(&req, "c"), get(&req, "outpost")), (Some("x=y"), Some(""), None));
    }

    #[test]
    fn a_cookie_is_closed_to_scripts_and_other_sites_and_to_plain_connections_where_it_can() {
        let set_on = |scheme: &str| {
            let req = TestRequest::default().insert_header(("x-forwarded-proto", scheme)).to_http_request();
            let mut answer = HttpResponse::Ok().finish();
            set(&req, &mut answer, "a", "b", 60);
            answer.headers().get(header::SET_COOKIE).expect("a cookie").to_str().expect("ASCII").to_owned()
        };
        assert_eq!(set_on("http"), "a=b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict");
        assert_eq!(set_on("https"), "a=b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
    }
}
