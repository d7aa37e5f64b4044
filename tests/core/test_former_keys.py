from fairlead.core.former_keys import FORMER_NAMES, flat, flat_name, read_value


def test_flat_names() -> None:
    assert [flat_name(key) for key in ("adapter.rank", "optim.lr", "beta")] == ["lora_rank", "lr", "beta"]


def test_a_configuration_under_its_former_names() -> None:
    values = {"name": "a", "optim.lr": 1.0, "adapter.rank": 8, "ptx.batch": 4, "batch": 2}
    assert flat("dpo", values, {}) == {"name": "a", "lr": 1.0, "lora_rank": 8, "ptx_batch": 4, "batch": 2}


def test_an_added_key_counts_from_when_it_leaves_its_default() -> None:
    defaults = {"optim.schedule": "cosine", "optim.weight_decay": 0.0}
    assert flat("ppo", {"optim.schedule": "cosine", "optim.weight_decay": 0.0}, defaults) == {}
    assert flat("sft", {"optim.schedule": "cosine", "optim.weight_decay": 0.0}, defaults) == {
        "weight_decay": 0.0
    }
    assert flat("ppo", {"optim.schedule": "linear"}, defaults) == {"schedule": "linear"}


def test_keys_of_the_same_name_in_two_tables_both_count() -> None:
    assert flat("new", {"a.rate": 1, "b.rate": 2}, {}) == {"rate": 1, "b.rate": 2}


def test_a_stored_configuration_is_read_in_both_forms() -> None:
    for stored in ({"data": {"held_out": 0.2}}, {"held_out": 0.2}):
        assert read_value(stored, "data.held_out") == 0.2
    assert read_value({"lora_rank": 8}, "adapter.rank") == 8


def test_former_names_are_unique() -> None:
    assert len(set(FORMER_NAMES.values())) == len(FORMER_NAMES)
