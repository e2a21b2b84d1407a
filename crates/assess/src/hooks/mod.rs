//! Commands and URLs of the operator that let a probe see or do more: end an account, export the trail, contain
//! an identity.
//!
//! A hook comes from a file that the operator wrote, and runs when the operator started the assessor with it; no
//! word of the target decides what is run. Its secrets are in no record.

pub(crate) mod caller;
pub(crate) mod fields;
mod file;
mod name;
pub(crate) mod run;
pub(crate) mod strict;
pub(crate) mod trail;
pub(crate) mod watch;

use std::{collections::BTreeMap, fmt, time::Duration};

use http::Method;
use sallyport_model::Secret;

pub use name::HookName;
pub use strict::FileError;

/// The hooks file, read.
#[derive(Debug, Clone, Default)]
pub struct Hooks(BTreeMap<HookName, Hook>);

/// One hook: what it does, and how long it may take.
#[derive(Debug, Clone)]
pub struct Hook {
    /// What it does.
    pub action: Action,
    /// From its start to its end.
    pub timeout: Duration,
}

/// What a hook does.
#[derive(Clone)]
pub enum Action {
    /// Runs a program, without a shell.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Variables of the operator's environment that it gets besides `PATH` and `SALLYPORT_…`.
        env: BTreeMap<String, Secret>,
    },
    /// Sends one request.
    Url {
        /// With placeholders.
        url: String,
        /// The method.
        method: Method,
        /// For the `Authorization` header.
        bearer: Option<Secret>,
        /// JSON with placeholders; empty for none.
        body: String,
    },
}

/// Arguments may hold what is nobody's business: only the kind and the place are shown.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { argv, .. } => write!(f, "Command({})", argv.first().map_or("", String::as_str)),
            Self::Url { url, method, .. } => write!(f, "Url({method} {url})"),
        }
    }
}

impl Hooks {
    /// Reads a hooks file. `file` is its name for errors; `variable` reads the environment.
    ///
    /// # Errors
    /// [`FileError`] with place and remedy: an unknown key, a hook that is neither command nor URL or both, a
    /// variable that is not set, a hook without the one that it belongs to.
    pub fn parse(text: &str, file: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, FileError> {
        file::read(text, file, variable).map(Self)
    }

    /// The names of the hooks that are there, such as `deprovision`.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.keys().map(HookName::as_str).collect()
    }

    /// One hook.
    pub fn hook(&self, name: HookName) -> Option<&Hook> {
        self.0.get(&name)
    }

    /// Whether there is such a hook.
    pub fn has(&self, name: HookName) -> bool {
        self.0.contains_key(&name)
    }

    /// Every credential in here: none of them may be written anywhere.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.values().flat_map(|hook| match &hook.action {
            Action::Command { env, .. } => env.values().collect::<Vec<_>>(),
            Action::Url { bearer, .. } => bearer.iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests;
