//! What the engine asks of whoever keeps the resources.
//!
//! A [`Directory`] is one tenant's: the engine has no notion of tenants and cannot name another's resource.

use async_trait::async_trait;
use sallyport_model::Timestamp;
use serde_json::{Map, Value};

/// Normalised attributes: canonical names, checked types, no nulls and no empty arrays. Core attributes
/// lie at the top, an extension's under its URN. It never holds `id`, `meta`, `schemas`, `password`, a
/// User's `groups` or a Group's `members`.
pub type Document = Map<String, Value>;

/// The two resource types of RFC 7643 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `/Users`
    User,
    /// `/Groups`
    Group,
}

impl Kind {
    /// Both, in the order in which a query of the root lists them.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// `User` or `Group`: `meta.resourceType`, and the id of the resource type.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// `Users` or `Groups`: the segment of the path.
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }
}

/// One resource as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// User or Group.
    pub kind: Kind,
    /// The service's own id: unique in the deployment, never chosen by the client.
    pub id: String,
    /// Grows with every change; a group's grows with every change of its members too.
    pub version: u64,
    /// When it was added.
    pub created: Timestamp,
    /// When it last changed.
    pub modified: Timestamp,
    /// The attributes.
    pub document: Document,
}

impl Kept {
    /// A top-level attribute that is text.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.document.get(attribute).and_then(Value::as_str)
    }

    /// Whether the person may be let in. Absence never grants: without `active: true` the answer is no.
    pub fn is_active(&self) -> bool {
        is_active(&self.document)
    }
}

/// [`Kept::is_active`] for a document that is not kept yet.
pub fn is_active(document: &Document) -> bool {
    document.get("active") == Some(&Value::Bool(true))
}

/// The form in which `userName` and a group's `displayName` are compared (RFC 7643 §4.1.1: not by case).
/// Whoever enforces uniqueness must use this very function, or a filter and a refusal would disagree.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// One member of a group: a resource of the same tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// A group may hold groups; only direct membership is reported.
    pub kind: Kind,
}

/// What changes in a group's membership: nobody is in both lists, and nobody twice in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberChange {
    /// To add. Each was seen to exist in this tenant; it may have gone since, then leave it out.
    pub add: Vec<Member>,
    /// Ids to remove. Removing one that is no member is no error.
    pub remove: Vec<String>,
}

impl MemberChange {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// That `member` is directly in `group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Who.
    pub member: String,
    /// The group's id.
    pub group: String,
    /// The group's `displayName`.
    pub display: String,
}

/// What is found by an index instead of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// A User's `userName`, given as [`fold`] makes it.
    UserName(&'a str),
    /// A Group's `displayName`, given as [`fold`] makes it.
    DisplayName(&'a str),
    /// `externalId`, exactly. Not unique: two resources may have one.
    ExternalId(&'a str),
}

/// Why the directory did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Another resource of this kind has the value of `userName` or `displayName`.
    #[error("`{attribute}` is taken")]
    Taken {
        /// Which attribute.
        attribute: &'static str,
    },
    /// The version is not the one given any more.
    #[error("the resource changed meanwhile")]
    Conflict,
    /// There is no such resource (any more).
    #[error("there is no such resource")]
    Gone,
    /// Not allowed here, such as a tenant's limit of users. The text is shown to the client.
    #[error("{0}")]
    Refused(String),
    /// It could not be done, and nothing was changed. The text is for the log.
    #[error("{0}")]
    Unavailable(String),
}

/// One tenant's resources.
///
/// Lists of ids that the engine passes hold at most 500. Every method that changes something is atomic.
/// The meaning of a change of `active` and of a removal (end sessions, revoke tokens) is the
/// implementor's, and has to be committed before the method returns: the client is told right after.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The resource, or none.
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Kept>, DirectoryError>;

    /// Adds a resource under a fresh id. For a User `members` is empty.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`] when the folded `userName` or `displayName` is in use in this tenant.
    async fn add(&self, kind: Kind, document: Document, members: Vec<Member>) -> Result<Kept, DirectoryError>;

    /// Replaces the whole document and changes the membership, if the version still is `before.version`.
    /// Called only when something differs.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`], [`DirectoryError::Gone`], [`DirectoryError::Taken`].
    async fn replace(&self, before: &Kept, document: Document, members: MemberChange) -> Result<Kept, DirectoryError>;

    /// Removes the resource if the version still is `before.version`, and with it its memberships in both
    /// directions.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`], [`DirectoryError::Gone`].
    async fn remove(&self, before: &Kept) -> Result<(), DirectoryError>;

    /// The resources with that key, in the order of their ids, at most `limit`.
    async fn find(&self, kind: Kind, key: Key<'_>, limit: usize) -> Result<Vec<Kept>, DirectoryError>;

    /// How many there are.
    async fn count(&self, kind: Kind) -> Result<u64, DirectoryError>;

    /// Resources in the bytewise order of their ids: those after `after`, less the first `skip`, at most
    /// `limit`.
    async fn list(&self, kind: Kind, after: Option<&str>, skip: u64, limit: usize)
    -> Result<Vec<Kept>, DirectoryError>;

    /// Members of a group in the bytewise order of their ids: those after `after`, at most `limit`.
    async fn members(&self, group: &str, after: Option<&str>, limit: usize) -> Result<Vec<Member>, DirectoryError>;

    /// Which of `ids` are members of the group.
    async fn held(&self, group: &str, ids: &[&str]) -> Result<Vec<Member>, DirectoryError>;

    /// The direct memberships of all of `members`.
    async fn memberships(&self, members: &[&str]) -> Result<Vec<Membership>, DirectoryError>;

    /// Which of `ids` exist in this tenant, as Users or Groups.
    async fn existing(&self, ids: &[&str]) -> Result<Vec<Member>, DirectoryError>;
}
