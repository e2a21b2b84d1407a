//! XML as SAML needs it, and not one feature more.
//!
//! | module | what for |
//! |---|---|
//! | [`reader`] | text to tree, strictly, bounded |
//! | [`tree`] | the tree |
//! | [`canonical`] | Exclusive XML Canonicalization 1.0 |
//! | [`writer`] | our own messages |
//!
//! It never reads a document type, an entity, a processing instruction or a character set other than UTF-8: a
//! document that has one is refused, not understood differently. What it accepts is a subset of well-formed XML
//! with namespaces, on which every conforming parser agrees; a test compares it with another one.

pub(crate) mod canonical;
pub(crate) mod reader;
pub(crate) mod tree;
pub(crate) mod writer;

pub(crate) use canonical::canonical;
pub(crate) use reader::{Limits, read};
pub(crate) use tree::{Document, Element};
pub(crate) use writer::Writer;
