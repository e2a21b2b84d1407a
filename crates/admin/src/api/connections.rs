//! Connections of a tenant to its identity providers. Secrets come in and never go out.

use std::collections::BTreeMap;

use sallyport_identity::{
    SamlKeyStep,
    settings::{ConnectionSettings, Demands, Mapping, OidcSettings, SamlSettings, ScimAttribute, ScimMatch},
};
use sallyport_model::Secret;
use sallyport_oauth::oidc::PresetId;
use sallyport_storage::{Connection, Tenant};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer, Ask, Problem,
    ask::given,
    reply::{Etag, Reply},
};
use crate::{
    Fault,
    tenancy::{
        connect::{self, Connected, NewMetadata, NewOidc, NewProof, NewSaml},
        connections::{self, connection_json, listed_json, step_word},
        mapping,
    },
};

/// A connection to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub(crate) enum NewConnection {
    /// An OpenID provider.
    Oidc(Box<NewOidcBody>),
    /// A SAML identity provider.
    Saml(Box<NewSamlBody>),
}

/// An OpenID provider.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOidcBody {
    /// What people call the connection; it is on their sign-in page.
    name: String,
    /// Whose provider it is.
    preset: Preset,
    /// The issuer, exactly as the provider writes it.
    issuer: String,
    /// Our client id there.
    client_id: String,
    /// Our secret there. Write-only. Without it a key is made here, and its public half is in the answer.
    #[schemars(with = "Option<String>")]
    client_secret: Option<Secret>,
    /// The customer at a provider that many share: Entra's directory id, Google's domain.
    organisation: Option<String>,
    /// Scopes to ask for besides the preset's.
    #[serde(default)]
    scopes: Vec<String>,
    /// Whether every refresh asks the provider about the person.
    #[serde(default = "yes")]
    ask_again: bool,
    /// Whether its identity assertion grants (ID-JAG) are taken.
    #[serde(default)]
    id_jag: bool,
    /// What is demanded of the sign-in.
    #[serde(default)]
    demands: DemandsBody,
    /// Who becomes whom.
    mapping: Option<MappingBody>,
}

/// A SAML identity provider. One of `metadata_url` and `metadata` must be there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSamlBody {
    /// What people call the connection; it is on their sign-in page.
    name: String,
    /// The provider's entity id. Metadata that describe one provider say it themselves.
    entity_id: Option<String>,
    /// Where the provider's metadata are fetched from, again and again.
    metadata_url: Option<String>,
    /// The provider's metadata, an XML document.
    metadata: Option<String>,
    /// The certificate that signs the metadata, PEM; unsigned metadata are refused then.
    metadata_certificate: Option<String>,
    /// Whether the provider may sign people in without being asked.
    #[serde(default)]
    allow_unsolicited: bool,
    /// What is demanded of the sign-in.
    #[serde(default)]
    demands: DemandsBody,
    /// Who becomes whom.
    mapping: Option<MappingBody>,
}

/// What is to change about a connection. Members of the other protocol are refused.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionChange {
    /// What people call the connection.
    name: Option<String>,
    /// What is demanded of the sign-in; all of it.
    demands: Option<DemandsBody>,
    /// OpenID Connect: our client id there.
    client_id: Option<String>,
    /// OpenID Connect: our secret there. Write-only; it takes the place of a key too.
    #[schemars(with = "Option<String>")]
    client_secret: Option<Secret>,
    /// OpenID Connect: the customer at a provider that many share.
    organisation: Option<String>,
    /// OpenID Connect: scopes besides the preset's; all of them.
    scopes: Option<Vec<String>>,
    /// OpenID Connect: whether every refresh asks the provider about the person.
    ask_again: Option<bool>,
    /// OpenID Connect: whether its identity assertion grants (ID-JAG) are taken.
    id_jag: Option<bool>,
    /// SAML: where the metadata are fetched from, instead of where they were.
    metadata_url: Option<String>,
    /// SAML: the provider's metadata, instead of those that were there.
    metadata: Option<String>,
    /// SAML: the certificate that signs the metadata; null for unsigned ones.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    metadata_certificate: Option<Option<String>>,
    /// SAML: whether the provider may sign people in without being asked.
    allow_unsolicited: Option<bool>,
}

