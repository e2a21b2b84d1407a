//! Who may issue tokens for a connection, to the letter.
//!
//! Never compares URLs by meaning: two spellings are two issuers (OpenID Connect Core section 3.1.3.7,
//! RFC 9207 section 2.4).

use url::Url;

use super::{OidcFault, Transport, foreign::shown};

/// The part of Entra's issuer template that stands for the directory.
const PLACE: &str = "{tenantid}";

/// The issuer of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRule {
    /// Where the metadata is looked for.
    configured: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Metadata and tokens name the configured issuer.
    Exact,
    /// As `Exact`, but a token may name this one.
    Alias(&'static str),
    /// Metadata names a template; tokens name it filled with one of these directories.
    Template { template: String, directories: Vec<String> },
}

impl IssuerRule {
    /// Exactly this issuer: a URL without query and fragment.
    ///
    /// # Errors
    /// [`OidcFault::Url`].
    pub fn exact(issuer: &str, transport: Transport) -> Result<Self, OidcFault> {
        let url = transport.url("issuer", issuer)?;
        if url.query().is_some() || issuer.contains(['?', '#']) {
            return Err(OidcFault::Url { name: "issuer", value: shown(issuer), why: "has a query or a fragment" });
        }
        Ok(Self { configured: issuer.to_owned(), form: Form::Exact })
    }

    /// As [`Self::exact`], and tokens may name `alias` instead (Google's name without a scheme).
    pub(crate) fn with_alias(self, alias: &'static str) -> Self {
        Self { form: Form::Alias(alias), ..self }
    }

    /// `configured` answers with `template`, in which `{tenantid}` stands for the directory; only tokens
    /// of `directories` are taken.
    pub(crate) fn template(self, template: String, directories: Vec<String>) -> Self {
        Self { form: Form::Template { template, directories }, ..self }
    }

    /// The configured issuer.
    pub fn configured(&self) -> &str {
        &self.configured
    }

    /// Where the metadata may be: OpenID Connect Discovery section 4, then RFC 8414 section 3.
    pub fn metadata_urls(&self) -> Vec<Url> {
        let appended = format!("{}/.well-known/openid-configuration", self.configured.trim_end_matches('/'));
        let inserted = Url::parse(&self.configured).ok().map(|mut url| {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
            url
        });
        Url::parse(&appended).ok().into_iter().chain(inserted).collect()
    }

    /// Whether the metadata's `issuer` is the one that was asked for.
    pub fn described(&self, issuer: &str) -> bool {
        match &self.form {
            Form::Exact | Form::Alias(_) => issuer == self.configured,
            Form::Template { template, .. } => issuer == template,
        }
    }

    /// Whether a token or an authorization response that names `iss`, and the directory `tid`, is of this
    /// connection.
    pub fn issued(&self, iss: &str, tid: Option<&str>) -> bool {
        match &self.form {
            Form::Exact => iss == self.configured,
            Form::Alias(alias) => iss == self.configured || iss == *alias,
            Form::Template { template, directories } => directories.iter().any(|directory| {
                tid.is_none_or(|tid| tid == directory) && filled(template, directory).as_deref() == Some(iss)
            }),
        }
    }

    /// Whether a key that is published for `issuer` may sign a token of `iss` (Entra: a shared set says of
    /// each key whose it is).
    pub(crate) fn key_may_sign(&self, issuer: &str, iss: &str, tid: Option<&str>) -> bool {
        issuer == iss || tid.and_then(|tid| filled(issuer, tid)).as_deref() == Some(iss)
    }

    /// For a sentence: what is trusted.
    pub(crate) fn trusted(&self) -> String {
        match &self.form {
            Form::Exact | Form::Alias(_) => self.configured.clone(),
            Form::Template { template, directories } => {
                let filled: Vec<_> = directories.iter().filter_map(|directory| filled(template, directory)).collect();
                filled.join(", ")
            }
        }
    }
}

/// `template` with the directory put in; nothing when it has no place for one.
fn filled(template: &str, directory: &str) -> Option<String> {
    template.contains(PLACE).then(|| template.replace(PLACE, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_both_specifications_put_it() {
        let rule = IssuerRule::exact("https://idp.example/realms/a/", Transport::Https).unwrap();
        let urls: Vec<_> = rule.metadata_urls().into_iter().map(String::from).collect();
        assert_eq!(
            urls,
            [
                "https://idp.example/realms/a/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server/realms/a"
            ]
        );
    }

    #[test]
    fn an_issuer_is_compared_to_the_letter() {
        let rule = IssuerRule::exact("https://idp.example/a", Transport::Https).unwrap();
        assert!(rule.issued("https://idp.example/a", None) && rule.described("https://idp.example/a"));
        for other in
            ["https://idp.example/a/", "https://IDP.example/a", "http://idp.example/a", "https://idp.example", ""]
        {
            assert!(!rule.issued(other, None) && !rule.described(other), "{other}");
        }
        for bad in
            ["http://idp.example", "https://idp.example/?a=b", "https://idp.example/#a", "https://u@idp.example", "x"]
        {
            assert!(IssuerRule::exact(bad, Transport::Https).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_takes_its_directories_and_no_other() {
        let rule = IssuerRule::exact("https://login.example/common/v2.0", Transport::Https)
            .unwrap()
            .template("https://login.example/{tenantid}/v2.0".into(), vec!["d1".into(), "d2".into()]);
        assert!(rule.described("https://login.example/{tenantid}/v2.0"));
        assert!(!rule.described("https://login.example/common/v2.0"));
        assert!(rule.issued("https://login.example/d1/v2.0", Some("d1")));
        assert!(!rule.issued("https://login.example/d1/v2.0", Some("d2")), "tid and issuer disagree");
        assert!(!rule.issued("https://login.example/d3/v2.0", Some("d3")));
        assert!(!rule.issued("https://login.example/{tenantid}/v2.0", Some("{tenantid}")));
        assert!(rule.key_may_sign(
            "https://login.example/{tenantid}/v2.0",
            "https://login.example/d1/v2.0",
            Some("d1")
        ));
        assert!(!rule.key_may_sign("https://login.example/d2/v2.0", "https://login.example/d1/v2.0", Some("d1")));
    }
}
