//! What the operator gave the assessor besides the target: identities, tools that may be tried, hooks, answers.
//!
//! It mirrors the command line and reads nothing by itself.

use std::{fmt, sync::Arc, time::Duration};

use sallyport_mcp::Object;
use sallyport_model::Secret;
use url::Url;

use crate::{answers::Sheet, check::Needs, hooks::Hooks};

/// Shows a sign-in URL to the operator, in a browser or as a line to click on.
pub type Browser = Arc<dyn Fn(&Url) + Send + Sync>;

/// Everything that a run may use.
#[derive(Clone, Default)]
pub struct Access {
    /// `--user`, `--password-env`: the person that the assessor signs in.
    pub user: Option<TestUser>,
    /// `--second-user`, `--second-password-env`.
    pub second_user: Option<TestUser>,
    /// `--login`: how to show the sign-in page to the operator.
    pub browser: Option<Browser>,
    /// `--token`, `--token-env`: a person's access token.
    pub token: Option<Secret>,
    /// `--second-token`: another person's.
    pub second_token: Option<Secret>,
    /// `--foreign-token-env`: a genuine token of the same issuer for another resource.
    pub foreign_token: Option<Secret>,
    /// `--foreign-resource`: another resource of the same authorization server, to get such a token for.
    pub foreign_resource: Option<Url>,
    /// `--client-id`, `--client-secret-env`: the agent.
    pub agent: Option<AgentCredential>,
    /// `--issuer`: the authorization server that passwords and client secrets are for. Without it that is whichever
    /// the target names.
    pub issuer: Option<Url>,
    /// Whether the tokens are in use elsewhere, so that none is put where it would end up in a log.
    pub in_use: bool,
    /// `--oauth-client-id`: a client registered in advance, for the person's sign-in.
    pub oauth_client: Option<OauthClient>,
    /// `--canary TOOL.ARGUMENT`.
    pub canary: Option<Canary>,
    /// `--acting-tool`, `--acting-arguments`.
    pub acting: Option<NamedTool>,
    /// `--read-tool`, `--read-arguments`: harmless, for ordinary calls.
    pub read: Option<NamedTool>,
    /// `--hooks`.
    pub hooks: Hooks,
    /// `--evidence` or `--answers`.
    pub sheet: Option<Sheet>,
    /// `--timeout`: for the whole run; see [`Access::budget`].
    pub timeout: Option<Duration>,
    /// Certificates trusted besides the web's roots, as PEM.
    pub extra_roots: Option<String>,
}

/// A test user with a password.
#[derive(Debug, Clone)]
pub struct TestUser {
    /// What is typed into the sign-in form.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// An agent's own credential (client credentials grant).
#[derive(Debug, Clone)]
pub struct AgentCredential {
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`.
    pub client_secret: Secret,
}

/// A client registered in advance.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// `client_id`.
    pub client_id: String,
    /// Absent for a public client.
    pub client_secret: Option<Secret>,
}

/// A tool that gives back what one of its arguments holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Its name.
    pub tool: String,
    /// The argument, a string.
    pub argument: String,
}

impl Canary {
    /// Reads `TOOL.ARGUMENT`; the argument is what follows the last full stop.
    pub fn parse(text: &str) -> Option<Self> {
        let (tool, argument) = text.rsplit_once('.')?;
        let whole = !tool.is_empty() && !argument.is_empty();
        whole.then(|| Self { tool: tool.to_owned(), argument: argument.to_owned() })
    }
}

/// A tool that the operator named, and what to call it with.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTool {
    /// Its name.
    pub tool: String,
    /// `arguments` of the call.
    pub arguments: Object,
}

/// A run without hooks.
const BUDGET: Duration = Duration::from_secs(30);
/// A run with hooks, which wait for other systems.
const BUDGET_WITH_HOOKS: Duration = Duration::from_secs(240);
/// For a person at a sign-in page.
const BY_HAND: Duration = Duration::from_secs(180);

impl Access {
    /// How long the whole run may take: [`Access::timeout`], else 30 s, 240 s with hooks, and 180 s more where a
    /// person has to sign in by hand.
    pub fn budget(&self) -> Duration {
        let usual = if self.hooks.names().is_empty() { BUDGET } else { BUDGET_WITH_HOOKS };
        let by_hand = if self.browser.is_some() { BY_HAND } else { Duration::ZERO };
        self.timeout.unwrap_or(usual + by_hand)
    }

    /// Whether this holds what a check needs.
    pub fn covers(&self, needs: &Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Person => self.signs_in() || self.token.is_some(),
            Needs::SignIn => self.signs_in(),
            Needs::SecondPerson => self.second_user.is_some() || self.second_token.is_some(),
            Needs::Agent => self.agent.is_some(),
            Needs::Canary => self.canary.is_some(),
            Needs::ActingTool => self.acting.is_some(),
            Needs::Hook(name) => self.hooks.names().contains(name),
            Needs::Attestation => self.sheet.is_some(),
        }
    }

    /// What there is, in the words of the document's `access`.
    pub fn given(&self) -> Vec<String> {
        let mut given: Vec<String> = [
            ("person", self.user.is_some()),
            ("second person", self.second_user.is_some()),
            ("browser sign-in", self.browser.is_some()),
            ("person's token", self.token.is_some()),
            ("second person's token", self.second_token.is_some()),
            ("token for another resource", self.foreign_token.is_some()),
            ("another resource", self.foreign_resource.is_some()),
            ("agent", self.agent.is_some()),
            ("registered client", self.oauth_client.is_some()),
            ("canary tool", self.canary.is_some()),
            ("acting tool", self.acting.is_some()),
            ("read tool", self.read.is_some()),
            ("evidence sheet", self.sheet.is_some()),
        ]
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| name.to_owned())
        .collect();
        given.extend(self.hooks.names().iter().map(|name| format!("hook {name}")));
        given
    }

    /// Every credential in here: none of them may be written anywhere.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let users = [&self.user, &self.second_user].into_iter().flatten().map(|user| &user.password);
        let tokens = [&self.token, &self.second_token, &self.foreign_token].into_iter().flatten();
        let agent = self.agent.iter().map(|agent| &agent.client_secret);
        users.chain(tokens).chain(agent).chain(self.oauth_client.iter().filter_map(|c| c.client_secret.as_ref()))
    }

    fn signs_in(&self) -> bool {
        self.user.is_some() || self.browser.is_some()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.given()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_tool_and_an_argument() {
        let parse = |text| Canary::parse(text).map(|canary| (canary.tool, canary.argument));
        assert_eq!(parse("notes.read.text"), Some(("notes.read".to_owned(), "text".to_owned())));
        for odd in ["notes", ".text", "notes.", ""] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_given_covers_what_it_is_for() {
        let none = Access::default();
        assert!(none.covers(&Needs::Nothing) && !none.covers(&Needs::Person) && !none.covers(&Needs::Hook("contain")));
        let token = Access { token: Some(Secret::new("t")), ..Access::default() };
        assert!(token.covers(&Needs::Person) && !token.covers(&Needs::SignIn));
        assert_eq!(token.given(), ["person's token"]);
        let user = TestUser { name: "ada".to_owned(), password: Secret::new("p") };
        let user = Access { user: Some(user), timeout: Some(Duration::from_secs(7)), ..Access::default() };
        assert!(user.covers(&Needs::Person) && user.covers(&Needs::SignIn));
        assert_eq!(user.budget(), Duration::from_secs(7));
        assert_eq!(user.secrets().count(), 1);
        assert_eq!(format!("{user:?}"), r#"Access(["person"])"#);
    }
}
