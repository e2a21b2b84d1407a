//! TXT records, by which a tenant proves that a domain is its own. Nothing is cached: an administrator who has
//! just set a record wants to know.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};

/// The most records of one name that are looked at.
const MOST: usize = 64;

/// Why nothing is known about a name's records.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The system names no server.
    #[error("no DNS server is known: {0}")]
    Configuration(String),
    /// The name has no such record.
    #[error("{0} has no TXT record")]
    NoRecord(String),
    /// The server did not answer, or not in a way that can be read.
    #[error("{name} could not be asked for: {why}")]
    Failed {
        /// Which name.
        name: String,
        /// What came instead.
        why: String,
    },
}

/// Asks name servers.
pub struct Dns(TokioResolver);

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dns(…)")
    }
}

impl Dns {
    /// The servers of the system (`/etc/resolv.conf`).
    ///
    /// # Errors
    /// [`DnsError::Configuration`].
    pub fn system() -> Result<Self, DnsError> {
        let wrong = |error: &dyn std::fmt::Display| DnsError::Configuration(error.to_string());
        let mut builder = Resolver::builder_tokio().map_err(|error| wrong(&error))?;
        builder.options_mut().cache_size = 0;
        builder.build().map(Self).map_err(|error| wrong(&error))
    }

    /// The server at `address`.
    ///
    /// # Errors
    /// [`DnsError::Configuration`].
    pub fn at(address: SocketAddr) -> Result<Self, DnsError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        let server = NameServerConfig::new(address.ip(), true, connections.to_vec());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        (options.cache_size, options.timeout, options.attempts) = (0, Duration::from_secs(2), 2);
        builder.build().map(Self).map_err(|error| DnsError::Configuration(error.to_string()))
    }

    /// The TXT records of `name` (which may or may not end in a dot), each with its strings put together (RFC 7208
    /// section 3.3).
    ///
    /// # Errors
    /// [`DnsError::NoRecord`], [`DnsError::Failed`].
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let absolute = format!("{}.", name.trim_end_matches('.'));
        let found = self.0.txt_lookup(absolute).await.map_err(|error| match error.is_no_records_found() {
            true => DnsError::NoRecord(name.to_owned()),
            false => DnsError::Failed { name: name.to_owned(), why: error.to_string() },
        })?;
        let text = |data: &RData| match data {
            RData::TXT(txt) => {
                let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|piece| piece.iter().copied()).collect();
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        };
        Ok(found.answers().iter().filter_map(|record| text(&record.data)).take(MOST).collect())
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::{
        op::{Message, MessageType, ResponseCode},
        rr::{Record, rdata::TXT},
    };
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server that knows one name; a fake, since no real one is at hand.
    async fn server(known: &'static str, values: &'static [&'static str]) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0u8; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                let query = asked.queries.first().unwrap().clone();
                let mut answer = Message::query();
                answer.metadata = asked.metadata;
                answer.metadata.message_type = MessageType::Response;
                answer.add_query(query.clone());
                if query.name().to_string().eq_ignore_ascii_case(known) {
                    for value in values {
                        let data = RData::TXT(TXT::new(vec![(*value).to_owned()]));
                        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                    }
                } else {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn records_are_read_and_an_absent_name_is_told_apart_from_a_silent_server() {
        let address = server("_sallyport-challenge.acme.example.", &["v=other", "sallyport=abc"]).await;
        let dns = Dns::at(address).unwrap();
        assert_eq!(dns.txt("_sallyport-challenge.acme.example").await.unwrap(), ["v=other", "sallyport=abc"]);
        assert!(matches!(dns.txt("none.example").await, Err(DnsError::NoRecord(_))));
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = Dns::at(nobody.local_addr().unwrap()).unwrap();
        assert!(matches!(silent.txt("acme.example").await, Err(DnsError::Failed { .. })));
    }
}
