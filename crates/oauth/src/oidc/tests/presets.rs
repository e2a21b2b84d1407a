//! Each vendor's documented quirks, as a login would meet them.

use super::*;
use crate::oidc::{id_token::verify, presets::Groups};

const DIRECTORY: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";

fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "sub": "pairwise", "aud": CLIENT, "iat": NOW.as_secs(), "exp": NOW.as_secs() + 300, "nonce": "n"})
}

fn read(preset: PresetId, rule: &IssuerRule, keys: &Jwks, token: &str, demands: &Demands) -> Result<Claims, OidcFault> {
    let expect = ExpectIdToken {
        issuer: rule,
        client_id: CLIENT,
        algorithms: &[Algorithm::Rs256, Algorithm::Es256],
        nonce: Some("n"),
        subject: None,
        access_token: None,
        code: None,
        demands,
        preset: preset.preset(),
        moment: moment(),
    };
    verify(token, keys, &expect)
}

fn code(result: Result<Claims, OidcFault>) -> &'static str {
    result.map(|_| "fine").unwrap_or_else(|fault| fault.code())
}

fn issuer(preset: PresetId, issuer: &str, directories: &[&str]) -> Result<IssuerRule, &'static str> {
    let directories: Vec<String> = directories.iter().map(|id| (*id).to_owned()).collect();
    preset.preset().issuer_rule(issuer, &directories, Transport::Https).map_err(|fault| fault.code())
}

