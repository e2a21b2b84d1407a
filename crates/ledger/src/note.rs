//! Signed notes, verifier keys and checkpoints: C2SP signed-note and tlog-checkpoint, with Ed25519
//! (signature type 0x01) and nothing else.
//!
//! It never trusts a text before one known key has signed it.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::hex;

use crate::{
    LedgerError,
    merkle::{Hash, sha256},
};

const ED25519_TYPE: u8 = 0x01;
/// Longer notes are refused: 16 signatures of any kind in use fit.
const NOTE_LIMIT: usize = 128 * 1024;
const SIGNATURE_LIMIT: usize = 64;

/// Whether `name` may stand as key name and origin.
fn check_name(name: &str) -> Result<(), LedgerError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > 255 || name.chars().any(bad) {
        return Err(LedgerError::BadOrigin(name.chars().take(80).collect()));
    }
    Ok(())
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[ED25519_TYPE], public]);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A public key that checkpoints are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// Reads a vkey: `NAME+HEX(key id)+BASE64(0x01 ‖ public key)`.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let bad = LedgerError::BadVerifierKey;
        let mut parts = text.trim_end_matches(['\n', '\r']).splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it has not the form NAME+ID+KEY"));
        };
        check_name(name)?;
        let key = STANDARD.decode(key).map_err(|_| bad("its key is not base64"))?;
        let Some((&ED25519_TYPE, public)) = key.split_first() else {
            return Err(bad("it is not an Ed25519 key"));
        };
        let public: [u8; 32] = public.try_into().map_err(|_| bad("its key is not 32 bytes"))?;
        let key = Self { name: name.to_owned(), id: key_id(name, &public), public };
        if key.to_string() != text.trim_end_matches(['\n', '\r']) || hex(&key.id) != id {
            return Err(bad("its key id does not belong to its name and key"));
        }
        Ok(key)
    }

    /// The key's name; by our convention also the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The vkey text, without a newline.
impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![ED25519_TYPE];
        key.extend(self.public);
        write!(f, "{}+{}+{}", self.name, hex(&self.id), STANDARD.encode(key))
    }
}

/// Signs a log's checkpoints. The origin is the key's name.
#[derive(Debug)]
pub struct LogSigner {
    key: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl LogSigner {
    /// From the log's origin and an Ed25519 seed (RFC 8032's 32-byte private key).
    pub fn from_seed(origin: &str, seed: &[u8; 32]) -> Result<Self, LedgerError> {
        check_name(origin)?;
        let key = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| LedgerError::BadVerifierKey("the seed is refused"))?;
        let mut public = [0u8; 32];
        public.copy_from_slice(key.public_key().as_ref());
        let verifier = VerifierKey { name: origin.to_owned(), id: key_id(origin, &public), public };
        Ok(Self { key, verifier })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note of a checkpoint over the first `size` entries.
    pub fn sign(&self, size: u64, root: &Hash) -> String {
        let text = format!("{}\n{size}\n{}\n", self.verifier.name, STANDARD.encode(root));
        let mut signature = self.verifier.id.to_vec();
        signature.extend(self.key.sign(text.as_bytes()).as_ref());
        format!("{text}\n— {} {}\n", self.verifier.name, STANDARD.encode(signature))
    }
}

/// A checkpoint whose signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The note as it was read.
    pub note: String,
}