/// Whose provider it is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Preset {
    /// Okta, its own or a custom authorization server.
    Okta,
    /// Microsoft Entra ID, v2.0.
    Entra,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// PingOne.
    Ping,
    /// Any provider that follows the specifications.
    Standard,
}

impl From<Preset> for PresetId {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Okta => Self::Okta,
            Preset::Entra => Self::Entra,
            Preset::Google => Self::Google,
            Preset::Keycloak => Self::Keycloak,
            Preset::Ping => Self::Ping,
            Preset::Standard => Self::Standard,
        }
    }
}

/// What a sign-in at the provider must have been.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DemandsBody {
    /// One of these authentication context classes (`acr`, SAML's `AuthnContextClassRef`).
    acr: Vec<String>,
    /// Whether more than one factor is demanded.
    mfa: bool,
    /// Classes that at this provider stand for more than one factor.
    mfa_acr: Vec<String>,
    /// How long ago it may have been at most, seconds.
    max_age_seconds: Option<u64>,
}

impl From<DemandsBody> for Demands {
    fn from(body: DemandsBody) -> Self {
        Self { acr: body.acr, mfa: body.mfa, mfa_acr: body.mfa_acr, max_age_seconds: body.max_age_seconds }
    }
}

/// Who becomes whom. What is left out is the standard of the protocol and the preset.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MappingBody {
    /// The claims or attributes that hold the e-mail address; the first that is there counts.
    email: Option<Vec<String>>,
    /// The claim that says whether the address was verified; null: the provider vouches for addresses of the
    /// tenant's proved domains.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    email_verified: Option<Option<String>>,
    /// Those that hold the name.
    name: Option<Vec<String>>,
    /// Those that hold groups.
    groups: Option<Vec<String>>,
    /// What a group is called here, where that differs.
    rename_groups: Option<BTreeMap<String, String>>,
    /// Groups (by their names here) whose members administer the tenant.
    administrators: Option<Vec<String>>,
    /// Groups (by their names here) one of which a person must be in; empty: everybody may sign in.
    admitted: Option<Vec<String>>,
    /// How somebody is found among those whom SCIM brought; null: nobody is looked for.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<ScimBody>")]
    scim: Option<Option<ScimBody>>,
    /// Whether a first sign-in makes a person; otherwise only who was provisioned may sign in.
    create: Option<bool>,
    /// Whether a verified address of a proved domain makes somebody the one person of the tenant who has it.
    link_by_email: Option<bool>,
}

/// How somebody is found among those whom SCIM brought.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScimBody {
    /// The claim or attribute that holds it; `sub` and `name_id` too.
    claim: String,
    /// What it is there.
    attribute: ScimAttributeBody,
}

/// An attribute of a SCIM user.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScimAttributeBody {
    /// `externalId`.
    ExternalId,
    /// `userName`.
    UserName,
}

impl MappingBody {
    /// `standard` with what was given.
    fn over(self, standard: Mapping) -> Mapping {
        let attribute = |attribute| match attribute {
            ScimAttributeBody::ExternalId => ScimAttribute::ExternalId,
            ScimAttributeBody::UserName => ScimAttribute::UserName,
        };
        let scim = self
            .scim
            .map(|scim| scim.map(|scim| ScimMatch { claim: scim.claim, attribute: attribute(scim.attribute) }));
        Mapping {
            email: self.email.unwrap_or(standard.email),
            email_verified: self.email_verified.unwrap_or(standard.email_verified),
            name: self.name.unwrap_or(standard.name),
            groups: self.groups.unwrap_or(standard.groups),
            rename_groups: self.rename_groups.unwrap_or(standard.rename_groups),
            administrators: self.administrators.unwrap_or(standard.administrators),
            admitted: self.admitted.unwrap_or(standard.admitted),
            scim: scim.unwrap_or(standard.scim),
            create: self.create.unwrap_or(standard.create),
            link_by_email: self.link_by_email.unwrap_or(standard.link_by_email),
        }
    }
}

