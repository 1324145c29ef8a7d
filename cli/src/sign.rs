//! `retrohook sign`: a webhook signed as its sender would, to try a capture with.
//!
//! A secret comes from the environment or from a file, never from an argument: those stand in the
//! history of the shell, and every user of the machine sees them in the list of processes.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use retrohook::agent::preview;
use retrohook::capture::verify::signing::UnsignedWebhook;
use retrohook::config::Config;
use serde_json::json;

use crate::loaded;
use crate::report::{self, Failure};
use crate::request::time;
use crate::source;

/// The variable by which a secret of a file reaches the configuration that it is put into.
const SECRET_VARIABLE: &str = "RETROHOOK_SIGN_SECRET";

/// Bytes of a body that is an argument of a command: Linux takes 128 KiB with what is around it.
const MAX_ARGUMENT_BYTES: usize = 100_000;

/// Sign a webhook as its sender would, and print its headers.
///
/// The scheme is that of a capture of FILE, or --scheme. A secret is never an argument: those stand
/// in the history of the shell and in the list of processes. With token and basic, and senders that
/// use them, the secret itself is the signature, and is printed.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("form").required(true).args(["file", "scheme"]))]
pub(crate) struct Arguments {
    /// A file with a configuration, whose capture says how it is signed.
    file: Option<String>,
    /// The position of the capture in FILE.
    #[arg(long, value_name = "N", requires = "file", default_value_t = 0)]
    capture: usize,
    /// The sender, such as github, stripe or standard-webhooks.
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// The variable of the environment that has the secret, with --scheme.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "secret_file"])]
    secret_env: Option<String>,
    /// The file that has the secret, with --scheme; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    secret_file: Option<String>,
    /// A file of lines NAME=VALUE, for ${env.NAME} in FILE.
    #[arg(long, value_name = "FILE")]
    env_file: Option<String>,
    /// The URL that the webhook is sent to.
    #[arg(long, default_value = "http://localhost:8000/webhook")]
    url: String,
    /// The method.
    #[arg(long, default_value = "POST")]
    method: String,
    /// The file with the body [default: an empty JSON object].
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// The content type of the body.
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// The id of the delivery, where the sender gives one.
    #[arg(long, default_value = "test-delivery-1")]
    id: String,
    /// The time of the signature, in RFC 3339 or seconds since 1970 [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Print a command that sends it.
    #[arg(long, conflicts_with = "json")]
    curl: bool,
    /// Print the request in the form that `retrohook webhook --request` reads.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let now = time(arguments.at.as_deref())?;
    let (origin, host, target) = split(&arguments.url)?;
    let body = arguments.data.as_deref().map_or_else(|| Ok(b"{}".to_vec()), source::bytes)?;
    let headers = vec![("host".to_owned(), host), ("content-type".to_owned(), arguments.content_type.clone())];
    let mut webhook = UnsignedWebhook { method: arguments.method.clone(), target, headers, body };
    let config = match &arguments.file {
        Some(_) => of_file(arguments)?,
        None => Some(of_scheme(arguments)?),
    };
    let Some(config) = config else { return Ok(ExitCode::FAILURE) };
    preview::sign(&config, arguments.capture, &mut webhook, &arguments.id, now)
        .map_err(|error| Failure::new(error.to_string()))?;
    report::line(if arguments.curl {
        curl(&origin, &webhook)
    } else if arguments.json {
        as_json(&webhook)
    } else {
        // The host is in the URL.
        let sent = webhook.headers.iter().filter(|(name, _)| name != "host");
        sent.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
    });
    Ok(ExitCode::SUCCESS)
}

/// Returns the configuration of the file whose capture is meant; none if it has a fault.
fn of_file(arguments: &Arguments) -> Result<Option<Config>, Failure> {
    let configuration = loaded::ConfigurationFile {
        file: arguments.file.clone().unwrap_or_default(),
        env_file: arguments.env_file.clone(),
    };
    let Some(all) = configuration.good()? else { return Ok(None) };
    if all.iter().any(|loaded| !loaded.checked.unset.is_empty()) {
        return Err(Failure::new("nothing is signed without its secret: set the variable, or give --env-file"));
    }
    let mut configs = all.into_iter().filter_map(|loaded| loaded.checked.config);
    Ok(configs.find(|config| preview::captures(config) > 0).or_else(|| configs.next()))
}

