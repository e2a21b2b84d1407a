//! Connecting a tenant's identity provider. Whatever is wrong is found before anything is stored; nothing is fetched
//! here, the gate does that at the first sign-in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_identity::{
    new_saml_keys, saml_entity_id,
    settings::{ConnectionSettings, Demands, Mapping, OidcSettings, SamlSettings},
};
use sallyport_model::{ConnectionId, Secret, TenantId, Timestamp};
use sallyport_oauth::{
    SigningKey,
    oidc::{OidcFault, PresetId, Transport},
};
use sallyport_saml::{Certificate, MetadataTrust, SamlFault, SpKey, read_metadata};
use sallyport_storage::{Connection, ConnectionProtocol, StoreError};
use serde_json::{Value, json};
use url::Url;

use super::{
    Tenancy, domains,
    mapping::{checked, standard},
    present, text, work,
};
use crate::{Code, Fault};

/// Characters of a connection's name; it is on a button.
const MOST_NAME: usize = 80;
/// Connections of a tenant. Each is metadata to be fetched and keys to be made; nobody has so many providers.
const MOST_CONNECTIONS: usize = 32;
/// Characters of an identifier at a provider.
const MOST_IDENTIFIER: usize = 512;
/// Bytes of a SAML entity id (saml-metadata-2.0-os, section 2.2.1).
const MOST_ENTITY_ID: usize = 1024;
/// Seconds: the least and the most that a demanded age of a sign-in may be.
const AGES: std::ops::RangeInclusive<u64> = 60..=31_536_000;

/// An OpenID provider to be connected.
pub struct NewOidc {
    /// What people call the connection.
    pub name: String,
    /// Whose provider it is.
    pub preset: PresetId,
    /// The issuer, exactly as the provider writes it.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// What proves that we are the client.
    pub proof: NewProof,
    /// The customer at a provider that many share.
    pub organisation: Option<String>,
    /// Scopes besides the preset's.
    pub scopes: Vec<String>,
    /// Whether every refresh asks the provider about the person.
    pub ask_again: bool,
    /// Whether its identity assertion grants (ID-JAG) are taken.
    pub id_jag: bool,
    /// What is demanded of the sign-in.
    pub demands: Demands,
    /// Who becomes whom; the standard of the preset without it.
    pub mapping: Option<Mapping>,
}

/// What proves that we are the client.
pub enum NewProof {
    /// A secret that the provider made.
    Secret(Secret),
    /// A key that is made here; one that is there stays.
    Key,
    /// What there is already.
    Kept,
}

/// A SAML provider to be connected.
pub struct NewSaml {
    /// What people call the connection.
    pub name: String,
    /// The provider's entity id; metadata that describe one provider say it themselves.
    pub entity_id: Option<String>,
    /// Where the metadata are.
    pub metadata: NewMetadata,
    /// The certificate that signs the metadata (PEM, or base64 of its DER); unsigned metadata are refused then.
    pub metadata_certificate: Option<String>,
    /// Whether the provider may sign people in without being asked.
    pub allow_unsolicited: bool,
    /// What is demanded of the sign-in.
    pub demands: Demands,
    /// Who becomes whom; the standard without it.
    pub mapping: Option<Mapping>,
}

/// Where a provider's metadata are.
pub enum NewMetadata {
    /// They are fetched from there, again and again.
    Url(String),
    /// They were handed over.
    Document(String),
}

/// A connection that was made or replaced.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The connection.
    pub connection: Connection,
    /// Its settings; secrets are in them.
    pub settings: ConnectionSettings,
    /// Whether no domain leads to it yet.
    pub unled: bool,
}

