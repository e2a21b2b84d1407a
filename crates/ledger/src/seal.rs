//! Sealing an event into the caller's part of a leaf, and opening it again.
//!
//! AES-256-GCM under a key per tenant and person. Nothing here knows where a leaf will stand.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sallyport_model::{AuditEvent, RecordError, Rng, TenantId};

use crate::{
    LedgerError,
    keyring::{DataKey, KeyError, Keyring},
    layout::LEAF_LIMIT,
    leaf::{Leaf, NO_TENANT, PLACE_LEN, SALT_LEN, additional, commit, encode_body},
};

/// An event ready to be appended.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub(crate) tenant: String,
    pub(crate) body: Vec<u8>,
}

/// What an entry says once opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The event's JSON, to the byte, and the salt that its commitment was made with.
    Event {
        /// JSON of an [`AuditEvent`].
        json: Vec<u8>,
        /// With the JSON, all that a disclosure needs: see [`Leaf::discloses`].
        salt: [u8; SALT_LEN],
    },
    /// Its key was shredded: the event is erased, its place in the log is not.
    Erased,
}

impl Opened {
    /// The event, unless it is erased.
    pub fn event(&self, index: u64) -> Result<Option<AuditEvent>, LedgerError> {
        let Self::Event { json, .. } = self else { return Ok(None) };
        let why = "it is no audit event that this version knows";
        serde_json::from_slice(json).map(Some).map_err(|_| LedgerError::CannotOpen { index, why })
    }
}

fn cipher(key: &DataKey) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &**key).ok().map(LessSafeKey::new)
}

/// Seals the JSON of an event of `tenant`, about the person that `event` names.
pub fn seal(event: &AuditEvent, keyring: &dyn Keyring, rng: &dyn Rng) -> Result<Sealed, RecordError> {
    let no_key = |KeyError(why)| RecordError::NoKey(why);
    let json = serde_json::to_vec(event).map_err(|e| RecordError::NoKey(format!("the event is no JSON: {e}")))?;
    let (id, key) = keyring.seal_key(event.tenant.as_ref(), event.person()).map_err(no_key)?;
    let mut random = [0u8; SALT_LEN + 12];
    rng.fill(&mut random);
    let (salt, nonce) = (random.first_chunk::<SALT_LEN>(), random.last_chunk::<12>());
    let (Some(salt), Some(nonce)) = (salt, nonce) else { return Err(RecordError::NoKey("no salt".into())) };
    let commitment = commit(salt, &json);
    let tenant = event.tenant.as_ref().map_or(NO_TENANT, TenantId::as_str);
    let aad = Aad::from(additional(tenant, id.as_str(), &commitment));
    let mut text = [salt.as_slice(), &json].concat();
    cipher(&key)
        .and_then(|cipher| cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), aad, &mut text).ok())
        .ok_or_else(|| RecordError::NoKey("the cipher refuses the key or the event".into()))?;
    let body = encode_body(tenant, id.as_str(), nonce, &commitment, &text);
    let size = PLACE_LEN + body.len();
    if size > LEAF_LIMIT {
        return Err(RecordError::TooLarge { size, limit: LEAF_LIMIT });
    }
    Ok(Sealed { tenant: tenant.to_owned(), body })
}

/// Opens a leaf with the key that it names.
pub fn open(leaf: &Leaf, keyring: &dyn Keyring) -> Result<Opened, LedgerError> {
    let cannot = |why| LedgerError::CannotOpen { index: leaf.place.index, why };
    let Some(key) = keyring.open_key(&leaf.key)? else { return Ok(Opened::Erased) };
    let aad = Aad::from(additional(leaf.tenant_name(), leaf.key.as_str(), &leaf.commitment));
    let mut text = leaf.ciphertext.clone();
    let cipher = cipher(&key).ok_or(cannot("the cipher refuses the key"))?;
    let plain = cipher
        .open_in_place(Nonce::assume_unique_for_key(leaf.nonce), aad, &mut text)
        .map_err(|_| cannot("it was not sealed with the key that it names"))?;
    let (salt, json) = plain.split_first_chunk::<SALT_LEN>().ok_or(cannot("it has no salt"))?;
    if !leaf.discloses(salt, json) {
        return Err(cannot("it is not what its commitment says"));
    }
    Ok(Opened::Event { json: json.to_vec(), salt: *salt })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keyring::MemoryKeyring,
        leaf::{Place, encode},
    };
    use sallyport_model::{EventId, EventKind, SeededRng, Timestamp};
    use std::sync::Arc;

    fn event(rng: &SeededRng) -> AuditEvent {
        let now = Timestamp::from_secs(1_700_000_000);
        let mut event = AuditEvent::new(EventKind::SignedIn, EventId::mint(now, rng), now);
        event.tenant = Some(TenantId::new("acme").unwrap());
        event
    }

    #[test]
    fn an_event_opens_only_unaltered_and_with_its_key() {
        let rng = SeededRng::new(5);
        let keyring = MemoryKeyring::new(Arc::new(SeededRng::new(6)));
        let event = event(&rng);
        let sealed = seal(&event, &keyring, &rng).unwrap();
        let bytes = encode(&Place { index: 4, tenant_sequence: 2, previous: [0; 32] }, &sealed.body);
        let leaf = Leaf::decode(&bytes).unwrap();
        let opened = open(&leaf, &keyring).unwrap();
        assert_eq!(opened.event(4).unwrap().unwrap(), event);
        let Opened::Event { json, salt } = opened else { panic!("erased") };
        assert!(leaf.discloses(&salt, &json) && !leaf.discloses(&[0; 32], &json));
        // Everything after the writer's part is bound.
        for at in PLACE_LEN..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let opened = Leaf::decode(&altered).map(|leaf| open(&leaf, &keyring));
            assert!(!matches!(opened, Ok(Ok(Opened::Event { .. }))), "byte {at}");
        }
        assert!(keyring.shred(event.tenant.as_ref(), None));
        assert_eq!(open(&leaf, &keyring).unwrap(), Opened::Erased);
    }

    #[test]
    fn an_event_that_is_not_what_was_committed_to_is_refused() {
        let keyring = MemoryKeyring::new(Arc::new(SeededRng::new(6)));
        let (id, key) = keyring.seal_key(None, None).unwrap();
        let commitment = commit(&[1; SALT_LEN], b"{\"said\":1}");
        let aad = Aad::from(additional(NO_TENANT, id.as_str(), &commitment));
        let mut text = [&[1; SALT_LEN], b"{\"said\":2}".as_slice()].concat();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        cipher(&key).unwrap().seal_in_place_append_tag(nonce, aad, &mut text).unwrap();
        let body = encode_body(NO_TENANT, id.as_str(), &[0; 12], &commitment, &text);
        let leaf = Leaf::decode(&encode(&Place { index: 0, tenant_sequence: 0, previous: [0; 32] }, &body)).unwrap();
        let refused = open(&leaf, &keyring);
        assert!(matches!(refused, Err(LedgerError::CannotOpen { why: "it is not what its commitment says", .. })));
    }

    #[test]
    fn an_event_that_no_leaf_can_hold_is_refused() {
        let rng = SeededRng::new(5);
        let keyring = MemoryKeyring::new(Arc::new(SeededRng::new(6)));
        let mut event = event(&rng);
        event.facts.insert("text".into(), "x".repeat(LEAF_LIMIT).into());
        assert!(matches!(seal(&event, &keyring, &rng), Err(RecordError::TooLarge { .. })));
    }
}
