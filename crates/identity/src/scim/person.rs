//! A SCIM user as a person.

use sallyport_model::UserId;
use sallyport_scim::{Document, is_active};
use sallyport_storage::{Person, PersonOrigin, Role, ScimClient};
use serde_json::Value;

/// Longer names are cut, characters.
const LONGEST: usize = 256;

fn text(value: Option<&Value>) -> Option<String> {
    let text: String = value?.as_str()?.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    (!text.is_empty()).then_some(text)
}

/// The primary address, else the first.
fn email(document: &Document) -> Option<String> {
    let all = document.get("emails")?.as_array()?;
    let primary = all.iter().find(|one| one.get("primary") == Some(&Value::Bool(true)));
    text(primary.or(all.first())?.get("value"))
}

fn display_name(document: &Document) -> String {
    let name = document.get("name");
    let part = |part: &str| text(name.and_then(|name| name.get(part)));
    let both = [part("givenName"), part("familyName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    text(document.get("displayName"))
        .or_else(|| part("formatted"))
        .or_else(|| (!both.is_empty()).then_some(both))
        .or_else(|| text(document.get("userName")))
        .unwrap_or_else(|| "Somebody".to_owned())
}

/// The person that a document describes, under `id`.
pub(super) fn new(client: &ScimClient, id: UserId, document: &Document, now: sallyport_model::Timestamp) -> Person {
    let person = Person {
        login: id.to_string(),
        id,
        tenant: client.tenant.clone(),
        origin: PersonOrigin::External,
        email: None,
        display_name: String::new(),
        role: Role::User,
        groups: Vec::new(),
        password_hash: None,
        disabled: true,
        created_at: now,
    };
    changed(person, document)
}

/// A person as a document describes her now.
pub(super) fn changed(person: Person, document: &Document) -> Person {
    Person { email: email(document), display_name: display_name(document), disabled: !is_active(document), ..person }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Document {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_primary_address_and_the_best_name_are_taken() {
        let all = document(json!({
            "userName": "ann",
            "name": {"givenName": "Ann", "familyName": "Lee\u{7}"},
            "emails": [{"value": "home@x.example"}, {"value": "work@x.example", "primary": true}],
        }));
        assert_eq!(email(&all).as_deref(), Some("work@x.example"));
        assert_eq!(display_name(&all), "Ann Lee");
        assert_eq!(display_name(&document(json!({"userName": "ann"}))), "ann");
        assert_eq!(email(&document(json!({"emails": []}))), None);
    }
}
