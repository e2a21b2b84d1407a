//! Plays the person at the browser: follows the authorization server's pages until they lead back to the client.
//!
//! It knows nothing of a product but what its pages say, runs no script, sends the password once and only to
//! the origin whose page asked for it, never presses what denies, and opens no page at the client's own address.

use std::collections::BTreeSet;

use http::{StatusCode, header};
use url::{Origin, Url};

use super::{
    choose::{self, Step},
    cookies::{Cookies, is_loopback},
    fault::{Fault, quote},
    page::Page,
};
use crate::{
    access::TestUser,
    bench::Bench,
    wire::{Ask, Heard},
};

/// So many pages and redirects are followed.
const MAX_STEPS: usize = 24;
/// So many origins besides the authorization server's are visited.
const MAX_FOREIGN: usize = 4;

/// One person's browser; what it is signed in to lasts as long as it.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    cookies: Cookies,
}

/// A walk that is over.
#[derive(Debug, Clone)]
pub(crate) struct Walked {
    /// How it ended.
    pub(crate) end: End,
    /// Everything sent and heard on the way.
    pub(crate) exchanges: Vec<u32>,
    /// Origins visited besides the one that it began at.
    pub(crate) foreign: BTreeSet<String>,
    /// The origin that was given the password, where one asked.
    pub(crate) password_to: Option<String>,
}

/// How a walk ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// At one of the addresses that end it, which was not opened.
    Returned(Url),
    /// At a page that neither leads on nor asks for anything.
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its text, cut.
        said: String,
    },
    /// At a page that asks who it is, and nobody may be named.
    AsksForPerson,
    /// Somewhere that is no end: too long, or the person was not accepted.
    Lost(String),
}

impl Walked {
    /// Where it returned to.
    ///
    /// # Errors
    /// [`Fault::Walk`] when it did not.
    pub(crate) fn returned(&self) -> Result<&Url, Fault> {
        let why = match &self.end {
            End::Returned(url) => return Ok(url),
            End::Refused { status, said } => format!("a page that leads nowhere ({status}): {said}"),
            End::AsksForPerson => "a page asks who it is, and no test user was given".to_owned(),
            End::Lost(why) => why.clone(),
        };
        Err(Fault::Walk { why, exchanges: self.exchanges.clone() })
    }
}

/// Walks from `start` until one of `ends` is reached. Without `user` it stops where a page asks who it is.
///
/// # Errors
/// [`Fault::Wire`] when a page does not answer.
pub(crate) async fn walk(
    bench: &Bench,
    check: &'static str,
    browser: &mut Browser,
    start: Url,
    user: Option<&TestUser>,
    ends: &[Url],
) -> Result<Walked, Fault> {
    let home = start.origin();
    let walked =
        Walked { end: End::Lost(String::new()), exchanges: Vec::new(), foreign: BTreeSet::new(), password_to: None };
    let mut walk = Walk { bench, check, browser, user, ends, home, walked, named: false };
    let end = walk.run(start).await?;
    let mut walked = walk.walked;
    walked.end = end;
    Ok(walked)
}

struct Walk<'a> {
    bench: &'a Bench,
    check: &'static str,
    browser: &'a mut Browser,
    user: Option<&'a TestUser>,
    ends: &'a [Url],
    home: Origin,
    walked: Walked,
    /// Whether the user name was sent.
    named: bool,
}

/// A request that is about to be made.
struct Next {
    url: Url,
    body: Option<Vec<(String, String)>>,
    /// The page that it comes from.
    from: Option<Url>,
}

