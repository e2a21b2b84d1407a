//! Which addresses a stranger's URL may lead to.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Which addresses may be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Global unicast addresses only.
    #[default]
    PublicOnly,
    /// Those, and these networks of the operator's choice. An address that embeds another one
    /// (mapped, 6to4, Teredo, NAT64) is never let in by the network of the embedded one.
    Allowing(Vec<IpNet>),
}

/// What a refused address is (IANA special-purpose registries, RFC 6890 and successors).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAddress {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10`.
    SharedCarrier,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// Multicast.
    Multicast,
    /// `255.255.255.255` and the reserved class E.
    Reserved,
    /// Documentation networks.
    Documentation,
    /// Benchmarking networks.
    Benchmarking,
    /// IETF protocol assignments and other addresses outside global unicast.
    NotGlobal,
    /// `fc00::/7`.
    UniqueLocal,
    /// `fec0::/10`, deprecated.
    SiteLocal,
    /// IPv4 within IPv6: mapped, compatible, 6to4, Teredo, local NAT64, or NAT64 of a refused address.
    EmbedsIpv4,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::SharedCarrier => "shared by a carrier (100.64.0.0/10)",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Documentation => "for documentation",
            Self::Benchmarking => "for benchmarking",
            Self::NotGlobal => "not global unicast",
            Self::UniqueLocal => "unique-local",
            Self::SiteLocal => "site-local",
            Self::EmbedsIpv4 => "IPv4 embedded in IPv6",
        })
    }
}

impl AddressPolicy {
    /// Whether a connection to `address` is allowed.
    ///
    /// # Errors
    /// What the address is, when it is not.
    pub fn admit(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        let Err(why) = public(address) else { return Ok(()) };
        if self.allows(address) { Ok(()) } else { Err(why) }
    }

    /// Whether `address` lies in a network that the operator added.
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::PublicOnly => false,
            Self::Allowing(nets) => nets.iter().any(|net| net.contains(&address)),
        }
    }
}

fn public(address: IpAddr) -> Result<(), RefusedAddress> {
    match address {
        IpAddr::V4(v4) => public_v4(v4),
        IpAddr::V6(v6) => public_v6(v6),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 4], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first[0], first[1], first[2], first[3], 0, 0, 0, 0), prefix)
}

/// The most specific first: the first that holds the address names it.
const REFUSED_V4: [(Ipv4Net, RefusedAddress); 18] = [
    (v4(169, 254, 169, 254, 32), RefusedAddress::Metadata),
    (v4(100, 100, 100, 200, 32), RefusedAddress::Metadata),
    (v4(168, 63, 129, 16, 32), RefusedAddress::Metadata),
    (v4(0, 0, 0, 0, 8), RefusedAddress::Unspecified),
    (v4(10, 0, 0, 0, 8), RefusedAddress::Private),
    (v4(100, 64, 0, 0, 10), RefusedAddress::SharedCarrier),
    (v4(127, 0, 0, 0, 8), RefusedAddress::Loopback),
    (v4(169, 254, 0, 0, 16), RefusedAddress::LinkLocal),
    (v4(172, 16, 0, 0, 12), RefusedAddress::Private),
    (v4(192, 0, 0, 0, 24), RefusedAddress::NotGlobal),
    (v4(192, 0, 2, 0, 24), RefusedAddress::Documentation),
    (v4(192, 88, 99, 0, 24), RefusedAddress::NotGlobal),
    (v4(192, 168, 0, 0, 16), RefusedAddress::Private),
    (v4(198, 18, 0, 0, 15), RefusedAddress::Benchmarking),
    (v4(198, 51, 100, 0, 24), RefusedAddress::Documentation),
    (v4(203, 0, 113, 0, 24), RefusedAddress::Documentation),
    (v4(224, 0, 0, 0, 4), RefusedAddress::Multicast),
    (v4(240, 0, 0, 0, 4), RefusedAddress::Reserved),
];

