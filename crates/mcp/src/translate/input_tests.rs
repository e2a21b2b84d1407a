use super::*;
use crate::errors::MISSING_REQUIRED_CLIENT_CAPABILITY;

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("object")
}

fn request(method: &str, params: Value) -> Request {
    Request::new("up-1", method, params.as_object().cloned())
}

#[test]
fn legacy_requests_become_questions_and_back() {
    let form = json!({"message": "m", "requestedSchema": {"type": "object", "properties": {}}, "_meta": {"v/x": 1}});
    let url = json!({"mode": "url", "message": "m", "url": "https://x/"});
    for (method, params, kind) in [
        ("elicitation/create", form.clone(), InputKind::ElicitForm),
        ("sampling/createMessage", json!({"messages": [], "maxTokens": 1}), InputKind::Sample),
        ("sampling/createMessage", json!({"messages": [], "maxTokens": 1, "tools": []}), InputKind::SampleWithTools),
        ("roots/list", json!(null), InputKind::Roots),
    ] {
        let request = request(method, params);
        let question = InputRequest::from_request(&request).expect("one of the three");
        assert_eq!(question.kind, kind);
        assert_eq!(question.to_request("up-1".into()), request);
        let required = InputRequired { requests: vec![("k".into(), question)], request_state: Some("s".into()) };
        assert_eq!(InputRequired::read(&required.to_result()), Ok(required));
    }
    let mut legacy = object(url.clone());
    legacy.insert("elicitationId".into(), "e-1".into());
    legacy.insert("task".into(), json!({"ttl": 1}));
    legacy.insert("_meta".into(), json!({"progressToken": 1, "io.modelcontextprotocol/related-task": {"taskId": "t"}}));
    let question = InputRequest::from_request(&request("elicitation/create", legacy.into())).expect("URL mode");
    assert_eq!((question.kind, question.elicitation_id.as_deref()), (InputKind::ElicitUrl, Some("e-1")));
    let modern = InputRequired { requests: vec![("k".into(), question.clone())], request_state: None }.to_result();
    assert_eq!(
        modern["inputRequests"]["k"],
        json!({"method": "elicitation/create", "params": url}),
        "nothing legacy is left"
    );
    assert_eq!(question.to_request(1.into()).param("elicitationId"), Some(&json!("e-1")));
    let unnamed = InputRequest { elicitation_id: None, ..question };
    assert_eq!(unnamed.to_request(7.into()).param("elicitationId"), Some(&json!("7")));
}

#[test]
fn other_requests_are_refused() {
    for (method, params) in [
        ("tools/call", json!({})),
        ("elicitation/create", json!({"mode": "voice"})),
        ("ping", json!({})),
        ("elicitation/create", json!({"mode": 1})),
    ] {
        assert!(InputRequest::from_request(&request(method, params.clone())).is_err(), "{method}");
        let result = object(
            json!({"resultType": "input_required", "inputRequests": {"k": {"method": method, "params": params}}}),
        );
        assert!(matches!(InputRequired::read(&result), Err(Error::ResultShape(_))), "{method}");
    }
    for result in [
        json!({}),
        json!({"inputRequests": {}}),
        json!({"inputRequests": []}),
        json!({"inputRequests": {"k": 1}}),
        json!({"inputRequests": {"k": {"method": "roots/list", "params": []}}}),
        json!({"requestState": 7}),
    ] {
        assert!(InputRequired::read(&object(result.clone())).is_err(), "{result}");
    }
}