#[test]
fn each_preset_knows_its_issuers() {
    for preset in PresetId::ALL {
        assert_eq!(PresetId::named(preset.as_str()), Some(preset));
        assert!(issuer(preset, preset.preset().issuer_example, &[]).is_ok(), "{preset:?}");
        assert_eq!(preset.preset().scopes[0], "openid");
    }
    for (preset, bad) in [
        (PresetId::Okta, "https://example.okta.com/oauth2"),
        (PresetId::Okta, "https://example.okta.com/oauth2/default/v1"),
        (PresetId::Entra, "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555"),
        (PresetId::Entra, "https://sts.windows.net/11111111-2222-3333-4444-555555555555/"),
        (PresetId::Entra, "https://login.microsoftonline.com/consumers/v2.0"),
        (PresetId::Entra, "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
        (PresetId::Google, "https://accounts.google.com/"),
        (PresetId::Google, "https://evil.example"),
        (PresetId::Keycloak, "https://sso.example.com/auth"),
        (PresetId::Ping, "https://auth.pingone.com/11111111-2222-3333-4444-555555555555"),
    ] {
        assert_eq!(issuer(preset, bad, &[]).unwrap_err(), "oidc_issuer_form", "{bad}");
    }
    assert!(issuer(PresetId::Okta, "https://example.okta.com/oauth2/default", &[]).is_ok());
    assert!(issuer(PresetId::Keycloak, "https://sso.example.com/auth/realms/acme", &[]).is_ok());
    for preset in PresetId::ALL {
        assert_eq!(issuer(preset, "http://idp.example", &[]).unwrap_err(), "oidc_url");
    }
}

#[test]
fn entra_by_its_own_directory() {
    let iss = format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0");
    let rule = issuer(PresetId::Entra, &iss, &[]).unwrap();
    let key = TestKey::new("k", Algorithm::Rs256);
    let keys = key_set(&[&key]);
    let login = |changes| {
        let claims = with(with(claims(&iss), json!({"tid": DIRECTORY, "oid": "o1"})), changes);
        read(PresetId::Entra, &rule, &keys, &key.sign(Some("JWT"), &claims), &Demands::default())
    };
    assert_eq!(login(json!({})).unwrap().text("oid"), Some("o1"));
    assert_eq!(code(login(json!({"tid": OTHER}))), "oidc_directory");
    assert_eq!(code(login(json!({"tid": null}))), "jwt_claim");
    assert_eq!(code(login(json!({"oid": null}))), "jwt_claim");
    let theirs = format!("https://login.microsoftonline.com/{OTHER}/v2.0");
    assert_eq!(code(login(json!({"iss": theirs, "tid": OTHER}))), "jwt_issuer");
    // The address is what the directory's administrator typed; it is verified only where Entra says so.
    let unverified = login(json!({"email": "ceo@victim.example"})).unwrap();
    assert!(!unverified.email_verified());
    assert!(login(json!({"email": "a@b.example", "xms_edov": true})).unwrap().email_verified());
    assert!(login(json!({"email": "a@b.example", "xms_edov": 1})).unwrap().email_verified());
    assert!(!login(json!({"email": "a@b.example", "email_verified": 1})).unwrap().email_verified());
    assert!(
        !login(json!({"email": "a@b.example", "xms_edov": "1", "email_verified": "true"})).unwrap().email_verified()
    );
}

#[test]
fn entra_by_its_shared_issuer_takes_the_listed_directories_only() {
    let shared = "https://login.microsoftonline.com/organizations/v2.0";
    assert_eq!(issuer(PresetId::Entra, shared, &[]).unwrap_err(), "oidc_directories_missing");
    assert_eq!(issuer(PresetId::Entra, shared, &["common"]).unwrap_err(), "oidc_directories_missing");
    let rule = issuer(PresetId::Entra, shared, &[DIRECTORY]).unwrap();
    assert_eq!(
        rule.metadata_urls()[0].as_str(),
        "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration"
    );
    // What that address answers with.
    let document = with(
        metadata_document(),
        json!({
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0", "code_challenge_methods_supported": null,
            "authorization_response_iss_parameter_supported": null,
        }),
    );
    let metadata = ProviderMetadata::parse(document.to_string().as_bytes(), &rule, Transport::Https).unwrap();
    assert_eq!(metadata.issuer, "https://login.microsoftonline.com/{tenantid}/v2.0");
    let key = TestKey::new("k", Algorithm::Rs256);
    let login = |tid: &str, in_issuer: &str, key_issuer: Value| {
        let mut jwk = key.jwk();
        jwk["issuer"] = key_issuer;
        let keys = Jwks::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        let iss = format!("https://login.microsoftonline.com/{in_issuer}/v2.0");
        let claims = with(claims(&iss), json!({"tid": tid, "oid": "o1"}));
        code(read(PresetId::Entra, &rule, &keys, &key.sign(Some("JWT"), &claims), &Demands::default()))
    };
    let template = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
    assert_eq!(login(DIRECTORY, DIRECTORY, template.clone()), "fine");
    assert_eq!(login(OTHER, OTHER, template.clone()), "jwt_issuer");
    assert_eq!(login(OTHER, DIRECTORY, template.clone()), "jwt_issuer");
    assert_eq!(login(DIRECTORY, OTHER, template.clone()), "jwt_issuer");
    assert_eq!(login("{tenantid}", "{tenantid}", template), "jwt_issuer");
    // A key of one customer's never signs for another's.
    let theirs = json!(format!("https://login.microsoftonline.com/{OTHER}/v2.0"));
    assert_eq!(login(DIRECTORY, DIRECTORY, theirs), "jwt_key_issuer");
}

#[test]
fn entra_says_when_there_are_too_many_groups() {
    let iss = format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0");
    let rule = issuer(PresetId::Entra, &iss, &[]).unwrap();
    let key = TestKey::new("k", Algorithm::Rs256);
    let keys = key_set(&[&key]);
    let groups = |changes, claim| {
        let claims = with(with(claims(&iss), json!({"tid": DIRECTORY, "oid": "o1"})), changes);
        let claims = read(PresetId::Entra, &rule, &keys, &key.sign(None, &claims), &Demands::default()).unwrap();
        PresetId::Entra.preset().groups(&claims, claim).map_err(|fault| fault.code())
    };
    assert_eq!(groups(json!({"groups": ["g1", "g2"]}), None), Ok(Groups::Listed(vec!["g1".into(), "g2".into()])));
    let distributed =
        json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}});
    assert_eq!(groups(distributed, None), Ok(Groups::Overage));
    assert_eq!(groups(json!({"hasgroups": true}), None), Ok(Groups::Overage));
    assert_eq!(groups(json!({"hasgroups": "true"}), None), Ok(Groups::Overage));
    assert_eq!(groups(json!({"hasgroups": false}), None), Ok(Groups::Absent));
    assert_eq!(groups(json!({"roles": ["Admin"]}), Some("roles")), Ok(Groups::Listed(vec!["Admin".into()])));
    assert_eq!(groups(json!({"groups": "one"}), None), Ok(Groups::Listed(vec!["one".into()])));
    for bad in [json!({"groups": {}}), json!({"groups": [1]}), json!({"groups": [""]}), json!({"groups": true})] {
        assert_eq!(groups(bad.clone(), None), Err("oidc_groups"), "{bad}");
    }
    let many: Vec<String> = (0..2001).map(|n| n.to_string()).collect();
    assert_eq!(groups(json!({ "groups": many }), None), Err("oidc_groups"));
    assert!(OidcFault::GroupsOverage.remedy().unwrap().contains("app roles"));
}

