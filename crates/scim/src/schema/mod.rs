//! The attributes that the service knows (RFC 7643), as tables.
//!
//! Everything that depends on an attribute's characteristics (types, case, mutability, what is returned)
//! asks these tables; `/Schemas` shows the same ones. Nothing here reads a resource.

pub(crate) mod discovery;
mod group;
mod user;

use serde_json::{Value, json};

use crate::directory::Kind;

/// RFC 7643 §2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Boolean,
    Integer,
    DateTime,
    Reference,
    Binary,
    Complex,
}

/// RFC 7643 §2.2, `mutability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutability {
    ReadOnly,
    ReadWrite,
    Immutable,
    WriteOnly,
}

/// RFC 7643 §2.2, `returned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    Always,
    Default,
    Never,
}

/// One attribute and its characteristics.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) multi_valued: bool,
    pub(crate) required: bool,
    pub(crate) case_exact: bool,
    pub(crate) mutability: Mutability,
    pub(crate) returned: Returned,
    unique: bool,
    description: &'static str,
    canonical: &'static [&'static str],
    references: &'static [&'static str],
    pub(crate) sub: &'static [Attribute],
}

impl Attribute {
    const fn new(name: &'static str, kind: Type, description: &'static str) -> Self {
        Self {
            name,
            kind,
            multi_valued: false,
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            unique: false,
            description,
            canonical: &[],
            references: &[],
            sub: &[],
        }
    }
    const fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Type::String, description)
    }
    const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Type::Boolean, description)
    }
    const fn reference(name: &'static str, to: &'static [&'static str], description: &'static str) -> Self {
        Self { references: to, case_exact: true, ..Self::new(name, Type::Reference, description) }
    }
    const fn complex(name: &'static str, sub: &'static [Attribute], description: &'static str) -> Self {
        Self { sub, ..Self::new(name, Type::Complex, description) }
    }
    const fn many(self) -> Self {
        Self { multi_valued: true, ..self }
    }
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }
    const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }
    const fn canonical(self, values: &'static [&'static str]) -> Self {
        Self { canonical: values, ..self }
    }
    const fn mutability(self, mutability: Mutability) -> Self {
        Self { mutability, ..self }
    }
    const fn read_only(self) -> Self {
        self.mutability(Mutability::ReadOnly)
    }
    const fn returned(self, returned: Returned) -> Self {
        Self { returned, ..self }
    }

    /// The sub-attribute of that name, regardless of case.
    pub(crate) fn sub(&self, name: &str) -> Option<&'static Attribute> {
        by_name(self.sub, name)
    }

    fn render(&self) -> Value {
        let kind = match self.kind {
            Type::String => "string",
            Type::Boolean => "boolean",
            Type::Integer => "integer",
            Type::DateTime => "dateTime",
            Type::Reference => "reference",
            Type::Binary => "binary",
            Type::Complex => "complex",
        };
        let mut out = json!({
            "name": self.name, "type": kind, "multiValued": self.multi_valued, "description": self.description,
            "required": self.required,
        });
        if !matches!(self.kind, Type::Boolean | Type::Complex) {
            out["caseExact"] = self.case_exact.into();
        }
        if !self.canonical.is_empty() {
            out["canonicalValues"] = json!(self.canonical);
        }
        out["mutability"] = match self.mutability {
            Mutability::ReadOnly => "readOnly",
            Mutability::ReadWrite => "readWrite",
            Mutability::Immutable => "immutable",
            Mutability::WriteOnly => "writeOnly",
        }
        .into();
        out["returned"] = match self.returned {
            Returned::Always => "always",
            Returned::Default => "default",
            Returned::Never => "never",
        }
        .into();
        out["uniqueness"] = if self.unique { "server" } else { "none" }.into();
        if !self.references.is_empty() {
            out["referenceTypes"] = json!(self.references);
        }
        if !self.sub.is_empty() {
            out["subAttributes"] = self.sub.iter().map(Self::render).collect();
        }
        out
    }
}