/// As above. What is neither here nor in `2000::/3` is refused as well.
const REFUSED_V6: [(Ipv6Net, RefusedAddress); 17] = [
    (v6([0, 0, 0, 0], 128), RefusedAddress::Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), RefusedAddress::Loopback),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), RefusedAddress::Metadata),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), RefusedAddress::Metadata),
    // Mapped `::ffff:0:0/96` and compatible `::/96` among them.
    (v6([0, 0, 0, 0], 64), RefusedAddress::EmbedsIpv4),
    (v6([0x64, 0xff9b, 1, 0], 48), RefusedAddress::EmbedsIpv4),
    (v6([0x2001, 0, 0, 0], 32), RefusedAddress::EmbedsIpv4),
    (v6([0x2001, 2, 0, 0], 48), RefusedAddress::Benchmarking),
    (v6([0x2001, 0xdb8, 0, 0], 32), RefusedAddress::Documentation),
    (v6([0x2001, 0, 0, 0], 23), RefusedAddress::NotGlobal),
    (v6([0x2002, 0, 0, 0], 16), RefusedAddress::EmbedsIpv4),
    (v6([0x3fff, 0, 0, 0], 20), RefusedAddress::Documentation),
    (v6([0x100, 0, 0, 0], 64), RefusedAddress::NotGlobal),
    (v6([0xfc00, 0, 0, 0], 7), RefusedAddress::UniqueLocal),
    (v6([0xfe80, 0, 0, 0], 10), RefusedAddress::LinkLocal),
    (v6([0xfec0, 0, 0, 0], 10), RefusedAddress::SiteLocal),
    (v6([0xff00, 0, 0, 0], 8), RefusedAddress::Multicast),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
/// The well-known NAT64 prefix (RFC 6052): an IPv6-only network reaches public IPv4 through it.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);

fn public_v4(address: Ipv4Addr) -> Result<(), RefusedAddress> {
    match REFUSED_V4.iter().find(|(net, _)| net.contains(&address)) {
        Some((_, why)) => Err(*why),
        None => Ok(()),
    }
}

fn public_v6(address: Ipv6Addr) -> Result<(), RefusedAddress> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return public_v4(Ipv4Addr::new(a, b, c, d)).map_err(|_| RefusedAddress::EmbedsIpv4);
    }
    match REFUSED_V6.iter().find(|(net, _)| net.contains(&address)) {
        Some((_, why)) => Err(*why),
        None if GLOBAL_UNICAST.contains(&address) => Ok(()),
        None => Err(RefusedAddress::NotGlobal),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(address: &str) -> Result<(), RefusedAddress> {
        AddressPolicy::PublicOnly.admit(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_admitted() {
        for address in
            ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "223.255.255.255"]
        {
            assert_eq!(judge(address), Ok(()), "{address}");
        }
        for address in ["2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808", "2001:4860:4860::8888"] {
            assert_eq!(judge(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn every_special_address_is_refused_by_its_name() {
        use RefusedAddress::*;
        for (address, why) in [
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", SharedCarrier),
            ("100.127.255.255", SharedCarrier),
            ("169.254.169.254", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("169.254.0.1", LinkLocal),
            ("192.0.0.192", NotGlobal),
            ("192.0.2.1", Documentation),
            ("198.51.100.7", Documentation),
            ("203.0.113.9", Documentation),
            ("198.18.0.1", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("224.0.0.1", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", EmbedsIpv4),
            ("::ffff:8.8.8.8", EmbedsIpv4),
            ("::7f00:1", EmbedsIpv4),
            ("64:ff9b::7f00:1", EmbedsIpv4),
            ("64:ff9b::a9fe:a9fe", EmbedsIpv4),
            ("64:ff9b:1::808:808", EmbedsIpv4),
            ("2002:7f00:1::", EmbedsIpv4),
            ("2001:0:1::1", EmbedsIpv4),
            ("2001:2::1", Benchmarking),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("2001:10::1", NotGlobal),
            ("100::1", NotGlobal),
            ("5f00::1", NotGlobal),
            ("4000::1", NotGlobal),
            ("fc00::1", UniqueLocal),
            ("fd00:ec2::254", Metadata),
            ("fd12::1", UniqueLocal),
            ("fe80::1", LinkLocal),
            ("fec0::1", SiteLocal),
            ("ff02::1", Multicast),
        ] {
            assert_eq!(judge(address), Err(why), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_admits_itself_and_not_its_embeddings() {
        let policy = AddressPolicy::Allowing(vec!["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(policy.admit("127.0.0.1".parse().unwrap()), Ok(()));
        assert!(policy.admit("::ffff:127.0.0.1".parse().unwrap()).is_err());
        assert!(policy.admit("64:ff9b::7f00:1".parse().unwrap()).is_err());
        assert!(policy.admit("10.0.0.1".parse().unwrap()).is_err());
    }

    proptest! {
        /// No way of writing a refused IPv4 address into IPv6 gets in.
        #[test]
        fn embedding_never_launders(bits: u32) {
            let inner = Ipv4Addr::from(bits);
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let inner_refused = public_v4(inner).is_err();
            for outer in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            ] {
                prop_assert!(public_v6(outer).is_err(), "{outer}");
            }
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(public_v6(nat64).is_err(), inner_refused);
        }
    }
}
