//! A fault of the `saml` crate as a refusal: the same code, sentence and remedy, on a page and in the log.

use sallyport_saml::SamlFault;

use crate::federation::refused::Refused;

/// The refusal of a message, or of metadata.
pub(super) fn refusal(fault: &SamlFault) -> Refused {
    let remedy = match fault {
        SamlFault::Unsigned { what: "redirect" | "logout message" } => {
            Some("Turn on signing of logout messages at the identity provider.")
        }
        SamlFault::Unsigned { what: "metadata" } => {
            Some("Turn on signing of metadata at the identity provider, or take the certificate off this connection.")
        }
        fault => fault.remedy(),
    };
    Refused::new(fault.code(), sentence(&fault.to_string()), remedy)
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", rest.as_str())
}

#[cfg(test)]
mod tests {
    use sallyport_model::Timestamp;

    use super::*;

    #[test]
    fn a_fault_keeps_its_code_its_values_and_its_remedy() {
        let fault = SamlFault::WrongAudience { expected: "https://sp".into(), found: vec!["https://other".into()] };
        let refused = refusal(&fault);
        assert_eq!(refused.code, "saml_wrong_audience");
        assert_eq!(
            refused.what,
            "The assertion is for the audience `https://other`, this service provider is `https://sp`."
        );
        assert!(refused.remedy.starts_with("Set the audience") && refused.remedy.contains("reference"), "{refused:?}");
        let (until, now) = (Timestamp::from_secs(1_700_000_000), Timestamp::from_secs(1_700_000_600));
        let refused = refusal(&SamlFault::Expired { what: "assertion", until, now });
        assert!(refused.what.contains("22:13:20") && refused.what.contains("22:23:20"), "both times: {}", refused.what);
        assert!(refused.what.contains("600 s too late"), "the difference: {}", refused.what);
    }
}