/// What to try the mapping on. Without `asserted`: what the provider asserted last.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PreviewBody {
    /// Claims or attributes: `{"email": "ann@acme.example", "groups": ["staff"]}`.
    asserted: Option<Map<String, Value>>,
    /// About this person: her id. Without it: about whoever signed in last.
    user: Option<String>,
}

/// A step of a roll-over of our keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyStep {
    /// Which.
    step: Step,
}

/// Which step.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// New keys stand in our metadata, beside those in use.
    Announce,
    /// The announced key signs.
    Use,
    /// What was encrypted for the old keys is not decrypted any more.
    Retire,
}

fn yes() -> bool {
    true
}

/// No secret is in it; every change moves `changed_at`.
fn etag(connection: &Connection) -> Etag {
    let at = connection.changed_at.as_millis();
    Etag::of(&json!([connection.id, connection.name, connection.enabled, at]).to_string())
}

async fn asked(ask: &Ask, tenant: &Tenant) -> Result<Connection, Problem> {
    Ok(ask.tenancy.connection(&tenant.id, ask.path("connection")).await?)
}

fn shown(ask: &Ask, made: &Connected) -> Result<Value, Problem> {
    let mut value = connection_json(&ask.tenancy, &made.connection, &made.settings)?;
    let preset = match &made.settings {
        ConnectionSettings::Oidc(oidc) => PresetId::named(&oidc.preset),
        ConnectionSettings::Saml(_) => None,
    };
    let mut remarks: Vec<String> = preset
        .map(PresetId::preset)
        .map(|preset| preset.notes.iter().map(|note| format!("{}: {note}", preset.title)).collect())
        .unwrap_or_default();
    if made.unled {
        remarks.push("Nobody is sent there by her address yet: claim a domain.".to_owned());
    }
    value["remarks"] = json!(remarks);
    Ok(value)
}

/// `listConnections`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let all = ask.tenancy.store().connections(&tenant.id).await.map_err(Fault::from)?;
    let cut = ask.page()?.cut(all, |connection| connection.id.to_string());
    let mut items = Vec::new();
    for connection in &cut.items {
        items.push(listed_json(&ask.tenancy, &tenant, connection).await?);
    }
    Ok(Reply::ok(cut.json(items)))
}

/// `getConnection`
pub(crate) async fn get(ask: Ask, tenant: Tenant) -> Answer {
    let connection = asked(&ask, &tenant).await?;
    Ok(Reply::ok(listed_json(&ask.tenancy, &tenant, &connection).await?).in_state(etag(&connection)))
}

/// `createConnection`
pub(crate) async fn create(ask: Ask, tenant: Tenant) -> Answer {
    let made = match ask.body()? {
        NewConnection::Oidc(new) => {
            let preset = new.preset.into();
            let new = NewOidc {
                name: new.name,
                preset,
                issuer: new.issuer,
                client_id: new.client_id,
                proof: new.client_secret.map_or(NewProof::Key, NewProof::Secret),
                organisation: new.organisation,
                scopes: new.scopes,
                ask_again: new.ask_again,
                id_jag: new.id_jag,
                demands: new.demands.into(),
                mapping: new.mapping.map(|body| body.over(mapping::standard(Some(preset)))),
            };
            connect::oidc(&ask.tenancy, &tenant.id, new, None).await?
        }
        NewConnection::Saml(new) => {
            let metadata = one_source(new.metadata_url, new.metadata)?
                .ok_or_else(|| Fault::invalid("metadata_url", "it is missing", "give `metadata_url` or `metadata`"))?;
            let new = NewSaml {
                name: new.name,
                entity_id: new.entity_id,
                metadata,
                metadata_certificate: new.metadata_certificate,
                allow_unsolicited: new.allow_unsolicited,
                demands: new.demands.into(),
                mapping: new.mapping.map(|body| body.over(mapping::standard(None))),
            };
            connect::saml(&ask.tenancy, &tenant.id, new, None).await?
        }
    };
    Ok(Reply::created(shown(&ask, &made)?).in_state(etag(&made.connection)))
}

