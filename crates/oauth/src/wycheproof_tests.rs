//! Wycheproof's signature vectors, each against the JWK of its key: what every token and proof here rests on.

use serde_json::{Map, Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::{jws, oidc::Algorithm};

/// Counts what was refused and what passed, so that no empty set of vectors passes.
#[derive(Default)]
struct Tally {
    valid: usize,
    invalid: usize,
}

impl Tally {
    fn check(&mut self, algorithm: Algorithm, key: &Map<String, Value>, case: (&[u8], &[u8], TestResult), name: &str) {
        let (message, signature, result) = case;
        let verified = algorithm.verifies(key, message, signature);
        match result {
            TestResult::Valid => {
                assert!(verified, "{name}: a good signature is refused");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!verified, "{name}: a bad signature passes");
                self.invalid += 1;
            }
            TestResult::Acceptable => {}
        }
    }
}

fn object(jwk: Value) -> Map<String, Value> {
    jwk.as_object().unwrap().clone()
}

fn number(bytes: &[u8]) -> String {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    jws::encode(&bytes[first..])
}

#[test]
fn ecdsa_signatures_are_judged_as_wycheproof_does() {
    for (name, algorithm, curve) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384, "P-384"),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
            let key = object(json!({"kty": "EC", "crv": curve, "x": jws::encode(x), "y": jws::encode(y)}));
            for test in group.tests {
                let case = (test.msg.as_ref(), test.sig.as_ref(), test.result);
                tally.check(algorithm, &key, case, &format!("{curve} {}", test.tc_id));
            }
        }
        assert!(tally.valid > 100 && tally.invalid > 50, "{curve}: {} and {}", tally.valid, tally.invalid);
    }
}

#[test]
fn a_der_signature_is_no_jose_signature() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    for group in set.test_groups {
        let (x, y) = group.key.key[1..].split_at(32);
        let key = object(json!({"kty": "EC", "crv": "P-256", "x": jws::encode(x), "y": jws::encode(y)}));
        for test in group.tests {
            assert!(!Algorithm::Es256.verifies(&key, &test.msg, &test.sig), "{}", test.tc_id);
        }
    }
}

#[test]
fn ed25519_signatures_are_judged_as_wycheproof_does() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = object(json!({"kty": "OKP", "crv": "Ed25519", "x": jws::encode(&group.key.pk)}));
        for test in group.tests {
            let case = (test.msg.as_ref(), test.sig.as_ref(), test.result);
            tally.check(Algorithm::EdDsa, &key, case, &format!("Ed25519 {}", test.tc_id));
        }
    }
    assert!(tally.valid > 50 && tally.invalid > 30, "{} and {}", tally.valid, tally.invalid);
}

#[test]
fn rsa_signatures_are_judged_as_wycheproof_does() {
    let jwk = |n: &[u8], e: &[u8]| object(json!({"kty": "RSA", "n": number(n), "e": number(e)}));
    let mut tally = Tally::default();
    for name in [rsa_pkcs1_verify::TestName::Rsa2048Sha256, rsa_pkcs1_verify::TestName::Rsa4096Sha256] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = jwk(&group.key.n, &group.key.e);
            for test in group.tests {
                let case = (test.msg.as_ref(), test.sig.as_ref(), test.result);
                tally.check(Algorithm::Rs256, &key, case, &format!("{name:?} {}", test.tc_id));
            }
        }
    }
    for name in [
        rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32,
        rsa_pss_verify::TestName::RsaPss4096Sha256Mgf1SaltLen32,
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = jwk(&group.key.n, &group.key.e);
            for test in group.tests {
                let case = (test.msg.as_ref(), test.sig.as_ref(), test.result);
                tally.check(Algorithm::Ps256, &key, case, &format!("{name:?} {}", test.tc_id));
            }
        }
    }
    assert!(tally.valid > 50 && tally.invalid > 300, "{} and {}", tally.valid, tally.invalid);
}

#[test]
fn a_pss_signature_with_another_salt_or_hash_is_no_ps256() {
    use rsa_pss_verify::TestName::{RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1Sha1_20};
    for name in [RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1Sha1_20] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = object(json!({"kty": "RSA", "n": number(&group.key.n), "e": number(&group.key.e)}));
            // What is bad there may be good here.
            for test in group.tests.into_iter().filter(|test| test.result == TestResult::Valid) {
                assert!(!Algorithm::Ps256.verifies(&key, &test.msg, &test.sig), "{name:?} {}", test.tc_id);
            }
        }
    }
}