/// Connects an OpenID provider; with `before`, in the place of that connection, if it still is so.
///
/// # Errors
/// When something about it cannot work, or [`Code::Stale`] when somebody was faster.
pub async fn oidc(
    tenancy: &Tenancy,
    tenant: &TenantId,
    new: NewOidc,
    before: Option<Connection>,
) -> Result<Connected, Fault> {
    let place = Place::find(tenancy, tenant, &new.name, before).await?;
    let kept = place.before_oidc()?;
    let issuer = issuer(&new)?;
    if let Some(kept) = &kept
        && kept.issuer != issuer
    {
        return Err(other_provider("issuer", &kept.issuer));
    }
    if new.id_jag && !kept.as_ref().is_some_and(|kept| kept.id_jag) {
        may_take_id_jags(tenancy, tenant).await?;
    }
    let client_id = text("client_id", &new.client_id, MOST_IDENTIFIER)?;
    let proof = Proof::of(tenancy, &new, kept.as_deref()).await?;
    let settings = OidcSettings {
        preset: new.preset.as_str().to_owned(),
        issuer,
        client_id,
        client_secret: proof.secret,
        private_key: proof.private_key,
        certificate: proof.certificate,
        scopes: scopes(&new.scopes)?,
        organisation: organisation(new.preset, new.organisation.as_deref())?,
        demands: demands(new.demands, Some(new.preset))?,
        mapping: checked(new.mapping.unwrap_or_else(|| standard(Some(new.preset))))?,
        ask_again: new.ask_again,
        id_jag: new.id_jag,
    };
    place.store(tenancy, tenant, ConnectionSettings::Oidc(Box::new(settings))).await
}

/// ID-JAGs bring people without a browser: a tenant that has proved no domain could take another's by naming its
/// provider. The operator decides for anybody.
async fn may_take_id_jags(tenancy: &Tenancy, tenant: &TenantId) -> Result<(), Fault> {
    let proved = tenancy.store().domains(tenant).await?.iter().any(|domain| domain.proved.is_some());
    if proved || tenancy.is_operators() {
        return Ok(());
    }
    let what = format!("{tenant} has proved no domain, so nobody's address can say that she is its own");
    Err(Fault::refused(Code::Conflict, "id_jag", what, "prove a domain first, or ask the operator"))
}

/// Connects a SAML provider; with `before`, in the place of that connection, if it still is so.
///
/// # Errors
/// When something about it cannot work, or [`Code::Stale`] when somebody was faster.
pub async fn saml(
    tenancy: &Tenancy,
    tenant: &TenantId,
    new: NewSaml,
    before: Option<Connection>,
) -> Result<Connected, Fault> {
    let place = Place::find(tenancy, tenant, &new.name, before).await?;
    let kept = place.before_saml()?;
    let certificate = new.metadata_certificate.as_deref().map(certificate).transpose()?;
    let given = new.entity_id.as_deref().map(entity_id).transpose()?;
    let (idp_entity_id, metadata_url, metadata) = match &new.metadata {
        NewMetadata::Document(document) => {
            let (text, wanted, now) = (document.clone(), given.clone(), tenancy.now());
            let found = work::apart(move || metadata(&text, wanted.as_deref(), certificate.as_ref(), now)).await??;
            (found, None, Some(document.clone()))
        }
        NewMetadata::Url(url) => {
            let missing = || Fault::invalid("entity_id", "it is missing", "name the provider's entity id");
            (given.ok_or_else(missing)?, Some(self::metadata_url(url)?), None)
        }
    };
    if let Some(kept) = &kept
        && kept.idp_entity_id != idp_entity_id
    {
        return Err(other_provider("entity_id", &kept.idp_entity_id));
    }
    let demands = demands(new.demands, None)?;
    let mapping = checked(new.mapping.unwrap_or_else(|| standard(None)))?;
    let subject_attribute = kept.as_ref().and_then(|kept| kept.subject_attribute.clone());
    // Last, for it takes a second.
    let keys = match kept {
        Some(kept) => kept.keys,
        None => {
            let (with, own) = (tenancy.clone(), saml_entity_id(tenancy.origin(), &place.id));
            work::apart(move || new_saml_keys(&own, with.now(), with.rng())).await??
        }
    };
    let settings = SamlSettings {
        idp_entity_id,
        metadata_url,
        metadata,
        metadata_certificate: new.metadata_certificate,
        keys,
        subject_attribute,
        allow_unsolicited: new.allow_unsolicited,
        demands,
        mapping,
    };
    place.store(tenancy, tenant, ConnectionSettings::Saml(Box::new(settings))).await
}

/// Where the settings go: a new connection or the one that is replaced.
struct Place {
    id: ConnectionId,
    name: String,
    before: Option<Connection>,
}

