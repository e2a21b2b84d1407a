//! `xs:dateTime` as SAML uses it (saml-core-2.0-os, section 1.3.3).

use sallyport_model::Timestamp;

use crate::{SamlFault, fault::shown, xml::Element};

/// Reads a time. SAML's are in UTC; a stated offset is understood, a missing one refused.
pub(crate) fn time(what: &'static str, value: &str) -> Result<Timestamp, SamlFault> {
    let bad = || SamlFault::BadTime { what, value: shown(value) };
    if !well_formed(value) {
        return Err(bad());
    }
    let parsed: jiff::Timestamp = value.parse().map_err(|_| bad())?;
    u64::try_from(parsed.as_millisecond()).map(Timestamp::from_millis).map_err(|_| bad())
}

/// The time in an attribute, if the attribute is there.
pub(crate) fn time_of(element: Element<'_>, attribute: &'static str) -> Result<Option<Timestamp>, SamlFault> {
    element.attribute(attribute).map(|value| time(attribute, value)).transpose()
}

/// For our own messages: whole seconds, `Z`.
pub(crate) fn written(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`: jiff reads more forms than XML Schema has.
fn well_formed(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() < 20 || bytes.len() > 40 || !value.is_ascii() {
        return false;
    }
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |bytes: &[u8], shape: &[u8]| {
        bytes.len() == shape.len()
            && bytes.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s })
    };
    if !fits(&bytes[..19], shape) {
        return false;
    }
    let mut rest = &bytes[19..];
    if rest[0] == b'.' {
        let digits = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return false;
        }
        rest = &rest[1 + digits..];
    }
    rest == b"Z" || fits(rest, b"+dd:dd") || fits(rest, b"-dd:dd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_identity_providers_send_are_read() {
        let second = Timestamp::from_secs(1_700_000_000);
        for value in ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.0000000Z", "2023-11-14T23:13:20+01:00"] {
            assert_eq!(time("IssueInstant", value).unwrap(), second, "{value}");
        }
        assert_eq!(time("x", "2023-11-14T22:13:20.123Z").unwrap(), Timestamp::from_millis(1_700_000_000_123));
        assert_eq!(written(second), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn other_forms_are_refused() {
        for value in [
            "",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20Z",
            "2023-13-14T22:13:20Z",
            "2023-11-14T22:13:20Z[UTC]",
            "1969-12-31T23:59:59Z",
            "+002023-11-14T22:13:20Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20z",
            "２023-11-14T22:13:20Z",
            "now",
        ] {
            assert!(matches!(time("NotBefore", value), Err(SamlFault::BadTime { .. })), "{value}");
        }
    }
}
