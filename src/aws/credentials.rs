//! Credentials and where they come from.
//!
//! Never reads the environment by itself (it is handed in) and never puts a value into an error: errors name variables
//! and keys only.

use crate::config::CredentialSource;
use crate::secret::Secret;

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// What a request is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The public half of the key.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Variables that the filter does not see, or that are empty.
    #[error(
        "the filter's environment has no {}: a filter sees only the variables that the host lets through. Envoy: list \
         them under `vm_config.environment_variables.host_env_keys`. Kong: set `nginx_main_env = AWS_ACCESS_KEY_ID; \
         env AWS_SECRET_ACCESS_KEY; env AWS_SESSION_TOKEN` in kong.conf",
        .0.join(" and no ")
    )]
    Missing(Vec<&'static str>),
    /// A value that cannot be right; signing with it would only give errors that are harder to read.
    #[error("{0} is empty or holds a character that no AWS credential has, such as a space, a line break or a quote")]
    Malformed(&'static str),
}

/// Credentials from `source`. `environment` gives the value of a variable of the filter's environment; an empty value
/// counts as missing.
///
/// # Errors
/// [`CredentialsError::Missing`] names every variable that is missing, [`CredentialsError::Malformed`] the first value
/// that no AWS credential can have.
pub fn resolve(
    source: &CredentialSource,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Credentials, CredentialsError> {
    match source {
        CredentialSource::Static { access_key_id, secret_access_key, session_token } => checked(
            Credentials {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key.clone(),
                session_token: session_token.clone(),
            },
            ["credentials.access_key_id", "credentials.secret_access_key", "credentials.session_token"],
        ),
        CredentialSource::Environment => from_environment(environment),
    }
}

fn from_environment(environment: &dyn Fn(&str) -> Option<String>) -> Result<Credentials, CredentialsError> {
    let variable = |name| environment(name).filter(|value| !value.is_empty());
    match (variable(ACCESS_KEY_ID), variable(SECRET_ACCESS_KEY)) {
        (Some(access_key_id), Some(secret)) => checked(
            Credentials {
                access_key_id,
                secret_access_key: Secret::new(secret),
                session_token: variable(SESSION_TOKEN).map(Secret::new),
            },
            [ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN],
        ),
        (id, secret) => {
            let missing = [(ACCESS_KEY_ID, id.is_none()), (SECRET_ACCESS_KEY, secret.is_none())];
            Err(CredentialsError::Missing(
                missing.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect(),
            ))
        }
    }
}

/// Refuses what could not travel in a header: the id and the token are sent in one, and a line break in either would
/// start a header of its own.
fn checked(credentials: Credentials, names: [&'static str; 3]) -> Result<Credentials, CredentialsError> {
    let plausible = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b','))
    };
    let session_token = credentials.session_token.filter(|token| !token.reveal().is_empty());
    let credentials = Credentials { session_token, ..credentials };
    let [id, secret, token] = names;
    if !plausible(&credentials.access_key_id) {
        return Err(CredentialsError::Malformed(id));
    }
    if !plausible(credentials.secret_access_key.reveal()) {
        return Err(CredentialsError::Malformed(secret));
    }
    if credentials.session_token.as_ref().is_some_and(|text| !plausible(text.reveal())) {
        return Err(CredentialsError::Malformed(token));
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn from(variables: &'static [(&'static str, &'static str)]) -> Result<Credentials, CredentialsError> {
        resolve(&CredentialSource::Environment, &environment(variables))
    }

    #[test]
    fn the_environment_gives_all_three() {
        let credentials =
            from(&[("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s/+="), ("AWS_SESSION_TOKEN", "t==")]);
        let credentials = credentials.unwrap();
        assert_eq!(credentials.access_key_id, "AKID");
        assert_eq!(credentials.secret_access_key.reveal(), "s/+=");
        assert_eq!(credentials.session_token.unwrap().reveal(), "t==");
    }

    #[test]
    fn an_empty_token_is_no_token() {
        let variables = &[("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "")];
        assert_eq!(from(variables).unwrap().session_token, None);
        let fixed = CredentialSource::Static {
            access_key_id: "AKID".into(),
            secret_access_key: Secret::new("s"),
            session_token: Some(Secret::new("")),
        };
        assert_eq!(resolve(&fixed, &|_| None).unwrap().session_token, None);
    }

    #[test]
    fn what_is_missing_is_named_with_the_mend() {
        let error = from(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SESSION_TOKEN", "t")]).unwrap_err();
        assert_eq!(error, CredentialsError::Missing(vec!["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]));
        let text = error.to_string();
        for part in [
            "no AWS_ACCESS_KEY_ID and no AWS_SECRET_ACCESS_KEY",
            "vm_config.environment_variables.host_env_keys",
            "nginx_main_env = AWS_ACCESS_KEY_ID; env AWS_SECRET_ACCESS_KEY; env AWS_SESSION_TOKEN",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let error = from(&[("AWS_ACCESS_KEY_ID", "AKID")]).unwrap_err();
        assert_eq!(error, CredentialsError::Missing(vec!["AWS_SECRET_ACCESS_KEY"]));
    }

    #[test]
    fn static_credentials_do_not_ask_the_environment() {
        let fixed = CredentialSource::Static {
            access_key_id: "AKID".into(),
            secret_access_key: Secret::new("secret"),
            session_token: Some(Secret::new("token")),
        };
        let credentials = resolve(&fixed, &|name| panic!("asked for {name}")).unwrap();
        assert_eq!(credentials.access_key_id, "AKID");
        assert_eq!(credentials.session_token, Some(Secret::new("token")));
    }

    #[test]
    fn a_value_that_cannot_be_right_is_refused_without_showing_it() {
        for bad in ["hunter2\n", "\"hunter2\"", "hunter2 ", "hunterй2", ""] {
            let fixed = CredentialSource::Static {
                access_key_id: "AKID".into(),
                secret_access_key: Secret::new(bad),
                session_token: None,
            };
            let error = resolve(&fixed, &|_| None).unwrap_err();
            assert_eq!(error, CredentialsError::Malformed("credentials.secret_access_key"));
            assert!(!format!("{error} {error:?}").contains("hunter"));
        }
        let error = from(&[("AWS_ACCESS_KEY_ID", "AK\r\nX: y"), ("AWS_SECRET_ACCESS_KEY", "s")]).unwrap_err();
        assert_eq!(error, CredentialsError::Malformed("AWS_ACCESS_KEY_ID"));
    }
}
