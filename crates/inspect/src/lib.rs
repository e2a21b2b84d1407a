//! Detectors over what a server says: definitions of tools, resources and prompts, and the text of results.
//!
//! A net with holes, made to be cheap: keywords first, then a pattern on the sentence around them, then rules
//! about characters. Work is linear in the input and the output is bounded ([`finding::MAX_FINDINGS`]). It
//! changes nothing, decides nothing, opens nothing and keeps nothing between calls; what a finding leads to is
//! the caller's policy. A text without findings is not thereby harmless: see each detector's *misses*.

pub mod annotations;
pub mod definition;
mod engine;
mod excerpt;
pub mod finding;
mod fold;
mod hidden;
mod links;
mod look_alikes;
mod markup;
mod parameters;
mod phrases;
mod secrets;
mod shadowing;
pub mod text;
mod unicode;
mod window;

pub use finding::{DetectorId, Finding, Severity};

#[cfg(test)]
mod catalogue_tests;
#[cfg(test)]
mod labelled_tests;
#[cfg(test)]
mod property_tests;