impl Place {
    async fn find(tenancy: &Tenancy, tenant: &TenantId, name: &str, before: Option<Connection>) -> Result<Self, Fault> {
        let name = text("name", name, MOST_NAME)?;
        let all = tenancy.store().connections(tenant).await?;
        let id = before.as_ref().map(|before| before.id.clone());
        if id.is_none() {
            room(tenant, all.len())?;
        }
        if all.iter().any(|known| known.name == name && Some(&known.id) != id.as_ref()) {
            return Err(named_already(tenant, &name));
        }
        Ok(Self { id: id.unwrap_or_else(|| ConnectionId::mint(tenancy.rng())), name, before })
    }

    fn before_oidc(&self) -> Result<Option<Box<OidcSettings>>, Fault> {
        match self.before.as_ref().map(ConnectionSettings::of).transpose()? {
            None => Ok(None),
            Some(ConnectionSettings::Oidc(before)) => Ok(Some(before)),
            Some(ConnectionSettings::Saml(_)) => Err(other_protocol("SAML")),
        }
    }

    fn before_saml(&self) -> Result<Option<Box<SamlSettings>>, Fault> {
        match self.before.as_ref().map(ConnectionSettings::of).transpose()? {
            None => Ok(None),
            Some(ConnectionSettings::Saml(before)) => Ok(Some(before)),
            Some(ConnectionSettings::Oidc(_)) => Err(other_protocol("OpenID Connect")),
        }
    }

    async fn store(
        self,
        tenancy: &Tenancy,
        tenant: &TenantId,
        settings: ConnectionSettings,
    ) -> Result<Connected, Fault> {
        let connection = Connection {
            id: self.id,
            tenant: tenant.clone(),
            name: self.name,
            protocol: settings.protocol(),
            settings: settings.to_json(),
            enabled: self.before.as_ref().is_none_or(|before| before.enabled),
            created_at: self.before.as_ref().map_or(tenancy.now(), |before| before.created_at),
            changed_at: tenancy.now(),
        };
        let action = match settings.protocol() {
            ConnectionProtocol::Oidc => "tenant.connect_oidc",
            ConnectionProtocol::Saml => "tenant.connect_saml",
        };
        if self.before.is_none() {
            // Again: making keys took its time.
            room(tenant, tenancy.store().connections(tenant).await?.len())?;
        }
        let facts = facts(&connection, &settings, self.before.is_some());
        tenancy.note(action, Some(tenant), facts).await?;
        let stored = match &self.before {
            Some(before) => tenancy.store().exchange_connection(before, &connection).await,
            None => tenancy.store().put_connection(&connection).await.map(|()| true),
        };
        match stored {
            Ok(true) => {}
            Ok(false) => return Err(Fault::stale()),
            // Somebody made another of that name meanwhile.
            Err(StoreError::Exists(_)) => return Err(named_already(tenant, &connection.name)),
            Err(error) => return Err(error.into()),
        }
        let unled = !tenancy.store().domains(tenant).await?.iter().any(|domain| domain.proved.is_some());
        Ok(Connected { connection, settings, unled })
    }
}

/// Refuses one more than a tenant may have.
fn room(tenant: &TenantId, known: usize) -> Result<(), Fault> {
    if known < MOST_CONNECTIONS {
        return Ok(());
    }
    let what = format!("{tenant} has {known} connections, and no tenant has more than {MOST_CONNECTIONS}");
    Err(Fault::refused(Code::TooManyConnections, "connection", what, "remove one that nobody signs in by"))
}

fn named_already(tenant: &TenantId, name: &str) -> Fault {
    let what = format!("{tenant} has a connection `{name}` already");
    Fault::refused(Code::AlreadyExists, "name", what, "choose another name, or change that one, which keeps its URLs")
}

/// For the log: never a secret.
fn facts(connection: &Connection, settings: &ConnectionSettings, replaced: bool) -> Value {
    let mut facts = match settings {
        ConnectionSettings::Oidc(oidc) => json!({
            "preset": oidc.preset, "issuer": oidc.issuer, "client_id": oidc.client_id,
            "organisation": oidc.organisation, "ask_again": oidc.ask_again, "id_jag": oidc.id_jag, "demands": oidc.demands,
        }),
        ConnectionSettings::Saml(saml) => json!({
            "idp_entity_id": saml.idp_entity_id, "metadata_url": saml.metadata_url,
            "metadata_signed": saml.metadata_certificate.is_some(), "allow_unsolicited": saml.allow_unsolicited,
            "demands": saml.demands,
        }),
    };
    facts["connection"] = json!(connection.id);
    facts["name"] = json!(connection.name);
    facts["replaced"] = json!(replaced);
    facts["mapping"] = json!(settings.mapping());
    present(facts)
}