/// The attribute of that name, regardless of case.
pub(crate) fn by_name(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A schema as `/Schemas` shows it (RFC 7643 §7).
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    description: &'static str,
    pub(crate) attributes: &'static [Attribute],
}

impl Schema {
    /// `base` is the SCIM base URL.
    pub(crate) fn render(&self, base: &str) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::render).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", self.id) },
        })
    }
}

/// RFC 7643 §4.1.
pub(crate) const USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "A person.",
    attributes: user::USER,
};

/// RFC 7643 §4.3.
pub(crate) const ENTERPRISE: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    description: "What an employer adds to a person.",
    attributes: user::ENTERPRISE,
};

/// RFC 7643 §4.2.
pub(crate) const GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "A group of people and of other groups.",
    attributes: group::GROUP,
};

/// RFC 7643 §3.1: what every resource has besides its schema's attributes.
pub(crate) const COMMON: &[Attribute] = &[
    Attribute::string("id", "The service's own identifier.").read_only().exact().returned(Returned::Always),
    Attribute::string("externalId", "The client's identifier.").exact(),
    Attribute::reference("schemas", &["uri"], "The schemas that the resource has.")
        .many()
        .read_only()
        .returned(Returned::Always),
    Attribute::complex("meta", META, "What the service notes about the resource.").read_only(),
];

const META: &[Attribute] = &[
    Attribute::string("resourceType", "The resource type.").read_only().exact(),
    Attribute::new("created", Type::DateTime, "When it was added.").read_only(),
    Attribute::new("lastModified", Type::DateTime, "When it last changed.").read_only(),
    Attribute::reference("location", &["uri"], "Its URL.").read_only(),
    Attribute::string("version", "Its entity-tag.").read_only().exact(),
];

impl Kind {
    /// The schema that every resource of the kind has.
    pub(crate) fn schema(self) -> &'static Schema {
        match self {
            Self::User => &USER,
            Self::Group => &GROUP,
        }
    }

    /// The extensions that the service knows and checks.
    pub(crate) fn extensions(self) -> &'static [&'static Schema] {
        match self {
            Self::User => &[&ENTERPRISE],
            Self::Group => &[],
        }
    }

    /// The known extension with that URN, regardless of case.
    pub(crate) fn extension(self, urn: &str) -> Option<&'static Schema> {
        self.extensions().iter().copied().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// A core or common attribute, regardless of case.
    pub(crate) fn attribute(self, name: &str) -> Option<&'static Attribute> {
        by_name(self.schema().attributes, name).or_else(|| by_name(COMMON, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_regardless_of_case() {
        fn check(attributes: &[Attribute]) {
            for (n, attribute) in attributes.iter().enumerate() {
                assert!(!attributes[n + 1..].iter().any(|a| a.name.eq_ignore_ascii_case(attribute.name)));
                assert_eq!(attribute.kind == Type::Complex, !attribute.sub.is_empty(), "{}", attribute.name);
                check(attribute.sub);
            }
        }
        for schema in [&USER, &GROUP, &ENTERPRISE].into_iter().chain(discovery::SCHEMAS) {
            check(schema.attributes);
        }
        check(COMMON);
    }

    #[test]
    fn the_attributes_of_the_rfc_are_there() {
        let rendered = USER.render("https://scim.example/scim/v2");
        let names: Vec<&str> =
            rendered["attributes"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
        for name in ["userName", "name", "active", "emails", "groups", "x509Certificates", "password"] {
            assert!(names.contains(&name), "{name}");
        }
        let of = |name: &str| {
            rendered["attributes"].as_array().unwrap().iter().find(|a| a["name"] == name).cloned().unwrap()
        };
        assert_eq!(of("userName")["uniqueness"], "server");
        assert_eq!(of("password")["returned"], "never");
        assert_eq!(of("groups")["mutability"], "readOnly");
        assert!(of("active").get("caseExact").is_none());
        assert_eq!(
            rendered["meta"]["location"],
            "https://scim.example/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User"
        );
    }
}
