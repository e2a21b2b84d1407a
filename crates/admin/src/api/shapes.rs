//! What answers look like, for the document. A test holds every answer that it meets against these.

use serde_json::{Map, Value, json};

/// A member: its name, its type (`?` behind it: may be null or absent) and what it says.
type Member = (&'static str, &'static str, &'static str);

/// Each shape with its members.
#[rustfmt::skip]
pub(super) const SHAPES: &[(&str, &[Member])] = &[
    ("ApiToken", &[
        ("id", "string", "Its id, here and in the log."),
        ("name", "string", "What people call it."),
        ("role", "string", "`operator` or `administrator`."),
        ("tenant", "string?", "Whose; an operator's is of no tenant."),
        ("created_at", "string", "RFC 3339."),
        ("expires_at", "string?", "RFC 3339."),
        ("ended", "boolean", "Whether it is worth nothing any more."),
    ]),
    ("Document", &[
        ("openapi", "string", "`3.1.0`"),
        ("info", "object", ""),
        ("servers", "array", ""),
        ("security", "array", ""),
        ("paths", "object", ""),
        ("components", "object", ""),
    ]),
    ("Tenant", &[
        ("id", "string", "Its id."),
        ("name", "string", "What people call it."),
        ("suspended", "boolean", "Nobody of a suspended tenant signs in."),
        ("configured", "boolean", "Whether the configuration names it."),
        ("created_at", "string", "RFC 3339."),
        ("federated_only", "boolean", "Whether its people may not sign in with passwords kept here."),
        ("chosen", "object", "What it chose; lifetimes in seconds."),
        ("in_force", "object", "Lifetimes that count, seconds."),
        ("operator", "object", "The longest that the operator allows, seconds."),
    ]),
    ("Suspension", &[
        ("id", "string", "The tenant."),
        ("suspended", "boolean", "As it is now."),
        ("was_suspended", "boolean", "As it was."),
        ("epoch", "integer?", "The entry of the revocation log."),
        ("sessions", "object?", "How many ended."),
    ]),
    ("Removal", &[
        ("id", "string", "What is gone."),
        ("removed", "boolean", "True."),
        ("owned", "object", "What went with it, counted."),
    ]),
    ("Domain", &[
        ("domain", "string", "In lowercase ASCII."),
        ("tenant", "string", "Whose claim."),
        ("connection", "string?", "Where its people sign in; null: at the first that is on."),
        ("claimed_at", "string", "RFC 3339."),
        ("proved", "string?", "`dns` or `operator`; null: not yet, and nobody is led by it."),
        ("proved_at", "string?", "RFC 3339."),
        ("record", "object", "The DNS record that proves it: `name`, `type`, `value`."),
    ]),
    ("Connection", &[
        ("id", "string", "Its id."),
        ("name", "string", "What people call it."),
        ("enabled", "boolean", "Nobody signs in by one that is off."),
        ("protocol", "string", "`oidc` or `saml`."),
        ("created_at", "string", "RFC 3339."),
        ("changed_at", "string", "RFC 3339."),
        ("urls", "object", "What to enter at the provider."),
        ("mapping", "object", "Who becomes whom."),
        ("preset", "string?", "OpenID Connect: whose provider it is."),
        ("provider", "string", "Its issuer or entity id."),
        ("client_id", "string?", "OpenID Connect: ours there."),
        ("authentication", "string?", "OpenID Connect: `secret` or `private_key_jwt`."),
        ("jwk", "object?", "OpenID Connect: the public half of our key."),
        ("certificate", "string?", "OpenID Connect: our key's certificate, PEM."),
        ("organisation", "string?", "OpenID Connect: the customer at a provider that many share."),
        ("scopes", "array?", "OpenID Connect: besides the preset's."),
        ("ask_again", "boolean?", "OpenID Connect: whether every refresh asks about the person."),
        ("id_jag", "boolean?", "OpenID Connect: whether its identity assertion grants (ID-JAG) are taken."),
        ("metadata_url", "string?", "SAML: where the metadata are fetched from."),
        ("metadata_signed", "boolean?", "SAML: whether unsigned metadata are refused."),
        ("allow_unsolicited", "boolean?", "SAML: whether the provider may sign people in without being asked."),
        ("demands", "object", "What is demanded of the sign-in."),
        ("worst_case_seconds", "integer?", "If the provider pushes nothing, access ends within this."),
        ("worst_case", "string?", "Why no sooner."),
        ("remarks", "array?", "What to know."),
        ("error", "string?", "Why the settings cannot be read, if they cannot; then little else is there."),
    ]),
    ("Switch", &[
        ("id", "string", "The connection."),
        ("name", "string", "Its name."),
        ("enabled", "boolean", "As it is now."),
        ("was_enabled", "boolean", "As it was."),
        ("sessions", "integer", "How many ended."),
    ]),
    ("KeyStep", &[
        ("id", "string", "The connection."),
        ("name", "string", "Its name."),
        ("step", "string", "What was done."),
        ("metadata", "string", "Where the provider reads our keys."),
    ]),
    ("Mapping", &[
        ("email", "array", "Claims that hold the e-mail address."),
        ("email_verified", "string?", "The claim that says whether it was verified."),
        ("name", "array", "Claims that hold the name."),
        ("groups", "array", "Claims that hold groups."),
        ("rename_groups", "object?", "What a group is called here."),
        ("administrators", "array?", "Groups whose members administer the tenant."),
        ("admitted", "array?", "Groups one of which a person must be in."),
        ("scim", "object?", "How somebody is found among those whom SCIM brought."),
        ("create", "boolean", "Whether a first sign-in makes a person."),
        ("link_by_email", "boolean", "Whether a verified address links."),
    ]),
    ("Preview", &[
        ("connection", "string", "Its name."),
        ("source", "any", "`given`, or whose words they were and when."),
        ("asserted", "object", "Claims or attributes."),
        ("mapping", "object", "Who becomes whom."),
        ("profile", "object", "What becomes of it; `admitted` says whether she may sign in."),
        ("ignored", "array", "Members of `asserted` that are neither text nor a list of texts."),
    ]),
    ("ScimToken", SCIM_TOKEN),
    ("NewScimToken", &[
        SCIM_TOKEN[0], SCIM_TOKEN[1], SCIM_TOKEN[2], SCIM_TOKEN[3], SCIM_TOKEN[4],
        ("base_url", "string", "Where the provisioning system writes to."),
        ("token", "string", "Its value, this once."),
    ]),
    ("SignalStream", STREAM),
    ("NewSignalStream", &[
        STREAM[0], STREAM[1], STREAM[2], STREAM[3], STREAM[4], STREAM[5], STREAM[6], STREAM[7], STREAM[8], STREAM[9],
        STREAM[10], STREAM[11], STREAM[12],
        ("remarks", "array?", "What to know."),
        ("token", "string?", "The bearer token of an endpoint, this once."),
    ]),
    ("StreamRemoval", &[
        ("id", "string", "What is gone here."),
        ("removed", "boolean", "True."),
        ("removed_at_transmitter", "boolean", "Whether it is gone there too."),
        ("fault", "string?", "Why not."),
    ]),
    ("Person", &[
        ("id", "string", "Her id; a token's `sub`."),
        ("login", "string", "What she signs in with."),
        ("email", "string?", "Her address."),
        ("display_name", "string", "Her name."),
        ("origin", "string", "`local` or `external`."),
        ("groups", "array", "Her groups."),
        ("role", "string", "`user` or `administrator`."),
        ("disabled", "boolean", "Whether she signs in nowhere."),
        ("provisioned", "boolean", "Whether SCIM brought her."),
        ("created_at", "string", "RFC 3339."),
    ]),
    ("Ending", &[
        ("id", "string", "Whose."),
        ("disabled", "boolean", "Whether she signs in nowhere now."),
        ("epoch", "integer", "The entry of the revocation log."),
        ("at", "string", "What was issued up to then is dead; RFC 3339."),
        ("ended", "object", "How many grants and sessions."),
        ("agents", "array?", "What became of her agents: `agent`, `outcome`."),
    ]),
    ("Session", &[
        ("id", "string", "Its id; a token's `sid`."),
        ("user", "string", "Whose."),
        ("login", "string?", "What she signs in with."),
        ("email", "string?", "Her address."),
        ("methods", "array", "How she proved who she is."),
        ("authenticated_at", "string", "RFC 3339."),
        ("expires_at", "string", "RFC 3339."),
        ("connection", "string?", "By which connection; null: here."),
    ]),
    ("SessionEnding", &[
        ("session", "string", "What ended."),
        ("user", "string", "Whose it was."),
        ("epoch", "integer", "The entry of the revocation log."),
        ("grants", "integer", "How many grants stood on it."),
    ]),
    ("Grant", &[
        ("id", "string", "Its id."),
        ("subject", "object", "Whose authority it is."),
        ("actors", "array", "Which agents act, the nearest first."),
        ("client", "string", "To which client."),
        ("resource", "string", "For which resource."),
        ("scopes", "string", "What was granted."),
        ("session", "string", "The sign-in session that it is bound to."),
        ("created_at", "string", "RFC 3339."),
        ("expires_at", "string", "RFC 3339."),
        ("alive", "boolean", "Whether it is."),
    ]),
    ("GrantEnding", &[
        ("grant", "string", "What ended."),
        ("epoch", "integer?", "The entry of the revocation log."),
        ("had_ended", "boolean", "Whether it had been ended before."),
    ]),
];

#[rustfmt::skip]
const SCIM_TOKEN: &[Member] = &[
    ("id", "string", "Its id."),
    ("name", "string", "What you call the provisioning system."),
    ("created_at", "string", "RFC 3339."),
    ("expires_at", "string?", "RFC 3339."),
    ("ended", "boolean", "Whether it is worth nothing any more."),
];

#[rustfmt::skip]
const STREAM: &[Member] = &[
    ("id", "string", "Its id."),
    ("delivery", "string", "`push`, `poll` or `token_revocation`."),
    ("issuer", "string?", "Who signs what comes."),
    ("connection", "string?", "Whose people it speaks of; absent: all of the tenant's."),
    ("endpoint", "string?", "Where events are posted to, or fetched from."),
    ("stream_id", "string?", "What the transmitter calls it."),
    ("audience", "array?", "Whom its events are for."),
    ("events", "array?", "What it will send."),
    ("client_id", "string?", "Whom callers' tokens are about."),
    ("created_at", "string", "RFC 3339."),
    ("verified_at", "string?", "When its verification event came."),
    ("last_event_at", "string?", "When the last event came."),
    ("last_fault", "string?", "Why the last attempt failed."),
];

/// Every shape as a schema.
pub(super) fn schemas() -> Map<String, Value> {
    SHAPES.iter().map(|(name, members)| ((*name).to_owned(), schema(members))).collect()
}

fn schema(members: &[Member]) -> Value {
    let properties: Map<String, Value> =
        members.iter().map(|(name, kind, what)| ((*name).to_owned(), property(kind, what))).collect();
    let required: Vec<&str> =
        members.iter().filter(|(_, kind, _)| !kind.ends_with('?')).map(|(name, ..)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn property(kind: &str, what: &str) -> Value {
    let mut property = match kind.strip_suffix('?') {
        Some(kind) => json!({ "type": [kind, "null"] }),
        None if kind == "any" => json!({}),
        None => json!({ "type": kind }),
    };
    if !what.is_empty() {
        property["description"] = json!(what);
    }
    property
}
