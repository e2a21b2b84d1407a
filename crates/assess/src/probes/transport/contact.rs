//! Reads `security.txt` (RFC 9116 section 2) as far as a check needs it. It follows no link.

use sallyport_model::Timestamp;

/// Longest file that is read.
const MOST_BYTES: usize = 64 * 1024;

/// The first contact of `text`, if there is one and the file has not expired.
///
/// A signature around it (section 2.3) is passed over, not verified.
pub(super) fn read(text: &str, now: Timestamp) -> Result<String, String> {
    if text.trim_start().starts_with('<') {
        return Err("it is a web page, not security.txt".to_owned());
    }
    let lines: Vec<(&str, &str)> = text
        .char_indices()
        .take_while(|(at, _)| *at < MOST_BYTES)
        .last()
        .map_or("", |(at, c)| &text[..at + c.len_utf8()])
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let of = |wanted: &str| -> Vec<&str> {
        lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value).collect()
    };
    let contact = of("Contact").into_iter().find(|value| is_contact(value));
    let Some(contact) = contact else { return Err("it has no Contact that is a URI".to_owned()) };
    let expires = of("Expires");
    let [expires] = expires.as_slice() else {
        return Err(format!("it has {} Expires fields, not one", expires.len()));
    };
    match expires.parse::<jiff::Timestamp>() {
        Err(_) => Err("its Expires is no RFC 3339 date and time".to_owned()),
        Ok(until) if u64::try_from(until.as_millisecond()).unwrap_or(0) <= now.as_millis() => {
            Err(format!("it expired at {until}"))
        }
        Ok(until) => Ok(format!("{contact}, until {until}")),
    }
}

/// Section 2.5.3: a URI; web ones by https.
fn is_contact(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    ["mailto:", "https://", "tel:"].iter().any(|scheme| lower.strip_prefix(scheme).is_some_and(|rest| rest.len() > 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    #[test]
    fn contact_and_a_date_to_come_are_needed() {
        let sound = "# hello\nContact: mailto:security@example.com\nExpires: 2030-01-01T00:00:00Z\n";
        assert!(read(sound, NOW).unwrap().starts_with("mailto:security@example.com"));
        let signed =
            format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{sound}-----BEGIN PGP SIGNATURE-----\n");
        assert!(read(&signed, NOW).is_ok());
        for (text, why) in [
            ("Contact: mailto:a@b.example\nExpires: 2020-01-01T00:00:00Z", "expired"),
            ("Contact: mailto:a@b.example", "0 Expires"),
            ("Contact: mailto:a@b.example\nExpires: 2030-01-01T00:00:00Z\nExpires: 2031-01-01T00:00:00Z", "2 Expires"),
            ("Contact: mailto:a@b.example\nExpires: soon", "no RFC 3339"),
            ("Contact: security@example.com\nExpires: 2030-01-01T00:00:00Z", "no Contact"),
            ("Contact: http://example.com\nExpires: 2030-01-01T00:00:00Z", "no Contact"),
            ("<!doctype html>\nContact: mailto:a@b.example\nExpires: 2030-01-01T00:00:00Z", "web page"),
        ] {
            assert!(read(text, NOW).unwrap_err().contains(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "\\PC{0,200}|(Contact|Expires|[:\n\r -]|20[0-9-TZ:]{0,12}){0,40}") {
            let _ = read(&text, NOW);
        }
    }
}
