use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    jws,
    oidc::{
        Algorithm, Jwks, JwtFault, Transport,
        tests::{NOW, TestKey, key_set as keys_of, moment, with},
    },
};

const US: &str = "https://gate.example";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn trust(platform: &str, issuer: &str, rules: Value) -> WorkloadTrust {
    let written = json!({"platform": platform, "issuer": issuer, "keys": "discovery", "rules": rules});
    serde_json::from_value(written).unwrap()
}

fn github() -> WorkloadTrust {
    let rules = json!([{"claim": "repository", "equals": "acme/app"}, {"claim": "ref", "equals": "refs/heads/main"}]);
    trust("github_actions", GITHUB, rules)
}

/// A token of GitHub Actions as its documentation shows it, with our audience.
fn github_claims() -> Value {
    json!({"jti": "example-id", "sub": "repo:acme/app:ref:refs/heads/main", "aud": US, "ref": "refs/heads/main",
        "repository": "acme/app", "repository_id": "74", "repository_owner": "acme", "repository_visibility": "private",
        "actor": "octocat", "workflow": "example-workflow", "run_attempt": "2", "iss": GITHUB,
        "nbf": NOW.as_secs() - 60, "exp": NOW.as_secs() + 300, "iat": NOW.as_secs()})
}

fn kubernetes_claims() -> Value {
    json!({"aud": [US], "exp": NOW.as_secs() + 3600, "iat": NOW.as_secs(), "nbf": NOW.as_secs(),
        "iss": "https://cluster.example",
        "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "bot", "uid": "e6a8680e"},
            "pod": {"name": "bot-1", "uid": "0d8b260e"}},
        "sub": "system:serviceaccount:prod:bot"})
}

fn key() -> TestKey {
    TestKey::new("k", Algorithm::Rs256)
}

fn check(token: &str, keys: &Jwks, trust: &WorkloadTrust) -> Result<Workload, WorkloadFault> {
    verify(token, keys, trust, &ExpectWorkload { audience: US, longest: MAX_LIFETIME, moment: moment() })
}

fn changed(trust: &WorkloadTrust, claims: Value, changes: Value) -> Result<Workload, &'static str> {
    let key = TestKey::new("k", Algorithm::Es256);
    let token = key.sign(Some("JWT"), &with(claims, changes));
    check(&token, &keys_of(&[&key]), trust).map_err(|fault| fault.code())
}

#[test]
fn tokens_of_the_known_platforms_pass_with_their_rules() {
    assert_eq!(github().check(Transport::Https), Ok(()));
    let workload = changed(&github(), github_claims(), json!({})).unwrap();
    assert_eq!(
        (workload.subject.as_str(), workload.jti.as_deref()),
        ("repo:acme/app:ref:refs/heads/main", Some("example-id"))
    );

    let rules = json!([{"claim": "sub", "equals": "system:serviceaccount:prod:bot"},
        {"claim": "/kubernetes.io/serviceaccount/uid", "equals": "e6a8680e"}]);
    let kubernetes = trust("kubernetes", "https://cluster.example", rules);
    assert_eq!(kubernetes.check(Transport::Https), Ok(()));
    let key = key();
    let token = key.sign(None, &kubernetes_claims());
    let workload = check(&token, &keys_of(&[&key]), &kubernetes).unwrap();
    assert_eq!((workload.jti, workload.issued_at), (None, Some(NOW)));

    let spiffe =
        trust("spiffe", "spiffe://acme.example", json!([{"claim": "sub", "prefix": "spiffe://acme.example/ns/prod/"}]));
    let claims = json!({"sub": "spiffe://acme.example/ns/prod/bot", "aud": [US, "https://other.example"],
        "exp": NOW.as_secs() + 300});
    let spiffe = WorkloadTrust { keys: WorkloadKeys::JwksUri("https://acme.example/bundle".into()), ..spiffe };
    assert_eq!(spiffe.check(Transport::Https), Ok(()));
    let token = key.sign(Some("JOSE"), &claims);
    let mut bundle = json!({"keys": [key.jwk()], "spiffe_sequence": 1});
    bundle["keys"][0]["use"] = json!("jwt-svid");
    let keys = key_set(Platform::Spiffe, bundle.to_string().as_bytes()).unwrap();
    assert!(check(&token, &keys, &spiffe).unwrap().issued_at.is_none());
    bundle["keys"][0]["use"] = json!("x509-svid");
    assert!(key_set(Platform::Spiffe, bundle.to_string().as_bytes()).is_err(), "a key for certificates");
}