fn one_source(url: Option<String>, document: Option<String>) -> Result<Option<NewMetadata>, Problem> {
    match (url, document) {
        (None, None) => Ok(None),
        (Some(url), None) => Ok(Some(NewMetadata::Url(url))),
        (None, Some(document)) => Ok(Some(NewMetadata::Document(document))),
        (Some(_), Some(_)) => {
            Err(Fault::invalid("metadata", "it is there beside `metadata_url`", "give one of them").into())
        }
    }
}

/// `changeConnection`
pub(crate) async fn change(ask: Ask, tenant: Tenant) -> Answer {
    let change: ConnectionChange = ask.body()?;
    let before = asked(&ask, &tenant).await?;
    ask.about(&etag(&before))?;
    let made = match ConnectionSettings::of(&before).map_err(Fault::from)? {
        ConnectionSettings::Oidc(kept) => {
            connect::oidc(&ask.tenancy, &tenant.id, change.oidc(&before.name, *kept)?, Some(before)).await?
        }
        ConnectionSettings::Saml(kept) => {
            connect::saml(&ask.tenancy, &tenant.id, change.saml(&before.name, *kept)?, Some(before)).await?
        }
    };
    Ok(Reply::ok(shown(&ask, &made)?).in_state(etag(&made.connection)))
}

impl ConnectionChange {
    fn oidc(self, name: &str, kept: OidcSettings) -> Result<NewOidc, Problem> {
        let foreign = self.metadata_url.is_some()
            || self.metadata.is_some()
            || self.metadata_certificate.is_some()
            || self.allow_unsolicited.is_some();
        if foreign {
            let what = "the connection speaks OpenID Connect, and the change is of SAML";
            return Err(Fault::invalid("metadata_url", what, "leave it out").into());
        }
        Ok(NewOidc {
            name: self.name.unwrap_or_else(|| name.to_owned()),
            preset: PresetId::named(&kept.preset).unwrap_or(PresetId::Standard),
            issuer: kept.issuer,
            client_id: self.client_id.unwrap_or(kept.client_id),
            proof: self.client_secret.map_or(NewProof::Kept, NewProof::Secret),
            organisation: self.organisation.or(kept.organisation),
            scopes: self.scopes.unwrap_or(kept.scopes),
            ask_again: self.ask_again.unwrap_or(kept.ask_again),
            id_jag: self.id_jag.unwrap_or(kept.id_jag),
            demands: self.demands.map_or(kept.demands, Demands::from),
            mapping: Some(kept.mapping),
        })
    }

    fn saml(self, name: &str, kept: SamlSettings) -> Result<NewSaml, Problem> {
        let foreign = self.client_id.is_some()
            || self.client_secret.is_some()
            || self.organisation.is_some()
            || self.scopes.is_some()
            || self.ask_again.is_some()
            || self.id_jag.is_some();
        if foreign {
            let what = "the connection speaks SAML, and the change is of OpenID Connect";
            return Err(Fault::invalid("client_id", what, "leave it out").into());
        }
        let source = one_source(self.metadata_url, self.metadata)?;
        let as_it_was = || match (kept.metadata_url, kept.metadata) {
            (Some(url), _) => NewMetadata::Url(url.to_string()),
            (None, document) => NewMetadata::Document(document.unwrap_or_default()),
        };
        Ok(NewSaml {
            name: self.name.unwrap_or_else(|| name.to_owned()),
            entity_id: Some(kept.idp_entity_id),
            metadata: source.unwrap_or_else(as_it_was),
            metadata_certificate: self.metadata_certificate.unwrap_or(kept.metadata_certificate),
            allow_unsolicited: self.allow_unsolicited.unwrap_or(kept.allow_unsolicited),
            demands: self.demands.map_or(kept.demands, Demands::from),
            mapping: Some(kept.mapping),
        })
    }
}

