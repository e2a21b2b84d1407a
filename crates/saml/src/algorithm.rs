//! The signature and digest algorithms that are taken. What is not here is refused by its name.

use aws_lc_rs::digest;

use crate::{SamlFault, fault::shown, names};

/// RFC 9231 and XML Signature 1.1, without SHA-1, MD5, HMAC and DSA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureAlgorithm {
    RsaSha256,
    RsaSha384,
    RsaSha512,
    PssSha256,
    PssSha384,
    PssSha512,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
}

impl SignatureAlgorithm {
    pub(crate) fn from_uri(uri: &str) -> Result<Self, SamlFault> {
        Ok(match uri {
            names::RSA_SHA256 => Self::RsaSha256,
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Self::RsaSha384,
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Self::RsaSha512,
            "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1" => Self::PssSha256,
            "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1" => Self::PssSha384,
            "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1" => Self::PssSha512,
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Self::EcdsaSha256,
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Self::EcdsaSha384,
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512" => Self::EcdsaSha512,
            other => return Err(refused("signature algorithm", other)),
        })
    }
}

/// The digest that `uri` names.
pub(crate) fn digest_algorithm(uri: &str) -> Result<&'static digest::Algorithm, SamlFault> {
    Ok(match uri {
        names::SHA256 => &digest::SHA256,
        names::SHA384 => &digest::SHA384,
        names::SHA512 => &digest::SHA512,
        other => return Err(refused("digest algorithm", other)),
    })
}

pub(crate) fn refused(purpose: &'static str, algorithm: &str) -> SamlFault {
    SamlFault::AlgorithmRefused { purpose, algorithm: shown(algorithm) }
}
