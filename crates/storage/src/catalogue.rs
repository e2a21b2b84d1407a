//! Pinned definitions of each upstream's tools, resources and prompts.

use async_trait::async_trait;
use sallyport_model::{Timestamp, UpstreamName};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// What a definition defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// A tool, by name.
    Tool,
    /// A resource, by URI.
    Resource,
    /// A resource template, by URI template.
    ResourceTemplate,
    /// A prompt, by name.
    Prompt,
}

/// A pinned definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Tool, resource, template or prompt.
    pub kind: DefinitionKind,
    /// Name, URI or URI template.
    pub name: String,
    /// SHA-256 of the canonical JSON.
    pub sha256: Digest,
    /// The definition as the upstream gave it, JSON.
    pub raw: String,
    /// First seen.
    pub first_seen_at: Timestamp,
    /// This content since.
    pub pinned_at: Timestamp,
}

/// What a pin found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinChange {
    /// Not seen before.
    New(Definition),
    /// Seen before with another content.
    Changed {
        /// Its digest before.
        was: Digest,
        /// The definition now.
        now: Definition,
    },
    /// Pinned, and no longer listed.
    Gone(Definition),
}

/// Storage of pins.
#[async_trait]
pub trait Catalogue {
    /// Replaces the pins of one kind of `upstream` by what a complete listing gave; returns the
    /// differences, in the order of the listing, then what is gone.
    async fn pin(
        &self,
        upstream: &UpstreamName,
        kind: DefinitionKind,
        listed: &[Definition],
    ) -> Result<Vec<PinChange>, StoreError>;
    /// All pins of an upstream, by kind and name.
    async fn pinned(&self, upstream: &UpstreamName) -> Result<Vec<Definition>, StoreError>;
}
