//! Secrets from the environment, of which the machine that checks a configuration may have none:
//! what `${env.NAME}` stands for, here or in a file, and what stands in its place where it is not
//! set. Never shows a value.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use retrohook::config::{Config, Fault};

use crate::report::Failure;
use crate::source;

/// What stands in for a variable that is not set: the first that the configuration takes for what
/// it is. A word, a secret of Standard Webhooks, a key in hexadecimal, one of Ed25519, a name and a
/// password, a URL.
const STAND_INS: [&str; 6] = [
    "retrohook-stand-in",
    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
    "00112233445566778899aabbccddeeff",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "name:stand-in",
    "https://stand-in.example.com/in",
];

/// Rounds over the variables that are not set, at most: what one stands for may show only once
/// another has a value.
const ROUNDS: usize = 2;

/// The variables that a configuration may name.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    of_file: BTreeMap<String, String>,
}

/// A configuration, read where perhaps not all of its variables are set.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The configuration, unless it has a fault. What is not set has a stand-in in it.
    pub(crate) config: Option<Config>,
    /// Its faults, whatever is set.
    pub(crate) faults: Vec<Fault>,
    /// Faults of this machine alone: variables that are not set.
    pub(crate) unset: Vec<Fault>,
}

impl Environment {
    /// Takes the variables of the process, and those of a file of lines `NAME=VALUE`.
    pub(crate) fn with_file(name: Option<&str>) -> Result<Environment, Failure> {
        let Some(name) = name else { return Ok(Environment::default()) };
        let text = source::text(name)?;
        let mut of_file = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refused = || Failure::new(format!("{}:{}: is not NAME=VALUE", source::shown(name), number + 1));
            let (name, value) = line.split_once('=').ok_or_else(refused)?;
            let name = name.trim_end();
            // Such as `export NAME`, which no configuration could name.
            if name.is_empty() || name.contains(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
                return Err(refused());
            }
            of_file.insert(name.to_owned(), value.trim().trim_matches('"').to_owned());
        }
        Ok(Environment { of_file })
    }

    /// Returns the value of a variable; one of the file goes before one of the process.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.of_file.get(name).cloned().or_else(|| std::env::var(name).ok()).filter(|value| !value.is_empty())
    }

    /// Reads a configuration as the filter does.
    pub(crate) fn read(&self, json: &str) -> Checked {
        let unset = RefCell::new(BTreeSet::new());
        let first = Config::from_json_in(json.as_bytes(), &|name: &str| {
            let value = self.get(name);
            if value.is_none() {
                unset.borrow_mut().insert(name.to_owned());
            }
            value
        });
        let at_first = match first {
            Ok(config) => return Checked { config: Some(config), faults: Vec::new(), unset: Vec::new() },
            Err(faults) => faults.iter().cloned().collect::<Vec<_>>(),
        };
        let mut stand_ins = BTreeMap::new();
        let read = |stand_ins: &BTreeMap<String, &str>| {
            Config::from_json_in(json.as_bytes(), &|name: &str| {
                self.get(name).or_else(|| stand_ins.get(name).map(|value| (*value).to_owned()))
            })
        };
        let count =
            |stand_ins: &BTreeMap<String, &str>| read(stand_ins).map_or_else(|faults| faults.iter().count(), |_| 0);
        let unset = unset.into_inner();
        for name in std::iter::repeat_n(&unset, ROUNDS).flatten() {
            let with = |value: &'static str| {
                let mut with = stand_ins.clone();
                with.insert(name.clone(), value);
                with
            };
            let best = STAND_INS.into_iter().min_by_key(|value| count(&with(value)));
            stand_ins = with(best.unwrap_or_default());
        }
        let (config, faults) = match read(&stand_ins) {
            Ok(config) => (Some(config), Vec::new()),
            Err(faults) => (None, faults.iter().cloned().collect::<Vec<_>>()),
        };
        let unset = at_first.into_iter().filter(|fault| !faults.contains(fault)).collect();
        Checked { config, faults, unset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_hides_no_fault_and_is_none() {
        let verify = |scheme: &str| {
            format!(
                r#"{{"method": "POST", "matcher": "^/{scheme}$", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/q",
                    "verify": {{"scheme": "{scheme}", "secrets": ["${{env.RETROHOOK_TEST_NONE_{scheme}}}"]}}}}"#
            )
        };
        let schemes = ["github", "discord", "postmark"].map(verify).join(",");
        let checked = |more: &str| {
            let json = format!(
                r#"{{"webhook_url": "${{env.RETROHOOK_TEST_NO_URL}}", "routes": [{{"method": "PUT", "matcher": "/a"}}],
                    "webhook": {{"secrets": ["${{env.RETROHOOK_TEST_NO_SECRET}}"]}},
                    "dead_letter": {{"mark": "${{env.RETROHOOK_TEST_NO_MARK}}"}}, "capture": [{schemes}]{more}}}"#
            );
            Environment::default().read(&json)
        };
        let whole = checked("");
        assert!(whole.config.is_some() && whole.faults.is_empty(), "{:?}", whole.faults);
        assert_eq!(whole.unset.len(), 6, "{:?}", whole.unset);
        let faulty = checked(r#", "timeout": 1"#);
        assert_eq!(faulty.faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["timeout"]);
        assert!(faulty.config.is_none() && faulty.unset.len() == 6);
    }
}
