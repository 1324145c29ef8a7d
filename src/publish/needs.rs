//! The parts of an exchange that an event is made of. The host is asked for these and nothing else.

use crate::exchange::template::Variable;

/// Parts of an exchange, by the placeholders that are filled in with them.
#[derive(Clone, Debug)]
pub(crate) enum Needs {
    /// All that the host tells, for a message that is the whole record.
    Record,
    /// These alone.
    Parts(Vec<Variable>),
}

impl Needs {
    /// Collects what these placeholders need, each once.
    #[inline(never)]
    pub(crate) fn of(variables: &[&Variable]) -> Needs {
        let mut parts: Vec<Variable> = Vec::new();
        for variable in variables {
            if !parts.contains(variable) {
                parts.push((*variable).clone());
            }
        }
        Needs::Parts(parts)
    }

    /// Returns true if everything is needed.
    pub(crate) fn is_record(&self) -> bool {
        matches!(self, Needs::Record)
    }

    /// Returns true if the value of this placeholder is needed.
    #[inline(never)]
    pub(crate) fn has(&self, variable: &Variable) -> bool {
        match self {
            Needs::Record => true,
            Needs::Parts(parts) => parts.contains(variable),
        }
    }

    /// Returns the placeholders, if not everything is needed.
    pub(crate) fn parts(&self) -> &[Variable] {
        match self {
            Needs::Record => &[],
            Needs::Parts(parts) => parts,
        }
    }

    /// Returns the names of the headers of the request that are needed, if not all are.
    pub(crate) fn request_headers(&self) -> impl Iterator<Item = &str> {
        self.parts().iter().filter_map(|variable| match variable {
            Variable::RequestHeader(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns the names of the headers of the response that are needed, if not all are.
    pub(crate) fn response_headers(&self) -> impl Iterator<Item = &str> {
        self.parts().iter().filter_map(|variable| match variable {
            Variable::ResponseHeader(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_twice_is_needed_once_and_nothing_else_is() {
        let variables: Vec<Variable> = ["request.headers.a", "client_ip", "request.headers.A", "response.headers.b"]
            .map(|v| v.parse().unwrap())
            .into();
        let needs = Needs::of(&variables.iter().collect::<Vec<_>>());
        assert_eq!(needs.request_headers().collect::<Vec<_>>(), ["a"]);
        assert_eq!(needs.response_headers().collect::<Vec<_>>(), ["b"]);
        assert!(needs.has(&Variable::ClientIp) && !needs.has(&Variable::RouteName) && !needs.is_record());
        assert!(Needs::Record.has(&Variable::RouteName) && Needs::Record.parts().is_empty());
    }
}
