//! Pages that pass a message on through the browser. Each works by its button alone; a script of ours presses it.

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use maud::html;
use sallyport_saml::Outgoing;
use sallyport_web::{ErrorPage, Markup, Page};
use url::Url;

use crate::{Identity, answer::Failure, federation::realm::leave_for};

/// Where a browser stands that is to be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// It opened an address: a redirect will do.
    Link,
    /// It sent a form of a page of ours, whose policy holds for every redirect that follows: it leaves by a page.
    Form,
}

/// A form with hidden fields and one button. `at_once`: the script presses it.
pub(super) fn passing_on(action: &str, fields: &[(&'static str, String)], button: &str, at_once: bool) -> Markup {
    html! {
        form.stack method="post" action=(action) data-repost[at_once] {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button.full type="submit" autofocus[at_once] { (button) }
        }
    }
}

impl Identity {
    /// The page that posts what another site posted to us once more, to `action` of ours: now it comes from our own
    /// site, and the browser sends our cookies with it.
    pub(super) fn repost_page(&self, action: &str, fields: &[(&'static str, String)]) -> Response {
        let body = html! {
            h1 { "One moment" }
            p.lead { "Your organisation has answered. If nothing happens, press the button." }
            (passing_on(action, fields, "Continue", true))
        };
        self.shell().page("Signing in").in_popup().script(&self.0.repost).respond(body)
    }

    /// Sends the browser to the provider with a message of ours; `heading` stands on the page, where there is one.
    pub(super) fn send_on(&self, outgoing: &Outgoing, heading: &str, from: From) -> Response {
        match outgoing {
            Outgoing::Redirect { url } if from == From::Link => Redirect::to(url).into_response(),
            Outgoing::Redirect { url } => leave_for(self, heading, url),
            Outgoing::Post { url, fields } => {
                let body = html! {
                    h1 { (heading) }
                    p.lead { "If nothing happens, press the button." }
                    (passing_on(url, fields, "Continue", true))
                };
                may_lead_to(self.shell().page("Signing in").in_popup().script(&self.0.repost), url).respond(body)
            }
        }
    }
}

/// Lets a page's form go to an address that the `saml` crate has checked.
pub(super) fn may_lead_to<'a>(page: Page<'a>, url: &str) -> Page<'a> {
    match Url::parse(url) {
        Ok(target) => page.form_may_lead_to(&target),
        Err(_) => page,
    }
}

/// The fields of a form that another site sent: at most one of each name that we read.
pub(super) struct Posted(Vec<(String, String)>);

impl Posted {
    /// Of the body of a form. Too large a body never comes so far.
    pub(super) fn of(body: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(body).into_owned();
        Self(pairs.take(16).filter(|(name, _)| FIELDS.contains(&name.as_str())).collect())
    }

    /// A field, unless it is empty; a fault where it stands twice.
    pub(super) fn field(&self, name: &'static str) -> Result<Option<&str>, Failure> {
        let mut all = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        match (all.next(), all.next()) {
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
            _ => Err(malformed(&format!("The form has the field `{name}` twice."))),
        }
    }

    /// A field that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, Failure> {
        self.field(name)?.ok_or_else(|| malformed(&format!("The form has no field `{name}`.")))
    }
}

const FIELDS: [&str; 4] = ["SAMLRequest", "SAMLResponse", "RelayState", "csrf"];

fn malformed(what: &str) -> Failure {
    let remedy = "Go back to where you came from and start again.";
    ErrorPage::new(StatusCode::BAD_REQUEST, "saml_malformed_form", what, remedy).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_field_that_stands_twice_is_refused_and_others_are_passed_over() {
        let posted = Posted::of(b"a=1&SAMLResponse=x%2By&RelayState=&RelayState=z");
        assert_eq!(posted.required("SAMLResponse").unwrap(), "x+y");
        assert!(posted.field("RelayState").is_err());
        assert!(posted.required("SAMLRequest").is_err());
        assert_eq!(Posted::of(b"RelayState=").field("RelayState").unwrap(), None);
        let hidden = format!("{}SAMLResponse=x", "a=1&".repeat(16));
        assert!(Posted::of(hidden.as_bytes()).required("SAMLResponse").is_err(), "nobody sends so many fields");
    }

    proptest! {
        #[test]
        fn no_body_makes_reading_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let posted = Posted::of(&body);
            for name in FIELDS {
                let _ = posted.field(name);
            }
        }
    }
}
