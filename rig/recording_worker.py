"""The worker of examples/, with a handler that writes down what it gets: a line of JSON for each webhook, in the file that RECORD
names.

Run by `WebhookWorker`, with the arguments of the worker itself.
"""

import json
import os
import sys

from . import PROJECT

sys.path.insert(0, str(PROJECT / "examples"))
import webhook_worker  # noqa: E402
from webhook import Webhook  # noqa: E402

# One write each, at the end of the file, so that no thread breaks into another's line.
_record = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def record(webhook: Webhook) -> None:
    line = {
        "id": webhook.id,
        "mark": webhook.headers.get("x-mark"),
        "body_sha256": webhook.body_sha256,
        "verified": webhook.verified,
    }
    os.write(_record, f"{json.dumps(line)}\n".encode())


if __name__ == "__main__":
    webhook_worker.show = record
    webhook_worker.main()
