//! Which source is asked: the configured one, or the first that there is.
//!
//! The environment of a filter does not change while it runs, so the choice is made once, at the start.

use std::time::Duration;

use super::assume_role::AssumeRole;
use super::container::{self, Container, ContainerError};
use super::environment::{self, CredentialsError, Fixed};
use super::instance::Instance;
use super::refresh::{Keeper, Timing};
use super::Provider;
use crate::aws::credentials::settings::{Settings, Source};

/// Turns the instance metadata service off, as for every SDK.
const INSTANCE_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// Why there will never be credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Of the configuration or the environment.
    #[error(transparent)]
    Keys(#[from] CredentialsError),
    /// Of the container endpoint.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Nothing is left to ask.
    #[error(
        "the filter's environment has neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, and \
         {INSTANCE_DISABLED} forbids to ask for the role of the instance: give it one of them (Envoy: `host_env_keys`, Kong: \
         `nginx_main_env`)"
    )]
    Nothing,
}

/// A keeper of the credentials of `config`, or none where the host signs. `environment` gives the value of a variable; `timeout`
/// is that of one call, after `deadline` it counts as lost; `seed` drives the jitter.
///
/// # Errors
/// When the chosen source can be seen never to give any.
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
        Source::Host => return Ok(None),
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
