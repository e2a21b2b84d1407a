//! Domains claimed and proved.

use super::*;

use sallyport_storage::DomainProof;
use serde_json::json;

#[tokio::test]
async fn a_claim_prints_its_record_and_keeps_it() {
    let bench = Bench::new().await;
    bench.connected("beta", "idp").await;
    let answer = bench.done("tenant domain add beta Beta.Example. --connection idp").await;
    let claim = bench.store.domains(&id("beta")).await.unwrap().remove(0);
    let value = format!("sallyport-domain-verification={}", claim.challenge);
    assert_eq!(answer.lines, [format!("_sallyport-challenge.beta.example TXT \"{value}\"")]);
    assert_eq!(
        answer.json,
        json!({
            "domain": "beta.example", "tenant": "beta", "connection": "idp", "claimed_at": NOW.to_string(),
            "proved": null, "proved_at": null,
            "record": { "name": "_sallyport-challenge.beta.example", "type": "TXT", "value": value },
        })
    );
    assert_eq!(claim.challenge.len(), 43);
    assert_eq!(bench.action().await, ("tenant.domain.add".into(), Some("beta".into())));
    assert_eq!(bench.done("tenant domain add beta beta.example").await.lines, answer.lines, "the record stays good");
    assert_eq!(bench.json("tenant domain list beta").await[0]["connection"], "idp");
    for (domain, why) in [("com", "single label"), ("192.0.2.7", "IP address"), ("a@beta.example", "up to the @")] {
        bench.refused(&format!("tenant domain add beta {domain}"), why).await;
    }
    bench.refused("tenant domain add gamma gamma.example --connection idp", "gamma has no connection `idp`").await;
}

#[tokio::test]
async fn one_domain_leads_to_one_tenant() {
    let bench = Bench::new().await;
    bench.refused("tenant domain verify beta shared.example --by-operator", "beta does not claim shared.example").await;
    bench.done("tenant domain add beta shared.example").await;
    let answer = bench.json("tenant domain verify beta shared.example --by-operator").await;
    assert_eq!((&answer["proved"], &answer["proved_at"]), (&json!("operator"), &json!(NOW.to_string())));
    assert_eq!(bench.action().await, ("tenant.domain.verify".into(), Some("beta".into())));
    let proved = bench.store.domain("shared.example").await.unwrap().unwrap();
    assert_eq!((proved.tenant, proved.proved), (id("beta"), Some((DomainProof::Operator, NOW))));
    let answer = bench.done("tenant domain verify beta shared.example --by-operator").await;
    assert!(answer.lines[0].contains("proved already"));
    let answer = bench.done("tenant domain add gamma shared.example").await;
    assert!(answer.remarks[0].contains("beta has proved shared.example"), "{answer:?}");
    bench.refused("tenant domain verify gamma shared.example --by-operator", "beta has proved shared.example").await;
    bench.refused("tenant domain remove acme shared.example", "acme does not claim").await;
    assert_eq!(bench.json("tenant domain remove beta shared.example").await["removed"], true);
    assert_eq!(bench.action().await, ("tenant.domain.remove".into(), Some("beta".into())));
    bench.done("tenant domain verify gamma shared.example --by-operator").await;
    assert_eq!(bench.store.domain("shared.example").await.unwrap().unwrap().tenant, id("gamma"));
    assert_eq!(bench.json("tenant list").await[2]["domains"], json!(["shared.example"]));
}

/// A name server that answers every question with one TXT record (RFC 1035 section 4.1); a fake.
async fn name_server(text: String) -> std::net::SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = [0u8; 1024];
        while let Ok((length, from)) = socket.recv_from(&mut asked).await {
            let end = 12 + asked[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
            let mut answer = asked[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            let length = u8::try_from(text.len()).unwrap();
            answer.extend([0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
            answer.extend(text.as_bytes());
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_domain_is_proved_by_its_record_and_by_no_other() {
    let bench = Bench::new().await;
    let claimed = bench.json("tenant domain add beta beta.example").await;
    let value = claimed["record"]["value"].as_str().unwrap().to_owned();
    let other = name_server(format!("{value}x")).await;
    let verify =
        |server: std::net::SocketAddr| format!("tenant domain verify beta beta.example --name-server {server}");
    bench.refused(&verify(other), "has no TXT record").await;
    let right = name_server(value).await;
    let proved = bench.json(&verify(right)).await;
    assert_eq!(proved["proved"], "dns");
}
