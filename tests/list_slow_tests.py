"""List the tests that take long, for `make test-unit` to leave out.

run  make test-unit TESTS=--junitxml=build/unit.xml
     python tests/list_slow_tests.py build/unit.xml

Adds every test function with a case of 0.3 seconds or more to tests/slow_tests.txt.  Tests of the
architecture are never listed, because they check each change.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

LIST = Path(__file__).with_name("slow_tests.txt")
SECONDS = 0.3


def main(report: Path) -> None:
    slow = set(LIST.read_text(encoding="utf-8").split()) if LIST.exists() else set()
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname", "").removeprefix("tests.").replace(".", "/") + ".py"
        if float(case.get("time", 0)) >= SECONDS and not file.startswith("arch/"):
            slow.add(f"{file}::{case.get('name', '').partition('[')[0]}")
    LIST.write_text("\n".join(sorted(slow)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
