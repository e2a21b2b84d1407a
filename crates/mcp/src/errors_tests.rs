use serde_json::json;

use super::*;

#[test]
fn errors_cross_eras_by_the_book() {
    use Era::{Legacy, Modern};
    let not_found = json!({"uri": "a:b"});
    for (code, data, method, from, client, becomes) in [
        (RESOURCE_NOT_FOUND, Some(&not_found), "resources/read", Legacy, Modern, INVALID_PARAMS),
        (RESOURCE_NOT_FOUND, None, "tools/call", Modern, Modern, INVALID_PARAMS),
        (RESOURCE_NOT_FOUND, Some(&not_found), "resources/read", Legacy, Legacy, RESOURCE_NOT_FOUND),
        (INVALID_PARAMS, Some(&not_found), "resources/read", Modern, Legacy, RESOURCE_NOT_FOUND),
        (INVALID_PARAMS, None, "resources/read", Modern, Legacy, INVALID_PARAMS),
        (INVALID_PARAMS, Some(&not_found), "tools/call", Modern, Legacy, INVALID_PARAMS),
        (URL_ELICITATION_REQUIRED, None, "tools/call", Legacy, Modern, INTERNAL_ERROR),
        (URL_ELICITATION_REQUIRED, None, "tools/call", Legacy, Legacy, URL_ELICITATION_REQUIRED),
        (HEADER_MISMATCH, None, "tools/call", Modern, Legacy, INTERNAL_ERROR),
        (METHOD_NOT_FOUND, None, "x/y", Legacy, Modern, METHOD_NOT_FOUND),
        (-32000, None, "x/y", Legacy, Modern, -32000),
        (42, None, "x/y", Modern, Legacy, 42),
    ] {
        let error = RpcError { data: data.cloned(), ..RpcError::new(code, "m") };
        let crossed = error.across(method, from, client);
        assert_eq!(crossed.code, becomes, "{code} of {method}, {from:?} to {client:?}");
        assert_eq!(crossed.message, "m");
    }
}

#[test]
fn statuses_follow_the_era() {
    let unknown = Error::MethodNotFound { method: "x".into() };
    assert_eq!((unknown.status(Era::Modern), unknown.status(Era::Legacy)), (StatusCode::NOT_FOUND, StatusCode::OK));
    assert_eq!(unknown.rpc().status(Era::Modern), StatusCode::NOT_FOUND);
    assert_eq!(unknown.rpc().status(Era::Legacy), StatusCode::OK);
    let params = |id| Error::InvalidParams("x".into()).refuse(id);
    assert_eq!(params(Some(1.into())).status(Era::Modern), StatusCode::BAD_REQUEST);
    assert_eq!(params(Some(1.into())).status(Era::Legacy), StatusCode::OK);
    assert_eq!(params(None).status(Era::Legacy), StatusCode::BAD_REQUEST, "a notification has no answer");
    assert_eq!(Error::ResultShape("x".into()).status(Era::Modern), StatusCode::BAD_GATEWAY);
    assert_eq!(RpcError::new(HEADER_MISMATCH, "").status(Era::Modern), StatusCode::BAD_REQUEST);
    assert_eq!(RpcError::new(INVALID_PARAMS, "").status(Era::Modern), StatusCode::OK);
}

#[test]
fn what_is_quoted_is_clipped_and_escaped() {
    let error = Error::DuplicateKey { key: format!("a\n\u{1b}[31m{}", "x".repeat(10_000)) };
    let text = error.to_string();
    assert!(text.len() < 200 && !text.contains(['\n', '\u{1b}']), "{text}");
}
