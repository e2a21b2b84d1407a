//! The leaf: what one entry of the log looks like to everybody.
//!
//! Version 1, all integers big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | `SPL` and the version, 0x01 |
//! | 8 | index in the log |
//! | 8 | sequence number in the tenant's chain, from 0 |
//! | 32 | leaf hash of the tenant's entry before it; zeros for the first |
//! | 1 + n | tenant id, or `-` for the deployment's own events |
//! | 2 + n | id of the data key |
//! | 12 | nonce |
//! | 32 | commitment: `SHA-256("sallyport-event-v1\0" ‖ salt ‖ event)` |
//! | rest | AES-256-GCM of `salt ‖ event` with its 16-byte tag; the salt is 32 bytes, the event JSON |
//!
//! The first four fields are set by the log's writer when it places the entry; the rest is sealed
//! by the caller, and the additional data of the encryption is
//! `"sallyport-leaf-v1\0" ‖ tenant ‖ data key id ‖ commitment`, each length-prefixed as in the leaf.
//! The leaf hash covers everything. The chain makes a tenant's export show that nothing is missing;
//! the commitment lets one event be disclosed with its salt, and the key stay secret.

use sallyport_model::{DataKeyId, TenantId};

use crate::{
    layout::LEAF_LIMIT,
    merkle::{Hash, sha256},
};

const MAGIC: &[u8; 4] = b"SPL\x01";
const COMMITMENT_DOMAIN: &[u8] = b"sallyport-event-v1\0";
const AAD_DOMAIN: &[u8] = b"sallyport-leaf-v1\0";
/// The part that the writer sets.
pub(crate) const PLACE_LEN: usize = 4 + 8 + 8 + 32;
/// The name of the chain of the deployment's own events.
pub(crate) const NO_TENANT: &str = "-";
pub(crate) const SALT_LEN: usize = 32;
pub(crate) const TAG_LEN: usize = 16;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index in the log.
    pub index: u64,
    /// Sequence number in the tenant's chain, from 0.
    pub tenant_sequence: u64,
    /// Leaf hash of the tenant's entry before it; zeros for the first.
    pub previous: Hash,
}

/// An entry as it stands in the log, still sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Where it stands.
    pub place: Place,
    /// Whose chain it is part of; `None` for the deployment's own.
    pub tenant: Option<TenantId>,
    /// The key that it is sealed with.
    pub key: DataKeyId,
    /// The nonce of the encryption.
    pub nonce: [u8; 12],
    /// The salted commitment to the event.
    pub commitment: Hash,
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// The salted commitment to an event's JSON.
pub fn commit(salt: &[u8; SALT_LEN], event: &[u8]) -> Hash {
    sha256(&[COMMITMENT_DOMAIN, salt, event])
}

/// The cleartext header of a sealed body, up to the nonce.
fn header(tenant: &str, key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + tenant.len() + key.len());
    // Tenant ids are at most 63 bytes and data key ids at most 512.
    out.push(tenant.len() as u8);
    out.extend(tenant.as_bytes());
    out.extend((key.len() as u16).to_be_bytes());
    out.extend(key.as_bytes());
    out
}

/// What the encryption binds besides the plaintext.
pub(crate) fn additional(tenant: &str, key: &str, commitment: &Hash) -> Vec<u8> {
    let mut out = AAD_DOMAIN.to_vec();
    out.extend(header(tenant, key));
    out.extend(commitment);
    out
}

/// The caller's part of a leaf.
pub(crate) fn encode_body(tenant: &str, key: &str, nonce: &[u8], commitment: &Hash, ciphertext: &[u8]) -> Vec<u8> {
    let mut out = header(tenant, key);
    out.extend(nonce);
    out.extend(commitment);
    out.extend(ciphertext);
    out
}

/// A whole leaf from the writer's part and the caller's.
pub(crate) fn encode(place: &Place, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PLACE_LEN + body.len());
    out.extend(MAGIC);
    out.extend(place.index.to_be_bytes());
    out.extend(place.tenant_sequence.to_be_bytes());
    out.extend(place.previous);
    out.extend(body);
    out
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_str<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    std::str::from_utf8(head).ok()
}

impl Leaf {
    /// Reads a leaf; the error says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "it is too short";
        if bytes.len() > LEAF_LIMIT {
            return Err("it is longer than 65535 bytes");
        }
        let mut rest = bytes;
        if take::<4>(&mut rest).ok_or(SHORT)? != *MAGIC {
            return Err("it is not a leaf of version 1");
        }
        let place = Place {
            index: u64::from_be_bytes(take(&mut rest).ok_or(SHORT)?),
            tenant_sequence: u64::from_be_bytes(take(&mut rest).ok_or(SHORT)?),
            previous: take(&mut rest).ok_or(SHORT)?,
        };
        let [length] = take::<1>(&mut rest).ok_or(SHORT)?;
        let tenant = take_str(&mut rest, length.into()).ok_or("its tenant is malformed")?;
        let tenant = match tenant {
            NO_TENANT => None,
            id => Some(TenantId::new(id).map_err(|_| "its tenant is malformed")?),
        };
        let length = u16::from_be_bytes(take(&mut rest).ok_or(SHORT)?);
        let key = take_str(&mut rest, length.into()).ok_or("its data key id is malformed")?;
        let key = DataKeyId::new(key).map_err(|_| "its data key id is malformed")?;
        let nonce = take(&mut rest).ok_or(SHORT)?;
        let commitment = take(&mut rest).ok_or(SHORT)?;
        if rest.len() < SALT_LEN + TAG_LEN {
            return Err(SHORT);
        }
        Ok(Self { place, tenant, key, nonce, commitment, ciphertext: rest.to_vec() })
    }

    /// The tenant's name as in the leaf: its id, or `-`.
    pub fn tenant_name(&self) -> &str {
        self.tenant.as_ref().map_or(NO_TENANT, TenantId::as_str)
    }

    /// Whether `event` with `salt` is what this entry was made of: the check of a disclosure.
    pub fn discloses(&self, salt: &[u8; SALT_LEN], event: &[u8]) -> bool {
        commit(salt, event) == self.commitment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_leaf_reads_back(index in any::<u64>(), sequence in any::<u64>(), tenant in "[a-z]{1,20}|-", text in prop::collection::vec(any::<u8>(), 48..200)) {
            let place = Place { index, tenant_sequence: sequence, previous: [3; 32] };
            let bytes = encode(&place, &encode_body(&tenant, "key-1", &[1; 12], &[2; 32], &text));
            let leaf = Leaf::decode(&bytes).unwrap();
            prop_assert_eq!(leaf.place, place);
            prop_assert_eq!(leaf.tenant_name(), tenant);
            prop_assert_eq!(leaf.key.as_str(), "key-1");
            prop_assert_eq!(&leaf.ciphertext, &text);
            prop_assert!(Leaf::decode(&bytes[..bytes.len() - text.len() + 47]).is_err());
        }

        #[test]
        fn strangers_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), ours in any::<bool>()) {
            if ours && bytes.len() > 4 { bytes[..4].copy_from_slice(MAGIC); }
            let _ = Leaf::decode(&bytes);
        }
    }
}
