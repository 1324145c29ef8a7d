//! Chooses the source of credentials: the configured one, or the first that there is. Never asks
//! it.
//!
//! The environment of a filter does not change while it runs, so the choice is made once, at the
//! start.

use std::time::Duration;

use super::assume_role::AssumeRole;
use super::container::{self, Container, ContainerError};
use super::environment::{self, CredentialsError, Fixed};
use super::instance::Instance;
use super::refresh::{Keeper, Timing};
use super::Provider;
use crate::aws::credentials::settings::{Settings, Source};

/// The variable that turns the instance metadata service off, as for every SDK.
const INSTANCE_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// The variable in which IRSA names the file of a token.
const WEB_IDENTITY: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// The warning of a role that is in a file alone.
const ROLE_OF_A_FILE: &str =
    "credentials: the environment has AWS_WEB_IDENTITY_TOKEN_FILE (IRSA) and no keys, and a filter reads no files, so that \
     this role signs nothing; let Envoy sign with `\"credentials\": {\"source\": \"host\"}`, or hand the filter keys \
     (docs/credentials.md)";

/// Returns the warning of an environment that has a role for others than a filter, and no keys.
pub fn warning(config: &Settings, environment: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is_sought = matches!(config.source, Source::Auto | Source::Environment);
    let has_keys = || environment::is_there(environment) || container::is_there(environment);
    let has_file = || environment(WEB_IDENTITY).is_some_and(|file| !file.is_empty());
    (is_sought && has_file() && !has_keys()).then_some(ROLE_OF_A_FILE)
}

/// The reason why there will never be credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Keys of the configuration or the environment that are missing or wrong.
    #[error(transparent)]
    Keys(#[from] CredentialsError),
    /// A container endpoint that cannot be asked.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// No source that could be asked.
    #[error(
        "the filter's environment has neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, and \
         {INSTANCE_DISABLED} forbids to ask for the role of the instance: give it one of them (Envoy: `host_env_keys`, Kong: \
         `nginx_main_env`)"
    )]
    Nothing,
}

/// Makes the keeper of the credentials of `config`, or none if the host signs, or nobody.
/// `environment` gives the value of a variable. One call has the timeout `timeout` and counts as
/// lost after `deadline`. `seed` drives the jitter.
///
/// # Errors
/// When it is plain that the chosen source will never give credentials.
pub fn keeper(
    config: &Settings,
    environment: &dyn Fn(&str) -> Option<String>,
    timeout: Duration,
    deadline: Duration,
    seed: u64,
) -> Result<Option<Keeper>, StartError> {
    let Some(source) = source(config, environment, timeout)? else { return Ok(None) };
    let provider = match config.assume_role.clone() {
        Some(role) => Box::new(AssumeRole::new(source, role, timeout)),
        None => source,
    };
    Ok(Some(Keeper::new(provider, Timing { deadline, ..Timing::default() }, seed)))
}

fn source(
    config: &Settings,
    environment: &dyn Fn(&str) -> Option<String>,
    timeout: Duration,
) -> Result<Option<Box<dyn Provider>>, StartError> {
    let from_environment = || -> Result<Box<dyn Provider>, StartError> {
        Ok(Box::new(Fixed(environment::from_environment(environment)?)))
    };
    let container = || -> Result<Box<dyn Provider>, StartError> {
        Ok(Box::new(Container::from_environment(environment, config.upstreams.container.as_deref(), timeout)?))
    };
    let instance = || -> Box<dyn Provider> { Box::new(Instance::new(config.upstreams.instance.as_deref(), timeout)) };
    Ok(Some(match &config.source {
        Source::Host | Source::Unneeded => return Ok(None),
        Source::Static(keys) => Box::new(Fixed(environment::from_config(keys)?)),
        Source::Environment => from_environment()?,
        Source::Container => container()?,
        Source::Instance => instance(),
        Source::Auto if environment::is_there(environment) => from_environment()?,
        Source::Auto if container::is_there(environment) => container()?,
        Source::Auto => {
            let disabled = environment(INSTANCE_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
            if disabled {
                return Err(StartError::Nothing);
            }
            instance()
        }
    }))
}
