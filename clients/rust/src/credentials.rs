//! The bearer credential of each call: a fixed key, a file that is read for each call, or a function.

use std::{fmt, fs, io, io::Read, path::PathBuf, sync::Arc};

use http::HeaderValue;
use tonic::Status;

/// Bytes of a bearer credential; the authority reads no longer one.
const MAX_TOKEN: u64 = 8192;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What proves the caller in each call. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub enum Credentials {
    /// No bearer credential: a client certificate proves the caller.
    #[default]
    None,
    /// An API key, `tak_...`.
    ApiKey(String),
    /// A file that holds a JWT or an API key, read again for each call, at most 8192 bytes.
    TokenFile(PathBuf),
    /// A function that returns a JWT or an API key, called for each call. It must not block.
    Function(Arc<dyn Fn() -> Result<String, Failure> + Send + Sync>),
}

impl Credentials {
    /// Credentials that `function` returns, called for each call. It must not block.
    pub fn function<F>(function: F) -> Self
    where
        F: Fn() -> Result<String, Failure> + Send + Sync + 'static,
    {
        Self::Function(Arc::new(function))
    }

    /// Return the header of one call; UNAUTHENTICATED if there is no credential to send. The message shows no secret.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Status> {
        let token = match self {
            Self::None => return Ok(None),
            Self::ApiKey(key) => key.clone(),
            Self::TokenFile(path) => {
                let name = format!("token_file {}", path.display());
                let path = path.clone();
                let content = tokio::task::spawn_blocking(move || read_file(&path, MAX_TOKEN)).await;
                let content = content.map_err(|_| unusable(&name, "cannot be read now"))?;
                let content = content.map_err(|error| unusable(&name, &error.to_string()))?;
                String::from_utf8_lossy(&content).trim().to_owned()
            }
            Self::Function(function) => function().map_err(|error| unusable("credentials", &error.to_string()))?,
        };
        bearer(&token)
            .map(Some)
            .ok_or_else(|| unusable("the credential", "must be 1 to 8192 characters of printable ASCII without spaces"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("None"),
            Self::ApiKey(_) => formatter.write_str("ApiKey(..)"),
            Self::TokenFile(path) => formatter.debug_tuple("TokenFile").field(path).finish(),
            Self::Function(_) => formatter.write_str("Function(..)"),
        }
    }
}

/// Return the header for `token`; `None` if no header can carry it.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let is_safe =
        !token.is_empty() && token.len() as u64 <= MAX_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_safe)?;
    header.set_sensitive(true);
    Some(header)
}

/// Return the content of a regular file of at most `limit` bytes.
pub(crate) fn read_file(path: impl AsRef<std::path::Path>, limit: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    // A pipe or a device could block, or have no end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::other(format!("has more than {limit} bytes")));
    }
    Ok(content)
}

fn unusable(what: &str, problem: &str) -> Status {
    Status::unauthenticated(format!("{what}: {problem}"))
}
