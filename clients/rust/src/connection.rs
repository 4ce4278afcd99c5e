//! Where the authority is and how to reach it, and the connection that follows from that.

use std::{error::Error, fmt, str::FromStr, time::Duration};

use http::uri::Authority as HostAndPort;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{
    credentials::{Credentials, bearer},
    errors::ConfigError,
};

/// Seconds that a call may take by default, its retries included.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client certificate in PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate and its chain.
    pub chain: Vec<u8>,
    /// The private key, without a password.
    pub key: Vec<u8>,
}

/// Where the authority is and how to reach it. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Connection {
    /// `host:port`.
    pub address: String,
    /// The bearer credential; none if `client_certificate` alone proves the caller.
    pub credentials: Credentials,
    /// Read once: make another client before the certificate ends.
    pub client_certificate: Option<ClientCertificate>,
    /// PEM of the certificate authorities to trust, such as `std::fs::read("ca.pem")?`; `None` for those of the system.
    pub root_certificates: Option<Vec<u8>>,
    /// No TLS, for this machine only: everybody on the network path can read the API key and the tokens.
    pub plaintext: bool,
    /// The project of a call that names none; required if the caller may use several projects.
    pub project_id: String,
    /// How long a call may take, its retries included; 5 seconds by default. It does not limit a watch.
    pub timeout: Duration,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            address: String::new(),
            credentials: Credentials::None,
            client_certificate: None,
            root_certificates: None,
            plaintext: false,
            project_id: String::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("address", &self.address)
            .field("credentials", &self.credentials)
            .field("plaintext", &self.plaintext)
            .field("project_id", &self.project_id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Return a channel that connects with its first call.
    pub(crate) fn open(&self) -> Result<Channel, ConfigError> {
        self.check()?;
        // Without a runtime tonic would panic.
        tokio::runtime::Handle::try_current()
            .map_err(|_| ConfigError("no tokio runtime: make the client within one".into()))?;
        let scheme = if self.plaintext { "http" } else { "https" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address))
            .map_err(|error| ConfigError(format!("address: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        if !self.plaintext {
            endpoint = endpoint.tls_config(self.tls()).map_err(|error| {
                let problem = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                ConfigError(format!("root_certificates or client_certificate: {problem}"))
            })?;
        }
        Ok(endpoint.connect_lazy())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |problem: &str| Err(ConfigError(problem.into()));
        if let Some(problem) = address_problem(&self.address) {
            return refuse(&format!("address {problem}"));
        }
        if self.timeout.is_zero() {
            return refuse("timeout must be a number of seconds above 0");
        }
        if self.plaintext && (self.root_certificates.is_some() || self.client_certificate.is_some()) {
            return refuse("plaintext does not go with root_certificates or client_certificate: they are for TLS");
        }
        match &self.credentials {
            Credentials::None if self.client_certificate.is_none() => {
                refuse("no credentials: set credentials or client_certificate")
            }
            Credentials::ApiKey(key) => {
                api_key_problem(key).map_or(Ok(()), |problem| refuse(&format!("the API key {problem}")))
            }
            _ => Ok(()),
        }
    }

    fn tls(&self) -> ClientTlsConfig {
        let tls = match &self.root_certificates {
            Some(roots) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(roots)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match &self.client_certificate {
            Some(pair) => tls.identity(Identity::from_pem(&pair.chain, &pair.key)),
            None => tls,
        }
    }
}

/// Say what is wrong with an address.
pub(crate) fn address_problem(address: &str) -> Option<&'static str> {
    let parsed = HostAndPort::from_str(address).ok();
    let is_valid = parsed.is_some_and(|found| found.port_u16().is_some() && !address.contains('@'));
    (!is_valid).then_some("must be HOST:PORT, such as localhost:50051")
}

/// Say what is wrong with an API key, without showing it.
pub(crate) fn api_key_problem(key: &str) -> Option<&'static str> {
    bearer(key).is_none().then_some("must be 1 to 8192 characters of printable ASCII without spaces")
}