#[test]
fn a_client_is_asked_only_what_it_declared() {
    use InputKind::{ElicitForm, ElicitUrl, Roots, Sample, SampleWithTools};
    for (capabilities, permitted) in [
        (json!({}), &[][..]),
        (json!({"elicitation": {}}), &[ElicitForm]),
        (json!({"elicitation": {"url": {}}}), &[ElicitUrl]),
        (json!({"elicitation": {"form": {}, "url": {}}}), &[ElicitForm, ElicitUrl]),
        (json!({"sampling": {}, "roots": {}}), &[Sample, Roots]),
        (json!({"sampling": {"tools": {}}}), &[Sample, SampleWithTools]),
        (json!({"sampling": true, "roots": null, "elicitation": []}), &[]),
    ] {
        let declared = ClientCapabilities(object(capabilities.clone()));
        for kind in [ElicitForm, ElicitUrl, Sample, SampleWithTools, Roots] {
            let outcome = kind.permit(&declared);
            assert_eq!(outcome.is_ok(), permitted.contains(&kind), "{kind:?} with {capabilities}");
            if let Err(error) = outcome {
                assert_eq!(error.code(), MISSING_REQUIRED_CLIENT_CAPABILITY);
                assert!(error.rpc().data.is_some_and(|data| data["requiredCapabilities"].is_object()));
            }
        }
    }
    let form_only = ClientCapabilities(object(json!({"elicitation": {}})));
    assert_eq!(ElicitUrl.refusal(&form_only).code, INVALID_PARAMS);
    assert_eq!(ElicitUrl.refusal(&ClientCapabilities::default()).code, METHOD_NOT_FOUND);
    assert_eq!(Roots.refusal(&form_only).code, METHOD_NOT_FOUND);
}

#[test]
fn answers_cross_both_ways() {
    let retry = Retry {
        responses: object(json!({"k": {"action": "accept", "content": {"a": 1.0}}})),
        request_state: Some("s".into()),
    };
    let response = retry.response("k", "up-1".into()).expect("answered");
    assert_eq!(response, Response::result("up-1", object(json!({"action": "accept", "content": {"a": 1.0}}))));
    assert_eq!(retry.response("other", 1.into()), None);
    let back = input_response(InputKind::ElicitForm, response.outcome).expect("an answer");
    assert_eq!(Value::Object(back), retry.responses["k"]);
    let mut params = Object::new();
    retry.clone().put(&mut params);
    assert_eq!(Retry::take(&mut params), Ok(Some(retry)));
    let error = RpcError::new(-1, "User rejected");
    let cancelled = input_response(InputKind::ElicitUrl, Outcome::Error(error.clone()));
    assert_eq!(cancelled, Ok(object(json!({"action": "cancel"}))), "an error is never consent");
    assert_eq!(input_response(InputKind::Sample, Outcome::Error(error.clone())), Err(error));
    for params in [json!({"inputResponses": []}), json!({"inputResponses": {"k": 1}}), json!({"requestState": {}})] {
        assert!(matches!(Retry::take(&mut object(params)), Err(Error::InvalidParams(_))));
    }
}

#[test]
fn url_elicitation_errors_cross_both_ways() {
    let elicitations = json!([
        {"mode": "url", "url": "https://x/1", "message": "one", "elicitationId": "e1"},
        {"mode": "url", "url": "https://x/2", "message": "two", "elicitationId": "e2"},
    ]);
    let error = RpcError::new(URL_ELICITATION_REQUIRED, "This request requires more information.")
        .with_data(json!({"elicitations": elicitations}));
    let required = from_url_elicitation_error(&error).expect("two questions");
    assert_eq!(required.requests.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["url-0", "url-1"]);
    assert!(!serde_json::to_string(&required.to_result()).expect("JSON").contains("elicitationId"));
    let back = to_url_elicitation_error(&required).expect("the error");
    assert_eq!(back.data.as_ref().and_then(|d| d["elicitations"].as_array()).map(Vec::len), Some(2));
    assert_eq!(from_url_elicitation_error(&back), Some(required.clone()));
    for data in [
        json!({}),
        json!({"elicitations": []}),
        json!({"elicitations": [{"mode": "url", "url": "https://x/1", "message": "no id"}]}),
        json!({"elicitations": [{"mode": "form", "message": "m", "elicitationId": "e"}]}),
        json!({"elicitations": [{"mode": "url", "message": "no url", "elicitationId": "e"}]}),
    ] {
        let error = RpcError::new(URL_ELICITATION_REQUIRED, "m").with_data(data);
        assert_eq!(from_url_elicitation_error(&error), None);
    }
    assert_eq!(from_url_elicitation_error(&RpcError::new(-1, "m")), None);
    let form = InputRequest { kind: InputKind::ElicitForm, params: Object::new(), elicitation_id: None };
    let mixed = InputRequired { requests: [required.requests, vec![("f".into(), form)]].concat(), request_state: None };
    assert_eq!(to_url_elicitation_error(&mixed), None);
}
