//! Which addresses a request about an upstream's tokens may reach.
//!
//! What the operator wrote may lead anywhere. What an upstream or its authorization server names leads inside a
//! network only where the one that names it is there itself; never to link-local addresses or to a cloud's
//! metadata service, unless the operator named that very address.

use std::net::IpAddr;

use sallyport_outbound::{AddressPolicy, guard::Resolver};
use url::{Host, Url};

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// For a URL that the operator wrote.
pub(super) fn anywhere() -> AddressPolicy {
    allowing(&["0.0.0.0/0", "::/0"])
}

/// For what a server at `url`, which the operator wrote, names.
pub(super) async fn from(url: &Url, resolver: &dyn Resolver) -> AddressPolicy {
    let addresses = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        // A name that does not resolve is nowhere: nothing inside is reached because of it.
        Some(Host::Domain(name)) => resolver.resolve(name).await.unwrap_or_default(),
        None => Vec::new(),
    };
    beside(&addresses)
}

/// What is beside a server that has these addresses. A public one among them leads outside only.
fn beside(addresses: &[IpAddr]) -> AddressPolicy {
    if addresses.is_empty() {
        return AddressPolicy::PublicOnly;
    }
    if addresses.iter().all(IpAddr::is_loopback) {
        return allowing(&LOOPBACK);
    }
    let private = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    if addresses.iter().all(private) { allowing(&PRIVATE) } else { AddressPolicy::PublicOnly }
}

fn allowing(nets: &[&str]) -> AddressPolicy {
    AddressPolicy::Allowing(nets.iter().filter_map(|net| net.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(from: &[&str], to: &str) -> bool {
        let from: Vec<IpAddr> = from.iter().map(|address| address.parse().unwrap()).collect();
        beside(&from).admit(to.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_public_upstream_leads_outside_only_and_an_inner_one_beside_itself() {
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"] {
            assert!(!reaches(&["93.184.215.14"], inside), "{inside}");
            assert!(!reaches(&[inside, "93.184.215.14"], inside), "{inside} beside a public address");
            assert!(!reaches(&[], inside), "{inside}");
        }
        assert!(reaches(&["93.184.215.14"], "1.1.1.1") && reaches(&["10.0.0.1"], "1.1.1.1"));
        assert!(reaches(&["127.0.0.1"], "127.0.0.2") && !reaches(&["127.0.0.1"], "10.0.0.1"));
        assert!(reaches(&["10.0.0.1"], "192.168.1.1") && !reaches(&["10.0.0.1"], "127.0.0.1"));
        for metadata in ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"] {
            assert!(!reaches(&["127.0.0.1"], metadata), "{metadata}");
        }
        assert!(!reaches(&["10.0.0.1"], "169.254.169.254"));
        assert!(!reaches(&["169.254.169.254"], "169.254.169.254"), "named by a server there is not named by us");
    }
}
