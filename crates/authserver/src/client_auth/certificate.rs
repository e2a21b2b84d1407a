//! Names in a client's certificate (RFC 8705 section 2.1.2). Only of a certificate that a trusted authority vouches
//! for: anybody writes any name into one of their own.

use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    x509::X509Name,
};

/// Whether the certificate has exactly this name: `of` is `dns`, `uri`, `email` or `subject_dn`. Wildcards are
/// characters.
pub(super) fn is_named(der: &[u8], of: &str, name: &str) -> bool {
    let Ok((rest, certificate)) = X509Certificate::from_der(der) else { return false };
    if !rest.is_empty() || name.is_empty() {
        return false;
    }
    if of == "subject_dn" {
        return distinguished(certificate.subject()).is_some_and(|subject| subject == name);
    }
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|one| match (of, one) {
        ("dns", GeneralName::DNSName(dns)) => dns.eq_ignore_ascii_case(name),
        ("uri", GeneralName::URI(uri)) => *uri == name,
        ("email", GeneralName::RFC822Name(email)) => *email == name,
        _ => false,
    })
}

/// A distinguished name in the words of RFC 4514: the last part first. `None` for an empty one or one with a value
/// that is no text.
fn distinguished(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in part.iter() {
            let oid = attribute.attr_type().to_id_string();
            attributes.push(format!("{}={}", short(&oid), escaped(attribute.as_str().ok()?)));
        }
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// RFC 4514 section 3; other types by their number.
fn short(oid: &str) -> &str {
    match oid {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        other => other,
    }
}

/// RFC 4514 section 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '\0' => out.push_str("\\00"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["agent.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://example/agent".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("agent@example.com".try_into().unwrap()));
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Acme, Inc.");
        name.push(DnType::CommonName, "agent one");
        params.distinguished_name = name;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_name_is_one_of_its_kind_and_exact() {
        let der = certificate();
        for (of, name, is) in [
            ("dns", "agent.example", true),
            ("dns", "Agent.Example", true),
            ("dns", "*.example", false),
            ("dns", "example", false),
            ("dns", "", false),
            ("uri", "spiffe://example/agent", true),
            ("uri", "spiffe://example/agent/", false),
            ("uri", "agent.example", false),
            ("email", "agent@example.com", true),
            ("email", "other@example.com", false),
            ("subject_dn", "CN=agent one,O=Acme\\, Inc.,C=DE", true),
            ("subject_dn", "CN=agent one", false),
            ("subject_dn", "C=DE,O=Acme\\, Inc.,CN=agent one", false),
            ("cn", "agent one", false),
        ] {
            assert_eq!(is_named(&der, of, name), is, "{of}: {name}");
        }
        let longer = [&der[..], b"x"].concat();
        assert!(!is_named(&longer, "dns", "agent.example"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_have_a_name(at in 0usize..400, byte: u8, junk in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!is_named(&junk, "dns", "agent.example"));
            let mut der = certificate();
            let at = at % der.len();
            der[at] = byte;
            is_named(&der, "subject_dn", "CN=agent one");
        }

        #[test]
        fn two_values_never_look_the_same(one in "[a,+ \\\\#\"]{0,6}", other in "[a,+ \\\\#\"]{0,6}") {
            prop_assert_eq!(one == other, escaped(&one) == escaped(&other));
        }
    }
}
