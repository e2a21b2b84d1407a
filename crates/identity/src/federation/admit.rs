//! From what a provider asserts to a session here: who she is, whether she may, and the session that stands on
//! the provider's.

use http::HeaderValue;
use sallyport_model::{Timestamp, UserId};
use sallyport_storage::{Connection, Link, Person, PersonOrigin, ProviderSession, ProviderToken, ScimKind, StoreError};
use sallyport_web::Caller;
use serde_json::json;

use super::{
    Asserted,
    mapping::{Profile, domain_of, profile, value},
    refused::Refused,
    settings::{Mapping, ScimAttribute},
};
use crate::{Identity, IdentityError, answer::Failure};

/// Ends in a session or in a refusal with its reference.
type Admitted = Result<HeaderValue, Failure>;

/// Who she is, or why nobody.
pub(crate) type Found = Result<Result<Person, Refused>, IdentityError>;

impl Identity {
    /// Signs in whom `asserted` is about, who was sent to `connection` at `since`; the session's cookie.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        connection: &Connection,
        mapping: &Mapping,
        asserted: Asserted,
        since: Timestamp,
    ) -> Admitted {
        let person = match self.person_asserted(mapping, &asserted).await? {
            Ok(person) => person,
            Err(refused) => {
                return Err(self.refuse_federated(caller, Some(&asserted.tenant), Some(&connection.id), refused).await);
            }
        };
        let standing = ProviderSession {
            connection: connection.id.clone(),
            subject: asserted.subject.clone(),
            session: asserted.session.clone(),
            not_after: asserted.not_after,
        };
        let begun = self.complete_sign_in_with(caller, &person, asserted.methods.clone(), since, Some(standing)).await;
        let (session, cookie) = match begun {
            Err(IdentityError::Store(StoreError::Missing(_))) => {
                let refused = Refused::again("revoked_meanwhile", "Your access was ended while you signed in.");
                return Err(self.refuse_federated(caller, Some(&asserted.tenant), Some(&connection.id), refused).await);
            }
            begun => begun?,
        };
        if let Some(token) = &asserted.refresh_token {
            let token = ProviderToken { token: token.expose().to_owned(), asked_at: self.now() };
            self.store().put_provider_token(&session.id, &token, None).await?;
        }
        Ok(cookie)
    }

    /// The person whom `asserted` is about, found, linked or made by the connection's rules, and brought up to date.
    pub(crate) async fn person_asserted(&self, mapping: &Mapping, asserted: &Asserted) -> Found {
        let profile = profile(mapping, asserted);
        if let Err(refused) = lacks_nothing(mapping, asserted, &profile) {
            return Ok(Err(refused));
        }
        let found = self.recognise(mapping, asserted, &profile).await?;
        if let Ok(person) = &found {
            self.note_asserted(asserted, person).await?;
        }
        Ok(found)
    }

    /// The person of an assertion, brought up to date.
    async fn recognise(&self, mapping: &Mapping, asserted: &Asserted, profile: &Profile) -> Found {
        let link = self.store().link(&asserted.connection, &asserted.subject).await?;
        let known = match &link {
            Some(link) => match self.store().person(&link.user).await? {
                Some(person) => match self.twin_of(&person, mapping, asserted).await? {
                    None => Some(person),
                    Some(refused) => return Ok(Err(refused)),
                },
                None => return Ok(Err(Refused::new("person_gone", "This account was removed here.", None))),
            },
            None => match self.among_the_provisioned(mapping, asserted, profile).await? {
                Ok(person) => person,
                Err(refused) => return Ok(Err(refused)),
            },
        };
        if let Some(person) = &known
            && (person.tenant != asserted.tenant || !self.may_sign_in(person).await?)
        {
            return Ok(Err(Refused::new("disabled", "This account is switched off here.", None)));
        }
        let completed =
            known.as_ref().filter(|_| asserted.partial).map(|known| completed(mapping, asserted, profile, known));
        let profile = completed.as_ref().unwrap_or(profile);
        if !profile.admitted {
            let what = format!("Signing in here takes membership of one of: {}.", mapping.admitted.join(", "));
            let missing = profile.missing.iter().find(|what| what.starts_with("groups"));
            let remedy = missing.map(|groups| format!("The provider sent no {groups}: release that attribute to us."));
            return Ok(Err(Refused::new("group_missing", what, remedy.as_deref())));
        }
        match known {
            Some(person) => self.brought_up_to_date(person, profile).await.map(Ok),
            None if mapping.create => self.created(asserted, profile).await.map(Ok),
            None => Ok(Err(Refused::new(
                "not_provisioned",
                "Nobody has given you an account here yet.",
                Some("Assign the person in the identity provider, so that SCIM brings her."),
            ))),
        }
    }

    /// Somebody of the tenant who is not linked yet: brought by SCIM, or (if the tenant wants that) with the
    /// same verified address.
    async fn among_the_provisioned(
        &self,
        mapping: &Mapping,
        asserted: &Asserted,
        profile: &Profile,
    ) -> Result<Result<Option<Person>, Refused>, IdentityError> {
        if let Some(scim) = &mapping.scim
            && let Some(value) = value(asserted, &scim.claim)
        {
            let tenant = &asserted.tenant;
            let found = match scim.attribute {
                ScimAttribute::UserName => {
                    self.store().scim_by_name(tenant, ScimKind::User, &value).await?.into_iter().collect()
                }
                ScimAttribute::ExternalId => self.store().scim_by_external_id(tenant, ScimKind::User, &value).await?,
            };
            if found.len() > 1 {
                let what = format!("{} accounts here have the external id `{value}`.", found.len());
                return Ok(Err(Refused::new("person_ambiguous", what, Some("Give each its own in SCIM."))));
            }
            if let Some(user) = found.first() {
                let id = UserId::new(&user.id).map_err(|_| IdentityError::Internal("reading a SCIM user's id"))?;
                return self.unlinked(asserted, &id).await;
            }
        }
        if !mapping.link_by_email {
            return Ok(Ok(None));
        }
        let Some(email) = self.proved_address(asserted, profile).await? else { return Ok(Ok(None)) };
        let people = self.store().people(&asserted.tenant).await?;
        let mut same = people.into_iter().filter(|person| {
            let theirs = person.email.as_deref().is_some_and(|theirs| theirs.eq_ignore_ascii_case(&email));
            theirs && person.origin == PersonOrigin::External
        });
        match (same.next(), same.next()) {
            (Some(person), None) => self.unlinked(asserted, &person.id).await,
            (None, _) => Ok(Ok(None)),
            _ => {
                let what = format!("More than one account here has the address {email}.");
                Ok(Err(Refused::new("person_ambiguous", what, None)))
            }
        }
    }

    /// Why somebody who came by signing in before SCIM brought her as another account is not signed in: SCIM's
    /// word would end that one and not this. What this one has ends here.
    async fn twin_of(
        &self,
        person: &Person,
        mapping: &Mapping,
        asserted: &Asserted,
    ) -> Result<Option<Refused>, IdentityError> {
        let known = self.store().scim(&person.tenant, ScimKind::User, person.id.as_str()).await?;
        let Some(scim) = mapping.scim.as_ref().filter(|_| known.is_none()) else { return Ok(None) };
        let Some(value) = value(asserted, &scim.claim) else { return Ok(None) };
        let brought = match scim.attribute {
            ScimAttribute::UserName => {
                self.store().scim_by_name(&person.tenant, ScimKind::User, &value).await?.is_some()
            }
            ScimAttribute::ExternalId => {
                !self.store().scim_by_external_id(&person.tenant, ScimKind::User, &value).await?.is_empty()
            }
        };
        if !brought {
            return Ok(None);
        }
        crate::scim::end_twin(self, person).await?;
        let what = format!("You have two accounts here: one from before {value} was provisioned.");
        let remedy = "The old one was switched off; remove it here, so that the provisioned one can be linked.";
        Ok(Some(Refused::new("two_accounts", what, Some(remedy))))
    }

    /// A person by id, if nobody at this provider is her already: two there are never one here.
    async fn unlinked(
        &self,
        asserted: &Asserted,
        id: &UserId,
    ) -> Result<Result<Option<Person>, Refused>, IdentityError> {
        let links = self.store().links(id).await?;
        if links.iter().any(|link| link.connection == asserted.connection) {
            let what = "This account belongs to somebody else at the same identity provider.";
            let remedy = "If the person was made anew there, remove the old one here first.";
            return Ok(Err(Refused::new("linked_to_another", what, Some(remedy))));
        }
        Ok(Ok(self.store().person(id).await?))
    }

    /// The address, if the provider says that it is hers and the tenant has proved its domain.
    async fn proved_address(&self, asserted: &Asserted, profile: &Profile) -> Result<Option<String>, IdentityError> {
        let Some(email) = profile.email.clone().filter(|_| profile.email_verified) else { return Ok(None) };
        let Some(domain) = domain_of(&email) else { return Ok(None) };
        let proved = self.store().domain(&domain).await?;
        Ok(proved.filter(|proved| proved.tenant == asserted.tenant).map(|_| email))
    }

    /// What the provider says now. Of whom SCIM brought, SCIM says how she is called.
    async fn brought_up_to_date(&self, person: Person, profile: &Profile) -> Result<Person, IdentityError> {
        let store = self.store();
        let provisioned = store.scim(&person.tenant, ScimKind::User, person.id.as_str()).await?.is_some();
        let mut groups = profile.groups.clone();
        groups.extend(store.scim_groups_of(&person.tenant, &person.id).await?.into_iter().map(|(_, name)| name));
        groups.sort();
        groups.dedup();
        let mut now = Person { groups, role: profile.role, ..person.clone() };
        if !provisioned {
            now.email = profile.email.clone();
            now.display_name = profile.display_name.clone();
        }
        if now != person {
            store.update_person(&now).await?;
        }
        Ok(now)
    }

    /// Brings the groups of somebody who is signed in up to date with what her provider says now; whether she may
    /// still be here by them. Her name and address wait for the next sign-in.
    pub(crate) async fn regrouped(
        &self,
        mapping: &Mapping,
        asserted: &Asserted,
        user: &UserId,
    ) -> Result<bool, IdentityError> {
        let Some(person) = self.store().person(user).await? else { return Ok(false) };
        let said = profile(mapping, asserted);
        let as_known = Profile { email: person.email.clone(), display_name: person.display_name.clone(), ..said };
        let admitted = as_known.admitted;
        self.brought_up_to_date(person, &as_known).await?;
        Ok(admitted)
    }

    /// Somebody who signs in for the first time.
    async fn created(&self, asserted: &Asserted, profile: &Profile) -> Result<Person, IdentityError> {
        let id = UserId::mint(self.rng());
        let person = Person {
            login: id.to_string(),
            id,
            tenant: asserted.tenant.clone(),
            origin: PersonOrigin::External,
            email: profile.email.clone(),
            display_name: profile.display_name.clone(),
            role: profile.role,
            groups: profile.groups.clone(),
            password_hash: None,
            disabled: false,
            created_at: self.now(),
        };
        self.store().add_person(&person).await?;
        Ok(person)
    }

    /// Keeps who she is there, and what was said last.
    async fn note_asserted(&self, asserted: &Asserted, person: &Person) -> Result<(), IdentityError> {
        let now = self.now();
        let link = Link {
            tenant: asserted.tenant.clone(),
            connection: asserted.connection.clone(),
            subject: asserted.subject.clone(),
            user: person.id.clone(),
            linked_at: now,
            last_seen_at: now,
            asserted: json!(asserted.attributes).to_string(),
        };
        Ok(self.store().put_link(&link).await?)
    }
}

