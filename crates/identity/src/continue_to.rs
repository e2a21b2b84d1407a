//! Where a browser goes after signing in. A stranger may have written it into a link, so it is one
//! of our own pages or it is nothing.

use serde::{Deserialize, Serialize};
use url::Url;

const LONGEST: usize = 4096;

/// A local path with an optional query, below `/oauth/` or `/account`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ContinueTo(String);

impl ContinueTo {
    /// `None` for anything that is not, to the letter, the normal form of one of our paths: another
    /// scheme or host, `//`, a backslash, dot segments, a fragment, control characters, spaces.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#');
        if text.len() > LONGEST || !clean {
            return None;
        }
        let base = Url::parse("https://sallyport.invalid/").ok()?;
        let url = base.join(text).ok()?;
        let path = url.path();
        let ours = path == "/account" || path.starts_with("/account/") || path.starts_with("/oauth/");
        let normal = match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        (ours && url.origin() == base.origin() && !path.contains("//") && normal == text).then_some(Self(normal))
    }

    /// The person's own page.
    pub(crate) fn account() -> Self {
        Self("/account".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContinueTo {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a path of ours")
    }
}

impl From<ContinueTo> for String {
    fn from(path: ContinueTo) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_pages_pass_and_every_known_trick_does_not() {
        for ok in ["/account", "/account?done=x", "/account/passkeys", "/oauth/authorize?request=a%2Fb&x=//y"] {
            assert!(ContinueTo::parse(ok).is_some(), "{ok}");
        }
        for no in [
            "",
            "/",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "/accounts",
            "/oauth",
            "/oauthx/",
            "oauth/authorize",
            "/oauth//evil.example",
            "/oauth/../admin",
            "/oauth/%2e%2e/admin",
            "/oauth/..",
            "/oauth/.%2e/admin",
            "/oauth/a\r\nLocation: x",
            "/oauth/a\tb",
            " /oauth/a",
            "/oauth/a ",
            "/oauth/a#x",
            "/oauth/\u{ff0f}x",
            "/account@evil.example",
            "/account/\0",
            "//account/oauth/",
            "https://sallyport.invalid/oauth/x",
            "/%6fauth/x",
            "?/oauth/",
            "/signin",
            "/\t/evil.example",
        ] {
            assert!(ContinueTo::parse(no).is_none(), "{no}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_stays_on_any_origin(
            head in "(/oauth/|/account|/|//|\\\\|https:)?", tail in "[-a-zA-Z0-9/\\\\.:@%?#&=\t\r ]{0,24}"
        ) {
            let text = format!("{head}{tail}");
            if let Some(path) = ContinueTo::parse(&text) {
                for base in ["https://gate.example/signin?x", "http://127.0.0.1:8080/signin"] {
                    let base = Url::parse(base).unwrap();
                    let there = base.join(path.as_str()).unwrap();
                    prop_assert_eq!(there.origin(), base.origin());
                    prop_assert!(there.path().starts_with("/oauth/") || there.path().starts_with("/account"));
                }
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = ContinueTo::parse(&text);
        }
    }
}
