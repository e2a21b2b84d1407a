use super::*;

fn claims() -> Claims {
    json!({"iss": "https://as.example", "aud": "https://h.example/mcp"}).as_object().unwrap().clone()
}

fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.');
    let mut next = || {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap()).unwrap()
    };
    (next(), next())
}

#[test]
fn every_token_names_the_right_resource_and_is_wrong_in_its_own_way() {
    let key = EcKey::generate().unwrap().jwk();
    let keys = [{
        let mut key = key;
        key["kid"] = json!("k1");
        key
    }];
    let unsigned = unsigned(&claims(), keys[0].get("kid"));
    let forged = forged(&claims(), &keys);
    let foreign = foreign(&claims(), keys[0].get("kid"));
    assert_eq!((unsigned.len(), forged.len(), foreign.len()), (3, 6, 2));
    for one in unsigned.iter().chain(&forged).chain(&foreign) {
        let (header, claims) = parts(&one.token);
        assert_eq!(claims["aud"], "https://h.example/mcp", "{}", one.what);
        assert_eq!(header["typ"], "at+jwt");
    }
    for one in &unsigned {
        assert!(one.token.ends_with('.'), "{}", one.what);
    }
    for one in &foreign {
        assert_eq!(parts(&one.token).1["iss"], FOREIGN);
    }
    let algorithms: Vec<_> = forged.iter().map(|one| parts(&one.token).0["alg"].clone()).collect();
    assert_eq!(algorithms, ["ES256", "ES256", "RS256", "HS256", "HS256", "HS256"]);
}