fn other_provider(field: &'static str, before: &str) -> Fault {
    let what = format!(
        "the connection that is to be replaced is to `{before}`, and its people are known by what they are there"
    );
    Fault::refused(Code::Conflict, field, what, "make a connection of another name")
}

fn other_protocol(speaks: &str) -> Fault {
    let what = format!("the connection of that name speaks {speaks}");
    Fault::refused(Code::Conflict, "protocol", what, "choose another name")
}

fn issuer(new: &NewOidc) -> Result<String, Fault> {
    let directories: Vec<String> = new.organisation.iter().map(|one| one.trim().to_owned()).collect();
    match new.preset.preset().issuer_rule(&new.issuer, &directories, Transport::HttpsOrLoopback) {
        Ok(_) => Ok(new.issuer.clone()),
        Err(OidcFault::DirectoriesMissing) => {
            let what = "an issuer that many directories share takes the directory's id, such as \
                        00000000-0000-0000-0000-000000000000";
            Err(Fault::invalid("organisation", what, "or name the directory in the issuer"))
        }
        Err(OidcFault::Url { value, why, .. }) => {
            let remedy = "write it as the provider does, with https (http on this machine only)";
            Err(Fault::invalid("issuer", format!("`{value}` {why}"), remedy))
        }
        Err(fault) => Err(Fault::invalid("issuer", fault.to_string(), "")),
    }
}

/// The customer at a provider that many share.
fn organisation(preset: PresetId, given: Option<&str>) -> Result<Option<String>, Fault> {
    let wrong = |what: &str, remedy: &str| Err(Fault::invalid("organisation", what, remedy));
    match (preset, given) {
        (PresetId::Google, None) => wrong(
            "Google signs in anybody who has an account there",
            "name the domain of the customer's Workspace, such as acme.example",
        ),
        (PresetId::Google, Some(domain)) => Ok(Some(domains::normal(domain)?)),
        (PresetId::Entra, Some(directory)) => {
            let directory = directory.trim().to_ascii_lowercase();
            let is_id = directory.len() == 36 && directory.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            if is_id { Ok(Some(directory)) } else { wrong("Entra's directory id has the form of a UUID", "") }
        }
        (_, None) => Ok(None),
        (_, Some(_)) => wrong("only Entra and Google are shared by many customers", "leave it out"),
    }
}

/// What proves that we are the client: a secret, or a private key.
#[derive(Default)]
struct Proof {
    secret: Option<String>,
    private_key: Option<String>,
    certificate: Option<String>,
}

impl Proof {
    async fn of(tenancy: &Tenancy, new: &NewOidc, before: Option<&OidcSettings>) -> Result<Self, Fault> {
        match &new.proof {
            NewProof::Secret(secret) => {
                let secret = text("client_secret", secret.expose(), MOST_IDENTIFIER)?;
                return Ok(Self { secret: Some(secret), ..Self::default() });
            }
            NewProof::Kept => {
                if let Some(before) = before {
                    return Ok(Self {
                        secret: before.client_secret.clone(),
                        private_key: before.private_key.clone(),
                        certificate: before.certificate.clone(),
                    });
                }
            }
            NewProof::Key => {}
        }
        if new.preset == PresetId::Google {
            return Err(Fault::invalid("private_key_jwt", "Google takes a secret", "give `client_secret`"));
        }
        if let Some(before) = before.filter(|before| before.private_key.is_some()) {
            let (private_key, certificate) = (before.private_key.clone(), before.certificate.clone());
            return Ok(Self { private_key, certificate, secret: None });
        }
        if new.preset == PresetId::Entra {
            let with = tenancy.clone();
            let made = work::apart(move || SpKey::generate(with.origin(), with.now(), with.rng())).await?;
            let key = made.map_err(|_| Fault::Internal("making a key"))?;
            let private_key = Some(STANDARD.encode(key.pkcs8()));
            return Ok(Self { private_key, certificate: Some(key.certificate().base64()), secret: None });
        }
        let key = SigningKey::generate().map_err(|_| Fault::Internal("making a key"))?;
        Ok(Self { private_key: Some(STANDARD.encode(key.as_slice())), ..Self::default() })
    }
}

