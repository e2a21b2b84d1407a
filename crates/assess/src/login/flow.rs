//! Authorization code with PKCE (OAuth 2.1 section 4.1, RFC 7636, RFC 8707, RFC 9207), in pieces, so that a
//! probe can leave one out or bend it.

use sallyport_oauth::pkce;
use url::Url;

use super::{
    Desk, Who,
    fault::{Fault, quote},
    token::{self, Issued},
    walk::{End, Walked},
};
use crate::bench::{Bench, Client, Grant};

/// One authorization request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `code`, or what a probe tries.
    pub(crate) response_type: &'static str,
    /// Where the answer is to go.
    pub(crate) redirect_uri: String,
    /// `scope`; absent where `None`.
    pub(crate) scope: Option<String>,
    /// `resource`, in both requests; absent where `None`.
    pub(crate) resource: Option<String>,
    /// Whether a code challenge is sent.
    pub(crate) pkce: bool,
    state: String,
    verifier: String,
}

/// A code that came back, and what it takes to redeem it.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    /// The code.
    pub(crate) value: String,
    /// `iss` of the response.
    pub(crate) iss: Option<String>,
    /// The request that it answers.
    pub(crate) request: Request,
    /// What shows it.
    pub(crate) exchanges: Vec<u32>,
    /// The walk that led to it; `None` where the operator went it in a browser.
    pub(crate) walked: Option<Walked>,
}

impl Request {
    /// What an ordinary client of this desk sends.
    pub(crate) fn new(bench: &Bench, desk: &Desk) -> Self {
        Self {
            response_type: "code",
            redirect_uri: desk.redirect_uri.to_string(),
            scope: desk.scope(),
            resource: desk.resource(),
            pkce: true,
            state: bench.nonce(16),
            verifier: bench.nonce(32),
        }
    }

    fn url(&self, endpoint: &Url, client: &Client) -> Url {
        let challenge = pkce::challenge_of(&self.verifier);
        let pairs = [
            ("response_type", Some(self.response_type)),
            ("client_id", Some(client.id.as_str())),
            ("redirect_uri", Some(self.redirect_uri.as_str())),
            ("scope", self.scope.as_deref()),
            ("resource", self.resource.as_deref()),
            ("state", Some(self.state.as_str())),
            ("code_challenge", self.pkce.then_some(challenge.as_str())),
            ("code_challenge_method", self.pkce.then_some(pkce::METHOD)),
        ];
        let mut url = endpoint.clone();
        url.query_pairs_mut().extend_pairs(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))));
        url
    }
}

/// Sends `who` with `request` to the authorization endpoint and walks until an answer, or the lack of one.
///
/// # Errors
/// [`Fault`] when nothing could be sent, or a page did not answer.
pub(crate) async fn walk(
    bench: &Bench,
    check: &'static str,
    desk: &Desk,
    who: Who<'_>,
    request: &Request,
) -> Result<Walked, Fault> {
    let endpoint = desk.server.endpoint("authorization_endpoint").ok_or(Fault::NoEndpoint("authorization_endpoint"))?;
    let client = desk.client(bench).await?;
    let start = request.url(&endpoint, client);
    let mut ends = vec![desk.redirect_uri.clone()];
    ends.extend(Url::parse(&request.redirect_uri));
    desk.walk(bench, check, who, start, &ends).await
}