#[test]
fn a_token_for_somebody_else_or_of_another_issuer_is_refused() {
    let github = github();
    assert!(changed(&github, github_claims(), json!({"aud": ["https://a.example", US]})).is_ok());
    for audience in [
        json!("https://github.com/acme"),
        json!("https://gate.example/"),
        json!([]),
        json!(["https://gate.example.evil"]),
    ] {
        assert_eq!(changed(&github, github_claims(), json!({"aud": audience})), Err("jwt_audience"), "{audience}");
    }
    let named = WorkloadTrust { audience: Some("sallyport".into()), ..github.clone() };
    assert!(changed(&named, github_claims(), json!({"aud": "sallyport"})).is_ok());
    assert_eq!(changed(&named, github_claims(), json!({})), Err("jwt_audience"));
    for issuer in
        ["https://token.actions.githubusercontent.com/", "https://token.actions.githubusercontent.com/acme", "x"]
    {
        assert_eq!(changed(&github, github_claims(), json!({"iss": issuer})), Err("jwt_issuer"), "{issuer}");
    }
    for (name, wrong) in [
        ("aud", json!(null)),
        ("iss", json!(null)),
        ("sub", json!(null)),
        ("sub", json!(1)),
        ("exp", json!(null)),
        ("iat", json!(null)),
    ] {
        assert_eq!(changed(&github, github_claims(), json!({name: wrong})), Err("jwt_claim"), "{name}");
    }
    let (ours, theirs) = (key(), key());
    let token = theirs.sign(Some("JWT"), &github_claims());
    assert_eq!(check(&token, &keys_of(&[&ours]), &github), Err(JwtFault::Signature.into()));
    let unknown = TestKey::new("other", Algorithm::Rs256).sign(Some("JWT"), &github_claims());
    assert_eq!(check(&unknown, &keys_of(&[&ours]), &github).unwrap_err().code(), "jwt_unknown_key");
}

#[test]
fn every_rule_must_hold_and_an_absent_claim_never_does() {
    let github = github();
    for changes in [
        json!({"repository": "acme/other"}),
        json!({"repository": "acme/app2"}),
        json!({"repository": "Acme/App"}),
        json!({"repository": null}),
        json!({"repository": ["acme/app"]}),
        json!({"ref": "refs/pull/1/merge"}),
        json!({"ref": null}),
    ] {
        assert_eq!(changed(&github, github_claims(), changes.clone()), Err("workload_rule"), "{changes}");
    }
    let number = trust("github_actions", GITHUB, json!([{"claim": "repository_id", "equals": "74"}]));
    assert!(changed(&number, github_claims(), json!({})).is_ok());
    assert_eq!(changed(&number, github_claims(), json!({"repository_id": 74})), Err("workload_rule"));
    let none = WorkloadTrust { rules: Vec::new(), ..github };
    assert_eq!(changed(&none, github_claims(), json!({})), Err("workload_rule"), "a trust that was never checked");
}

#[test]
fn another_kind_of_token_is_no_proof_of_a_workload() {
    let key = key();
    for typ in ["at+jwt", "oauth-id-jag+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", ""] {
        let token = key.sign(Some(typ), &github_claims());
        assert_eq!(check(&token, &keys_of(&[&key]), &github()).unwrap_err().code(), "jwt_type", "{typ}");
    }
    let event = with(github_claims(), json!({"events": {}}));
    let token = key.sign(Some("JWT"), &event);
    assert_eq!(check(&token, &keys_of(&[&key]), &github()).unwrap_err().code(), "jwt_type");
    for alg in ["none", "HS256", "RS384"] {
        let header = with(key.header(Some("JWT")), json!({"alg": alg})).to_string();
        let token = key.forge(&header, &github_claims().to_string());
        assert_eq!(check(&token, &keys_of(&[&key]), &github()).unwrap_err().code(), "jwt_algorithm", "{alg}");
    }
    let input = format!(
        "{}.{}",
        jws::encode(with(key.header(None), json!({"alg": "HS256"})).to_string().as_bytes()),
        jws::encode(github_claims().to_string().as_bytes())
    );
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key.public());
    let forged = format!("{input}.{}", jws::encode(aws_lc_rs::hmac::sign(&secret, input.as_bytes()).as_ref()));
    assert_eq!(check(&forged, &keys_of(&[&key]), &github()).unwrap_err().code(), "jwt_algorithm");
}

