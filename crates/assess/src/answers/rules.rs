//! What a clear and specific answer to each question names.
//!
//! `docs/assess/answers.md` is written from here; a test holds them together. The rule reads words and figures.
//! Whether they are true is the evidence score's business.

use super::sentence::{Figure, Sentence};

/// One thing that an answer must name. All of it must stand in one sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// What, as the end of "the answer says …".
    pub(crate) says: &'static str,
    /// From each list one term. `*` stands for any ending.
    pub(crate) terms: &'static [&'static [&'static str]],
    /// Whether the sentence must say that something is not so.
    pub(crate) denies: bool,
    /// What figure it must hold.
    pub(crate) figure: Option<Figure>,
    /// Checks that an answer attests only where it names this, and the longest time in seconds that still does.
    pub(crate) attests: &'static [(&'static str, Option<u64>)],
}

impl Point {
    const fn new(says: &'static str, terms: &'static [&'static [&'static str]]) -> Self {
        Self { says, terms, denies: false, figure: None, attests: &[] }
    }

    const fn denied(says: &'static str, terms: &'static [&'static [&'static str]]) -> Self {
        Self { denies: true, ..Self::new(says, terms) }
    }

    const fn with(self, figure: Figure) -> Self {
        Self { figure: Some(figure), ..self }
    }

    const fn for_checks(self, attests: &'static [(&'static str, Option<u64>)]) -> Self {
        Self { attests, ..self }
    }

    /// Whether `sentence` says all of it.
    pub(crate) fn met_by(&self, sentence: &Sentence) -> bool {
        // Of a denial, the first list is what is denied; the others are only named.
        let term = |at: usize, term: &str| match (self.denies, at) {
            (true, 0) => sentence.denies(term),
            (true, _) => sentence.names(term),
            (false, _) => sentence.affirms(term),
        };
        self.terms.iter().enumerate().all(|(at, any)| any.iter().any(|wanted| term(at, wanted)))
            && self.figure.is_none_or(|figure| sentence.figure(figure))
    }
}

/// The points of question `number`, 1 to 10.
pub(crate) fn points(number: u8) -> &'static [Point] {
    POINTS[usize::from(number) - 1]
}

const POINTS: [&[Point]; 10] = [Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8, Q9, Q10];

const Q1: &[Point] = &[
    Point::new(
        "OAuth 2.1, or 2.0 with the authorization code flow",
        &[&["oauth 2.1", "oauth2.1", "authorization code"]],
    ),
    Point::new("PKCE with S256", &[&["pkce"], &["s256"]]),
    Point::new(
        "how clients find the authorization server: RFC 9728, RFC 8414 or OpenID discovery",
        &[&["9728", "8414", "protected resource metadata", "rfc9728", "rfc8414", "openid discovery", "oidc discovery"]],
    ),
    Point::denied("that the implicit or the password grant is off", &[&["implicit", "password grant*", "ropc"]]),
];

const Q2: &[Point] = &[
    Point::new("OIDC or SAML", &[&["oidc", "saml", "openid connect"]]),
    Point::new(
        "whose identity providers work, by name",
        &[&[
            "okta",
            "entra",
            "azure ad",
            "azure active directory",
            "google workspace",
            "ping",
            "pingfederate",
            "keycloak",
            "onelogin",
            "jumpcloud",
            "auth0",
            "adfs",
        ]],
    ),
    Point::new(
        "that a deprovisioned person loses access, and within what time",
        &[&["deprovision*", "de provision*", "offboard*", "deactivat*", "terminat*", "scim", "leaver*", "removed"]],
    )
    .with(Figure::Duration)
    .for_checks(&[("deprovision-ends-access", None), ("deprovision-prompt", Some(60))]),
];

const Q3: &[Point] = &[
    Point::new(
        "which credentials an agent has of its own",
        &[
            &["agent*", "machine*", "non human", "workload*"],
            &[
                "client credentials",
                "private key jwt",
                "jwt bearer",
                "mtls",
                "workload identity",
                "workload federation",
                "own credential*",
                "distinct credential*",
            ],
        ],
    ),
    Point::new(
        "scope and lifetime of an agent's credential",
        &[
            &["agent*", "machine*", "non human", "workload*"],
            &["scope*", "permission*"],
            &["lifetime", "lifetimes", "expir*", "rotat*", "valid"],
        ],
    ),
    Point::new(
        "that logs mark an agent's calls",
        &[
            &["log", "logs", "logged", "audit*", "event*", "trail*"],
            &["non human", "agent*", "machine*"],
            &["tag*", "mark*", "label*", "flag*", "distinguish*", "identif*"],
        ],
    ),
    Point::new(
        "that an agent is revoked apart from its person",
        &[
            &["revok*", "revocation", "disabl*"],
            &["agent*", "machine*", "non human"],
            &["without", "independent*", "separate*", "apart", "alone"],
        ],
    )
    .for_checks(&[("agent-revoked-apart", None)]),
];

