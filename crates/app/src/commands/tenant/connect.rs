//! Connecting a tenant's identity provider. Whatever is wrong is found before anything is stored; nothing is fetched
//! here, the gate does that at the first sign-in.

use std::path::Path;

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_identity::{
    new_saml_keys, saml_entity_id,
    settings::{ConnectionSettings, Demands, OidcSettings, SamlSettings},
};
use sallyport_model::{ConnectionId, TenantId, Timestamp};
use sallyport_oauth::{
    SigningKey,
    oidc::{OidcFault, PresetId, Transport},
};
use sallyport_saml::{Certificate, MetadataTrust, SamlFault, SpKey, read_metadata};
use sallyport_storage::{Connection, ConnectionProtocol, Tenant};
use serde_json::json;
use url::Url;

use super::{
    answer::Answer,
    arguments::{ConnectOidc, ConnectSaml, DemandOptions},
    connections::{connection_json, connection_lines},
    domains,
    mapping::standard,
    opened::{Opened, refused, shown, text},
};

/// Characters of a connection's name; it is on a button.
const MOST_NAME: usize = 80;
/// Characters of an identifier at a provider.
const MOST_IDENTIFIER: usize = 512;
/// Bytes of a SAML entity id (saml-metadata-2.0-os, section 2.2.1).
const MOST_ENTITY_ID: usize = 1024;
/// Bytes of a metadata file.
const MOST_METADATA: u64 = 16 << 20;
/// Bytes of a certificate file.
const MOST_CERTIFICATE: u64 = 64 << 10;

/// Finds a variable of the environment.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// `sallyport tenant connect-oidc`
pub async fn oidc(opened: &Opened, asked: &ConnectOidc, environment: Environment<'_>) -> Result<Answer> {
    let tenant = opened.tenant(&asked.id).await?;
    let preset = asked.preset.id();
    let place = Place::find(opened, &tenant, &asked.name, asked.replace).await?;
    let before = place.before_oidc()?;
    let issuer = issuer(asked, preset)?;
    if let Some(before) = &before
        && before.issuer != issuer
    {
        return Err(other_provider("--issuer", &before.issuer));
    }
    let client_id = text("--client-id", &asked.client_id, MOST_IDENTIFIER)?;
    let proof = Proof::of(opened, asked, preset, before.as_deref(), environment)?;
    let settings = OidcSettings {
        preset: preset.as_str().to_owned(),
        issuer,
        client_id,
        client_secret: proof.secret,
        private_key: proof.private_key,
        certificate: proof.certificate,
        scopes: scopes(&asked.scopes)?,
        organisation: organisation(asked, preset)?,
        demands: demands(&asked.demands, Some(preset))?,
        mapping: asked.mapping.applied(standard(Some(preset)))?,
        ask_again: !asked.do_not_ask_again,
    };
    let settings = ConnectionSettings::Oidc(Box::new(settings));
    let answer = place.store(opened, &tenant, &settings).await?;
    Ok(answer.remarks(preset.preset().notes.iter().map(|note| format!("{}: {note}", preset.preset().title))))
}

