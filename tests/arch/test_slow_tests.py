"""The list of slow tests names tests that exist."""

import ast

import pytest
from repository import ROOT

TESTS = ROOT / "tests"
SLOW_TESTS = (TESTS / "slow_tests.txt").read_text(encoding="utf-8").split()


def test_the_list_is_sorted_and_has_no_duplicates() -> None:
    assert sorted(set(SLOW_TESTS)) == SLOW_TESTS


@pytest.mark.parametrize("file", sorted({line.partition("::")[0] for line in SLOW_TESTS}))
def test_every_listed_test_exists(file: str) -> None:
    module = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}
    listed = {line.partition("::")[2] for line in SLOW_TESTS if line.startswith(f"{file}::")}
    assert listed - defined == set(), "remove the missing tests from tests/slow_tests.txt"
