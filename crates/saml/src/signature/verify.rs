//! Verifies a signature and hands back what it covered.

use aws_lc_rs::digest;

use crate::{
    Certificate, SamlFault,
    algorithm::{SignatureAlgorithm, digest_algorithm, refused},
    certificate::fingerprint,
    encoding,
    fault::shown,
    names::{DS, ENVELOPED, EXCLUSIVE, EXCLUSIVE_COMMENTS},
    xml::{Document, Element, Limits, canonical, read},
};

/// Bytes in a signature value or digest.
const MOST_VALUE: usize = 2048;
/// Prefixes in an `InclusiveNamespaces` list.
const MOST_PREFIXES: usize = 32;

/// What a good signature covered.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Parsed from the canonical bytes that were digested; its root is the element that was signed, without the
    /// signature.
    pub(crate) document: Document,
    /// Fingerprint of the certificate that verified it.
    pub(crate) certificate: String,
}

/// The signature that envelops its parent `element`, if it has one.
pub(crate) fn signature_of(element: Element<'_>) -> Result<Option<Element<'_>>, SamlFault> {
    element.at_most_one(DS, "Signature")
}

/// Verifies `signature`, a child of `element`, with one of the `trusted` keys and no other: what the message says
/// about its key is only a hint for the error.
pub(crate) fn verify(
    element: Element<'_>,
    signature: Element<'_>,
    trusted: &[Certificate],
    limits: &Limits,
) -> Result<Verified, SamlFault> {
    let parts = Parts::of(signature)?;
    let claimed = SignedInfo::of(parts.signed_info)?;
    let limits = limits.canonical();
    let signed_bytes = canonical(parts.signed_info, None, &claimed.prefixes, limits.bytes)?;
    let value = encoding::base64("SignatureValue", &parts.value.token()?, MOST_VALUE)?;
    let by = trusted.iter().find(|key| key.verifies(claimed.algorithm, &signed_bytes, &value));
    let Some(by) = by else { return Err(nobody(parts.key_info, trusted)) };
    // From here on only what was signed is believed, read anew from the bytes that were.
    let signed = read(&signed_bytes, &limits)?;
    let info = SignedInfo::of(signed.root())?;
    if info != claimed {
        return Err(SamlFault::SignatureForm { what: "`SignedInfo` reads differently in its canonical form" });
    }
    let id = element.required("ID")?;
    if id.is_empty() || info.uri.strip_prefix('#') != Some(id) {
        return Err(SamlFault::ReferenceElsewhere { uri: shown(&info.uri), id: shown(id) });
    }
    let covered = canonical(element, Some(signature), &info.content_prefixes, limits.bytes)?;
    if covered.is_empty() || info.digest_value == digest::digest(info.digest, b"").as_ref() {
        return Err(SamlFault::EmptyCanonicalForm);
    }
    if digest::digest(info.digest, &covered).as_ref() != info.digest_value {
        return Err(SamlFault::DigestMismatch);
    }
    let document = read(&covered, &limits)?;
    if document.root().attribute("ID") != Some(id) || document.root().name().local != element.name().local {
        return Err(SamlFault::SignatureForm { what: "the signed element reads differently in its canonical form" });
    }
    Ok(Verified { document, certificate: by.fingerprint() })
}

/// Which of the two it is: somebody else's signature, or a damaged one by the right key.
fn nobody(key_info: Option<Element<'_>>, trusted: &[Certificate]) -> SamlFault {
    let hint = key_info.and_then(|info| info.subtree().find(|e| e.is(DS, "X509Certificate")));
    let der = hint.and_then(|e| encoding::base64("certificate", &e.token().ok()?, 16 * 1024).ok());
    let presented = der.map(|der| fingerprint(&der));
    let configured: Vec<String> = trusted.iter().map(Certificate::fingerprint).collect();
    match presented {
        Some(certificate) if configured.contains(&certificate) => SamlFault::SignatureInvalid { certificate },
        presented => SamlFault::WrongCertificate { presented, configured },
    }
}

/// The children of `Signature`, in the order of its schema and with nothing else among them.
struct Parts<'a> {
    signed_info: Element<'a>,
    value: Element<'a>,
    key_info: Option<Element<'a>>,
}

