from fairlead.encoding.any_of import any_of


def test_a_pattern_of_many_texts_finds_the_longest() -> None:
    pattern = any_of(["<a>", "<ab>", "<ab>c", "x.", ""])
    assert [match[0] for match in pattern.finditer("<a><ab>cd<ab> x. xy")] == ["<a>", "<ab>c", "<ab>", "x."]
    assert any_of([]).search("anything") is None
