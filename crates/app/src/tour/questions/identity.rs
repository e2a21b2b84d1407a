//! Question 2: the customer's identity provider.

use anyhow::Result;

use super::super::{Tour, answer::Answer, browser::Browser, client::text, form::forms};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    // A browser of its own: whoever is signed in already sees no sign-in page.
    let mut browser = Browser::new(tour.web.clone());
    let (url, _) = tour.client.request(&tour.client.first_scope(), &[])?;
    let home = url.origin();
    let page = browser.open(url).await?;
    let away = page.reply.header("location").parse::<url::Url>().is_ok_and(|next| next.origin() != home);
    let forms = forms(&page.reply.text());
    let others = forms.iter().filter(|form| !form.asks_password()).count();
    let local = forms.iter().any(|form| form.asks_password());
    let observed = match (away, local) {
        (true, _) => format!("the browser is sent to {}", page.reply.header("location")),
        (false, true) => format!("a login and password of the local directory, {others} other way(s) in"),
        (false, false) => format!("{} at {}", page.reply.status, page.url.path()),
    };
    answer.core("people sign in at their company's identity provider", away, observed);
    let issuer = tour.client.issuer();
    let scim = tour.web.get(&format!("{issuer}/scim/v2/ServiceProviderConfig")).await?;
    let named = scim.json().get("schemas").is_some();
    answer.core("a directory can push who leaves (SCIM 2.0)", named, format!("/scim/v2 answers {}", scim.status));
    let ssf = tour.web.get(&format!("{issuer}/.well-known/ssf-configuration")).await?;
    let named = !text(&ssf.json(), "issuer").is_empty();
    answer.saw("security events are taken (SSF, CAEP)", named, format!("its configuration answers {}", ssf.status));
    answer
        .lacks("a provider: the demo connects none (`sallyport tenant connect-oidc`, `connect-saml`, `scim-token` do)");
    answer.lacks(
        "a deprovisioned person's next call refused, measured here (`cargo xtask bench-deprovision` measures it)",
    );
    Ok(())
}