impl Checkpoint {
    /// Checks the signature by `key` and reads the checkpoint of the log `origin`.
    pub fn verify(note: &[u8], key: &VerifierKey, origin: &str) -> Result<Self, LedgerError> {
        let bad = LedgerError::BadCheckpoint;
        if note.len() > NOTE_LIMIT {
            return Err(bad("it is too long"));
        }
        let note = std::str::from_utf8(note).map_err(|_| bad("it is not UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(bad("it holds a control character"));
        }
        let cut = note.rfind("\n\n").ok_or(bad("it has no signatures"))?;
        let (text, signatures) = (&note[..=cut], &note[cut + 2..]);
        check_signatures(text, signatures, key)?;
        let (size, root) = read_body(text, origin)?;
        Ok(Self { origin: origin.to_owned(), size, root, note: note.to_owned() })
    }
}

/// At least one signature by `key`, and none by it that fails.
fn check_signatures(text: &str, signatures: &str, key: &VerifierKey) -> Result<(), LedgerError> {
    let bad = LedgerError::BadCheckpoint;
    let body = signatures.strip_suffix('\n').ok_or(bad("its last line does not end"))?;
    let mut verified = false;
    for (n, line) in body.split('\n').enumerate() {
        let rest = line.strip_prefix("— ").ok_or(bad("a signature line is malformed"))?;
        let (name, signature) = rest.split_once(' ').ok_or(bad("a signature line is malformed"))?;
        let signature = STANDARD.decode(signature).map_err(|_| bad("a signature is not base64"))?;
        if name.is_empty() || signature.len() < 5 || n >= SIGNATURE_LIMIT {
            return Err(bad("a signature line is malformed, or there are too many"));
        }
        if name == key.name && signature[..4] == key.id {
            UnparsedPublicKey::new(&ED25519, key.public)
                .verify(text.as_bytes(), &signature[4..])
                .map_err(|_| LedgerError::BadSignature(key.name.clone()))?;
            verified = true;
        }
    }
    if verified { Ok(()) } else { Err(LedgerError::BadSignature(key.name.clone())) }
}

fn read_body(text: &str, origin: &str) -> Result<(u64, Hash), LedgerError> {
    let bad = LedgerError::BadCheckpoint;
    let mut lines = text.strip_suffix('\n').ok_or(bad("its text does not end"))?.split('\n');
    let (Some(found), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(bad("it has fewer than three lines"));
    };
    if found != origin {
        return Err(LedgerError::OtherLog { expected: origin.to_owned(), found: found.to_owned() });
    }
    if lines.any(str::is_empty) {
        return Err(bad("it has an empty extension line"));
    }
    let number: u64 = size.parse().map_err(|_| bad("its size is not a number"))?;
    if number.to_string() != size {
        return Err(bad("its size is not in canonical form"));
    }
    let root = STANDARD.decode(root).map_err(|_| bad("its root is not base64"))?;
    let root: Hash = root.try_into().map_err(|_| bad("its root is not 32 bytes"))?;
    if number == 0 && root != crate::merkle::empty_root() {
        return Err(bad("its root is not that of an empty tree"));
    }
    Ok((number, root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use signed_note::{Note, StandardVerifier, VerifierList};

    fn signer() -> LogSigner {
        LogSigner::from_seed("example.com/log", &[7; 32]).unwrap()
    }

    #[test]
    fn another_implementation_accepts_our_note_and_key() {
        let signer = signer();
        let note = signer.sign(5, &[9; 32]);
        let verifier = StandardVerifier::new(&signer.verifier().to_string()).unwrap();
        let parsed = Note::from_bytes(note.as_bytes()).unwrap();
        parsed.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
        let theirs = tlog_tiles::checkpoint::Checkpoint::from_bytes(parsed.text()).unwrap();
        assert_eq!((theirs.size(), theirs.hash().0), (5, [9; 32]));
    }

    #[test]
    fn the_example_key_of_the_specification_reads() {
        let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        assert_eq!(VerifierKey::parse(text).unwrap().to_string(), text);
        assert!(VerifierKey::parse(&text.replace("530d", "530e")).is_err());
    }

    #[test]
    fn an_origin_must_fit_a_signed_note() {
        for no in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
            assert!(LogSigner::from_seed(no, &[1; 32]).is_err(), "{no:?}");
        }
    }

    #[test]
    fn another_origin_and_another_key_are_refused() {
        let note = signer().sign(5, &[9; 32]);
        let other = LogSigner::from_seed("example.com/log", &[8; 32]).unwrap();
        let result = Checkpoint::verify(note.as_bytes(), other.verifier(), "example.com/log");
        assert!(matches!(result, Err(LedgerError::BadSignature(_))));
        let result = Checkpoint::verify(note.as_bytes(), signer().verifier(), "example.com/other");
        assert!(matches!(result, Err(LedgerError::OtherLog { .. })));
    }

    proptest! {
        #[test]
        fn no_altered_checkpoint_verifies(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let signer = signer();
            let good = signer.sign(70_000, &[9; 32]).into_bytes();
            prop_assert!(Checkpoint::verify(&good, signer.verifier(), "example.com/log").is_ok());
            let mut note = good.clone();
            let at = at.index(note.len());
            note[at] ^= 1 << bit;
            prop_assert!(Checkpoint::verify(&note, signer.verifier(), "example.com/log").is_err());
        }

        #[test]
        fn strangers_bytes_never_panic(note in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,100}") {
            let signer = signer();
            prop_assert!(Checkpoint::verify(&note, signer.verifier(), "o").is_err());
            prop_assert!(Checkpoint::verify(text.as_bytes(), signer.verifier(), "o").is_err());
            let _ = VerifierKey::parse(&text);
        }
    }
}
