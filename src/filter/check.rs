//! The answer of a gateway to a configuration that it is to start with, for those who have no
//! gateway at hand. Never calls the host.

use super::gateway::{Rules, BOTH_RULES};
use crate::config::{Config, HostChoice};

/// A gateway that the filter runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayName {
    /// Envoy.
    Envoy,
    /// Kong Gateway, or nginx with Kong's module.
    Kong,
}

/// A gateway's verdict on a configuration that has no fault of its own. Its lines are those of the
/// log: `PLACE: PROBLEM; REMEDY`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayVerdict {
    /// The reason why the filter does not start there.
    pub objection: Option<String>,
    /// Notes on what is accepted, and was probably not meant so.
    pub warnings: Vec<String>,
}

impl GatewayName {
    /// Both of them.
    pub const ALL: [GatewayName; 2] = [GatewayName::Envoy, GatewayName::Kong];

    /// Returns the gateways that a configuration may be for, as its `host` says.
    pub fn of(config: &Config) -> &'static [GatewayName] {
        match config.host {
            HostChoice::Auto => &GatewayName::ALL,
            HostChoice::Envoy => &[GatewayName::Envoy],
            HostChoice::Kong => &[GatewayName::Kong],
        }
    }

    /// Returns what the gateway says of `config`.
    pub fn verdict(self, config: &Config) -> GatewayVerdict {
        let rules = self.rules();
        match (rules.objection)(config) {
            Some(objection) => GatewayVerdict { objection: Some(objection), warnings: Vec::new() },
            None => GatewayVerdict { objection: None, warnings: rules.warnings(config) },
        }
    }

    fn rules(self) -> &'static Rules {
        let [envoy, kong] = BOTH_RULES;
        match self {
            GatewayName::Envoy => envoy,
            GatewayName::Kong => kong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(more: &str) -> [GatewayVerdict; 2] {
        let text = format!(
            r#"{{"topic_arn": "arn:aws:sns:us-east-1:123456789012:t",
                 "routes": [{{"method": "PUT", "matcher": "/a"}}]{more}}}"#
        );
        let config = Config::from_json(text.as_bytes()).unwrap();
        assert_eq!(GatewayName::of(&config), GatewayName::ALL);
        GatewayName::ALL.map(|name| name.verdict(&config))
    }

    #[test]
    fn each_gateway_has_objections_and_warnings_of_its_own() {
        assert_eq!(verdicts(""), [GatewayVerdict::default(), GatewayVerdict::default()]);
        let [envoy, kong] = verdicts(r#", "upstream": "sns""#);
        assert_eq!(envoy, GatewayVerdict::default());
        assert!(kong.objection.is_some_and(|line| line.starts_with("upstream: ")));
    }

    #[test]
    fn a_configuration_may_name_its_gateway() {
        let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/q";
        let text = format!(
            r#"{{"host": "kong", "queue_url": "{queue}", "routes": [{{"method": "PUT", "matcher": "/a", "status": 0}}]}}"#
        );
        let config = Config::from_json(text.as_bytes()).unwrap();
        assert_eq!(GatewayName::of(&config), [GatewayName::Kong]);
        let warnings = |name: GatewayName| name.verdict(&config).warnings;
        assert_eq!(warnings(GatewayName::Envoy), [""; 0]);
        assert!(warnings(GatewayName::Kong).concat().contains("give `499`"));
    }
}
