//! From a subject identifier of a transmitter (RFC 9493) to people of the stream's tenant.
//!
//! Nobody outside the tenant is ever found, nor, where the stream belongs to a connection, anybody of another
//! connection. A subject that fits nobody is an answer, not an error.

use sallyport_model::{ConnectionId, UserId};
use sallyport_oauth::signals::{Subject, SubjectId, subject::Complex};
use sallyport_saml::name_id_format;
use sallyport_storage::{Person, PersonOrigin, ScimKind, SignalStream};

use super::settings::{OpaqueSubject, StreamSettings};
use crate::{Identity, IdentityError, federation::mapping::domain_of, settings::ConnectionSettings};

/// The sides of a complex subject that are understood.
const UNDERSTOOD: [&str; 3] = ["user", "session", "tenant"];

/// Whom an event is about.
#[derive(Debug)]
pub(super) enum Whom {
    /// These people (more than one only where several have the same address), and only that session of theirs
    /// at the provider if one is named.
    People(Vec<Person>, Option<String>),
    /// Whoever has this session at the provider.
    Session(String),
    /// Nobody that this stream may speak of; a stable code says why.
    Nobody(&'static str),
}

const NO_SUCH_SUBJECT: Whom = Whom::Nobody("no_such_subject");

/// How an event names its subject, for the log.
pub(super) fn format(subject: &Subject) -> &'static str {
    match subject {
        Subject::Complex(_) => "complex",
        Subject::Simple(id) => match id {
            SubjectId::Account(_) => "account",
            SubjectId::Email(_) => "email",
            SubjectId::IssuerSubject { .. } => "iss_sub",
            SubjectId::Opaque(_) => "opaque",
            SubjectId::Phone(_) => "phone_number",
            SubjectId::Did(_) => "did",
            SubjectId::Uri(_) => "uri",
            SubjectId::Jwt { .. } => "jwt_id",
            SubjectId::SamlAssertion { .. } => "saml_assertion_id",
            SubjectId::Aliases(_) => "aliases",
        },
    }
}

/// The text of an identifier that stands for something by one text.
fn one_text(id: &SubjectId) -> Option<&str> {
    match id {
        SubjectId::Opaque(id) => Some(id),
        SubjectId::IssuerSubject { subject, .. } => Some(subject),
        SubjectId::Uri(uri) => Some(uri),
        _ => None,
    }
}

/// How a link to a SAML provider may be called (`crate::saml::subject`) whose `NameID` has this value. A
/// transmitter tells the value alone, so the usual formats are tried; none that changes with each sign-in is.
fn saml_names(value: &str) -> Vec<String> {
    let formats = [name_id_format::UNSPECIFIED, name_id_format::EMAIL, name_id_format::PERSISTENT];
    formats.iter().map(|format| format!("{format} - - {value}")).collect()
}

impl Identity {
    /// Whom `subject` means. With `may_be_session` a simple opaque id that is no person's is a session's, as CAEP
    /// writes it in `session-revoked`.
    pub(super) async fn whom(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        subject: &Subject,
        may_be_session: bool,
    ) -> Result<Whom, IdentityError> {
        if subject.misses(&settings.critical_subject_members, &UNDERSTOOD) {
            return Ok(Whom::Nobody("critical_member_not_understood"));
        }
        match subject {
            Subject::Simple(id) => {
                let people = self.people_meant(stream, settings, id).await?;
                Ok(match (people.is_empty(), id) {
                    (false, _) => Whom::People(people, None),
                    (true, SubjectId::Opaque(session)) if may_be_session => Whom::Session(session.clone()),
                    _ => NO_SUCH_SUBJECT,
                })
            }
            Subject::Complex(complex) => self.whom_complex(stream, settings, complex).await,
        }
    }

    async fn whom_complex(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        complex: &Complex,
    ) -> Result<Whom, IdentityError> {
        if let (Some(ours), Some(named)) = (&settings.customer, &complex.tenant)
            && !named.each().iter().any(|id| one_text(id) == Some(ours))
        {
            return Ok(Whom::Nobody("another_customer"));
        }
        // A session in a form that we do not know narrows nothing: more ends then, not less.
        let session = complex.session.as_ref().and_then(one_text).map(str::to_owned);
        match (&complex.user, session) {
            (Some(user), session) => {
                let people = self.people_meant(stream, settings, user).await?;
                Ok(if people.is_empty() { NO_SUCH_SUBJECT } else { Whom::People(people, session) })
            }
            (None, Some(session)) => Ok(Whom::Session(session)),
            (None, None) => Ok(Whom::Nobody("names_no_person")),
        }
    }

    /// The most exact identifier that fits somebody decides; an address comes last.
    async fn people_meant(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        id: &SubjectId,
    ) -> Result<Vec<Person>, IdentityError> {
        for id in id.each() {
            if let Some(person) = self.person_meant(stream, settings, id).await? {
                return Ok(vec![person]);
            }
        }
        for id in id.each() {
            if let SubjectId::Email(address) = id {
                let people = self.people_of_address(stream, address).await?;
                if !people.is_empty() {
                    return Ok(people);
                }
            }
        }
        Ok(Vec::new())
    }