/// Gets a code for `who`.
///
/// # Errors
/// [`Fault::Refused`] when the server said no, the others when nobody can tell.
pub(crate) async fn authorize(
    bench: &Bench,
    check: &'static str,
    desk: &Desk,
    who: Who<'_>,
    request: Request,
) -> Result<Code, Fault> {
    if who.in_browser(bench) {
        let endpoint =
            desk.server.endpoint("authorization_endpoint").ok_or(Fault::NoEndpoint("authorization_endpoint"))?;
        let url = request.url(&endpoint, desk.client(bench).await?);
        let state = request.state.clone();
        let is_ours = |answer: &Url| answer.query_pairs().any(|(name, value)| name == "state" && value == state);
        let answer = desk.show(bench, &url, is_ours).await?;
        return of_issuer(desk, read(request, &answer, None)?);
    }
    let walked = walk(bench, check, desk, who, &request).await?;
    if let End::Refused { status, said } = &walked.end {
        let (said, exchanges) = (format!("a page says {status}: {said}"), walked.exchanges);
        return Err(Fault::Refused { error: String::new(), said, exchanges });
    }
    let answer = walked.returned()?.clone();
    of_issuer(desk, read(request, &answer, Some(walked))?)
}

/// The code, unless another issuer says that it is its own.
fn of_issuer(desk: &Desk, code: Code) -> Result<Code, Fault> {
    match code.iss.as_deref().filter(|iss| !desk.server.may_redeem(iss)) {
        None => Ok(code),
        Some(iss) => {
            let why = format!("it is of another issuer, {}, and the token endpoint is not there", quote(iss));
            Err(Fault::Response { why, exchanges: code.exchanges })
        }
    }
}

/// Takes an authorization response apart.
fn read(request: Request, answer: &Url, walked: Option<Walked>) -> Result<Code, Fault> {
    let exchanges: Vec<u32> = walked.iter().flat_map(|walked| walked.exchanges.clone()).collect();
    let parameter = |name: &str| answer.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if let Some(error) = parameter("error") {
        let error = quote(&error);
        let description = quote(&parameter("error_description").unwrap_or_default());
        let said = if description.is_empty() { error.clone() } else { format!("{error}: {description}") };
        return Err(Fault::Refused { error, said, exchanges });
    }
    if parameter("state").as_deref() != Some(&request.state) {
        let why = "`state` did not come back as it was sent".to_owned();
        return Err(Fault::Response { why, exchanges });
    }
    let Some(value) = parameter("code").filter(|code| !code.is_empty()) else {
        return Err(Fault::Response { why: "it holds no code".to_owned(), exchanges });
    };
    Ok(Code { value, iss: parameter("iss"), request, exchanges, walked })
}

/// How a code is presented.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bent<'a> {
    /// In place of the redirect URI of the request.
    pub(crate) redirect_uri: Option<&'a str>,
    /// In place of the verifier: another one, or none.
    pub(crate) verifier: Option<Option<&'a str>>,
}

/// Redeems `code`, bent as told.
///
/// # Errors
/// [`Fault::Refused`] when the server said no.
pub(crate) async fn redeem(
    bench: &Bench,
    check: &'static str,
    desk: &Desk,
    code: &Code,
    bent: Bent<'_>,
) -> Result<Issued, Fault> {
    let client = desk.client(bench).await?;
    let request = &code.request;
    let verifier = bent.verifier.unwrap_or(request.pkce.then_some(request.verifier.as_str()));
    let fields = [
        ("grant_type", Some("authorization_code")),
        ("code", Some(code.value.as_str())),
        ("redirect_uri", Some(bent.redirect_uri.unwrap_or(&request.redirect_uri))),
        ("code_verifier", verifier),
        ("resource", request.resource.as_deref()),
    ];
    let form: Vec<(&str, &str)> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    token::request(bench, check, (&desk.server, client), &form).await
}

/// Both steps, as an ordinary client makes them.
///
/// # Errors
/// [`Fault`].
pub(crate) async fn sign_in(
    bench: &Bench,
    check: &'static str,
    desk: &Desk,
    who: Who<'_>,
    request: Request,
) -> Result<(Grant, Code, u32), Fault> {
    let subject = who.subject(bench);
    let code = authorize(bench, check, desk, who, request).await?;
    let issued = redeem(bench, check, desk, &code, Bent::default()).await?;
    let exchange = issued.exchange;
    let grant = issued.grant(bench, desk.client(bench).await?, &subject, code.request.scope.as_deref());
    Ok((grant, code, exchange))
}
