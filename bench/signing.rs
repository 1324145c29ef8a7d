//! Time that it takes to sign a call of ten events of 2 KB, natively. Prints microseconds, for
//! `bench/signing.py`, which measures botocore with the same call in the same run.

#![allow(clippy::panic)]

use std::time::Instant;

use retrohook::aws::credentials::Credentials;
use retrohook::aws::sign::{sign, SigningScope};
use retrohook::clock::Timestamp;
use retrohook::secret::Secret;

const ROUNDS: u32 = 50;
const CALLS_PER_ROUND: u32 = 20;
const BODY_BYTES: usize = 23_000;

fn main() {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: Some(Secret::new("t".repeat(400))),
        expires_at: None,
    };
    let scope = SigningScope { region: "us-east-1".into(), service: "sns" };
    let mut request = http::Request::post("https://sns.us-east-1.amazonaws.com/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(vec![b'a'; BODY_BYTES])
        .unwrap_or_else(|error| panic!("{error}"));
    let shortest = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        for _ in 0..CALLS_PER_ROUND {
            sign(&mut request, &credentials, &scope, Timestamp(1_700_000_000_000))
                .unwrap_or_else(|error| panic!("{error}"));
        }
        start.elapsed() / CALLS_PER_ROUND
    });
    println!("{:.1}", shortest.min().unwrap_or_default().as_secs_f64() * 1e6);
}
