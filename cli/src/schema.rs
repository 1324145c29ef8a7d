//! `retrohook schema`: the schemas of the configuration, made of the code that reads it.

use std::process::ExitCode;

use clap::Args;
use retrohook::config::schema;

use crate::report::{self, Failure};

/// Print the JSON schema of the configuration (draft 2020-12), for editors and for CI.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print the file that Kong has beside the module instead, whose schema is of draft 4.
    #[arg(long)]
    kong: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let text = if arguments.kong { schema::for_kong() } else { schema::for_editors() };
    report::text(&text.map_err(|error| Failure::new(error.to_string()))?);
    Ok(ExitCode::SUCCESS)
}