const Q4: &[Point] = &[
    Point::new(
        "that each tool needs the least scope",
        &[
            &["scope*"],
            &["per tool", "each tool", "every tool", "tool function*", "tool level"],
            &["minimum", "minimal", "least", "only", "smallest", "required"],
        ],
    ),
    Point::new("where scopes are documented", &[&["scope*"], &["document*", "publish*", "listed", "scopes supported"]]),
    Point::new(
        "that a customer's administrator restricts them",
        &[
            &["tenant*", "customer*", "administrator*", "admin", "admins"],
            &["restrict*", "narrow*", "limit*", "reduc*", "disabl*"],
            &["scope*", "tool*"],
        ],
    )
    .for_checks(&[("tenant-restriction", None)]),
    Point::new(
        "RFC 8707 or another binding to one resource",
        &[&["8707", "rfc8707", "resource indicator*", "audience*", "aud"]],
    ),
];

const Q5: &[Point] = &[
    Point::new(
        "that tool results are sanitised",
        &[
            &["result*", "output*", "content*", "response*"],
            &["sanitis*", "sanitiz*", "strip*", "filter*", "scan*", "inspect*", "neutralis*", "neutraliz*"],
        ],
    ),
    Point::new(
        "encoding, labels or redaction of credentials",
        &[
            &["encod*", "label*", "redact*", "credential*", "mask*", "escap*"],
            &["result*", "output*", "pattern*", "content*", "response*"],
        ],
    ),
    Point::new(
        "that risky calls need a person's confirmation",
        &[&["confirm*", "approv*"], &["human*", "person*", "user*", "explicit*", "people"]],
    ),
    Point::new(
        "what keeps data and instructions apart",
        &[&[
            "control plane",
            "data plane",
            "untrusted data",
            "untrusted content",
            "taint*",
            "quarantin*",
            "instruction context",
            "instruction hierarchy",
        ]],
    ),
];

const Q6: &[Point] = &[
    Point::new(
        "how long an access token lives",
        &[&["access token*", "token*"], &["lifetime*", "expir*", "valid*", "live", "lives", "ttl"]],
    )
    .with(Figure::Duration)
    .for_checks(&[("token-expires", Some(86_400)), ("token-short", Some(3_600))]),
    Point::new(
        "that refresh tokens rotate",
        &[&["refresh token*"], &["rotat*", "single use", "one time", "used once"]],
    )
    .for_checks(&[("refresh-rotates", None), ("refresh-reuse-refused", None)]),
    Point::new(
        "that administrators end all tokens, and within what time",
        &[&["revok*", "revocation", "invalidat*", "terminat*"], &["token*", "session*", "access"]],
    )
    .with(Figure::Duration)
    .for_checks(&[("revocation-works", None)]),
    Point::new(
        "what a token is bound to",
        &[&["bound", "binding", "bind", "binds", "dpop", "mtls", "sender constrained"], &["token*", "session*"]],
    )
    .for_checks(&[("session-bound", None), ("sender-bound", None)]),
];

const Q7: &[Point] = &[
    Point::new(
        "that every tool call is logged",
        &[&["every", "all", "each"], &["call*", "invocation*", "action*", "request*"], &["log*", "record*", "audit*"]],
    )
    .for_checks(&[("audit-calls", None), ("audit-complete", None)]),
    Point::new(
        "that an entry tells a person from an agent",
        &[
            &["human*", "person*", "user*"],
            &["machine*", "agent*", "non human"],
            &["tag*", "mark*", "label*", "field*", "log", "logs", "entries", "entry", "whether", "regardless"],
        ],
    )
    .for_checks(&[("audit-human-agent", None)]),
    Point::new(
        "what an entry holds: identity, tool, parameters, outcome, time",
        &[
            &["identity", "user", "principal", "actor", "who", "subject"],
            &["tool*"],
            &["parameter*", "argument*", "input*"],
            &["status", "outcome", "result", "response*", "decision"],
            &["time", "timestamp*", "when"],
        ],
    )
    .for_checks(&[("audit-fields", None)]),
    Point::new("how long entries are kept", &[&["retain*", "retention", "kept", "keep", "stored", "store"]])
        .with(Figure::Duration),
    Point::new(
        "how they are exported",
        &[&["export*", "siem", "splunk", "datadog", "elastic", "ocsf", "syslog", "otlp", "sentinel"]],
    ),
    Point::new(
        "what makes a change seen",
        &[&[
            "immutable",
            "append only",
            "tamper*",
            "signed",
            "hash chain*",
            "merkle",
            "worm",
            "write once",
            "transparency",
        ]],
    )
    .for_checks(&[("audit-immutable", None)]),
];

