//! The filter as it is built, in the test host: what it publishes of which exchange, when, and what
//! it does when things go wrong. The core's own tests say how; these say that the module, the host
//! calls and the replies fit together.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod batching;
mod bodies;
mod both_ways;
mod bounds;
mod capture;
mod capture_batches;
mod capture_cost;
mod capture_targets;
mod choices;
mod clocks;
mod configs;
mod cost;
mod credentials;
mod crowds;
mod dead_letters;
mod endings;
mod events;
mod hostile;
mod hot_spots;
mod imports;
mod journal;
mod kong;
mod kong_endings;
mod kong_rules;
mod lean;
mod lives;
mod matching;
mod memory;
mod metrics;
mod orphans;
mod replies;
mod shapes;
mod shutdown;
mod size;
mod sizes;
mod support;
mod targets;
mod traces;
mod waiting;
mod waiting_changes;
mod walls;
mod webhook_target;
