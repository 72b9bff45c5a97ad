//! What is kept of people: of an address its network or nothing, of a user id a pseudonym where the operator wants one.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::{AddressPolicy, InvalidConfig, PrivacyConfig, UserIdPolicy};

/// Bytes of a pseudonym, of which twice as many digits are kept: enough that no two people share one.
const PSEUDONYM_BYTES: usize = 16;

/// A shorter secret could be guessed.
const MIN_KEY_BYTES: usize = 16;

/// The rules on personal data, ready for use.
pub(crate) struct Privacy {
    address: AddressPolicy,
    /// Makes pseudonyms, where they are wanted.
    key: Option<Hmac<Sha256>>,
}

impl Privacy {
    /// Reads the secret of pseudonyms where they are wanted.
    pub(crate) fn new(config: &PrivacyConfig) -> Result<Self, InvalidConfig> {
        let key = match config.user_id {
            UserIdPolicy::Keep => None,
            UserIdPolicy::Pseudonymise => Some(read_key(config)?),
        };
        Ok(Self { address: config.ip_address, key })
    }

    /// What may be kept of an address.
    pub(crate) fn address(&self, address: IpAddr) -> Option<IpAddr> {
        match self.address {
            AddressPolicy::Drop => None,
            AddressPolicy::Anonymise => Some(network(address)),
            AddressPolicy::Keep => Some(address),
        }
    }

    /// What may be kept of a user's id. Pseudonyms of different projects have nothing in common.
    pub(crate) fn user_id(&self, project_id: i64, user_id: &str) -> String {
        let Some(key) = self.key.as_ref().filter(|_| !user_id.is_empty()) else { return user_id.to_owned() };
        let mut mac = key.clone();
        mac.update(&project_id.to_le_bytes());
        mac.update(user_id.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..PSEUDONYM_BYTES])
    }
}

fn read_key(config: &PrivacyConfig) -> Result<Hmac<Sha256>, InvalidConfig> {
    let path = &config.pseudonym_key_file;
    let refused = |problem: String| InvalidConfig::PseudonymKey { path: path.clone(), problem };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let key = text.lines().next().unwrap_or_default().trim();
    if key.len() < MIN_KEY_BYTES {
        return Err(refused(format!("its first line has less than {MIN_KEY_BYTES} bytes")));
    }
    Ok(Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length"))
}

/// Without the last octet, and of IPv6 without the last 80 bits: what remains is shared by many.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn kept(policy: AddressPolicy, address: &str) -> String {
        let privacy = Privacy { address: policy, key: None };
        privacy.address(address.parse().unwrap()).map_or(String::new(), |address| address.to_string())
    }

    #[test]
    fn of_an_address_no_more_is_kept_than_wanted() {
        for (address, anonymised) in [
            ("203.0.113.77", "203.0.113.0"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ] {
            assert_eq!(kept(AddressPolicy::Drop, address), "");
            assert_eq!(kept(AddressPolicy::Anonymise, address), anonymised);
            assert_eq!(kept(AddressPolicy::Keep, address), address);
        }
    }

    fn with_key(key: &str) -> Result<Privacy, InvalidConfig> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{key}").unwrap();
        Privacy::new(&PrivacyConfig {
            user_id: UserIdPolicy::Pseudonymise,
            pseudonym_key_file: file.path().to_owned(),
            ..PrivacyConfig::default()
        })
    }

    #[test]
    fn a_pseudonym_depends_on_the_user_the_project_and_the_secret() {
        let privacy = with_key("an operator's secret").unwrap();
        let pseudonym = privacy.user_id(1, "alice@example.com");
        assert_eq!(pseudonym.len(), 32);
        assert_eq!(pseudonym, with_key("an operator's secret").unwrap().user_id(1, "alice@example.com"));
        assert_ne!(pseudonym, privacy.user_id(1, "bob@example.com"));
        assert_ne!(pseudonym, privacy.user_id(2, "alice@example.com"));
        assert_ne!(pseudonym, with_key("another secret here").unwrap().user_id(1, "alice@example.com"));
        assert_eq!(privacy.user_id(1, ""), "", "nobody stays nobody");
    }

    #[test]
    fn pseudonyms_need_a_secret() {
        assert!(with_key("short").is_err());
        let missing = PrivacyConfig { user_id: UserIdPolicy::Pseudonymise, ..PrivacyConfig::default() };
        assert!(Privacy::new(&missing).is_err());
        assert_eq!(Privacy::new(&PrivacyConfig::default()).unwrap().user_id(1, "alice"), "alice");
    }
}