const Q8: &[Point] = &[
    Point::new(
        "that the audience is checked on every request",
        &[
            &["aud", "audience*"],
            &["validat*", "check*", "verif*", "compar*", "enforc*"],
            &["every", "each", "all", "any"],
        ],
    )
    .for_checks(&[("audience-checked", None)]),
    Point::new(
        "that a token for elsewhere is refused",
        &[&["reject*", "refus*", "den*", "401"], &["aud", "audience*", "token*", "mismatch*"]],
    )
    .for_checks(&[("audience-checked", None)]),
    Point::new("RFC 8707", &[&["8707", "rfc8707", "resource indicator*"]]).for_checks(&[("audience-bound", None)]),
    Point::denied(
        "that a client's token is never passed on",
        &[&["forward*", "pass*", "relay*", "transit*", "reuse*"], &["token*"]],
    )
    .for_checks(&[("no-passthrough", None)]),
];

const Q9: &[Point] = &[
    Point::new(
        "how reading and acting calls are told apart",
        &[&["read only", "readonly*", "read"], &["write*", "destructive*", "acting", "mutat*"]],
    ),
    Point::new(
        "which actions wait for a person",
        &[
            &["confirm*", "approv*", "human in the loop"],
            &[
                "delet*",
                "write*",
                "send*",
                "email*",
                "payment*",
                "permission*",
                "export*",
                "communication*",
                "destructive*",
                "irreversible",
            ],
            &["require*", "before", "must", "held", "wait*", "need*", "mandatory"],
        ],
    )
    .for_checks(&[("action-held", None), ("action-fails-closed", None)]),
    Point::new(
        "that a customer configures this",
        &[
            &["configur*", "adjust*", "policy", "policies", "customi*"],
            &["tenant*", "customer*", "administrator*", "admin", "admins"],
        ],
    ),
    Point::new("tool annotations", &[&["annotation*", "readonlyhint", "destructivehint"]]),
];

const Q10: &[Point] = &[
    Point::new(
        "what ends the tokens and sessions of an identity",
        &[
            &["revok*", "revocation", "terminat*", "contain*", "kill switch"],
            &["token*", "session*"],
            &["all", "every", "any", "single", "one"],
        ],
    )
    .for_checks(&[("contain-ends-access", None)]),
    Point::new(
        "that the trail of an identity is exported",
        &[&["export*", "bundle*", "download*"], &["audit*", "trail*", "evidence", "log", "logs"]],
    )
    .for_checks(&[("evidence-bundle", None)]),
    Point::new(
        "within how many hours customers are told",
        &[&["notif*", "inform*", "tell", "told", "alert*", "disclos*"]],
    )
    .with(Figure::Duration)
    .for_checks(&[("breach-notice", Some(259_200))]),
    Point::new(
        "a security contact that answers at any hour",
        &[&["24 7", "24x7", "7x24", "around the clock", "any hour", "on call"]],
    )
    .with(Figure::Contact)
    .for_checks(&[("breach-notice", None)]),
    Point::new(
        "where the process is written down",
        &[
            &["document*", "publish*", "runbook*", "sla", "msa", "contract*", "playbook*", "agreement*", "dpa"],
            &["incident*", "process*", "response*", "sla", "breach*"],
        ],
    ),
];

/// `docs/assess/answers.md`, between its marks: the points by question.
#[cfg(test)]
pub(crate) fn document() -> String {
    let mut text = String::new();
    for (number, title) in (1u8..).zip(sallyport_model::assessment::TITLES) {
        let points = points(number);
        text.push_str(&format!("### {number}. {title}\n\n"));
        text.push_str(&format!("2 points for all of these, 1 for {} or more:\n\n", super::score::half(points.len())));
        for point in points {
            text.push_str(&format!("- {}", point.says));
            match point.figure {
                Some(Figure::Duration) => text.push_str(" (a number and a unit in the same sentence)"),
                Some(Figure::Contact) => text.push_str(" (with an address, a link or a number in the same sentence)"),
                None => {}
            }
            let checks: Vec<String> = point.attests.iter().map(|(check, most)| attested(check, *most)).collect();
            if !checks.is_empty() {
                text.push_str(&format!("; needed to attest {}", checks.join(", ")));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
fn attested(check: &str, most: Option<u64>) -> String {
    match most {
        Some(most) if most % 3600 == 0 => format!("`{check}` (at most {} h)", most / 3600),
        Some(most) => format!("`{check}` (at most {most} s)"),
        None => format!("`{check}`"),
    }
}