#[test]
fn times_and_life_are_bounded() {
    let at = |iat: i64, exp: i64, nbf: i64| {
        let at = |offset| NOW.as_secs().checked_add_signed(offset).unwrap();
        changed(&github(), github_claims(), json!({"iat": at(iat), "exp": at(exp), "nbf": at(nbf)})).map(|_| ())
    };
    assert_eq!(at(0, 86_400, 0), Ok(()));
    assert_eq!(at(0, 86_401, 0), Err("workload_lifetime"));
    assert_eq!(at(-31_536_000, 300, 0), Err("workload_lifetime"), "a token of a year");
    assert_eq!(at(-300, -60, -300), Err("jwt_expired"));
    assert_eq!(at(61, 300, 0), Err("jwt_from_future"));
    assert_eq!(at(0, 300, 61), Err("jwt_from_future"));
    let claims = json!({"sub": "spiffe://acme.example/a", "aud": US, "exp": NOW.as_secs() + 86_401});
    let spiffe =
        trust("spiffe", "spiffe://acme.example", json!([{"claim": "sub", "equals": "spiffe://acme.example/a"}]));
    assert_eq!(changed(&spiffe, claims.clone(), json!({})), Err("workload_lifetime"), "counted from now");
    assert_eq!(
        changed(&spiffe, claims, json!({"exp": NOW.as_secs() + 60, "nbf": NOW.as_secs() + 61})),
        Err("jwt_from_future")
    );
}

#[test]
fn a_spiffe_id_is_of_the_trust_domain() {
    let spiffe = trust("spiffe", "spiffe://acme.example", json!([{"claim": "aud", "equals": US}]));
    let claims = |sub: &str| json!({"sub": sub, "aud": US, "exp": NOW.as_secs() + 60});
    assert!(changed(&spiffe, claims("spiffe://acme.example/a"), json!({})).is_ok());
    for sub in [
        "spiffe://evil.example/a",
        "spiffe://acme.example",
        "spiffe://acme.example/",
        "spiffe://acme.example.evil/a",
        "https://acme.example/a",
        "a",
    ] {
        assert_eq!(changed(&spiffe, claims(sub), json!({})), Err("workload_trust_domain"), "{sub}");
    }
}

#[test]
fn a_trust_that_every_workload_of_the_issuer_meets_is_refused() {
    let cluster = "https://cluster.example";
    for (platform, issuer, rule) in [
        ("kubernetes", cluster, json!({"claim": "sub", "prefix": "system:serviceaccount:"})),
        ("kubernetes", cluster, json!({"claim": "sub", "prefix": "system:"})),
        ("kubernetes", cluster, json!({"claim": "iss", "equals": cluster})),
        ("kubernetes", cluster, json!({"claim": "/kubernetes.io/serviceaccount/name", "equals": "default"})),
        ("github_actions", GITHUB, json!({"claim": "sub", "prefix": "repo:"})),
        ("github_actions", GITHUB, json!({"claim": "aud", "equals": US})),
        ("github_actions", GITHUB, json!({"claim": "ref", "equals": "refs/heads/main"})),
        ("github_actions", GITHUB, json!({"claim": "actor", "equals": "octocat"})),
        ("github_actions", GITHUB, json!({"claim": "repository_visibility", "one_of": ["public", "private"]})),
        (
            "github_actions",
            GITHUB,
            json!({"claim": "job_workflow_ref", "equals": "acme/w/.github/workflows/a.yml@refs/heads/main"}),
        ),
        ("gitlab", "https://gitlab.com", json!({"claim": "ref", "equals": "main"})),
        ("spiffe", "https://spire.example", json!({"claim": "sub", "prefix": "spiffe://acme.example/"})),
        ("spiffe", "https://spire.example", json!({"claim": "sub", "prefix": "spiffe:"})),
        ("google", "https://accounts.google.com", json!({"claim": "email_verified", "equals": true})),
        ("google", "https://accounts.google.com", json!({"claim": "hd", "equals": "acme.example"})),
        ("entra", "https://login.microsoftonline.com/t/v2.0", json!({"claim": "tid", "equals": "t"})),
        ("aws", "https://a.tokens.sts.global.api.aws", json!({"claim": "sub", "prefix": "arn:aws:iam::1:"})),
        ("other", "https://ci.example", json!({"claim": "sub", "prefix": "project:"})),
        ("other", "https://ci.example", json!({"claim": "project", "equals": "a"})),
    ] {
        let fault = trust(platform, issuer, json!([rule])).check(Transport::Https).unwrap_err();
        assert_eq!(fault.code(), "workload_trust_too_wide", "{platform}: {rule}");
    }
    for (platform, issuer, rule) in [
        ("kubernetes", cluster, json!({"claim": "sub", "prefix": "system:serviceaccount:prod:"})),
        ("kubernetes", cluster, json!({"claim": "/kubernetes.io/namespace", "equals": "prod"})),
        ("github_actions", GITHUB, json!({"claim": "repository", "one_of": ["acme/a", "acme/b"]})),
        ("github_actions", GITHUB, json!({"claim": "sub", "prefix": "repo:acme/"})),
        ("gitlab", "https://gitlab.com", json!({"claim": "project_path", "equals": "acme/app"})),
        (
            "google",
            "https://accounts.google.com",
            json!({"claim": "email", "equals": "bot@acme.iam.gserviceaccount.com"}),
        ),
        ("entra", "https://login.microsoftonline.com/t/v2.0", json!({"claim": "oid", "equals": "o"})),
        ("aws", "https://a.tokens.sts.global.api.aws", json!({"claim": "sub", "equals": "arn:aws:iam::1:role/bot"})),
        ("other", "https://ci.example", json!({"claim": "sub", "equals": "job-1"})),
    ] {
        assert_eq!(trust(platform, issuer, json!([rule])).check(Transport::Https), Ok(()), "{platform}: {rule}");
    }
}

