//! Options of the client from JSON. A name that the contract does not have is an error.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokenauthority_client::{
    ArchiveMode, Lifetime, ListOptions, MediaMode, Permission, SessionOptions, SessionState, TokenFormat, TokenOptions,
    TurnOptions,
};

/// Return a text, empty if it is absent.
pub fn text(fields: &Value, name: &str) -> String {
    fields[name].as_str().unwrap_or_default().to_owned()
}

/// Return a whole number, 0 if it is absent.
pub fn number(fields: &Value, name: &str) -> u64 {
    fields[name].as_u64().unwrap_or_default()
}

pub fn session_options(options: &Value) -> Result<SessionOptions, String> {
    Ok(SessionOptions {
        media_mode: parsed(options, "media_mode", "MEDIA_MODE_", MediaMode::from_str_name)?,
        archive_mode: parsed(options, "archive_mode", "ARCHIVE_MODE_", ArchiveMode::from_str_name)?,
        location: text(options, "location"),
        e2ee: options["e2ee"].as_bool().unwrap_or_default(),
        archive_name: text(options, "archive_name"),
        archive_resolution: text(options, "archive_resolution"),
        name: text(options, "name"),
        ..Default::default()
    })
}

pub fn list_options(options: &Value) -> Result<ListOptions, String> {
    Ok(ListOptions {
        state: parsed(options, "state", "SESSION_STATE_", SessionState::from_str_name)?,
        page_size: i32::try_from(number(options, "page_size")).map_err(|error| error.to_string())?,
    })
}

pub fn token_options(options: &Value) -> Result<TokenOptions, String> {
    let lifetime = match (options["ttl"].as_f64(), options["expire_time"].as_u64()) {
        (None, None) => None,
        (Some(ttl), None) => Some(Lifetime::Ttl(seconds(ttl)?)),
        (None, Some(seconds)) => Some(Lifetime::ExpireTime(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))),
        (Some(_), Some(_)) => return Err("a lifetime is either a ttl or an expire_time".into()),
    };
    let classes = options["initial_layout_class_list"].as_array().into_iter().flatten();
    Ok(TokenOptions {
        role: text(options, "role"),
        data: text(options, "data"),
        lifetime,
        format: parsed(options, "format", "TOKEN_FORMAT_", TokenFormat::from_str_name)?,
        subject: text(options, "subject"),
        initial_layout_class_list: classes.filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

pub fn turn_options(options: &Value) -> Result<TurnOptions, String> {
    Ok(TurnOptions { subject: text(options, "subject"), ttl: options["ttl"].as_f64().map(seconds).transpose()? })
}

fn seconds(count: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(count).map_err(|error| error.to_string())
}

pub fn permissions(names: &Value) -> Result<Vec<Permission>, String> {
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| parse("required_permissions", name, "PERMISSION_", Permission::from_str_name)).collect()
}

fn parsed<T: Default>(
    options: &Value,
    name: &str,
    prefix: &str,
    from_name: fn(&str) -> Option<T>,
) -> Result<T, String> {
    options[name].as_str().map_or_else(|| Ok(T::default()), |value| parse(name, value, prefix, from_name))
}

fn parse<T>(name: &str, value: &str, prefix: &str, from_name: fn(&str) -> Option<T>) -> Result<T, String> {
    from_name(&format!("{prefix}{}", value.to_uppercase())).ok_or_else(|| format!("{name}: no such value"))
}