    async fn person_meant(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        id: &SubjectId,
    ) -> Result<Option<Person>, IdentityError> {
        let person = match id {
            SubjectId::IssuerSubject { issuer, subject } => {
                let subjects = |settings: &ConnectionSettings| match settings {
                    ConnectionSettings::Oidc(_) => vec![format!("{issuer} {subject}")],
                    ConnectionSettings::Saml(saml) if saml.idp_entity_id == *issuer => saml_names(subject),
                    ConnectionSettings::Saml(_) => Vec::new(),
                };
                self.by_link(stream, subjects).await?
            }
            SubjectId::Opaque(id) => self.by_name(stream, settings, id).await?,
            SubjectId::Account(uri) => {
                let name = uri.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("acct:")).map(|_| &uri[5..]);
                self.by_name(stream, settings, name.unwrap_or(uri)).await?
            }
            _ => None,
        };
        match person {
            Some(person) if self.is_of_stream(stream, &person).await? => Ok(Some(person)),
            _ => Ok(None),
        }
    }

    async fn by_name(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        name: &str,
    ) -> Result<Option<Person>, IdentityError> {
        let (tenant, kind) = (&stream.tenant, ScimKind::User);
        let user = match settings.opaque {
            OpaqueSubject::Subject => {
                let signer = settings.signer.as_ref().map(|signer| signer.issuer.as_str()).unwrap_or_default();
                let subjects = |settings: &ConnectionSettings| match settings {
                    ConnectionSettings::Oidc(oidc) => [&oidc.issuer, signer].map(|iss| format!("{iss} {name}")).into(),
                    ConnectionSettings::Saml(_) => saml_names(name),
                };
                return self.by_link(stream, subjects).await;
            }
            OpaqueSubject::ScimId => self.store().scim(tenant, kind, name).await?,
            OpaqueSubject::UserName => self.store().scim_by_name(tenant, kind, name).await?,
            OpaqueSubject::ExternalId => {
                let found = self.store().scim_by_external_id(tenant, kind, name).await?;
                // Two with one external id are nobody: which of them is meant cannot be known.
                <[_; 1]>::try_from(found).ok().map(|[one]| one)
            }
        };
        let Some(user) = user else { return Ok(None) };
        let id = UserId::new(&user.id).map_err(|_| IdentityError::Internal("reading a SCIM user's id"))?;
        Ok(self.store().person(&id).await?)
    }

    /// Whom a subject is at the stream's connection, or at any of the tenant's. `subjects` says what a person's link
    /// there may be called.
    async fn by_link(
        &self,
        stream: &SignalStream,
        subjects: impl Fn(&ConnectionSettings) -> Vec<String>,
    ) -> Result<Option<Person>, IdentityError> {
        for id in self.connections_of(stream).await? {
            let connection = self.store().connection(&id).await?;
            let Some(connection) = connection.filter(|known| known.tenant == stream.tenant) else { continue };
            for subject in subjects(&ConnectionSettings::of(&connection)?) {
                if let Some(link) = self.store().link(&id, &subject).await? {
                    return Ok(self.store().person(&link.user).await?);
                }
            }
        }
        Ok(None)
    }

    /// The connections whose people a stream may speak of.
    pub(super) async fn connections_of(&self, stream: &SignalStream) -> Result<Vec<ConnectionId>, IdentityError> {
        match &stream.connection {
            Some(connection) => Ok(vec![connection.clone()]),
            None => {
                let all = self.store().connections(&stream.tenant).await?;
                Ok(all.into_iter().map(|connection| connection.id).collect())
            }
        }
    }

    /// Everybody with an address whose domain the tenant has proved.
    async fn people_of_address(&self, stream: &SignalStream, address: &str) -> Result<Vec<Person>, IdentityError> {
        let Some(domain) = domain_of(address) else { return Ok(Vec::new()) };
        let proved = self.store().domain(&domain).await?;
        if proved.is_none_or(|proved| proved.tenant != stream.tenant) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for person in self.store().people(&stream.tenant).await? {
            let hers = person.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(address));
            if hers && self.is_of_stream(stream, &person).await? {
                found.push(person);
            }
        }
        Ok(found)
    }

    /// Whether a stream may speak of `person`: hers is its tenant, and its connection if it has one. Whom SCIM
    /// brought and who has signed in nowhere yet is of every connection.
    async fn is_of_stream(&self, stream: &SignalStream, person: &Person) -> Result<bool, IdentityError> {
        if person.tenant != stream.tenant {
            return Ok(false);
        }
        let Some(connection) = &stream.connection else { return Ok(true) };
        let links = self.store().links(&person.id).await?;
        let waits = links.is_empty() && person.origin == PersonOrigin::External;
        Ok(waits || links.iter().any(|link| link.connection == *connection))
    }
}