/// RFC 6749 section 3.3.
fn scopes(given: &[String]) -> Result<Vec<String>, Fault> {
    let is_token = |scope: &str| scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    let mut scopes: Vec<String> = Vec::new();
    for scope in given {
        if scope.is_empty() || scope.len() > MOST_IDENTIFIER || !is_token(scope) {
            return Err(Fault::invalid("scopes", format!("`{scope}` is no scope"), "name each by itself"));
        }
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    Ok(scopes)
}

fn demands(given: Demands, preset: Option<PresetId>) -> Result<Demands, Fault> {
    let acr = classes("demands.acr", &given.acr)?;
    let mfa_acr = classes("demands.mfa_acr", &given.mfa_acr)?;
    if let Some(age) = given.max_age_seconds.filter(|age| !AGES.contains(age)) {
        let remedy = format!("choose {} to {}", AGES.start(), AGES.end());
        return Err(Fault::refused(
            Code::OutOfBounds,
            "demands.max_age_seconds",
            format!("{age} s cannot be meant"),
            remedy,
        ));
    }
    if let Some(preset) = preset.map(PresetId::preset)
        && given.mfa
        && preset.mfa.amr.is_empty()
        && preset.mfa.acr.is_empty()
        && mfa_acr.is_empty()
    {
        let what = format!("{} cannot show it, so that nobody could sign in", preset.title);
        return Err(Fault::invalid("demands.mfa", what, preset.mfa.remedy));
    }
    Ok(Demands { acr, mfa: given.mfa, mfa_acr, max_age_seconds: given.max_age_seconds })
}

/// Authentication context classes; OpenID Connect writes them with spaces between.
fn classes(field: &'static str, given: &[String]) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for class in given {
        let class = text(field, class, MOST_IDENTIFIER)?;
        if class.contains(char::is_whitespace) {
            return Err(Fault::invalid(field, format!("`{class}` has a space in it"), "name each by itself"));
        }
        all.push(class);
    }
    Ok(all)
}

fn entity_id(given: &str) -> Result<String, Fault> {
    let given = text("entity_id", given, MOST_ENTITY_ID)?;
    if given.len() > MOST_ENTITY_ID || given.contains(char::is_whitespace) {
        let what = format!("it has a space or more than {MOST_ENTITY_ID} bytes");
        return Err(Fault::invalid("entity_id", what, "write it as the metadata do"));
    }
    Ok(given)
}

fn metadata_url(given: &str) -> Result<Url, Fault> {
    Transport::HttpsOrLoopback.url("metadata_url", given).map_err(|fault| match fault {
        OidcFault::Url { value, why, .. } => Fault::invalid("metadata_url", format!("`{value}` {why}"), "use https"),
        fault => Fault::invalid("metadata_url", fault.to_string(), ""),
    })
}

/// The entity id that metadata are about.
fn metadata(
    document: &str,
    wanted: Option<&str>,
    signer: Option<&Certificate>,
    now: Timestamp,
) -> Result<String, Fault> {
    let trust = signer.map_or(MetadataTrust::Source, |signer| MetadataTrust::SignedBy(std::slice::from_ref(signer)));
    let wrong = |fault: SamlFault| unreadable("metadata", &fault);
    let idp = read_metadata(document.as_bytes(), wanted, trust, now).map_err(wrong)?;
    idp.sso(None).map_err(wrong)?;
    Ok(idp.entity_id)
}

fn certificate(pem: &str) -> Result<Certificate, Fault> {
    Certificate::from_text(pem).map_err(|fault| unreadable("metadata_certificate", &fault))
}

fn unreadable(field: &'static str, fault: &SamlFault) -> Fault {
    let remedy = fault.remedy().map(|remedy| remedy.to_string()).unwrap_or_default();
    Fault::invalid(field, fault.to_string(), remedy)
}
