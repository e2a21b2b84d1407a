//! The Group schema (RFC 7643 §4.2), as a table.

use super::{Attribute, Mutability};

pub(super) const GROUP: &[Attribute] = &[
    // RFC 7643 demands it in words only; Entra ID and Okta match groups by it, hence required and unique.
    Attribute::string("displayName", "The group's name; unique in the tenant, regardless of case.").required().unique(),
    Attribute::complex("members", MEMBERS, "Who is in the group: Users and Groups of the same tenant.").many(),
];

const MEMBERS: &[Attribute] = &[
    Attribute::string("value", "The member's id.").mutability(Mutability::Immutable).exact(),
    Attribute::reference("$ref", &["User", "Group"], "The member's URL.").mutability(Mutability::Immutable),
    // Clients that build their messages from `/Schemas` (Canaille) write it and fail where it is missing.
    Attribute::string("display", "The member's name. Not kept: ask for the member.").read_only(),
    Attribute::string("type", "User or Group.").canonical(&["User", "Group"]).mutability(Mutability::Immutable),
];
