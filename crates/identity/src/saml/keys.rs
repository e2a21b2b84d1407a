//! Our keys of one SAML connection, as its settings keep them: JSON, sealed at rest with everything else there.
//!
//! To roll over without a break: [`SamlKeyStep::Announce`], wait until the provider has read our metadata again,
//! [`SamlKeyStep::Use`], wait once more, [`SamlKeyStep::Retire`].

use base64::{Engine, engine::general_purpose::STANDARD};
use sallyport_model::{Rng, Timestamp};
use sallyport_saml::{SamlFault, SpKey, SpKeys};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::IdentityError;

/// What the settings keep.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// What messages are signed with.
    signing: KeptKey,
    /// What they will be signed with: in the metadata, not in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    announced: Vec<KeptKey>,
    /// What assertions may be encrypted for; all are tried.
    decryption: Vec<KeptKey>,
}

/// Both in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptKey {
    pkcs8: String,
    certificate: String,
}

/// A step of a roll-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamlKeyStep {
    /// New keys stand in the metadata: one that will sign, one that assertions may be encrypted for.
    Announce,
    /// The announced key signs; the one before is gone.
    Use,
    /// Only what the newest key can decrypt is decrypted.
    Retire,
}

/// Makes the keys of a connection whose entity id of ours is `entity_id`, as
/// [`SamlSettings::keys`](crate::settings::SamlSettings::keys) holds them. Takes up to two seconds.
///
/// # Errors
/// [`IdentityError::SamlKeys`].
pub fn new_saml_keys(entity_id: &str, now: Timestamp, rng: &dyn Rng) -> Result<String, IdentityError> {
    let keys = SpKeys::generate(entity_id, now, rng).map_err(IdentityError::SamlKeys)?;
    let decryption = keys.decryption.iter().map(KeptKey::of).collect();
    written(&Kept { signing: KeptKey::of(&keys.signing), announced: Vec::new(), decryption })
}

/// Takes one step of a roll-over of `keys`; what the settings are to hold from now on. Takes up to two seconds.
///
/// # Errors
/// [`IdentityError::SamlKeys`] where they cannot be read, where something is announced already, or nothing that
/// could be used.
pub fn rotate_saml_keys(
    keys: &str,
    entity_id: &str,
    step: SamlKeyStep,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<String, IdentityError> {
    let mut kept = parsed(keys)?;
    match step {
        SamlKeyStep::Announce if !kept.announced.is_empty() => {
            let already = SamlFault::BadKey { why: "the next one was announced already" };
            return Err(IdentityError::SamlKeys(already));
        }
        SamlKeyStep::Announce => {
            let fresh = || SpKey::generate(entity_id, now, rng).map_err(IdentityError::SamlKeys);
            kept.announced = vec![KeptKey::of(&fresh()?)];
            kept.decryption.insert(0, KeptKey::of(&fresh()?));
        }
        SamlKeyStep::Use => {
            let next = kept.announced.pop();
            let none = SamlFault::BadKey { why: "none was announced that could be used" };
            kept.signing = next.ok_or(IdentityError::SamlKeys(none))?;
            kept.announced.clear();
        }
        SamlKeyStep::Retire => kept.decryption.truncate(1),
    }
    written(&kept)
}

/// The keys, ready for use.
pub(super) fn read(keys: &str) -> Result<SpKeys, IdentityError> {
    let kept = parsed(keys)?;
    let announced = kept.announced.iter().map(|key| Ok(key.read()?.certificate().clone()));
    Ok(SpKeys {
        signing: kept.signing.read()?,
        announced: announced.collect::<Result<_, IdentityError>>()?,
        decryption: kept.decryption.iter().map(KeptKey::read).collect::<Result<_, _>>()?,
    })
}

fn parsed(keys: &str) -> Result<Kept, IdentityError> {
    let bad = SamlFault::BadKey { why: "the settings keep it in another form" };
    serde_json::from_str(keys).map_err(|_| IdentityError::SamlKeys(bad))
}

fn written(kept: &Kept) -> Result<String, IdentityError> {
    serde_json::to_string(kept).map_err(|_| IdentityError::Internal("writing SAML keys down"))
}

impl KeptKey {
    fn of(key: &SpKey) -> Self {
        Self { pkcs8: STANDARD.encode(key.pkcs8()), certificate: key.certificate().base64() }
    }

    fn read(&self) -> Result<SpKey, IdentityError> {
        let decoded = |text: &str| {
            let bad = SamlFault::BadKey { why: "the settings keep it in another form" };
            STANDARD.decode(text).map(Zeroizing::new).map_err(|_| IdentityError::SamlKeys(bad))
        };
        SpKey::from_der(&decoded(&self.pkcs8)?, &decoded(&self.certificate)?).map_err(IdentityError::SamlKeys)
    }
}

impl Drop for KeptKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.pkcs8);
    }
}

#[cfg(test)]
mod tests {
    use sallyport_model::SystemRng;

    use super::*;

    const ENTITY: &str = "https://gate.example/signin/saml/c/metadata";

    #[test]
    fn keys_roll_over_in_three_steps() {
        let now = Timestamp::from_secs(1_800_000_000);
        let step = |keys: &str, step| rotate_saml_keys(keys, ENTITY, step, now, &SystemRng);
        let first = new_saml_keys(ENTITY, now, &SystemRng).unwrap();
        let of = |keys: &str| read(keys).unwrap();
        let before = of(&first);
        assert!(before.announced.is_empty() && before.decryption.len() == 1);
        assert_ne!(before.signing.certificate(), before.decryption[0].certificate());
        assert!(matches!(step(&first, SamlKeyStep::Use), Err(IdentityError::SamlKeys(_))));

        let announced = step(&first, SamlKeyStep::Announce).unwrap();
        let during = of(&announced);
        assert_eq!(during.signing.certificate(), before.signing.certificate());
        assert_eq!((during.announced.len(), during.decryption.len()), (1, 2));
        assert!(matches!(step(&announced, SamlKeyStep::Announce), Err(IdentityError::SamlKeys(_))));
        let used = step(&announced, SamlKeyStep::Use).unwrap();
        let after = of(&used);
        assert_eq!(after.signing.certificate(), &during.announced[0]);
        assert!(after.announced.is_empty());
        assert_eq!(after.decryption[1].certificate(), before.decryption[0].certificate(), "the old one still opens");
        let retired = of(&step(&used, SamlKeyStep::Retire).unwrap());
        assert_eq!(retired.decryption.len(), 1);
        assert_eq!(retired.decryption[0].certificate(), during.decryption[0].certificate());
    }

    #[test]
    fn what_is_not_of_our_form_is_no_key() {
        for bad in ["", "{}", "[]", r#"{"signing":{"pkcs8":"!","certificate":""},"decryption":[]}"#] {
            assert!(matches!(read(bad), Err(IdentityError::SamlKeys(_))), "{bad}");
        }
    }
}
