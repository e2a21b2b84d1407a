use proptest::prelude::*;

use super::*;

fn knowing(secret: &str) -> Redactor {
    let redactor = Redactor::default();
    redactor.keep(&Secret::new(secret));
    redactor
}

#[test]
fn fields_are_cut_by_their_name() {
    let redactor = Redactor::default();
    for (text, expected) in [
        (
            r#"{"access_token": "abcdefghijklmnopqrstuvwxyz", "expires_in": 3}"#,
            r#"{"access_token": "abcdef…", "expires_in": 3}"#,
        ),
        (r#"{"password":"a\"b"}"#, r#"{"password":"…"}"#),
        (r#"{"text":"{\"refresh_token\":\"hunter2\"}"}"#, r#"{"text":"{\"refresh_token\":\"…\"}"}"#),
        ("grant_type=x&code_verifier=0123456789&a=b", "grant_type=x&code_verifier=…&a=b"),
        ("GET https://h/cb?code=0123456789abcdef0&state=1", "GET https://h/cb?code=…&state=1"),
        (r#"{"error":{"code":-32600,"message":"no"}}"#, r#"{"error":{"code":-32600,"message":"no"}}"#),
        (r#"{"code":"invalid_token"}"#, r#"{"code":"invalid_token"}"#),
        (r#"{"my_password":"kept: another name"}"#, r#"{"my_password":"kept: another name"}"#),
        (r#"{"access_token":"cut off in the mid"#, r#"{"access_token":"…"#),
        ("x eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. y", "x eyJhbG… y"),
    ] {
        assert_eq!(redactor.text(text), expected);
    }
}

#[test]
fn headers_keep_their_shape() {
    let redactor = Redactor::default();
    for (name, value, expected) in [
        ("authorization", "Bearer abcdefghijklmnopqrstuvwxyz", "Bearer abcdef…"),
        ("authorization", "Basic dXNlcjpwYXNz", "Basic …"),
        ("set-cookie", "sid=0123456789; Path=/; HttpOnly", "sid=…; Path=/; HttpOnly"),
        ("cookie", "a=1234; b=5678", "a=…; b=…"),
        ("mcp-session-id", "abcdefghijklmnopqrstuvwxyz", "abcdef…"),
        ("x-auth-token", "hunter2", "…"),
        ("location", "https://c/cb?code=abcdefghijklmnopqrstuvwxyz&iss=x", "https://c/cb?code=abcdef…&iss=x"),
        ("content-type", "text/html", "text/html"),
    ] {
        assert_eq!(redactor.header(name, value), expected);
    }
}

#[test]
fn what_was_learnt_is_found_elsewhere() {
    let redactor = Redactor::default();
    redactor.learn(r#"{"access_token":"an-opaque-value-of-some-length"}"#);
    redactor.learn_headers(&[
        ("set-cookie".into(), "sid=cookie-cookie-cookie; Path=/".into()),
        ("authorization".into(), format!("Basic {}", STANDARD.encode("me:the-secret-of-the-client"))),
    ]);
    let echo = "an-opaque-value-of-some-length cookie-cookie-cookie the-secret-of-the-client";
    assert_eq!(redactor.text(echo), "an-opa… … the-se…");
    redactor.learn(r#"{"access_token":"the"}"#);
    assert_eq!(redactor.text("the"), "the");
}

#[test]
fn a_hostile_answer_does_not_fill_the_memory() {
    let redactor = Redactor::default();
    for number in 0..2000 {
        redactor.learn(&format!(r#"{{"access_token":"value-number-{number:010}"}}"#));
    }
    assert!(redactor.0.lock().unwrap().values.len() <= MAX_LEARNT);
}

proptest! {
    /// However a credential is escaped, and wherever the text ends, neither it nor much of it is left.
    #[test]
    fn a_given_secret_never_stays(
        secret in "[ -~]{8,60}",
        before in "[ -~\u{e9}\n]{0,40}",
        after in "[ -~\u{e9}\n]{0,40}",
        form in 0_usize..7,
        keep in 0_usize..200,
    ) {
        let redactor = knowing(&secret);
        let forms = forms(&secret);
        let written = &forms[form % forms.len()];
        let text = format!("{before}{written}{after}");
        let whole = redactor.text(&text);
        prop_assert!(!whole.contains(&secret) && !whole.contains(written.as_str()), "{whole}");
        let ended = redactor.text(start(&text, keep));
        prop_assert!(!ended.contains(&secret));
        prop_assert_eq!(rest_of(&ended, written), None);
        let header = redactor.header("x-echo", &text);
        prop_assert!(!header.contains(&secret));
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,400}", name in "[a-z-]{0,20}") {
        let redactor = knowing("a-known-credential");
        redactor.learn(&text);
        redactor.text(&text);
        redactor.header(&name, &text);
    }

    #[test]
    fn fields_and_quotes_in_any_order(text in "(\"|\\\\|:|=|&| |access_token|code|eyJ|\\.|a|\u{e9}){0,60}") {
        let redactor = Redactor::default();
        redactor.learn(&text);
        redactor.text(&text);
    }
}