impl<'a> Parts<'a> {
    fn of(signature: Element<'a>) -> Result<Self, SamlFault> {
        let mut children = signature.children();
        let (Some(signed_info), Some(value)) = (children.next(), children.next()) else {
            return Err(SamlFault::SignatureForm { what: "it lacks `SignedInfo` or `SignatureValue`" });
        };
        let key_info = children.next();
        let fits = signed_info.is(DS, "SignedInfo")
            && value.is(DS, "SignatureValue")
            && key_info.is_none_or(|e| e.is(DS, "KeyInfo"))
            && children.next().is_none();
        if !fits {
            // `Object` would be one: a place to hide what the signature seems to cover.
            return Err(SamlFault::SignatureForm { what: "it holds more than `SignedInfo`, a value and `KeyInfo`" });
        }
        Ok(Self { signed_info, value, key_info })
    }
}

/// What `SignedInfo` says.
#[derive(Debug, PartialEq)]
struct SignedInfo {
    /// `InclusiveNamespaces` of its own canonicalisation.
    prefixes: Vec<String>,
    algorithm: SignatureAlgorithm,
    uri: String,
    /// `InclusiveNamespaces` of the content's canonicalisation.
    content_prefixes: Vec<String>,
    digest: &'static digest::Algorithm,
    digest_value: Vec<u8>,
}

impl SignedInfo {
    fn of(info: Element<'_>) -> Result<Self, SamlFault> {
        let [method, algorithm, reference] = exactly(
            info,
            ["CanonicalizationMethod", "SignatureMethod", "Reference"],
            "`SignedInfo` holds other than a canonicalisation, an algorithm and one reference",
        )?;
        let prefixes = exclusive(method)?;
        // A truncated HMAC is asked for by a child; so are the parameters of RSA-PSS.
        if algorithm.children().next().is_some() {
            return Err(SamlFault::SignatureForm { what: "the signature algorithm has parameters" });
        }
        let algorithm = SignatureAlgorithm::from_uri(algorithm.required("Algorithm")?)?;
        let [transforms, digest, value] = exactly(
            reference,
            ["Transforms", "DigestMethod", "DigestValue"],
            "the reference holds other than transforms, a digest algorithm and a digest",
        )?;
        let [enveloped, content] = exactly(
            transforms,
            ["Transform", "Transform"],
            "the transforms are other than enveloped signature, then exclusive canonicalisation",
        )?;
        let first = enveloped.required("Algorithm")?;
        if first != ENVELOPED || enveloped.children().next().is_some() {
            return Err(refused("transform", first));
        }
        Ok(Self {
            prefixes,
            algorithm,
            uri: reference.required("URI")?.to_owned(),
            content_prefixes: exclusive(content)?,
            digest: digest_algorithm(digest.required("Algorithm")?)?,
            digest_value: encoding::base64("DigestValue", &value.token()?, MOST_VALUE)?,
        })
    }
}

/// The children of `parent`, which must be these `ds` elements and no others.
fn exactly<'a, const N: usize>(
    parent: Element<'a>,
    locals: [&str; N],
    what: &'static str,
) -> Result<[Element<'a>; N], SamlFault> {
    let children: Vec<Element<'a>> = parent.children().collect();
    match <[Element<'a>; N]>::try_from(children) {
        Ok(all) if all.iter().zip(locals).all(|(child, local)| child.is(DS, local)) => Ok(all),
        _ => Err(SamlFault::SignatureForm { what }),
    }
}

/// The prefix list of an exclusive canonicalisation; every other canonicalisation and transform is refused by name.
///
/// With or without comments is one to us: there are none in the documents that were read.
fn exclusive(method: Element<'_>) -> Result<Vec<String>, SamlFault> {
    let algorithm = method.required("Algorithm")?;
    if algorithm != EXCLUSIVE && algorithm != EXCLUSIVE_COMMENTS {
        return Err(refused("canonicalisation or transform", algorithm));
    }
    let mut children = method.children();
    let Some(list) = children.next() else { return Ok(Vec::new()) };
    if !list.is(EXCLUSIVE, "InclusiveNamespaces") || list.children().next().is_some() || children.next().is_some() {
        return Err(SamlFault::SignatureForm { what: "the canonicalisation has unknown parameters" });
    }
    let prefixes: Vec<String> = list.required("PrefixList")?.split_ascii_whitespace().map(ToOwned::to_owned).collect();
    let is_name = |p: &str| p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if prefixes.len() > MOST_PREFIXES || !prefixes.iter().all(|p| p == "#default" || is_name(p)) {
        return Err(SamlFault::SignatureForm { what: "the list of inclusive namespaces is not one of prefixes" });
    }
    Ok(prefixes)
}