/// Makes a configuration with one capture of the scheme.
fn of_scheme(arguments: &Arguments) -> Result<Config, Failure> {
    let (origin, secret) = match (&arguments.secret_env, &arguments.secret_file) {
        (Some(name), _) => {
            let value = std::env::var(name).map_err(|_| Failure::new(format!("the environment has no {name}")))?;
            (name.as_str(), value)
        }
        (None, Some(file)) => (source::shown(file), source::text(file)?.trim_end_matches(['\r', '\n']).to_owned()),
        (None, None) => return Err(Failure::new("give --secret-env NAME or --secret-file FILE")),
    };
    let verify = json!({"scheme": arguments.scheme, "secrets": [format!("${{env.{SECRET_VARIABLE}}}")]});
    let capture = json!({
        "method": "*",
        "matcher": "/",
        "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
        "verify": verify,
    });
    let config = json!({"capture": [capture]}).to_string();
    let environment = |name: &str| (name == SECRET_VARIABLE).then(|| secret.clone());
    Config::from_json_in(config.as_bytes(), &environment).map_err(|faults| {
        let scheme = arguments.scheme.as_deref().unwrap_or_default();
        let place =
            |path: &str| if path.contains("secrets") { origin.to_owned() } else { format!("--scheme {scheme}") };
        let lines = faults.iter().map(|fault| format!("{}: {}; {}", place(&fault.path), fault.problem, fault.remedy));
        Failure::new(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// Splits a URL into scheme and authority, authority, and path with query string.
fn split(url: &str) -> Result<(String, String, String), Failure> {
    let refused = || Failure::new(format!("{url}: is no URL such as http://localhost:8000/webhook"));
    let (scheme, rest) = url.split_once("://").ok_or_else(refused)?;
    // What stands behind `#` is for the client alone.
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default());
    let is_sent_as_it_is = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !["http", "https"].contains(&scheme)
        || authority.is_empty()
        || authority.contains('@')
        || !is_sent_as_it_is(rest)
    {
        return Err(refused());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((format!("{scheme}://{authority}"), authority.to_owned(), path))
}

/// Returns a command that sends exactly this request: curl changes neither its path nor its body.
fn curl(origin: &str, webhook: &UnsignedWebhook) -> String {
    let url = format!("{origin}{}", webhook.target);
    let mut line = String::new();
    let body = std::str::from_utf8(&webhook.body).ok().filter(|body| is_argument(body));
    if body.is_none() {
        let _ = write!(line, "printf {} | ", printed(&webhook.body));
    }
    let _ = write!(line, "curl -X {}", quoted(&webhook.method));
    if url.contains(['[', ']', '{', '}']) {
        line.push_str(" --globoff");
    }
    if url.contains("/.") {
        line.push_str(" --path-as-is");
    }
    let _ = write!(line, " {}", quoted(&url));
    for (name, value) in webhook.headers.iter().filter(|(name, _)| name != "host") {
        // With a colon and nothing behind it curl would leave the header out.
        let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        let _ = write!(line, " \\\n  -H {}", quoted(&header));
    }
    let _ = match body {
        Some(body) => write!(line, " \\\n  --data-raw {}", quoted(body)),
        None => write!(line, " \\\n  --data-binary @-"),
    };
    line
}

/// Returns true for a body that a terminal and a program take as an argument.
fn is_argument(body: &str) -> bool {
    body.len() <= MAX_ARGUMENT_BYTES && !body.contains(|c: char| c.is_control() && c != '\n')
}

/// Returns bytes as `printf` writes them: all that is not plain in octal digits.
fn printed(bytes: &[u8]) -> String {
    let mut format = String::new();
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && !b"-'\\%".contains(byte) {
            format.push(char::from(*byte));
        } else {
            let _ = write!(format, "\\{byte:03o}");
        }
    }
    format!("'{format}'")
}

/// Returns a text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn as_json(webhook: &UnsignedWebhook) -> String {
    let mut headers = serde_json::Map::new();
    for (name, value) in &webhook.headers {
        headers.insert(name.clone(), value.as_str().into());
    }
    let (key, body) = match std::str::from_utf8(&webhook.body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", base64_simd::STANDARD.encode_to_string(&webhook.body)),
    };
    format!("{:#}", json!({"method": webhook.method, "path": webhook.target, "headers": headers, key: body}))
}
