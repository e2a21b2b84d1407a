//! Sealing of what a stolen file must not give away: AES-256-GCM under a key derived from the
//! deployment's master key, bound to the table and the row. Never seals what is looked up by value.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Salt},
};
use zeroize::Zeroizing;

use crate::StoreError;

/// The layout `version, nonce (12), ciphertext, tag (16)`.
const VERSION: u8 = 1;

/// Sets this use of the master key apart from every other.
const PURPOSE: &[u8] = b"sallyport storage sealing v1";

/// Seals and opens. Nonces are drawn by the cryptographic library itself: with a generator handed
/// in, a repeatable one would repeat nonces, and that gives the key away.
pub(crate) struct Sealer(RandomizedNonceKey);

impl Sealer {
    pub(crate) fn new(master_key: &[u8; 32]) -> Result<Self, StoreError> {
        let mut key = Zeroizing::new([0u8; 32]);
        Salt::new(HKDF_SHA256, &[])
            .extract(master_key)
            .expand(&[PURPOSE], &AES_256_GCM)
            .and_then(|derived| derived.fill(&mut *key))
            .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, &*key))
            .map(Self)
            .map_err(|_| StoreError::Unavailable("no sealing key could be derived".into()))
    }

    /// Seals `plain` for the row `id` of `table`.
    pub(crate) fn seal(&self, table: &'static str, id: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        // Room for the tag at once: a growing buffer would leave copies of the plaintext behind.
        let mut text = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(plain);
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(bound_to(table, id)), &mut text)
            .map_err(|_| StoreError::Unavailable(format!("a row of {table} could not be sealed")))?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made for the same row of the same table.
    pub(crate) fn open(&self, table: &'static str, id: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = |why: &str| StoreError::Damaged { what: table, why: why.into() };
        let (version, rest) = sealed.split_first().ok_or_else(|| damaged("nothing is sealed there"))?;
        if *version != VERSION {
            return Err(damaged(&format!("sealed in the unknown version {version}")));
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| damaged("it is cut short"))?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(bound_to(table, id)), &mut text)
            .map_err(|_| damaged("its seal does not hold"))?
            .len();
        text.truncate(plain);
        Ok(text)
    }
}

/// What the seal is bound to. The separator is in no table's name, so two rows never read alike.
fn bound_to(table: &'static str, id: &[u8]) -> Vec<u8> {
    [table.as_bytes(), b"\0", id].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(key: u8) -> Sealer {
        Sealer::new(&[key; 32]).unwrap()
    }

    #[test]
    fn a_seal_opens_only_for_its_own_row_table_and_key() {
        let sealed = sealer(1).seal("passkeys", b"a", b"secret").unwrap();
        assert_eq!(sealer(1).open("passkeys", b"a", &sealed).unwrap().as_slice(), b"secret");
        assert!(sealer(1).open("passkeys", b"b", &sealed).is_err());
        assert!(sealer(1).open("parked", b"a", &sealed).is_err());
        assert!(sealer(2).open("passkeys", b"a", &sealed).is_err());
    }

    #[test]
    fn the_same_text_never_seals_alike() {
        let sealer = sealer(1);
        assert_ne!(sealer.seal("parked", b"a", b"x").unwrap(), sealer.seal("parked", b"a", b"x").unwrap());
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_any_flipped_bit_is_noticed(plain: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let sealer = sealer(7);
            let mut sealed = sealer.seal("parked", b"id", &plain).unwrap();
            let opened = sealer.open("parked", b"id", &sealed).unwrap();
            prop_assert_eq!(&*opened, &plain);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(sealer.open("parked", b"id", &sealed).is_err());
        }

        #[test]
        fn strange_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(sealer(7).open("parked", b"id", &bytes).is_err());
        }
    }
}
