//! Secrets: where they come from, and what is shown in their place.

/// What is shown in place of a secret.
pub(crate) const REDACTED: &str = "<redacted>";

/// What a file holds, the line end at its end aside.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_secret(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Refuses a token that no caller could send in a header.
///
/// # Errors
/// What is wrong with it, to follow its name.
pub(crate) fn check_token(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err("is empty"),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        _ => Err("must be one line of visible ASCII characters, without spaces"),
    }
}