#[test]
fn a_malformed_trust_is_refused_by_name() {
    let code = |trust: WorkloadTrust| trust.check(Transport::Https).map_err(|fault| fault.code());
    for issuer in ["http://token.example", "token.example", "", "https://u@token.example", "https://token.example/?a=b"]
    {
        assert_eq!(
            code(WorkloadTrust { platform: Platform::Other, issuer: issuer.into(), ..github() }),
            Err("workload_trust_issuer")
        );
    }
    for issuer in ["spiffe://", "spiffe://acme.example/a", "spiffe://ACME"] {
        let trust = WorkloadTrust { platform: Platform::Spiffe, issuer: issuer.into(), ..github() };
        assert_eq!(code(trust), Err("workload_trust_issuer"), "{issuer}");
    }
    assert_eq!(code(WorkloadTrust { platform: Platform::Other, ..github() }), Err("workload_trust_platform"));
    assert_eq!(code(WorkloadTrust { audience: Some(String::new()), ..github() }), Err("workload_trust_audience"));
    assert_eq!(code(WorkloadTrust { rules: Vec::new(), ..github() }), Err("workload_trust_rule"));
    let many = vec![github().rules[0].clone(); 17];
    assert_eq!(code(WorkloadTrust { rules: many, ..github() }), Err("workload_trust_rule"));
    for keys in [
        WorkloadKeys::JwksUri("http://token.example/jwks".into()),
        WorkloadKeys::Jwks(json!({"keys": []})),
        WorkloadKeys::Jwks(json!({"keys": [{"kty": "oct", "k": "AA"}]})),
    ] {
        assert_eq!(code(WorkloadTrust { keys, ..github() }), Err("workload_trust_keys"));
    }
    let domain = WorkloadTrust { platform: Platform::Spiffe, issuer: "spiffe://acme.example".into(), ..github() };
    assert_eq!(code(domain), Err("workload_trust_keys"), "nothing to discover");
    assert_eq!(code(WorkloadTrust { keys: WorkloadKeys::Jwks(json!({"keys": [key().jwk()]})), ..github() }), Ok(()));
    let unknown = json!({"platform": "other", "issuer": "https://a", "keys": "discovery", "rules": [], "allow": "all"});
    assert!(serde_json::from_value::<WorkloadTrust>(unknown).is_err());
}

#[test]
fn two_uses_of_one_token_have_one_id() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = keys_of(&[&key]);
    let id = |claims: &Value| check(&key.sign(None, claims), &keys, &github()).unwrap().replay_id();
    assert_eq!(id(&github_claims()), id(&with(github_claims(), json!({"run_attempt": "3"}))), "by jti");
    let without = with(github_claims(), json!({"jti": null}));
    assert_eq!(id(&without), id(&without), "by its signed bytes, whatever the signature");
    assert_ne!(id(&without), id(&with(without.clone(), json!({"run_attempt": "3"}))));
}

proptest! {
    #[test]
    fn no_string_panics_or_passes(token in "[A-Za-z0-9_.=-]{0,120}|\\PC{0,60}") {
        let key = TestKey::new("k", Algorithm::Es256);
        prop_assert!(check(&token, &keys_of(&[&key]), &github()).is_err());
    }

    #[test]
    fn no_bundle_panics(text in "\\{\"keys\":\\[(\\{\"use\":\"(jwt-svid|sig|x)\",\"kty\":\"(EC|RSA|oct)\"\\},?){0,3}\\]\\}|\\PC{0,60}") {
        let _ = key_set(Platform::Spiffe, text.as_bytes());
    }
}
