//! What is typed about an agent, as the rules take it.

use anyhow::Result;
use sallyport_identity::agents::{CredentialSource, hours};
use sallyport_model::{AgentId, Scope, ScopeSet, TenantId, UserId};
use sallyport_storage::AgentBounds;

use super::{
    Desk,
    arguments::{Options, Source},
};
use crate::{
    commands::tenant::opened::{refused, shown},
    config::ConfigError,
    register::moments,
};

/// Takes a part away.
const NONE: &str = "none";

/// A list that was given: absent where it was not, empty where it is to go.
fn list(given: &[String]) -> Option<Vec<String>> {
    match given {
        [] => None,
        [one] if one == NONE => Some(Vec::new()),
        all => Some(all.to_vec()),
    }
}

/// The scopes that are named.
pub(super) fn scopes(given: &[String]) -> Result<Option<ScopeSet>> {
    let Some(named) = list(given) else { return Ok(None) };
    let words = named.iter().flat_map(|one| one.split([' ', ',']).filter(|word| !word.is_empty()));
    let all: Result<ScopeSet, _> = words.map(Scope::new).collect();
    all.map(Some).map_err(|error| refused("--scope", &error.to_string()))
}

impl Desk<'_> {
    /// The resources of the servers that are named.
    pub(super) fn servers(&self, given: &[String]) -> Result<Option<Vec<String>>> {
        let Some(named) = list(given) else { return Ok(None) };
        let resource = |name: &String| {
            let known = self.offer.iter().find(|offered| offered.upstream.as_str() == name);
            known.map(|offered| offered.uri.clone()).ok_or_else(|| {
                let names: Vec<&str> = self.offer.iter().map(|offered| offered.upstream.as_str()).collect();
                let what = format!("there is no server `{}`; there are: {}", shown(name), names.join(", "));
                refused("--server", &what)
            })
        };
        named.iter().map(resource).collect::<Result<_>>().map(Some)
    }

    /// A person who is named; `none` is nobody.
    pub(super) async fn person(
        &self,
        option: &str,
        tenant: &TenantId,
        given: Option<&String>,
    ) -> Result<Option<Option<UserId>>> {
        match given.map(String::as_str) {
            None => Ok(None),
            Some(NONE) => Ok(Some(None)),
            Some(name) => {
                let found = self.opened.person_of(tenant, name).await;
                let found = found.map_err(|error| match error.downcast::<ConfigError>() {
                    Ok(wrong) => refused(option, wrong.to_string().trim_start_matches("--user: ")),
                    Err(error) => error,
                });
                Ok(Some(Some(found?.id)))
            }
        }
    }

    /// The bounds with what is given put in; whether anything was.
    pub(super) async fn bounds(
        &self,
        tenant: &TenantId,
        before: &AgentBounds,
        given: &Options,
    ) -> Result<Option<AgentBounds>> {
        let mut bounds = before.clone();
        if let Some(networks) = list(&given.networks) {
            bounds.networks = networks;
        }
        match given.hours.as_deref() {
            None => {}
            Some(NONE) => bounds.hours = None,
            Some(text) => bounds.hours = Some(hours(text).map_err(|what| refused("--hours", &what))?),
        }
        match given.ends.as_deref() {
            None => {}
            Some(NONE) => bounds.ends_at = None,
            Some(text) => {
                let what = format!("`{}` is no day: write YYYY-MM-DD, such as 2027-01-31", shown(text));
                let day = moments::day(text).ok_or_else(|| refused("--ends", &what))?;
                bounds.ends_at = Some(moments::day_after(day));
            }
        }
        if let Some(seconds) = given.token_seconds {
            bounds.token_seconds = Some(seconds).filter(|seconds| *seconds > 0);
        }
        bounds.sender_bound = given.sender_bound.unwrap_or(bounds.sender_bound);
        if let Some(uris) = list(&given.redirect_uris) {
            bounds.redirect_uris = uris;
        }
        if let Some(delegates) = list(&given.delegates) {
            let ids: Result<Vec<_>, _> = delegates.iter().map(|id| AgentId::new(id.as_str())).collect();
            bounds.delegates = ids.map_err(|error| refused("--delegate", &error.to_string()))?;
        }
        if let Some(successor) = self.person("--successor", tenant, given.successor.as_ref()).await? {
            bounds.successor = successor;
        }
        Ok((bounds != *before).then_some(bounds))
    }
}

/// The credential that is asked for, if any is.
pub(super) fn source(given: &Source) -> Result<Option<CredentialSource>> {
    let json = |option: &str, path: &std::path::Path| {
        let text = read(option, path)?;
        serde_json::from_str(&text).map_err(|error| refused(option, &format!("{} is no JSON: {error}", path.display())))
    };
    if let Some(path) = &given.jwks {
        return Ok(Some(CredentialSource::Jwks(json("--jwks", path)?)));
    }
    if given.generate_key.is_some() {
        return Ok(Some(CredentialSource::NewKey));
    }
    if given.secret {
        return Ok(Some(CredentialSource::Secret));
    }
    if let Some(path) = &given.certificate {
        return Ok(Some(CredentialSource::Certificate(read("--certificate", path)?)));
    }
    if let Some(text) = &given.certificate_name {
        let (of, name) = text.split_once(':').ok_or_else(|| {
            refused("--certificate-name", "write it as dns:NAME, uri:URI, email:ADDRESS or subject_dn:NAME")
        })?;
        return Ok(Some(CredentialSource::CertificateName { of: of.to_owned(), name: name.to_owned() }));
    }
    match &given.workload {
        Some(path) => Ok(Some(CredentialSource::Workload(json("--workload", path)?))),
        None => Ok(None),
    }
}

fn read(option: &str, path: &std::path::Path) -> Result<String> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| refused(option, &format!("{} does not read: {error}", path.display())))
}
