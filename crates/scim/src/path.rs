//! What an attribute path names in a resource of one kind.

use serde_json::Value;

use crate::{
    directory::{Document, Kind},
    filter::AttrPath,
    schema::{Attribute, by_name},
};

/// An attribute by its canonical name. Attributes of unknown extensions have no schema.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) schema: Option<&'static Attribute>,
}

/// What a path names.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The core schema's URN: the resource itself.
    Resource,
    /// An extension as a whole.
    Extension(String),
    /// An attribute, in an extension or at the top.
    Attribute(Place),
}

/// Where an attribute lies in a document.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The URN of the extension, as the document's key.
    pub(crate) container: Option<String>,
    pub(crate) attribute: Named,
    pub(crate) sub: Option<Named>,
}

fn known(schema: &'static Attribute) -> Named {
    Named { name: schema.name.to_owned(), schema: Some(schema) }
}

/// Resolves a path; none when neither schema nor document knows the attribute.
pub(crate) fn resolve(kind: Kind, path: &AttrPath, document: Option<&Document>) -> Option<Target> {
    let Some(uri) = &path.uri else {
        return place(None, kind.attribute(&path.name)?, path.sub.as_deref()).map(Target::Attribute);
    };
    let whole = path.to_string();
    if whole.eq_ignore_ascii_case(kind.schema().id) {
        return Some(Target::Resource);
    }
    if let Some(extension) = kind.extension(&whole) {
        return Some(Target::Extension(extension.id.to_owned()));
    }
    if uri.eq_ignore_ascii_case(kind.schema().id) {
        return place(None, kind.attribute(&path.name)?, path.sub.as_deref()).map(Target::Attribute);
    }
    if let Some(extension) = kind.extension(uri) {
        let attribute = by_name(extension.attributes, &path.name)?;
        return place(Some(extension.id.to_owned()), attribute, path.sub.as_deref()).map(Target::Attribute);
    }
    // Never the schema of another kind, or a typing error would become an extension.
    if Kind::ALL.iter().any(|kind| kind.schema().id.eq_ignore_ascii_case(uri) || kind.extension(uri).is_some()) {
        return None;
    }
    Some(unknown_extension(uri, &whole, path, document))
}

fn place(container: Option<String>, attribute: &'static Attribute, sub: Option<&str>) -> Option<Place> {
    let sub = match sub {
        Some(sub) => Some(known(attribute.sub(sub)?)),
        None => None,
    };
    Some(Place { container, attribute: known(attribute), sub })
}

fn unknown_extension(uri: &str, whole: &str, path: &AttrPath, document: Option<&Document>) -> Target {
    let kept = |urn: &str| {
        document.into_iter().flat_map(Document::keys).find(|key| is_urn(key) && key.eq_ignore_ascii_case(urn)).cloned()
    };
    if let Some(urn) = kept(whole) {
        return Target::Extension(urn);
    }
    let container = kept(uri).unwrap_or_else(|| uri.to_owned());
    let inside = document.and_then(|document| document.get(&container)).and_then(Value::as_object);
    let free = |name: &str, among: Option<&Document>| {
        let written = among.into_iter().flat_map(Document::keys).find(|key| key.eq_ignore_ascii_case(name));
        Named { name: written.cloned().unwrap_or_else(|| name.to_owned()), schema: None }
    };
    let attribute = free(&path.name, inside);
    let below = inside.and_then(|inside| inside.get(&attribute.name)).and_then(Value::as_object);
    let sub = path.sub.as_deref().map(|sub| free(sub, below));
    Target::Attribute(Place { container: Some(container), attribute, sub })
}

/// Whether a document's key is an extension's and not an attribute's.
pub(crate) fn is_urn(key: &str) -> bool {
    key.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::PatchPath;
    use serde_json::json;

    fn resolved(kind: Kind, path: &str, document: &Value) -> String {
        let path = PatchPath::parse(path).unwrap().attribute;
        match resolve(kind, &path, document.as_object()) {
            None => "nothing".into(),
            Some(Target::Resource) => "resource".into(),
            Some(Target::Extension(urn)) => format!("extension {urn}"),
            Some(Target::Attribute(place)) => {
                let names = [place.container, Some(place.attribute.name), place.sub.map(|sub| sub.name)];
                names.into_iter().flatten().collect::<Vec<_>>().join(" / ")
            }
        }
    }

    #[test]
    fn names_are_found_regardless_of_case_and_with_their_urn() {
        let none = json!({});
        let user = |path: &str| resolved(Kind::User, path, &none);
        assert_eq!(user("USERNAME"), "userName");
        assert_eq!(user("Name.GivenName"), "name / givenName");
        assert_eq!(user("urn:ietf:params:scim:schemas:core:2.0:user:EMAILS.value"), "emails / value");
        assert_eq!(user("urn:ietf:params:scim:schemas:core:2.0:User"), "resource");
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!(user(&enterprise.to_uppercase()), format!("extension {enterprise}"));
        assert_eq!(user(&format!("{enterprise}:manager.VALUE")), format!("{enterprise} / manager / value"));
        for nothing in ["usernam", "name.nick", "userName.value", &format!("{enterprise}:salary")] {
            assert_eq!(user(nothing), "nothing", "{nothing}");
        }
        assert_eq!(resolved(Kind::Group, "userName", &none), "nothing");
        assert_eq!(resolved(Kind::Group, "urn:ietf:params:scim:schemas:core:2.0:User:userName", &none), "nothing");
    }

    #[test]
    fn an_unknown_extension_keeps_the_spelling_that_it_has() {
        let document = json!({ "urn:acme:2.0:User": { "CostObject": { "Code": "x" } } });
        let user = |path: &str| resolved(Kind::User, path, &document);
        assert_eq!(user("urn:acme:2.0:USER:costobject.code"), "urn:acme:2.0:User / CostObject / Code");
        assert_eq!(user("URN:ACME:2.0:User"), "extension urn:acme:2.0:User");
        assert_eq!(user("urn:other:1:tag"), "urn:other:1 / tag");
    }
}
