//! Credentials that are there from the start and never change, from the environment or from the
//! configuration.
//!
//! Never reads the environment by itself (it is handed in) and never puts a value into an error:
//! errors name variables and keys only.

use super::{plausible, Credentials, Provider, SourceError, Step};
use crate::aws::credentials::settings::StaticKeys;
use crate::callout::Reply;
use crate::clock::Timestamp;
use crate::secret::Secret;

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// The reason why there are no credentials.
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
    /// A value that cannot be right. To sign with it would only give errors that are harder to
    /// read.
    #[error("{0} is empty or holds a character that no AWS credential has, such as a space, a line break or a quote")]
    Malformed(&'static str),
}

/// A source whose credentials never change.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Credentials);

impl Provider for Fixed {
    fn begin(&mut self, _: Timestamp) -> Step {
        Step::Done(Ok(self.0.clone()))
    }

    fn handle_reply(&mut self, _: &Reply, _: Timestamp) -> Step {
        SourceError::new("fixed credentials", "a reply that nobody asked for", "report this").into()
    }
}

/// Returns the keys of the configuration.
///
/// # Errors
/// [`CredentialsError::Malformed`] names the first that has a character which no AWS credential
/// has.
pub(super) fn from_config(keys: &StaticKeys) -> Result<Credentials, CredentialsError> {
    checked(
        Credentials {
            access_key_id: keys.access_key_id.clone(),
            secret_access_key: keys.secret_access_key.clone(),
            session_token: keys.session_token.clone(),
            expires_at: None,
        },
        ["credentials.access_key_id", "credentials.secret_access_key", "credentials.session_token"],
    )
}

/// Returns true if the environment has any part of credentials.
pub(super) fn is_there(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    [ACCESS_KEY_ID, SECRET_ACCESS_KEY].iter().any(|name| environment(name).is_some_and(|value| !value.is_empty()))
}

/// Returns the keys of the environment. `environment` gives the value of a variable; an empty value
/// counts as missing.
///
/// # Errors
/// [`CredentialsError::Missing`] names every variable that is missing,
/// [`CredentialsError::Malformed`] the first whose value no AWS credential can have.
pub(super) fn from_environment(environment: &dyn Fn(&str) -> Option<String>) -> Result<Credentials, CredentialsError> {
    let variable = |name| environment(name).filter(|value| !value.is_empty());
    match (variable(ACCESS_KEY_ID), variable(SECRET_ACCESS_KEY)) {
        (Some(access_key_id), Some(secret)) => checked(
            Credentials {
                access_key_id,
                secret_access_key: Secret::new(secret),
                session_token: variable(SESSION_TOKEN).map(Secret::new),
                expires_at: None,
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

/// Refuses keys that cannot be right, and names the first by its name in `names`.
fn checked(credentials: Credentials, names: [&'static str; 3]) -> Result<Credentials, CredentialsError> {
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
        from_environment(&environment(variables))
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
        let fixed = StaticKeys {
            access_key_id: "AKID".into(),
            secret_access_key: Secret::new("s"),
            session_token: Some(Secret::new("")),
        };
        assert_eq!(from_config(&fixed).unwrap().session_token, None);
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
    fn a_value_that_cannot_be_right_is_refused_without_showing_it() {
        for bad in ["hunter2\n", "\"hunter2\"", "hunter2 ", "hunterй2", ""] {
            let fixed =
                StaticKeys { access_key_id: "AKID".into(), secret_access_key: Secret::new(bad), session_token: None };
            let error = from_config(&fixed).unwrap_err();
            assert_eq!(error, CredentialsError::Malformed("credentials.secret_access_key"));
            assert!(!format!("{error} {error:?}").contains("hunter"));
        }
        let error = from(&[("AWS_ACCESS_KEY_ID", "AK\r\nX: y"), ("AWS_SECRET_ACCESS_KEY", "s")]).unwrap_err();
        assert_eq!(error, CredentialsError::Malformed("AWS_ACCESS_KEY_ID"));
    }
}
