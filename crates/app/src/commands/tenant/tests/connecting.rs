//! Connections made, shown, replaced, switched and removed.

use super::*;

use std::path::PathBuf;

use sallyport_identity::settings::ConnectionSettings;
use sallyport_model::Rng;
use sallyport_saml::{Certificate, SpKey};
use sallyport_storage::Connection;
use serde_json::json;

const ENTRA: &str = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";
const COMMON: &str = "https://login.microsoftonline.com/common/v2.0";

impl Bench {
    async fn only(&self, tenant: &str) -> Connection {
        let mut all = self.store.connections(&id(tenant)).await.unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn okta(rest: &str) -> String {
    format!("tenant connect-oidc beta Okta --preset okta --issuer https://beta.okta.com --client-id 0oa7 {rest}")
}

#[tokio::test]
async fn an_openid_provider_is_connected_and_its_secret_shown_to_nobody() {
    let bench = Bench::new().await;
    let options = "--client-secret-env SECRET --scope groups --acr a --acr b --require-mfa --max-age-seconds 3600 \
                   --admit-group staff --do-not-ask-again";
    let answer = bench.done(&okta(options)).await;
    let kept = bench.only("beta").await;
    let at = |path: &str| format!("https://gate.example/signin/oidc/{}/{path}", kept.id);
    assert_eq!(
        answer.json["urls"],
        json!({
            "redirect_uri": at("callback"), "backchannel_logout_uri": at("logout"),
            "frontchannel_logout_uri": at("frontchannel-logout"),
        })
    );
    let ConnectionSettings::Oidc(settings) = ConnectionSettings::of(&kept).unwrap() else { panic!() };
    assert_eq!((settings.issuer.as_str(), settings.preset.as_str()), ("https://beta.okta.com", "okta"));
    assert_eq!((settings.client_secret.as_deref(), &settings.private_key), (Some(SECRET), &None));
    assert_eq!(
        (settings.demands.acr.len(), settings.demands.mfa, settings.demands.max_age_seconds),
        (2, true, Some(3600))
    );
    assert_eq!((settings.ask_again, settings.mapping.admitted), (false, vec!["staff".to_owned()]));
    assert_eq!(settings.scopes, ["groups"]);
    assert!(answer.remarks.iter().any(|remark| remark.contains("tenant domain add beta")), "{answer:?}");
    let event = bench.noticed().await;
    assert_eq!(
        (&event.facts["action"], &event.facts["issuer"]),
        (&json!("tenant.connect_oidc"), &json!("https://beta.okta.com"))
    );
    let listed = bench.done("tenant connections beta").await;
    let mut first = listed.json[0].clone();
    assert_eq!(first["worst_case_seconds"], 24 * 3600 + 5, "it is not asked: {first}");
    for bound in ["worst_case_seconds", "worst_case"] {
        first.as_object_mut().unwrap().shift_remove(bound);
    }
    assert_eq!(first, answer.json);
    for told in [format!("{answer:?}"), format!("{listed:?}"), json!(event).to_string()] {
        assert!(!told.contains(SECRET), "{told}");
    }
    assert_eq!(bench.json("tenant connections gamma").await, json!([]));
}

#[tokio::test]
async fn a_key_is_made_and_its_public_half_can_be_seen_again() {
    let bench = Bench::new().await;
    let answer = bench.json(&okta("--private-key-jwt")).await;
    let jwk = &answer["jwk"];
    assert_eq!((&jwk["kty"], &jwk["crv"], &jwk["alg"]), (&json!("EC"), &json!("P-256"), &json!("ES256")));
    assert!(jwk.get("d").is_none() && jwk["kid"].as_str().is_some_and(|kid| kid.len() == 43), "{jwk}");
    assert_eq!(bench.json("tenant connections beta").await[0]["jwk"], *jwk);
    assert!(answer["urls"]["jwks_uri"].as_str().is_some_and(|url| url.ends_with("/jwks")));
    // Replaced, with other demands: id, key and since when stay.
    let before = bench.only("beta").await;
    let again = bench.json(&okta("--private-key-jwt --replace --require-mfa")).await;
    assert_eq!((&again["id"], &again["jwk"], &again["demands"]["mfa"]), (&answer["id"], jwk, &json!(true)));
    assert_eq!(bench.only("beta").await.created_at, before.created_at);
    assert_eq!(bench.noticed().await.facts["replaced"], true);
}

#[tokio::test]
async fn entras_key_comes_with_a_certificate() {
    let bench = Bench::new().await;
    let typed =
        format!("tenant connect-oidc beta Entra --preset entra --issuer {ENTRA} --client-id x --private-key-jwt");
    let answer = bench.done(&typed).await;
    let pem = answer.json["certificate"].as_str().unwrap();
    Certificate::from_text(pem).unwrap();
    assert!(answer.lines.iter().any(|line| line == "-----BEGIN CERTIFICATE-----"), "{answer:?}");
    assert!(answer.json.get("jwk").is_none() && answer.json["urls"].get("jwks_uri").is_none());
}

#[tokio::test]
async fn an_openid_connection_that_cannot_work_is_refused_and_nothing_is_kept() {
    let bench = Bench::new().await;
    bench.done(&okta("--client-secret-env SECRET")).await;
    let oidc = |preset: &str, issuer: &str, rest: &str| {
        format!(
            "tenant connect-oidc beta New --preset {preset} --issuer {issuer} --client-id x --client-secret-env SECRET {rest}"
        )
    };
    for (typed, why) in [
        (oidc("standard", "http://idp.example", ""), "is not https"),
        (oidc("standard", "idp.example", ""), "is no URL"),
        (oidc("standard", "https://idp.example/?a=b", ""), "has a query"),
        (oidc("standard", "https://u:p@idp.example", ""), "holds a user name"),
        (oidc("keycloak", "https://idp.example/auth", ""), "--issuer"),
        (oidc("entra", COMMON, ""), "takes the directory's id"),
        (oidc("entra", COMMON, "--organisation acme.example"), "takes the directory's id"),
        (oidc("entra", ENTRA, "--organisation acme.example"), "has the form of a UUID"),
        (oidc("google", "https://accounts.google.com", ""), "anybody who has an account"),
        (oidc("google", "https://accounts.google.com", "--organisation com"), "single label"),
        (oidc("google", "https://accounts.google.com", "--organisation beta.example --require-mfa"), "2-Step"),
        (oidc("standard", "https://idp.example", "--organisation beta.example"), "leave it out"),
        (oidc("standard", "https://idp.example", "--scope a+b"), "is no scope"),
        (oidc("standard", "https://idp.example", "--acr a+b"), "has a space in it"),
        (oidc("standard", "https://idp.example", "--no-create --no-scim-match"), "nobody new"),
        (oidc("standard", "https://idp.example", "").replace("SECRET", "NOWHERE"), "export it before"),
        (oidc("standard", "https://idp.example", "").replace("--client-id x", "--client-id +"), "it is empty"),
        (oidc("standard", "https://idp.example", "--replace"), "no connection `New` to replace"),
        (oidc("standard", "https://idp.example", "").replace("New", &"n".repeat(81)), "longer than 80"),
        (okta("--client-secret-env SECRET"), "a connection `Okta` already"),
        (
            okta("--client-secret-env SECRET --replace").replace("beta.okta", "other.okta"),
            "known by what they are there",
        ),
        (
            "tenant connect-saml beta Okta --metadata-url https://i.example --entity-id e --replace".to_owned(),
            "speaks OpenID",
        ),
        (okta("--private-key-jwt").replace("connect-oidc beta", "connect-oidc delta"), "no tenant `delta`"),
    ] {
        bench.refused(&typed, why).await;
    }
    let google = "tenant connect-oidc beta G --preset google --issuer https://accounts.google.com --client-id x \
                  --organisation beta.example --private-key-jwt";
    bench.refused(google, "Google takes a secret").await;
    for (preset, issuer, rest) in [
        ("standard", "http://127.0.0.1:9000", ""),
        ("entra", COMMON, "--organisation 11111111-2222-3333-4444-555555555555"),
        ("google", "https://accounts.google.com", "--organisation Beta.Example"),
    ] {
        bench.done(&oidc(preset, issuer, rest).replace("New", preset)).await;
    }
    let google = bench.json("tenant connections beta").await;
    let google = google.as_array().unwrap().iter().find(|one| one["name"] == "google").unwrap();
    assert_eq!(
        (&google["organisation"], &google["provider"]),
        (&json!("beta.example"), &json!("https://accounts.google.com"))
    );
}

fn metadata(entity_id: &str, certificate: &Certificate) -> String {
    format!(
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{entity_id}\">\
         <md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\
         <md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data>\
         <ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"https://idp.example/sso\"/></md:IDPSSODescriptor></md:EntityDescriptor>",
        certificate.base64()
    )
}

fn certificate() -> Certificate {
    SpKey::generate("https://idp.example", NOW, &SeededRng::new(3) as &dyn Rng).unwrap().certificate().clone()
}

#[tokio::test]
async fn a_saml_provider_is_connected_by_its_file() {
    let bench = Bench::new().await;
    let signer = certificate();
    let file = bench.put("idp.xml", &metadata("https://idp.example", &signer));
    let answer = bench.json(&format!("tenant connect-saml beta SAML --metadata {}", file.display())).await;
    let kept = bench.only("beta").await;
    let at = |path: &str| format!("https://gate.example/signin/saml/{}/{path}", kept.id);
    assert_eq!(answer["urls"], json!({ "entity_id": at("metadata"), "acs_url": at("acs"), "slo_url": at("slo") }));
    assert_eq!((&answer["provider"], &answer["allow_unsolicited"]), (&json!("https://idp.example"), &json!(false)));
    let ConnectionSettings::Saml(settings) = ConnectionSettings::of(&kept).unwrap() else { panic!() };
    assert!(settings.metadata.as_deref().is_some_and(|text| text.contains("EntityDescriptor")));
    assert!(!answer.to_string().contains(&settings.keys));
    assert_eq!(bench.action().await, ("tenant.connect_saml".into(), Some("beta".into())));
    // Replaced: our keys stay, for the provider knows them.
    let typed = format!("tenant connect-saml beta SAML --metadata {} --replace --allow-unsolicited", file.display());
    assert_eq!(bench.json(&typed).await["allow_unsolicited"], true);
    let ConnectionSettings::Saml(again) = ConnectionSettings::of(&bench.only("beta").await).unwrap() else { panic!() };
    assert_eq!(again.keys, settings.keys);

    let pem = bench.put("signer.pem", &signer.base64());
    let (file, pem) = (file.display().to_string(), pem.display().to_string());
    let other = bench.put("other.xml", &metadata("https://other.example", &signer)).display().to_string();
    let rubbish = bench.put("rubbish.xml", "<a/>").display().to_string();
    for (rest, why) in [
        (format!("New --metadata {file} --metadata-certificate {pem}"), "idp.xml"),
        (format!("New --metadata {file} --entity-id https://wrong.example"), "idp.xml"),
        (format!("New --metadata {file} --metadata-certificate {file}"), "idp.xml"),
        (format!("New --metadata {rubbish}"), "rubbish.xml"),
        ("New --metadata /nowhere.xml".to_owned(), "/nowhere.xml"),
        ("New --metadata-url http://idp.example/m --entity-id e".to_owned(), "is not https"),
        ("New --metadata-url https://idp.example/m --entity-id a+b".to_owned(), "it has a space"),
        (format!("SAML --metadata {other} --replace"), "known by what they are there"),
        (format!("SAML --metadata {file}"), "a connection `SAML` already"),
    ] {
        bench.refused(&format!("tenant connect-saml beta {rest}"), why).await;
    }
}

#[tokio::test]
async fn a_saml_provider_is_connected_by_its_address() {
    let bench = Bench::new().await;
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", certificate().base64());
    let pem = bench.put("signer.pem", &pem);
    let typed = "tenant connect-saml beta SAML --metadata-url https://idp.example/m --entity-id urn:idp";
    let answer = bench.done(typed).await;
    assert!(answer.remarks.iter().any(|remark| remark.contains("--metadata-certificate")), "{answer:?}");
    let answer = bench.done(&format!("{typed} --replace --metadata-certificate {}", pem.display())).await;
    assert_eq!((&answer.json["metadata_signed"], &answer.json["provider"]), (&json!(true), &json!("urn:idp")));
    assert!(!answer.remarks.iter().any(|remark| remark.contains("--metadata-certificate")));
}

#[tokio::test]
async fn saml_keys_roll_over_in_three_steps() {
    let bench = Bench::new().await;
    bench.done("tenant connect-saml beta SAML --metadata-url https://idp.example/m --entity-id urn:idp").await;
    bench.connected("gamma", "idp").await;
    let keys = async || {
        let ConnectionSettings::Saml(saml) = ConnectionSettings::of(&bench.only("beta").await).unwrap() else {
            panic!()
        };
        saml.keys
    };
    let first = keys().await;
    bench.refused("tenant connection saml-keys beta SAML --step use", "announce, use, retire").await;
    for step in ["announce", "use", "retire"] {
        let before = keys().await;
        let answer = bench.json(&format!("tenant connection saml-keys beta SAML --step {step}")).await;
        assert_eq!((&answer["step"], &answer["name"]), (&json!(step), &json!("SAML")));
        assert_eq!(bench.noticed().await.facts["step"], step);
        assert!(keys().await != before && !bench.noticed().await.facts["by"].is_null());
    }
    assert_ne!(keys().await, first);
    bench.refused("tenant connection saml-keys gamma idp --step announce", "speaks OpenID Connect").await;
}

#[tokio::test]
async fn a_connection_is_switched_and_removed_with_its_sessions() {
    let bench = Bench::new().await;
    bench.connected("beta", "idp").await;
    bench.connected("gamma", "idp").await;
    bench.person("beta", "ann", PersonOrigin::External).await;
    bench.signed_in("beta", "ann", "s1", Some("idp")).await;
    let off = bench.done("tenant connection disable beta idp").await;
    assert_eq!((&off.json["enabled"], &off.json["was_enabled"]), (&json!(false), &json!(true)));
    assert_eq!(off.json["sessions"], 1);
    assert!(bench.json("tenant sessions beta").await.as_array().unwrap().is_empty());
    assert_eq!(bench.action().await, ("tenant.connection.disable".into(), Some("beta".into())));
    assert!(!bench.only("beta").await.enabled && bench.only("gamma").await.enabled);
    assert_eq!(bench.json("tenant connection disable beta idp").await["was_enabled"], false);
    bench.done("tenant connection enable beta idp").await;
    assert!(bench.only("beta").await.enabled);
    assert!(bench.done("tenant connection enable beta idp").await.lines[0].contains("already"));
    bench.signed_in("beta", "ann", "s2", Some("idp")).await;
    bench.refused("tenant connection remove beta other", "beta has no connection `other`; it has: idp").await;
    let theirs = bench.only("gamma").await.id;
    bench.refused(&format!("tenant connection remove beta {theirs}"), "beta has no connection").await;
    let gone = bench.json("tenant connection remove beta idp").await;
    assert_eq!(gone["sessions"], 1);
    assert_eq!(bench.action().await, ("tenant.connection.remove".into(), Some("beta".into())));
    assert!(bench.store.connections(&id("beta")).await.unwrap().is_empty());
    assert!(bench.json("tenant sessions beta").await.as_array().unwrap().is_empty());
    assert_eq!(bench.only("gamma").await.id, theirs);
}
