//! Which addresses may be called. Names are resolved here, so that what was checked is what is connected to.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host has no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
pub struct Forbidden(pub String);

/// Whether the whole Internet can mean the same by this address: not private, loopback, link-local, reserved or for
/// documentation, by the registries of special-purpose addresses (RFC 6890). An IPv6 address that carries an IPv4 one is
/// taken for that.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried_v4(address) {
            Some(carried) => is_public_v4(carried),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_reserved = match a {
        // This network, private, loopback, multicast and what is reserved behind it.
        0 | 10 | 127 | 224.. => true,
        // Shared address space of carriers.
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        // Benchmarks, and documentation.
        198 => matches!(b, 18 | 19) || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        _ => false,
    };
    !is_reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is global unicast; in it, 2001::/23 is for protocols, Teredo among them, 2001:db8::/32 and 3fff::/20
    // for documentation.
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && !(first == 0x3fff && second < 0x1000)
}

/// The IPv4 address in a mapped, compatible, translated (NAT64) or 6to4 one.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let halves = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(halves(high, low)),
        _ => None,
    }
}

/// Refuses an address that is written out in the URL, as that is resolved by nobody, and names that mean this machine.
pub fn check_literal(url: &Url) -> Result<(), Forbidden> {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let name = host.trim_end_matches('.');
    let is_here = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    if is_here || literal.is_ok_and(|address| !is_public(address)) {
        return Err(Forbidden(host.to_owned()));
    }
    Ok(())
}

/// Resolves names to their public addresses only, but for the names of proxies.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    /// Hosts that the environment names as proxies: the administrator chose them.
    pub proxies: Arc<HashSet<String>>,
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedResolver").field("proxies", &self.proxies).finish()
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxies.contains(&name.as_str().to_ascii_lowercase());
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed = allowed(found, is_proxy);
            if allowed.is_empty() {
                return Err(Forbidden(host).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn allowed(found: Vec<SocketAddr>, is_proxy: bool) -> Vec<SocketAddr> {
    found.into_iter().filter(|address| is_proxy || is_public(address.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_whole_internet_are_public() {
        let table = [
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("169.253.0.1", true),
            ("172.15.0.1", true),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("172.32.0.1", true),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("192.168.0.1", false),
            ("192.169.0.1", true),
            ("198.18.0.1", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("8.8.8.8", true),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::7f00:1", false),
            ("::ffff:0:7f00:1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::1", true),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2001:4860:4860::8888", true),
            ("3fff:fff::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ];
        for (address, expected) in table {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn an_address_in_the_url_is_checked_in_every_spelling() {
        for url in [
            "http://127.0.0.1:8085/usage_data",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "https://localhost/",
            "https://a.LocalHost./",
        ] {
            assert!(check_literal(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in ["https://8.8.8.8/", "https://version.example.com/", "http://[2001:4860:4860::8888]/"] {
            assert!(check_literal(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }

    #[test]
    fn of_several_addresses_the_public_ones_are_kept_and_a_proxy_keeps_all() {
        let found: Vec<SocketAddr> = vec!["10.0.0.1:0".parse().unwrap(), "8.8.8.8:0".parse().unwrap()];
        assert_eq!(allowed(found.clone(), false), ["8.8.8.8:0".parse().unwrap()]);
        assert_eq!(allowed(found.clone(), true), found);
    }

    #[tokio::test]
    async fn a_name_is_checked_by_what_it_resolves_to() {
        let resolve = async |proxies: &[&str]| {
            let proxies = proxies.iter().map(ToString::to_string).collect();
            let resolver = GuardedResolver { proxies: Arc::new(proxies) };
            resolver.resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };
        let refused = resolve(&["proxy.example.com"]).await.unwrap_err();
        assert_eq!(refused.downcast_ref::<Forbidden>().unwrap().0, "localhost");
        assert!(resolve(&["localhost"]).await.unwrap() > 0, "a proxy may be on this machine");
    }
}
