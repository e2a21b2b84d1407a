//! What a check is, and what its outcome does to its question.

use sallyport_model::assessment::Severity;

/// One check: what it looks at, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Stable id; never reused for something else.
    pub id: &'static str,
    /// 1 to 10.
    pub question: u8,
    /// What is held when it passes, as a sentence without a full stop.
    pub title: &'static str,
    /// What a failure does.
    pub role: Role,
    /// Whether passing shows that the control exists at all: a question without one such pass scores 0.
    pub earns: bool,
    /// Whether the question's score stays open while this check could not be made.
    pub required: bool,
    /// Its part of the question's points.
    pub weight: u8,
    /// What it needs besides the target.
    pub needs: Needs,
    /// Specification and section.
    pub reference: &'static str,
    /// What to do when it failed.
    pub remedy: &'static str,
}

/// What a failure does to the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes it to 0.
    Essential,
    /// Keeps it from 2.
    Needed,
    /// Costs points, not the score.
    Good,
}

/// What a check needs besides the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A person's access token: a test user, `--login`, or `--token`.
    Person,
    /// A sign-in that the assessor makes itself: a test user or `--login`.
    SignIn,
    /// A second person.
    SecondPerson,
    /// An agent's client id and secret.
    Agent,
    /// The name of a tool that may be used as a canary.
    Canary,
    /// The name of a tool that acts, and that may be tried.
    ActingTool,
    /// A hook, by its name in the hooks file.
    Hook(&'static str),
    /// Only an attestation can show it.
    Attestation,
}

impl Check {
    /// How much a failure weighs.
    pub const fn severity(&self) -> Severity {
        match self.role {
            Role::Essential => Severity::Critical,
            Role::Needed => Severity::High,
            Role::Good if self.weight >= 5 => Severity::Medium,
            Role::Good => Severity::Low,
        }
    }
}

impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing but the target"),
            Self::Person => f.write_str("a person's access token: --user with --password-env, --login, or --token"),
            Self::SignIn => f.write_str("a sign-in of its own: --user with --password-env, or --login"),
            Self::SecondPerson => f.write_str("a second person: --second-user with --second-password-env"),
            Self::Agent => f.write_str("an agent: --client-id with --client-secret-env"),
            Self::Canary => f.write_str("a tool that echoes what it is given: --canary TOOL.ARGUMENT"),
            Self::ActingTool => f.write_str("a tool that acts and may be tried: --acting-tool TOOL"),
            Self::Hook(name) => write!(f, "the hook `{name}`: --hooks FILE"),
            Self::Attestation => f.write_str("a statement of the vendor: --evidence FILE"),
        }
    }
}
