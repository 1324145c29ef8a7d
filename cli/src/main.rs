//! The command line of Retrohook: checks configurations, and shows what they make of a request or a
//! webhook, with the filter's own code and without a gateway.
//!
//! Each subcommand is a file. None of them calls anybody: they read files, the environment and
//! standard input, and write. Errors go to standard error.

mod check;
mod document;
mod embedded;
mod environment;
mod event;
mod find;
mod loaded;
mod place;
mod report;
mod request;
mod schema;
mod sign;
mod source;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::Failure;

/// Checks a configuration of Retrohook, and shows what it does with a request, without a gateway.
#[derive(Parser)]
#[command(name = "retrohook", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Event(event::Arguments),
    Webhook(webhook::Arguments),
    Sign(sign::Arguments),
    Schema(schema::Arguments),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Event(arguments) => event::run(&arguments),
        Command::Webhook(arguments) => webhook::run(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(Failure(text)) => {
            report::error(&text);
            ExitCode::from(report::NOT_DONE)
        }
    }
}
