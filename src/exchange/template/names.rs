//! Placeholders as they are written, without `${}`, for what is said of them outside a gateway.

use std::fmt;

use super::Variable;

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variable::PathGroup(name) => write!(f, "path.{name}"),
            Variable::RequestMethod => f.write_str("request.method"),
            Variable::RequestPath => f.write_str("request.path"),
            Variable::RequestHeader(name) => write!(f, "request.headers.{name}"),
            Variable::RequestQuery(name) => write!(f, "request.query.{name}"),
            Variable::RequestId => f.write_str("request.id"),
            Variable::RequestBody => f.write_str("request.body"),
            Variable::RequestBodyValue(at) => write!(f, "request.body.{at}"),
            Variable::RequestFormField(name) => write!(f, "request.form.{name}"),
            Variable::ResponseBody => f.write_str("response.body"),
            Variable::ResponseBodyValue(at) => write!(f, "response.body.{at}"),
            Variable::ResponseStatus => f.write_str("response.status"),
            Variable::ResponseHeader(name) => write!(f, "response.headers.{name}"),
            Variable::RouteName => f.write_str("route.name"),
            Variable::ServiceName => f.write_str("service.name"),
            Variable::ConsumerId => f.write_str("consumer.id"),
            Variable::ConsumerUsername => f.write_str("consumer.username"),
            Variable::ClientIp => f.write_str("client_ip"),
            Variable::StartedAt => f.write_str("started_at"),
            Variable::EventId => f.write_str("event.id"),
            Variable::EventType => f.write_str("event.type"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BODY_VARIABLES, RESPONSE_BODY_VARIABLES, VARIABLES};
    use super::*;

    #[test]
    fn a_placeholder_is_named_as_it_is_read() {
        for name in VARIABLES.into_iter().chain(BODY_VARIABLES).chain(RESPONSE_BODY_VARIABLES) {
            let name = name.replace("NAME", "name");
            assert_eq!(name.parse::<Variable>().unwrap().to_string(), name);
        }
    }
}