#[test]
fn google_by_its_workspace_only() {
    let rule = issuer(PresetId::Google, "https://accounts.google.com", &[]).unwrap();
    let key = TestKey::new("k", Algorithm::Rs256);
    let keys = key_set(&[&key]);
    let demands = Demands { hosted_domains: vec!["acme.example".into()], ..Demands::default() };
    let login = |iss: &str, changes, demands: &Demands| {
        code(read(PresetId::Google, &rule, &keys, &key.sign(None, &with(claims(iss), changes)), demands))
    };
    for iss in ["https://accounts.google.com", "accounts.google.com"] {
        assert_eq!(login(iss, json!({"hd": "acme.example"}), &demands), "fine");
        assert_eq!(login(iss, json!({"hd": "ACME.example"}), &demands), "fine");
        assert_eq!(login(iss, json!({"hd": "evil.example"}), &demands), "oidc_hosted_domain");
        // A private account has no `hd`, whatever its address.
        let private = json!({"email": "ceo@acme.example", "email_verified": true});
        assert_eq!(login(iss, private, &demands), "oidc_hosted_domain");
        assert_eq!(login(iss, json!({"hd": "acme.example"}), &Demands::default()), "oidc_hosted_domain");
    }
    assert_eq!(login("http://accounts.google.com", json!({"hd": "acme.example"}), &demands), "jwt_issuer");
    let mfa = Demands { mfa: true, ..demands };
    let fault = read(
        PresetId::Google,
        &rule,
        &keys,
        &key.sign(None, &with(claims("accounts.google.com"), json!({"hd": "acme.example", "amr": ["mfa"]}))),
        &mfa,
    );
    assert!(fault.unwrap_err().remedy().unwrap().contains("2-Step"));
}

#[test]
fn okta_and_ping_and_keycloak_show_factors_in_their_ways() {
    let key = TestKey::new("k", Algorithm::Rs256);
    let keys = key_set(&[&key]);
    let mfa = |preset: PresetId, changes, mfa_acr: &[&str]| {
        let iss = preset.preset().issuer_example;
        let rule = issuer(preset, iss, &[]).unwrap();
        let mfa_acr = mfa_acr.iter().map(|acr| (*acr).to_owned()).collect();
        let demands = Demands { mfa: true, mfa_acr, ..Demands::default() };
        code(read(preset, &rule, &keys, &key.sign(None, &with(claims(iss), changes)), &demands))
    };
    assert_eq!(mfa(PresetId::Okta, json!({"amr": ["mfa", "otp", "pwd"]}), &[]), "fine");
    assert_eq!(mfa(PresetId::Okta, json!({"acr": "urn:okta:loa:2fa:any"}), &[]), "fine");
    for one_factor in ["urn:okta:loa:1fa:any", "urn:okta:loa:2fa:any:ifpossible", "phr"] {
        assert_eq!(mfa(PresetId::Okta, json!({"acr": one_factor, "amr": ["pwd"]}), &[]), "oidc_mfa", "{one_factor}");
    }
    assert_eq!(mfa(PresetId::Keycloak, json!({"acr": "2", "typ": "ID"}), &[]), "oidc_mfa");
    assert_eq!(mfa(PresetId::Keycloak, json!({"acr": "2", "typ": "ID"}), &["2"]), "fine");
    assert_eq!(mfa(PresetId::Ping, json!({"acr": "Multi_Factor"}), &["Multi_Factor"]), "fine");
    assert_eq!(mfa(PresetId::Ping, json!({"acr": "Single_Factor"}), &["Multi_Factor"]), "oidc_mfa");
    assert_eq!(
        mfa(PresetId::Standard, json!({"acr": "urn:okta:loa:2fa:any"}), &[]),
        "oidc_mfa",
        "another vendor's name"
    );
}