impl Walk<'_> {
    async fn run(&mut self, start: Url) -> Result<End, Fault> {
        let mut next = Next { url: start, body: None, from: None };
        for _ in 0..MAX_STEPS {
            if let Some(end) = self.arrive(&next.url) {
                return Ok(end);
            }
            let heard = self.fetch(&next).await?;
            next = match self.follow(next, &heard) {
                Ok(next) => next,
                Err(end) => return Ok(end),
            };
        }
        Ok(End::Lost(format!("no way back to the client after {MAX_STEPS} steps")))
    }

    /// Whether `url` ends the walk: the client's own address, or one origin too many.
    fn arrive(&mut self, url: &Url) -> Option<End> {
        if self.ends.iter().any(|end| end.origin() == url.origin() && end.path() == url.path()) {
            return Some(End::Returned(url.clone()));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Some(End::Lost(format!("a redirect leads to a `{}` address", quote(url.scheme()))));
        }
        if url.origin() != self.home {
            self.walked.foreign.insert(url.origin().ascii_serialization());
        }
        let many = self.walked.foreign.len() > MAX_FOREIGN;
        many.then(|| End::Lost(format!("the pages lead to more than {MAX_FOREIGN} other origins")))
    }

    async fn fetch(&mut self, next: &Next) -> Result<Heard, Fault> {
        let mut ask = match &next.body {
            Some(form) => {
                let form: Vec<(&str, &str)> =
                    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                Ask::post_form(next.url.clone(), &form)
            }
            None => Ask::get(next.url.clone()),
        };
        ask = ask.plain().header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        if let Some(line) = self.browser.cookies.header(&next.url) {
            ask = ask.header("cookie", &line);
        }
        if let Some(from) = &next.from {
            let origin = from.origin().ascii_serialization();
            let referer = if from.origin() == next.url.origin() { from.as_str() } else { origin.as_str() };
            ask = ask.header("referer", referer);
            if next.body.is_some() {
                ask = ask.header("origin", &origin);
            }
        }
        let heard = self.bench.wire.send(self.check, ask).await?;
        self.walked.exchanges.push(heard.exchange);
        self.browser.cookies.take(&next.url, &heard.headers);
        Ok(heard)
    }

    /// What a browser, or the person before it, does next.
    fn follow(&mut self, at: Next, heard: &Heard) -> Result<Next, End> {
        if heard.status.is_redirection()
            && let Some(location) = heard.headers.get(header::LOCATION)
        {
            let url = location.to_str().ok().and_then(|location| at.url.join(location).ok());
            let url = url.ok_or_else(|| End::Lost("a redirect leads to no address".to_owned()))?;
            let keeps = matches!(heard.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            // A form that holds a password is not carried to another origin.
            let body = at.body.filter(|_| keeps && url.origin() == at.url.origin());
            return Ok(Next { url, body, from: at.from });
        }
        let html = String::from_utf8_lossy(&heard.body);
        let page = Page::parse(&html);
        let refused = || End::Refused { status: heard.status, said: quote(&words(&html)) };
        let failed = heard.status.is_client_error() || heard.status.is_server_error();
        if failed && !choose::asks_for_password(&page) {
            return Err(refused());
        }
        match choose::step(&page, self.user, self.named) {
            Step::Submit(form) => self.submit(&at.url, form, heard.status),
            Step::Open(href) => match at.url.join(&href) {
                Ok(url) => Ok(Next { url, body: None, from: Some(at.url) }),
                Err(_) => Err(refused()),
            },
            Step::AsksForPerson => Err(End::AsksForPerson),
            Step::AsksForMore(what) => Err(End::Lost(format!("a page asks for {}", quote(&what)))),
            Step::Nothing => Err(refused()),
        }
    }

    fn submit(&mut self, page: &Url, form: choose::Filled, status: StatusCode) -> Result<Next, End> {
        let lost = |why: String| Err(End::Lost(why));
        // An empty action is the page itself.
        let Ok(mut url) = page.join(&form.action) else { return lost("a form leads to no address".to_owned()) };
        if form.password {
            let origin = url.origin().ascii_serialization();
            if url.origin() != page.origin() {
                return lost(format!("a form would send the password to another origin, {}", quote(&origin)));
            }
            if url.scheme() != "https" && !is_loopback(&url) {
                return lost("a form would send the password without TLS".to_owned());
            }
            if self.walked.password_to.is_some() {
                return lost(format!("the test user's name and password were not accepted ({status})"));
            }
            self.walked.password_to = Some(origin);
        }
        if form.username && !form.password && self.named {
            return lost(format!("the test user's name was not accepted ({status})"));
        }
        self.named |= form.username;
        if form.post {
            return Ok(Next { url, body: Some(form.values), from: Some(page.clone()) });
        }
        url.query_pairs_mut().clear().extend_pairs(&form.values);
        Ok(Next { url, body: None, from: Some(page.clone()) })
    }
}

/// The words of a page, without its tags, as far as a finding needs them.
fn words(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars().take(20_000) {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
        if out.len() > 600 {
            break;
        }
    }
    out
}
