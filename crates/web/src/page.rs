//! A page: the shell around a body, and the headers that keep strangers' code and frames out.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use url::{Host, Url};

use crate::{Asset, Shell};

/// How wide a page may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One form: sign-in, consent, an error.
    Narrow,
    /// Lists and tables.
    Wide,
}

/// A page to be sent.
#[derive(Debug)]
pub struct Page<'a> {
    shell: &'a Shell,
    title: String,
    status: StatusCode,
    width: Width,
    script: Option<String>,
    form_targets: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    in_popup: bool,
}

impl<'a> Page<'a> {
    pub(crate) fn new(shell: &'a Shell, title: String) -> Self {
        Self {
            shell,
            title,
            status: StatusCode::OK,
            width: Width::Narrow,
            script: None,
            form_targets: Vec::new(),
            headers: Vec::new(),
            in_popup: false,
        }
    }

    /// The status; 200 unless said.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The width; narrow unless said.
    pub fn width(mut self, width: Width) -> Self {
        self.width = width;
        self
    }

    /// Loads `script`, a module of ours, and lets it talk to our own origin. No script unless said.
    pub fn script(mut self, script: &Asset) -> Self {
        self.script = Some(script.path().to_owned());
        self
    }

    /// Lets a form's answer redirect to `target`: browsers apply `form-action` to redirects too.
    pub fn form_may_lead_to(mut self, target: &Url) -> Self {
        self.form_targets.extend(csp_source(target));
        self
    }

    /// The page is a step that a client may have opened in a popup. `Cross-Origin-Opener-Policy`
    /// would cut the popup off from its opener for good, and the client would never hear back.
    pub fn in_popup(mut self) -> Self {
        self.in_popup = true;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Set-Cookie`, if there is one to set.
    pub fn set_cookie(self, cookie: Option<HeaderValue>) -> Self {
        match cookie {
            Some(value) => self.header(header::SET_COOKIE, value),
            None => self,
        }
    }

    /// Renders.
    pub fn respond(self, body: Markup) -> Response {
        let mut response = (self.status, Body::from(self.document(&body).into_string())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
        headers.insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
        if !self.in_popup {
            headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        }
        let policy = HeaderValue::from_str(&self.policy());
        // The sources are ASCII by construction; were they not, nothing at all may load.
        let policy = policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }

    fn policy(&self) -> String {
        let script = if self.script.is_some() { "; script-src 'self'; connect-src 'self'" } else { "" };
        let targets: String = self.form_targets.iter().map(|target| format!(" {target}")).collect();
        format!(
            "default-src 'none'; style-src 'self'; img-src 'self' data:{script}; \
             form-action 'self'{targets}; frame-ancestors 'none'; base-uri 'none'"
        )
    }

    fn document(&self, body: &Markup) -> Markup {
        let product = &self.shell.branding().product;
        let main_class = match self.width {
            Width::Narrow => "card",
            Width::Wide => "wide",
        };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (self.title) " · " (product) }
                    link rel="stylesheet" href=(self.shell.stylesheet().path());
                    link rel="icon" href="data:,";
                    @if let Some(script) = &self.script { script type="module" src=(script) {} }
                }
                body {
                    header.brand { (mark()) span { (product) } }
                    main class=(main_class) { (body) }
                    footer { "Only go on if the address above is " code { (self.shell.origin()) } }
                }
            }
        }
    }
}

/// A gate in a wall, drawn with the text's colour.
fn mark() -> Markup {
    html! {
        svg width="26" height="26" viewBox="0 0 26 26" fill="none" aria-hidden="true" {
            path d="M3 23V7l3.2 2.2L9.6 6 13 8.6 16.4 6l3.4 3.2L23 7v16h-6v-5a4 4 0 0 0-8 0v5z"
                fill="currentColor" {}
        }
    }
}

/// A CSP source that matches `target`: its serialised origin. CSP knows no IPv6 hosts, and native apps
/// have schemes of their own; both can only be named by scheme. None for a host with characters that
/// mean something to CSP: URLs allow `;` and `,` there, and each would begin a directive or a policy.
fn csp_source(target: &Url) -> Option<String> {
    let plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    match (target.scheme(), target.host()) {
        ("http" | "https", Some(Host::Domain(host))) if !plain(host) => None,
        ("http" | "https", Some(Host::Domain(_) | Host::Ipv4(_))) => Some(target.origin().ascii_serialization()),
        (scheme, _) => Some(format!("{scheme}:")),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::{Branding, CsrfKey};

    fn shell() -> Shell {
        let branding = Branding { product: "<b>Acme</b>".to_owned(), support: None };
        Shell::new("https://gate.example".parse().unwrap(), branding, CsrfKey::new(Zeroizing::new([0; 32]))).unwrap()
    }

    fn policy(page: Page<'_>) -> String {
        let response = page.respond(html! { p { "x" } });
        response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_page_loads_nothing_but_its_style_and_runs_no_script() {
        assert_eq!(
            policy(shell().page("t")),
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        assert!(policy(shell().page("t").script(&Asset::script("x"))).contains("script-src 'self'; connect-src"));
    }

    #[test]
    fn a_form_may_lead_to_the_redirect_and_to_nothing_else() {
        for (target, source) in [
            ("http://127.0.0.1:3334/cb?x=1", "http://127.0.0.1:3334"),
            ("https://app.example/cb", "https://app.example"),
            ("http://[::1]:3334/cb", "http:"),
            ("cursor://anysphere/cb", "cursor:"),
        ] {
            let policy = policy(shell().page("t").form_may_lead_to(&target.parse().unwrap()));
            assert!(policy.contains(&format!("form-action 'self' {source};")), "{policy}");
        }
    }

    #[test]
    fn a_redirects_host_adds_nothing_to_the_policy() {
        for target in ["https://a;sandbox;b.example/cb", "https://a,b.example/cb", "https://a'self'.example/cb"] {
            let policy = policy(shell().page("t").form_may_lead_to(&target.parse().unwrap()));
            assert!(policy.contains("form-action 'self'; frame-ancestors"), "{policy}");
        }
    }

    #[test]
    fn headers_are_strict_and_the_opener_survives_only_in_a_popup_step() {
        let response = shell().page("t").respond(html! {});
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        assert!(!shell().page("t").in_popup().respond(html! {}).headers().contains_key("cross-origin-opener-policy"));
    }

    #[test]
    fn strangers_words_are_escaped() {
        let text = shell().page("<script>").document(&html! { ("\"><img>") }).into_string();
        assert!(!text.contains("<b>Acme") && !text.contains("<script>") && !text.contains("<img>"), "{text}");
    }
}
