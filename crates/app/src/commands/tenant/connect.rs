//! Connecting a tenant's identity provider. Files and variables of the environment are read here; what is in them is
//! looked at where the admin API looks at it too.

use std::path::Path;

use anyhow::Result;
use sallyport_admin::{
    Fault,
    tenancy::{
        connect::{self, Connected, NewMetadata, NewOidc, NewProof, NewSaml},
        connections::connection_json,
        mapping::standard,
    },
};
use sallyport_identity::settings::Demands;
use sallyport_model::{Secret, TenantId};
use sallyport_storage::{Connection, Tenant};

use super::{
    answer::Answer,
    arguments::{ConnectOidc, ConnectSaml, DemandOptions},
    connections::connection_lines,
    opened::{Opened, refused, shown, told},
};

/// Bytes of a metadata file.
const MOST_METADATA: u64 = 16 << 20;
/// Bytes of a certificate file.
const MOST_CERTIFICATE: u64 = 64 << 10;

/// Finds a variable of the environment.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// `sallyport tenant connect-oidc`
pub async fn oidc(opened: &Opened, asked: &ConnectOidc, environment: Environment<'_>) -> Result<Answer> {
    let tenant = opened.tenant(&asked.id).await?;
    let before = before(opened, &tenant, &asked.name, asked.replace).await?;
    let preset = asked.preset.id();
    let new = NewOidc {
        name: asked.name.clone(),
        preset,
        issuer: asked.issuer.clone(),
        client_id: asked.client_id.clone(),
        proof: proof(asked, environment)?,
        organisation: asked.organisation.clone(),
        scopes: asked.scopes.clone(),
        ask_again: !asked.do_not_ask_again,
        id_jag: asked.id_jag,
        demands: demands(&asked.demands),
        mapping: Some(asked.mapping.applied(standard(Some(preset)))?),
    };
    let made = connect::oidc(opened.tenancy(), &tenant.id, new, before).await.map_err(told)?;
    let answer = answered(opened, &tenant, &made)?;
    Ok(answer.remarks(preset.preset().notes.iter().map(|note| format!("{}: {note}", preset.preset().title))))
}

/// `sallyport tenant connect-saml`
pub async fn saml(opened: &Opened, asked: &ConnectSaml) -> Result<Answer> {
    let tenant = opened.tenant(&asked.id).await?;
    let before = before(opened, &tenant, &asked.name, asked.replace).await?;
    let certificate = asked.metadata_certificate.as_deref();
    // The command line demands one of the two.
    let metadata = match (&asked.metadata, &asked.metadata_url) {
        (Some(path), _) => NewMetadata::Document(read(path, MOST_METADATA)?),
        (None, url) => NewMetadata::Url(url.clone().unwrap_or_default()),
    };
    let new = NewSaml {
        name: asked.name.clone(),
        entity_id: asked.entity_id.clone(),
        metadata,
        metadata_certificate: certificate.map(|path| read(path, MOST_CERTIFICATE)).transpose()?,
        allow_unsolicited: asked.allow_unsolicited,
        demands: demands(&asked.demands),
        mapping: Some(asked.mapping.applied(standard(None))?),
    };
    let made = connect::saml(opened.tenancy(), &tenant.id, new, before).await;
    let made = made.map_err(|fault| in_file(asked.metadata.as_deref(), certificate, fault))?;
    let warning = (asked.metadata_url.is_some() && certificate.is_none()).then(|| {
        "Whoever controls the metadata's address controls who signs in: --metadata-certificate takes signed metadata \
         only."
            .to_owned()
    });
    Ok(answered(opened, &tenant, &made)?.remarks(warning))
}

/// The connection of that name, if it is to be replaced.
async fn before(opened: &Opened, tenant: &Tenant, name: &str, replace: bool) -> Result<Option<Connection>> {
    let all = opened.store().connections(&tenant.id).await?;
    match (all.into_iter().find(|known| known.name == name.trim()), replace) {
        (Some(before), true) => Ok(Some(before)),
        (_, false) => Ok(None),
        (None, true) => {
            let what = format!("{} has no connection `{}` to replace: leave it out", tenant.id, shown(name));
            Err(refused("--replace", &what))
        }
    }
}

fn answered(opened: &Opened, tenant: &Tenant, made: &Connected) -> Result<Answer> {
    let json = connection_json(opened.tenancy(), &made.connection, &made.settings).map_err(told)?;
    let answer = Answer::done(json, connection_lines(opened, &made.connection, &made.settings)?);
    let id = &tenant.id;
    Ok(answer.remarks(made.unled.then(|| {
        format!("Nobody is sent there by her address yet: `sallyport tenant domain add {id} DOMAIN` claims a domain.")
    })))
}

fn proof(asked: &ConnectOidc, environment: Environment<'_>) -> Result<NewProof> {
    let Some(variable) = &asked.client_secret_env else { return Ok(NewProof::Key) };
    let secret = environment(variable).filter(|secret| !secret.trim().is_empty()).ok_or_else(|| {
        let what = format!("the variable {} is empty or not there: export it before", shown(variable));
        refused("--client-secret-env", &what)
    })?;
    Ok(NewProof::Secret(Secret::new(secret)))
}

fn demands(asked: &DemandOptions) -> Demands {
    Demands {
        acr: asked.acr.clone(),
        mfa: asked.require_mfa,
        mfa_acr: asked.mfa_acr.clone(),
        max_age_seconds: asked.max_age_seconds,
    }
}

/// What is wrong with the content of a file names the file.
fn in_file(metadata: Option<&Path>, certificate: Option<&Path>, fault: Fault) -> anyhow::Error {
    let Fault::Refused(refusal) = fault else { return told(fault) };
    let path = match refusal.field {
        "metadata" => metadata,
        "metadata_certificate" => certificate,
        _ => None,
    };
    match path {
        Some(path) => refused(&path.display().to_string(), &shown(&refusal.to_string())),
        None => told(Fault::Refused(refusal)),
    }
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
