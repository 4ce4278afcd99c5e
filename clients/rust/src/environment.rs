//! The environment variables that describe a connection. They mean the same in the client of every language.

use std::{env, path::PathBuf, time::Duration};

use crate::{
    connection::{ClientCertificate, Connection, DEFAULT_TIMEOUT, address_problem, api_key_problem},
    credentials::{Credentials, read_file},
    errors::ConfigError,
};

const ADDRESS: &str = "TOKENAUTHORITY_ADDRESS";
const API_KEY: &str = "TOKENAUTHORITY_API_KEY";
const API_KEY_FILE: &str = "TOKENAUTHORITY_API_KEY_FILE";
const TOKEN_FILE: &str = "TOKENAUTHORITY_TOKEN_FILE";
const CLIENT_CERT_FILE: &str = "TOKENAUTHORITY_CLIENT_CERT_FILE";
const CLIENT_KEY_FILE: &str = "TOKENAUTHORITY_CLIENT_KEY_FILE";
const CA_FILE: &str = "TOKENAUTHORITY_CA_FILE";
const PLAINTEXT: &str = "TOKENAUTHORITY_PLAINTEXT";
const PROJECT_ID: &str = "TOKENAUTHORITY_PROJECT_ID";
const TIMEOUT: &str = "TOKENAUTHORITY_TIMEOUT";

/// Bytes of a file that a variable names. A bundle of all public certificate authorities has a quarter of that.
const MAX_FILE: u64 = 1 << 20;

impl Connection {
    /// Return the connection that the environment describes.
    ///
    /// # Errors
    ///
    /// A required variable is missing, a value is invalid, or a file cannot be read. The message names the variable, and
    /// never shows the API key.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_variables(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let address = get(ADDRESS).ok_or_else(|| ConfigError(format!("{ADDRESS} is not set")))?;
        if let Some(problem) = address_problem(&address) {
            return Err(ConfigError(format!("{ADDRESS} {problem}")));
        }
        let plaintext = parse_flag(PLAINTEXT, &get(PLAINTEXT).unwrap_or_default())?;
        for name in [CA_FILE, CLIENT_CERT_FILE] {
            if plaintext && get(name).is_some() {
                return Err(ConfigError(format!("{PLAINTEXT} does not go with {name}: it is for TLS")));
            }
        }
        Ok(Self {
            address,
            credentials: find_credentials(&get)?,
            client_certificate: find_certificate(&get)?,
            root_certificates: find_roots(&get)?,
            plaintext,
            project_id: get(PROJECT_ID).unwrap_or_default(),
            timeout: parse_timeout(get(TIMEOUT))?,
        })
    }
}

fn find_credentials(get: &impl Fn(&str) -> Option<String>) -> Result<Credentials, ConfigError> {
    let found: Vec<&str> = [API_KEY, API_KEY_FILE, TOKEN_FILE].into_iter().filter(|name| get(name).is_some()).collect();
    match found[..] {
        [API_KEY] => api_key(API_KEY, get(API_KEY).unwrap_or_default()),
        [API_KEY_FILE] => {
            let content = read(API_KEY_FILE, &get(API_KEY_FILE).unwrap_or_default())?;
            api_key(API_KEY_FILE, String::from_utf8_lossy(&content).trim().to_owned())
        }
        [TOKEN_FILE] => Ok(Credentials::TokenFile(PathBuf::from(get(TOKEN_FILE).unwrap_or_default()))),
        [] if get(CLIENT_CERT_FILE).is_some() => Ok(Credentials::None),
        [] => Err(ConfigError(format!(
            "no credentials: set {API_KEY}, {API_KEY_FILE} or {TOKEN_FILE}, or {CLIENT_CERT_FILE} with {CLIENT_KEY_FILE}"
        ))),
        _ => Err(ConfigError(format!("{} are set: set only one of them", found.join(" and ")))),
    }
}

fn api_key(variable: &str, key: String) -> Result<Credentials, ConfigError> {
    match api_key_problem(&key) {
        Some(problem) => Err(ConfigError(format!("{variable}: the API key {problem}"))),
        None => Ok(Credentials::ApiKey(key)),
    }
}

