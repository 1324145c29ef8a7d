"""How long botocore and the filter's core take to sign the same call, natively, in one run: `make bench`."""

import subprocess
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROUNDS = 50
CALLS_PER_ROUND = 20
BODY = b"a" * 23_000


def botocore_microseconds() -> float:
    key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    auth = SigV4Auth(Credentials("AKIDEXAMPLE", key, "t" * 400), "sns", "us-east-1")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS_PER_ROUND):
            auth.add_auth(AWSRequest("POST", "https://sns.us-east-1.amazonaws.com/", dict(headers), BODY))
        rounds.append((time.perf_counter() - start) / CALLS_PER_ROUND * 1e6)
    return min(rounds)


def core_microseconds() -> float:
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "signing"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    core, botocore = core_microseconds(), botocore_microseconds()
    print(f"signing a call of {len(BODY)} bytes: {core:.0f} µs, botocore {botocore:.0f} µs: {core / botocore:.2f} times")
