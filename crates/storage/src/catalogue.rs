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

/// One digest over everything that is pinned of an upstream: kinds, names and contents, in whatever order they
/// come. Two catalogues with one digest are the same.
pub fn definitions_digest(pins: &[Definition]) -> Digest {
    let mut sorted: Vec<_> = pins.iter().map(|pin| (pin.kind, pin.name.as_str(), &pin.sha256)).collect();
    sorted.sort();
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(b"sallyport definitions v1\n");
    for (kind, name, sha256) in sorted {
        let kind: &[u8] = match kind {
            DefinitionKind::Tool => b"tool",
            DefinitionKind::Resource => b"resource",
            DefinitionKind::ResourceTemplate => b"resource_template",
            DefinitionKind::Prompt => b"prompt",
        };
        for part in [kind, name.as_bytes(), sha256] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(kind: DefinitionKind, name: &str, content: u8) -> Definition {
        let at = Timestamp::from_secs(1);
        Definition {
            kind,
            name: name.into(),
            sha256: [content; 32],
            raw: "{}".into(),
            first_seen_at: at,
            pinned_at: at,
        }
    }

    #[test]
    fn a_catalogue_has_one_digest_in_any_order_and_another_when_anything_differs() {
        let (zip, list) = (pin(DefinitionKind::Tool, "zip", 1), pin(DefinitionKind::Tool, "list", 2));
        let digest = definitions_digest(&[zip.clone(), list.clone()]);
        assert_eq!(digest, definitions_digest(&[list.clone(), zip.clone()]));
        for other in [
            vec![],
            vec![zip.clone()],
            vec![pin(DefinitionKind::Tool, "zip", 3), list.clone()],
            vec![pin(DefinitionKind::Prompt, "zip", 1), list.clone()],
            vec![pin(DefinitionKind::Tool, "zi", 1), list.clone()],
            vec![zip, list, pin(DefinitionKind::Tool, "new", 1)],
        ] {
            assert_ne!(digest, definitions_digest(&other), "{other:?}");
        }
    }
}