/// `enableConnection`
pub(crate) async fn enable(ask: Ask, tenant: Tenant) -> Answer {
    switch(ask, tenant, true).await
}

/// `disableConnection`
pub(crate) async fn disable(ask: Ask, tenant: Tenant) -> Answer {
    switch(ask, tenant, false).await
}

async fn switch(ask: Ask, tenant: Tenant, on: bool) -> Answer {
    let connection = asked(&ask, &tenant).await?;
    let done = connections::switch(&ask.tenancy, connection, on).await?;
    Ok(Reply::ok(json!({
        "id": done.connection.id, "name": done.connection.name, "enabled": on, "was_enabled": done.was,
        "sessions": done.sessions,
    })))
}

/// `rollSamlKeys`
pub(crate) async fn saml_keys(ask: Ask, tenant: Tenant) -> Answer {
    let body: KeyStep = ask.body()?;
    let connection = asked(&ask, &tenant).await?;
    let (id, name) = (connection.id.clone(), connection.name.clone());
    let step = match body.step {
        Step::Announce => SamlKeyStep::Announce,
        Step::Use => SamlKeyStep::Use,
        Step::Retire => SamlKeyStep::Retire,
    };
    let entity_id = connections::roll_keys(&ask.tenancy, connection, step).await?;
    Ok(Reply::ok(json!({ "id": id, "name": name, "step": step_word(step), "metadata": entity_id })))
}

/// `removeConnection`
pub(crate) async fn remove(ask: Ask, tenant: Tenant) -> Answer {
    let connection = asked(&ask, &tenant).await?;
    let sessions = connections::remove(&ask.tenancy, &connection).await?;
    Ok(Reply::ok(json!({ "id": connection.id, "removed": true, "owned": { "sessions": sessions } })))
}

/// `getMapping`
pub(crate) async fn mapping(ask: Ask, tenant: Tenant) -> Answer {
    let connection = asked(&ask, &tenant).await?;
    let settings = ConnectionSettings::of(&connection).map_err(Fault::from)?;
    Ok(Reply::ok(json!(settings.mapping())).in_state(etag(&connection)))
}

/// `setMapping`
pub(crate) async fn set_mapping(ask: Ask, tenant: Tenant) -> Answer {
    let body: MappingBody = ask.body()?;
    let connection = asked(&ask, &tenant).await?;
    ask.about(&etag(&connection))?;
    let settings = ConnectionSettings::of(&connection).map_err(Fault::from)?;
    let wanted = body.over(mapping::standard_of(&settings));
    let done = mapping::set(&ask.tenancy, connection, wanted).await?;
    Ok(Reply::ok(json!(done.after)).in_state(etag(&done.connection)))
}

/// `previewMapping`
pub(crate) async fn preview(ask: Ask, tenant: Tenant) -> Answer {
    let body: PreviewBody = ask.body()?;
    let connection = asked(&ask, &tenant).await?;
    let person = match &body.user {
        Some(user) => Some(ask.tenancy.person(&tenant.id, user).await?),
        None => None,
    };
    let mut ignored = Vec::new();
    let asserted = body.asserted.map(|members| {
        let (asserted, left_out) = mapping::asserted_of(members);
        ignored = left_out;
        (json!("given"), asserted)
    });
    let preview = mapping::preview_of(&ask.tenancy, &connection, asserted, person.as_ref()).await?;
    Ok(Reply::ok(json!({
        "connection": connection.name, "source": preview.source, "asserted": preview.asserted,
        "mapping": preview.mapping, "profile": preview.profile, "ignored": ignored,
    })))
}
