//! The schemas of the discovery resources themselves (RFC 7643 §5 to §7), as tables.

use super::{Attribute, Schema, Type};

/// What `/Schemas` lists besides the resources' own.
pub(crate) const SCHEMAS: &[Schema] = &[
    Schema {
        id: "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig",
        name: "ServiceProviderConfig",
        description: "What the service offers.",
        attributes: CONFIG,
    },
    Schema {
        id: "urn:ietf:params:scim:schemas:core:2.0:ResourceType",
        name: "ResourceType",
        description: "A type of resource.",
        attributes: RESOURCE_TYPE,
    },
    Schema {
        id: "urn:ietf:params:scim:schemas:core:2.0:Schema",
        name: "Schema",
        description: "The attributes of a resource or an extension.",
        attributes: SCHEMA,
    },
];

const fn text(name: &'static str, description: &'static str) -> Attribute {
    Attribute::string(name, description).read_only().exact()
}
const fn flag(name: &'static str, description: &'static str) -> Attribute {
    Attribute::boolean(name, description).read_only().required()
}
const fn number(name: &'static str, description: &'static str) -> Attribute {
    Attribute::new(name, Type::Integer, description).read_only().required()
}
const fn group(name: &'static str, sub: &'static [Attribute], description: &'static str) -> Attribute {
    Attribute::complex(name, sub, description).read_only().required()
}

const SUPPORTED: Attribute = flag("supported", "Whether it is offered.");

const CONFIG: &[Attribute] = &[
    Attribute::reference("documentationUri", &["external"], "Where the service is documented.").read_only(),
    group("patch", &[SUPPORTED], "PATCH."),
    group("bulk", BULK, "Bulk operations."),
    group("filter", FILTER, "Filters."),
    group("changePassword", &[SUPPORTED], "Changing a password."),
    group("sort", &[SUPPORTED], "Sorting."),
    group("etag", &[SUPPORTED], "Entity-tags."),
    group("authenticationSchemes", SCHEMES, "How clients authenticate.").many(),
];
const BULK: &[Attribute] = &[
    SUPPORTED,
    number("maxOperations", "Most operations in one request."),
    number("maxPayloadSize", "Most bytes in one request."),
];
const FILTER: &[Attribute] = &[SUPPORTED, number("maxResults", "Most resources in one answer.")];
const SCHEMES: &[Attribute] = &[
    text("type", "The scheme.").required(),
    text("name", "Its name.").required(),
    text("description", "What it is.").required(),
    Attribute::reference("specUri", &["external"], "Its specification.").read_only(),
    Attribute::reference("documentationUri", &["external"], "Its documentation.").read_only(),
    Attribute::boolean("primary", "Whether it is the preferred scheme.").read_only(),
];

const RESOURCE_TYPE: &[Attribute] = &[
    text("id", "The type's id."),
    text("name", "The type's name.").required(),
    text("description", "What it is."),
    Attribute::reference("endpoint", &["uri"], "Its endpoint, relative to the base URL.").read_only().required(),
    Attribute::reference("schema", &["uri"], "Its schema.").read_only().required(),
    Attribute::complex("schemaExtensions", EXTENSIONS, "Its extensions.").many().read_only(),
];
const EXTENSIONS: &[Attribute] = &[
    Attribute::reference("schema", &["uri"], "The extension's schema.").read_only().required(),
    flag("required", "Whether a resource must have it."),
];

const SCHEMA: &[Attribute] = &[
    text("id", "The schema's URI.").required(),
    text("name", "The schema's name."),
    text("description", "What it is."),
    group("attributes", ATTRIBUTES, "The attributes.").many(),
];

const ATTRIBUTE_NAME: Attribute = text("name", "The attribute's name.").required();
const ATTRIBUTE_TYPE: Attribute = text("type", "Its type.").required().canonical(&[
    "string",
    "boolean",
    "decimal",
    "integer",
    "dateTime",
    "reference",
    "binary",
    "complex",
]);
const MULTI_VALUED: Attribute = flag("multiValued", "Whether it may have several values.");
const DESCRIPTION: Attribute = text("description", "What it is.");
const REQUIRED: Attribute = Attribute::boolean("required", "Whether it must be there.").read_only();
const CANONICAL: Attribute = text("canonicalValues", "Values that are suggested.").many();
const CASE_EXACT: Attribute = Attribute::boolean("caseExact", "Whether case matters.").read_only();
const MUTABILITY: Attribute =
    text("mutability", "Who may change it.").canonical(&["readOnly", "readWrite", "immutable", "writeOnly"]);
const RETURNED: Attribute =
    text("returned", "When it is returned.").canonical(&["always", "never", "default", "request"]);
const UNIQUENESS: Attribute = text("uniqueness", "Where it is unique.").canonical(&["none", "server", "global"]);
const REFERENCES: Attribute = text("referenceTypes", "What it may refer to.").many();

const ATTRIBUTES: &[Attribute] = &[
    ATTRIBUTE_NAME,
    ATTRIBUTE_TYPE,
    MULTI_VALUED,
    DESCRIPTION,
    REQUIRED,
    CANONICAL,
    CASE_EXACT,
    MUTABILITY,
    RETURNED,
    UNIQUENESS,
    REFERENCES,
    Attribute::complex("subAttributes", SUB_ATTRIBUTES, "The parts of a complex attribute.").many().read_only(),
];
/// A complex attribute has no complex parts (RFC 7643 §2.3.8), so this ends here.
const SUB_ATTRIBUTES: &[Attribute] = &[
    ATTRIBUTE_NAME,
    ATTRIBUTE_TYPE,
    MULTI_VALUED,
    DESCRIPTION,
    REQUIRED,
    CANONICAL,
    CASE_EXACT,
    MUTABILITY,
    RETURNED,
    UNIQUENESS,
    REFERENCES,
];