/// `sallyport tenant connect-saml`
pub async fn saml(opened: &Opened, asked: &ConnectSaml) -> Result<Answer> {
    let tenant = opened.tenant(&asked.id).await?;
    let place = Place::find(opened, &tenant, &asked.name, asked.replace).await?;
    let before = place.before_saml()?;
    let certificate = asked.metadata_certificate.as_deref().map(certificate).transpose()?;
    let given = asked.entity_id.as_deref().map(entity_id).transpose()?;
    let (idp_entity_id, metadata) = match &asked.metadata {
        Some(path) => {
            let signer = certificate.as_ref().map(|(_, signer)| signer);
            let (found, document) = metadata(path, given.as_deref(), signer, opened.now())?;
            (found, Some(document))
        }
        // The command line demands it with a URL.
        None => (given.ok_or_else(|| refused("--entity-id", "name the provider's entity id"))?, None),
    };
    if let Some(before) = &before
        && before.idp_entity_id != idp_entity_id
    {
        return Err(other_provider("--entity-id", &before.idp_entity_id));
    }
    let demands = demands(&asked.demands, None)?;
    let mapping = asked.mapping.applied(standard(None))?;
    let metadata_url = asked.metadata_url.as_deref().map(metadata_url).transpose()?;
    let subject_attribute = before.as_ref().and_then(|before| before.subject_attribute.clone());
    // Last, for it takes a second.
    let keys = match before {
        Some(before) => before.keys,
        None => new_saml_keys(&saml_entity_id(&opened.origin(), &place.id), opened.now(), opened.rng())?,
    };
    let settings = SamlSettings {
        idp_entity_id,
        metadata_url,
        metadata,
        metadata_certificate: certificate.map(|(pem, _)| pem),
        keys,
        subject_attribute,
        allow_unsolicited: asked.allow_unsolicited,
        demands,
        mapping,
    };
    let settings = ConnectionSettings::Saml(Box::new(settings));
    let answer = place.store(opened, &tenant, &settings).await?;
    let warning = (asked.metadata_url.is_some() && asked.metadata_certificate.is_none()).then(|| {
        "Whoever controls the metadata's address controls who signs in: --metadata-certificate takes signed metadata \
         only."
            .to_owned()
    });
    Ok(answer.remarks(warning))
}

/// Where the settings go: a new connection or, with `--replace`, the one of that name.
struct Place {
    id: ConnectionId,
    name: String,
    before: Option<Connection>,
}

impl Place {
    async fn find(opened: &Opened, tenant: &Tenant, name: &str, replace: bool) -> Result<Self> {
        let name = text("NAME", name, MOST_NAME)?;
        let all = opened.store().connections(&tenant.id).await?;
        match (all.into_iter().find(|known| known.name == name), replace) {
            (Some(before), true) => Ok(Self { id: before.id.clone(), name, before: Some(before) }),
            (None, false) => Ok(Self { id: ConnectionId::mint(opened.rng()), name, before: None }),
            (Some(_), false) => {
                let what = format!(
                    "{} has a connection `{}` already: choose another name, or --replace it and keep its URLs",
                    tenant.id,
                    shown(&name)
                );
                Err(refused("NAME", &what))
            }
            (None, true) => {
                let what = format!("{} has no connection `{}` to replace: leave it out", tenant.id, shown(&name));
                Err(refused("--replace", &what))
            }
        }
    }

    fn before_oidc(&self) -> Result<Option<Box<OidcSettings>>> {
        match self.before.as_ref().map(ConnectionSettings::of).transpose()? {
            None => Ok(None),
            Some(ConnectionSettings::Oidc(before)) => Ok(Some(before)),
            Some(ConnectionSettings::Saml(_)) => Err(other_protocol("SAML")),
        }
    }

    fn before_saml(&self) -> Result<Option<Box<SamlSettings>>> {
        match self.before.as_ref().map(ConnectionSettings::of).transpose()? {
            None => Ok(None),
            Some(ConnectionSettings::Saml(before)) => Ok(Some(before)),
            Some(ConnectionSettings::Oidc(_)) => Err(other_protocol("OpenID Connect")),
        }
    }

    async fn store(self, opened: &Opened, tenant: &Tenant, settings: &ConnectionSettings) -> Result<Answer> {
        let replaced = self.before.is_some();
        let connection = Connection {
            id: self.id,
            tenant: tenant.id.clone(),
            name: self.name,
            protocol: settings.protocol(),
            settings: settings.to_json(),
            enabled: self.before.as_ref().is_none_or(|before| before.enabled),
            created_at: self.before.as_ref().map_or(opened.now(), |before| before.created_at),
            changed_at: opened.now(),
        };
        let action = match settings.protocol() {
            ConnectionProtocol::Oidc => "tenant.connect_oidc",
            ConnectionProtocol::Saml => "tenant.connect_saml",
        };
        opened.notice(action, Some(&tenant.id), facts(&connection, settings, replaced)).await?;
        opened.store().put_connection(&connection).await?;
        let json = connection_json(opened, &connection, settings)?;
        let mut answer = Answer::done(json, connection_lines(opened, &connection, settings)?);
        if !opened.store().domains(&tenant.id).await?.iter().any(|domain| domain.proved.is_some()) {
            let id = &tenant.id;
            answer = answer.remark(format!(
                "Nobody is sent there by her address yet: `sallyport tenant domain add {id} DOMAIN` claims a domain."
            ));
        }
        Ok(answer)
    }
}

