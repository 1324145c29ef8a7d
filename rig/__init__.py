"""The world around a gateway, on loopback and on free ports: Envoy, SNS and SQS, a service, clients.

Everything here is started, watched and stopped the same way by the tests and by the demo; nothing here asserts.
"""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"
