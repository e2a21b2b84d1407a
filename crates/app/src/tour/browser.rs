//! A person's browser: cookies, redirects, forms.

use anyhow::{Context, Result, bail};
use http::Method;
use url::Url;

use super::{
    form::{Form, forms},
    web::{Reply, Web, encoded},
};
use crate::commands::demo::Account;

/// More pages than any sign-in has.
const STEPS: usize = 12;

/// A browser with the demo's cookies.
pub struct Browser {
    web: Web,
    cookies: Vec<(String, String)>,
}

/// A page and where it is.
pub struct Page {
    /// Its address, after redirects.
    pub url: Url,
    /// The answer.
    pub reply: Reply,
}

impl Browser {
    /// Without cookies.
    pub fn new(web: Web) -> Self {
        Self { web, cookies: Vec::new() }
    }

    /// What it would send as `Cookie`.
    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Fetches a page without following a redirect.
    pub async fn fetch(&mut self, url: &Url) -> Result<Reply> {
        self.exchange(Method::GET, url, &[], String::new()).await
    }

    /// Opens a page, following redirects within the demo.
    pub async fn open(&mut self, url: Url) -> Result<Page> {
        let reply = self.fetch(&url).await?;
        self.follow(url, reply).await
    }

    async fn follow(&mut self, mut url: Url, mut reply: Reply) -> Result<Page> {
        for _ in 0..STEPS {
            match redirect(&url, &reply)? {
                Some(next) if next.origin() == url.origin() => url = next,
                _ => return Ok(Page { url, reply }),
            }
            reply = self.fetch(&url).await?;
        }
        bail!("{url}: more than {STEPS} redirects")
    }

    /// Sends a form of the page at `url`.
    pub async fn submit(&mut self, url: &Url, form: &Form, values: &[(String, String)]) -> Result<Page> {
        let action = if form.action.is_empty() { url.clone() } else { url.join(&form.action)? };
        let origin = url.origin().ascii_serialization();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", origin.as_str()),
            ("referer", url.as_str()),
        ];
        anyhow::ensure!(form.post, "the form at {url} is not sent by POST");
        let reply = self.exchange(Method::POST, &action, &headers, encoded(values)).await?;
        self.follow(action, reply).await
    }

    /// Goes through the pages from `url` on as `account`, until one sends the browser to `until`.
    /// Gives back that address.
    pub async fn walk(&mut self, url: Url, until: &str, account: &Account) -> Result<Url> {
        let mut page = self.open(url).await?;
        for _ in 0..STEPS {
            if let Some(next) = redirect(&page.url, &page.reply)? {
                anyhow::ensure!(next.as_str().starts_with(until), "the browser was sent to {next}");
                return Ok(next);
            }
            let forms = forms(&page.reply.text());
            let form = forms.iter().find(|form| form.asks_password()).or_else(|| forms.iter().find(|form| form.post));
            let form = form.with_context(|| format!("{} at {} holds no form", page.reply.status, page.url))?;
            let values = form.filled(account.username, account.password.expose());
            page = self.submit(&page.url.clone(), form, &values).await?;
        }
        bail!("the sign-in did not end after {STEPS} pages, last at {}", page.url)
    }

    async fn exchange(&mut self, method: Method, url: &Url, headers: &[(&str, &str)], body: String) -> Result<Reply> {
        let cookies = self.cookie_header();
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let reply = self.web.send(method, url.as_str(), &headers, body).await?;
        for set in reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            self.keep(set);
        }
        Ok(reply)
    }

    fn keep(&mut self, set: &str) {
        let Some((name, value)) = set.split(';').next().and_then(|pair| pair.split_once('=')) else { return };
        let name = name.trim().to_owned();
        self.cookies.retain(|(kept, _)| *kept != name);
        if !value.is_empty() {
            self.cookies.push((name, value.to_owned()));
        }
    }
}

fn redirect(from: &Url, reply: &Reply) -> Result<Option<Url>> {
    if !(300..400).contains(&reply.status) {
        return Ok(None);
    }
    Ok(Some(from.join(reply.header("location")).context("a redirect to nowhere")?))
}
