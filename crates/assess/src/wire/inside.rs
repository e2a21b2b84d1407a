//! Which addresses a run may reach, from where its target is.
//!
//! Documents of the target name other servers. A target on the public network may name public ones only; one
//! inside a private network may name others inside; one on this machine may name others on it. Link-local
//! addresses and clouds' metadata services are reached only where the target is one itself.

use std::net::IpAddr;

use sallyport_outbound::AddressPolicy;

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// RFC 1918; of IPv6, a target's own site is added.
const PRIVATE: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/// The policy for a target with these addresses. An address of the target itself is reached wherever it is,
/// unless another one of them is public: such an answer is an attack or a mistake.
pub(super) fn policy(target: &[IpAddr]) -> AddressPolicy {
    if target.is_empty() || target.iter().any(|address| AddressPolicy::PublicOnly.admit(*address).is_ok()) {
        return AddressPolicy::PublicOnly;
    }
    let mut nets: Vec<String> = target.iter().map(alone).collect();
    if target.iter().all(IpAddr::is_loopback) {
        nets.extend(LOOPBACK.map(str::to_owned));
    } else if target.iter().all(is_private) {
        nets.extend(PRIVATE.map(str::to_owned));
        nets.extend(target.iter().filter_map(site));
    }
    AddressPolicy::Allowing(nets.iter().filter_map(|net| net.parse().ok()).collect())
}

/// For a URL that the operator wrote.
pub(super) fn anywhere() -> AddressPolicy {
    AddressPolicy::Allowing(["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect())
}

/// The network that holds this address alone.
fn alone(address: &IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// The unique-local network of a site (RFC 4193 section 3.1): its first 48 bits.
fn site(address: &IpAddr) -> Option<String> {
    match address {
        IpAddr::V6(v6) if v6.is_unique_local() => {
            let [a, b, c, ..] = v6.segments();
            Some(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(target: &[&str], other: &str) -> bool {
        let target: Vec<IpAddr> = target.iter().map(|address| address.parse().unwrap()).collect();
        policy(&target).admit(other.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_public_target_leads_outside_only() {
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"] {
            assert!(!reaches(&["93.184.215.14"], inside), "{inside}");
            assert!(!reaches(&[inside, "93.184.215.14"], inside), "{inside} beside a public address");
        }
        assert!(reaches(&["93.184.215.14"], "1.1.1.1"));
        assert!(!reaches(&[], "127.0.0.1"));
    }

    #[test]
    fn a_target_on_this_machine_leads_to_it_and_outside() {
        for there in ["127.0.0.1", "127.0.0.2", "::1", "1.1.1.1"] {
            assert!(reaches(&["127.0.0.1"], there), "{there}");
        }
        for inside in ["10.0.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200"] {
            assert!(!reaches(&["127.0.0.1", "::1"], inside), "{inside}");
        }
    }

    #[test]
    fn a_private_target_leads_to_its_kind() {
        assert!(reaches(&["10.1.2.3"], "192.168.1.1"));
        assert!(reaches(&["fd12:3456:789a::1"], "fd12:3456:789a:7::2"));
        for inside in ["127.0.0.1", "169.254.169.254", "100.100.100.200", "fd00:ec2::254"] {
            assert!(!reaches(&["10.1.2.3"], inside), "{inside}");
            assert!(!reaches(&["fd12:3456:789a::1"], inside), "{inside}");
        }
        assert!(reaches(&["169.254.1.1"], "169.254.1.1"));
        assert!(!reaches(&["169.254.1.1"], "169.254.169.254"));
    }
}