/// For the log: never a secret.
fn facts(connection: &Connection, settings: &ConnectionSettings, replaced: bool) -> serde_json::Value {
    let mut facts = match settings {
        ConnectionSettings::Oidc(oidc) => json!({
            "preset": oidc.preset, "issuer": oidc.issuer, "client_id": oidc.client_id,
            "organisation": oidc.organisation, "ask_again": oidc.ask_again, "demands": oidc.demands,
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
    super::opened::present(facts)
}

fn other_provider(option: &str, before: &str) -> anyhow::Error {
    let what = format!(
        "the connection that is to be replaced is to `{}`, and its people are known by what they are there: make a \
         connection of another name",
        shown(before)
    );
    refused(option, &what)
}

fn other_protocol(speaks: &str) -> anyhow::Error {
    refused("--replace", &format!("the connection of that name speaks {speaks}: choose another name"))
}

fn issuer(asked: &ConnectOidc, preset: PresetId) -> Result<String> {
    let wrong = |what: &str| refused("--issuer", what);
    let directories: Vec<String> = asked.organisation.iter().map(|one| one.trim().to_owned()).collect();
    match preset.preset().issuer_rule(&asked.issuer, &directories, Transport::HttpsOrLoopback) {
        Ok(_) => Ok(asked.issuer.clone()),
        Err(OidcFault::DirectoriesMissing) => {
            let what = "an issuer that many directories share takes the directory's id, such as \
                        00000000-0000-0000-0000-000000000000; or name the directory in the issuer";
            Err(refused("--organisation", what))
        }
        Err(OidcFault::Url { value, why, .. }) => Err(wrong(&format!(
            "`{value}` {why}: write it as the provider does, with https (http on this machine only)"
        ))),
        Err(fault) => Err(wrong(&fault.to_string())),
    }
}

/// The customer at a provider that many share.
fn organisation(asked: &ConnectOidc, preset: PresetId) -> Result<Option<String>> {
    let wrong = |what: &str| Err(refused("--organisation", what));
    match (preset, asked.organisation.as_deref()) {
        (PresetId::Google, None) => wrong(
            "Google signs in anybody who has an account there: name the domain of the customer's Workspace, such as \
             acme.example",
        ),
        (PresetId::Google, Some(domain)) => Ok(Some(domains::normal(domain)?)),
        (PresetId::Entra, Some(directory)) => {
            let directory = directory.trim().to_ascii_lowercase();
            let is_id = directory.len() == 36 && directory.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            if is_id { Ok(Some(directory)) } else { wrong("Entra's directory id has the form of a UUID") }
        }
        (_, None) => Ok(None),
        (_, Some(_)) => wrong("only Entra and Google are shared by many customers: leave it out"),
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
    fn of(
        opened: &Opened,
        asked: &ConnectOidc,
        preset: PresetId,
        before: Option<&OidcSettings>,
        environment: Environment<'_>,
    ) -> Result<Self> {
        if let Some(variable) = &asked.client_secret_env {
            let secret = environment(variable).filter(|secret| !secret.trim().is_empty()).ok_or_else(|| {
                let what = format!("the variable {} is empty or not there: export it before", shown(variable));
                refused("--client-secret-env", &what)
            })?;
            return Ok(Self {
                secret: Some(text("--client-secret-env", &secret, MOST_IDENTIFIER)?),
                ..Self::default()
            });
        }
        if preset == PresetId::Google {
            return Err(refused("--private-key-jwt", "Google takes a secret: use --client-secret-env"));
        }
        if let Some(before) = before.filter(|before| before.private_key.is_some()) {
            let (private_key, certificate) = (before.private_key.clone(), before.certificate.clone());
            return Ok(Self { private_key, certificate, secret: None });
        }
        if preset == PresetId::Entra {
            let key = SpKey::generate(&opened.origin(), opened.now(), opened.rng())?;
            let private_key = Some(STANDARD.encode(key.pkcs8()));
            return Ok(Self { private_key, certificate: Some(key.certificate().base64()), secret: None });
        }
        Ok(Self { private_key: Some(STANDARD.encode(SigningKey::generate()?.as_slice())), ..Self::default() })
    }
}

/// RFC 6749 section 3.3.
fn scopes(given: &[String]) -> Result<Vec<String>> {
    let is_token = |scope: &str| scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    let mut scopes: Vec<String> = Vec::new();
    for scope in given {
        if scope.is_empty() || scope.len() > MOST_IDENTIFIER || !is_token(scope) {
            let what = format!("`{}` is no scope: repeat the option for each, without spaces", shown(scope));
            return Err(refused("--scope", &what));
        }
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    Ok(scopes)
}

fn demands(asked: &DemandOptions, preset: Option<PresetId>) -> Result<Demands> {
    let acr = classes("--acr", &asked.acr)?;
    let mfa_acr = classes("--mfa-acr", &asked.mfa_acr)?;
    if let Some(preset) = preset.map(PresetId::preset)
        && asked.require_mfa
        && preset.mfa.amr.is_empty()
        && preset.mfa.acr.is_empty()
        && mfa_acr.is_empty()
    {
        let what = format!("{} cannot show it, so that nobody could sign in: {}", preset.title, preset.mfa.remedy);
        return Err(refused("--require-mfa", &what));
    }
    Ok(Demands { acr, mfa: asked.require_mfa, mfa_acr, max_age_seconds: asked.max_age_seconds })
}

/// Authentication context classes; OpenID Connect writes them with spaces between.
fn classes(option: &str, given: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for class in given {
        let class = text(option, class, MOST_IDENTIFIER)?;
        if class.contains(char::is_whitespace) {
            let what = format!("`{}` has a space in it: repeat the option for each", shown(&class));
            return Err(refused(option, &what));
        }
        all.push(class);
    }
    Ok(all)
}

fn entity_id(given: &str) -> Result<String> {
    let given = text("--entity-id", given, MOST_ENTITY_ID)?;
    if given.len() > MOST_ENTITY_ID || given.contains(char::is_whitespace) {
        let what = format!("it has a space or more than {MOST_ENTITY_ID} bytes: write it as the metadata do");
        return Err(refused("--entity-id", &what));
    }
    Ok(given)
}

fn metadata_url(given: &str) -> Result<Url> {
    Transport::HttpsOrLoopback.url("--metadata-url", given).map_err(|fault| match fault {
        OidcFault::Url { value, why, .. } => refused("--metadata-url", &format!("`{value}` {why}: use https")),
        fault => refused("--metadata-url", &fault.to_string()),
    })
}

/// A file of metadata: the entity id that it is about, and its text.
fn metadata(
    path: &Path,
    wanted: Option<&str>,
    signer: Option<&Certificate>,
    now: Timestamp,
) -> Result<(String, String)> {
    let document = read(path, MOST_METADATA)?;
    let trust = signer.map_or(MetadataTrust::Source, |signer| MetadataTrust::SignedBy(std::slice::from_ref(signer)));
    let idp = read_metadata(document.as_bytes(), wanted, trust, now).map_err(|fault| in_file(path, &fault))?;
    idp.sso(None).map_err(|fault| in_file(path, &fault))?;
    Ok((idp.entity_id, document))
}

/// A certificate as it is kept (PEM, or base64 of its DER) and as it is used.
fn certificate(path: &Path) -> Result<(String, Certificate)> {
    let pem = read(path, MOST_CERTIFICATE)?;
    let certificate = Certificate::from_text(&pem).map_err(|fault| in_file(path, &fault))?;
    Ok((pem, certificate))
}

fn in_file(path: &Path, fault: &SamlFault) -> anyhow::Error {
    let remedy = fault.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    refused(&path.display().to_string(), &format!("{fault}{remedy}"))
}

fn read(path: &Path, most: u64) -> Result<String> {
    let wrong = |what: String| refused(&path.display().to_string(), &what);
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > most {
        return Err(wrong(format!("it has {size} bytes, more than the {most} that are read")));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
}

/// So that nobody's tenant is mixed up with another's in a message.
pub fn of(tenant: &TenantId, connection: &Connection) -> String {
    format!("{} of {tenant}", shown(&connection.name))
}