fn find_certificate(get: &impl Fn(&str) -> Option<String>) -> Result<Option<ClientCertificate>, ConfigError> {
    match (get(CLIENT_CERT_FILE), get(CLIENT_KEY_FILE)) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => {
            Ok(Some(ClientCertificate { chain: read(CLIENT_CERT_FILE, &chain)?, key: read(CLIENT_KEY_FILE, &key)? }))
        }
        _ => Err(ConfigError(format!("{CLIENT_CERT_FILE} and {CLIENT_KEY_FILE} go together: set both or neither"))),
    }
}

fn find_roots(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(path) = get(CA_FILE) else { return Ok(None) };
    let roots = read(CA_FILE, &path)?;
    // tonic takes a file without a certificate, and then trusts nobody.
    if !String::from_utf8_lossy(&roots).contains("-----BEGIN CERTIFICATE-----") {
        return Err(ConfigError(format!("{CA_FILE} {path}: holds no certificate in PEM")));
    }
    Ok(Some(roots))
}

fn read(variable: &str, path: &str) -> Result<Vec<u8>, ConfigError> {
    read_file(path, MAX_FILE).map_err(|error| ConfigError(format!("{variable} {path}: {error}")))
}

fn parse_flag(name: &str, value: &str) -> Result<bool, ConfigError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "t" | "y" => Ok(true),
        "" | "0" | "false" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(ConfigError(format!("{name} must be one of 1, true, yes, on, 0, false, no, off"))),
    }
}

fn parse_timeout(value: Option<String>) -> Result<Duration, ConfigError> {
    let Some(text) = value else { return Ok(DEFAULT_TIMEOUT) };
    let seconds = text.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| ConfigError(format!("{TIMEOUT} must be a number of seconds above 0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(variables: &[(&str, &str)]) -> Result<Connection, ConfigError> {
        Connection::from_variables(|name| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn problem(variables: &[(&str, &str)]) -> String {
        connection(variables).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_describes_a_connection() {
        let found = connection(&[
            (ADDRESS, "localhost:50051"),
            (API_KEY, "tak_secret"),
            (PLAINTEXT, "Yes"),
            (PROJECT_ID, "47000000"),
            (TIMEOUT, "1.5"),
            (CA_FILE, ""),
        ])
        .unwrap();

        assert_eq!("localhost:50051", found.address);
        assert!(found.plaintext);
        assert_eq!("47000000", found.project_id);
        assert_eq!(Duration::from_millis(1500), found.timeout);
        assert!(!format!("{found:?}").contains("tak_secret"));
    }

    #[test]
    fn names_the_variable_that_is_wrong_and_shows_no_key() {
        let with = |more: (&'static str, &'static str)| {
            problem(&[more, (ADDRESS, "localhost:50051"), (API_KEY, "tak secret")])
        };

        assert_eq!("TOKENAUTHORITY_ADDRESS is not set", problem(&[]));
        assert!(with((ADDRESS, "https://localhost:50051")).contains(ADDRESS));
        assert!(with((TOKEN_FILE, "token")).contains("API_KEY and TOKENAUTHORITY_TOKEN_FILE are set"));
        assert!(with((PLAINTEXT, "maybe")).contains(PLAINTEXT));
        assert!(with((PROJECT_ID, "")).starts_with("TOKENAUTHORITY_API_KEY: the API key must be"));
        assert!(!with((PROJECT_ID, "")).contains("secret"));
        for timeout in ["soon", "0", "-1", "inf", "nan"] {
            assert!(parse_timeout(Some(timeout.into())).unwrap_err().to_string().contains(TIMEOUT));
        }
    }

    #[test]
    fn needs_a_credential_or_a_certificate() {
        let address = (ADDRESS, "localhost:50051");

        assert!(problem(&[address]).starts_with("no credentials"));
        assert!(problem(&[address, (CLIENT_CERT_FILE, "a"), (API_KEY, "tak_a")]).contains("go together"));
        assert!(problem(&[address, (CLIENT_CERT_FILE, "a"), (PLAINTEXT, "1")]).contains("does not go with"));
    }

    #[test]
    fn refuses_files_that_hold_nothing_of_use() {
        let address = (ADDRESS, "localhost:50051");
        let empty = tempfile::NamedTempFile::new().unwrap();
        let path = empty.path().to_str().unwrap();

        assert!(problem(&[address, (API_KEY_FILE, path)]).starts_with(API_KEY_FILE));
        assert!(problem(&[address, (API_KEY, "tak_a"), (CA_FILE, path)]).contains("no certificate"));
        assert!(problem(&[address, (API_KEY, "tak_a"), (CA_FILE, "/dev/zero")]).contains("not a regular file"));
    }
}
