//! The User schema and its enterprise extension (RFC 7643 §4.1, §4.3), as tables.

use super::{Attribute, Mutability, Returned, Type};

pub(super) const USER: &[Attribute] = &[
    Attribute::string("userName", "The name that identifies the person; unique in the tenant, regardless of case.")
        .required()
        .unique(),
    Attribute::complex("name", NAME, "The parts of the person's name."),
    Attribute::string("displayName", "The name to show."),
    Attribute::string("nickName", "How the person is called."),
    Attribute::reference("profileUrl", &["external"], "A page about the person."),
    Attribute::string("title", "The person's title, such as Vice President."),
    Attribute::string("userType", "How the person relates to the organisation, such as Contractor."),
    Attribute::string("preferredLanguage", "Preferred languages, as in Accept-Language."),
    Attribute::string("locale", "For formats of dates and numbers, such as en-GB."),
    Attribute::string("timezone", "A name of the IANA time zone database."),
    Attribute::boolean("active", "Whether the person may have access. Without `true` there is none."),
    Attribute::string("password", "Accepted from clients that must send one, and discarded: never kept or used.")
        .mutability(Mutability::WriteOnly)
        .returned(Returned::Never),
    Attribute::complex("emails", EMAILS, "E-mail addresses.").many(),
    Attribute::complex("phoneNumbers", PHONES, "Telephone numbers.").many(),
    Attribute::complex("ims", IMS, "Addresses for instant messages.").many(),
    Attribute::complex("photos", PHOTOS, "URLs of photographs.").many(),
    Attribute::complex("addresses", ADDRESSES, "Postal addresses.").many(),
    Attribute::complex("groups", GROUPS, "The groups that hold the person directly; change the group instead.")
        .many()
        .read_only(),
    Attribute::complex("entitlements", PLAIN, "Entitlements.").many(),
    Attribute::complex("roles", PLAIN, "Roles.").many(),
    Attribute::complex("x509Certificates", CERTIFICATES, "Certificates, DER in Base64.").many(),
];

const NAME: &[Attribute] = &[
    Attribute::string("formatted", "The whole name, formatted for display."),
    Attribute::string("familyName", "The family name."),
    Attribute::string("givenName", "The given name."),
    Attribute::string("middleName", "Middle names."),
    Attribute::string("honorificPrefix", "Such as Dr."),
    Attribute::string("honorificSuffix", "Such as III."),
];

const VALUE: Attribute = Attribute::string("value", "The value.");
const DISPLAY: Attribute = Attribute::string("display", "The value as to be shown.");
const TYPE: Attribute = Attribute::string("type", "What kind of value it is.");
const PRIMARY: Attribute = Attribute::boolean("primary", "Whether it is the preferred value; true once at most.");

const PLAIN: &[Attribute] = &[VALUE, DISPLAY, TYPE, PRIMARY];
const EMAILS: &[Attribute] = &[VALUE, DISPLAY, TYPE.canonical(&["work", "home", "other"]), PRIMARY];
const PHONES: &[Attribute] =
    &[VALUE, DISPLAY, TYPE.canonical(&["work", "home", "mobile", "fax", "pager", "other"]), PRIMARY];
const IMS: &[Attribute] =
    &[VALUE, DISPLAY, TYPE.canonical(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]), PRIMARY];
const PHOTOS: &[Attribute] = &[
    Attribute::reference("value", &["external"], "The URL."),
    DISPLAY,
    TYPE.canonical(&["photo", "thumbnail"]),
    PRIMARY,
];
const ADDRESSES: &[Attribute] = &[
    Attribute::string("formatted", "The whole address, formatted for display."),
    Attribute::string("streetAddress", "Street, house number and the like."),
    Attribute::string("locality", "City."),
    Attribute::string("region", "State or region."),
    Attribute::string("postalCode", "Postal code."),
    Attribute::string("country", "ISO 3166-1 alpha-2 code."),
    TYPE.canonical(&["work", "home", "other"]),
    PRIMARY,
];
const GROUPS: &[Attribute] = &[
    Attribute::string("value", "The group's id.").read_only().exact(),
    Attribute::reference("$ref", &["Group"], "The group's URL.").read_only(),
    Attribute::string("display", "The group's name.").read_only(),
    Attribute::string("type", "Always direct.").canonical(&["direct", "indirect"]).read_only(),
];
const CERTIFICATES: &[Attribute] =
    &[Attribute::new("value", Type::Binary, "The certificate.").exact(), DISPLAY, TYPE, PRIMARY];

pub(super) const ENTERPRISE: &[Attribute] = &[
    Attribute::string("employeeNumber", "The employer's identifier."),
    Attribute::string("costCenter", "A cost centre."),
    Attribute::string("organization", "An organisation."),
    Attribute::string("division", "A division."),
    Attribute::string("department", "A department."),
    Attribute::complex("manager", MANAGER, "The person's manager."),
];

const MANAGER: &[Attribute] = &[
    Attribute::string("value", "The id of the manager's User resource.").exact(),
    Attribute::reference("$ref", &["User"], "The URL of the manager's User resource."),
    Attribute::string("displayName", "The manager's name. Not kept.").read_only(),
];