/// What is known of her stands where an assertion that need not say everything is silent.
fn completed(mapping: &Mapping, asserted: &Asserted, said: &Profile, known: &Person) -> Profile {
    let silent = |names: &[String]| !names.iter().any(|name| asserted.attributes.contains_key(name));
    let mut profile = said.clone();
    if silent(&mapping.groups) {
        profile.groups.clone_from(&known.groups);
        profile.role = known.role;
        profile.admitted =
            mapping.admitted.is_empty() || mapping.admitted.iter().any(|group| known.groups.contains(group));
    }
    if silent(&mapping.email) {
        profile.email.clone_from(&known.email);
    }
    if silent(&mapping.name) {
        profile.display_name.clone_from(&known.display_name);
    }
    profile
}

/// What the mapping cannot do without. That nobody was found would be true, and of no help.
fn lacks_nothing(mapping: &Mapping, asserted: &Asserted, profile: &Profile) -> Result<(), Refused> {
    let lacking = |code, what: &str, names: &str| {
        let what = format!("The identity provider sent no {what} ({names}).");
        let remedy = format!("Have it release {names} to this application, or change the connection's mapping.");
        Err(Refused::new(code, what, Some(&remedy)))
    };
    if mapping.link_by_email && profile.email.is_none() {
        return lacking("email_missing", "usable e-mail address", &mapping.email.join(", "));
    }
    match &mapping.scim {
        Some(scim) if !mapping.create && value(asserted, &scim.claim).is_none() => {
            lacking("attribute_missing", "attribute by which accounts are found here", &scim.claim)
        }
        _ => Ok(()),
    }
}
