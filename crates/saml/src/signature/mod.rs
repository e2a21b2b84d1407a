//! XML Signature as SAML profiles it (saml-core-2.0-os, section 5.4): one enveloped signature, one reference, to
//! the element that holds it.
//!
//! Why a wrapped message cannot pass here: nothing is looked up by id. The caller says which element must be
//! signed; the signature is that element's own child; and what comes back is a new tree, parsed from the very bytes
//! whose digest was signed. Whoever reads identity has only that tree.

mod sign;
mod verify;

pub(crate) use sign::finish_signed;
pub(crate) use verify::{Verified, signature_of, verify};
