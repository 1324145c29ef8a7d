"""Two runs of `make up` that start at once share neither a folder nor a port."""

from pathlib import Path

import pytest
from rig.claim import claim_folder
from rig.http import unused_address
from rig.ports import FREE, Ports


def test_a_second_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    first, lock = claim_folder(tmp_path / "up")
    second, other_lock = claim_folder(tmp_path / "up")
    assert (first.name, second.name) == ("up", "up-2")
    lock.close()
    third, third_lock = claim_folder(tmp_path / "up")
    assert third.name == "up", "what has ended claims nothing"
    third_lock.close()
    other_lock.close()


def test_a_port_that_another_run_is_about_to_take_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    _, port = unused_address()
    first, second = Ports({"the gateway": port}), Ports({"the gateway": port})
    assert (first.of("the gateway"), second.of("the gateway")) == (port, FREE)
    assert capsys.readouterr().out == f"  port {port} is taken: the gateway has a free one\n"
