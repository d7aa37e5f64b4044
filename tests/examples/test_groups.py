import torch
from torch import tensor

from fairlead.encoding.batching import group_tokens
from fairlead.encoding.chat import Encoded
from fairlead.examples.groups import collate_groups


def row(prompt: str, answer: str) -> Encoded:
    return Encoded(tuple(map(ord, prompt + answer)), (False,) * len(prompt) + (True,) * len(answer))


PAIR, THREE = (row("pp", "aaa"), row("pp", "b")), (row("q", "c"), row("q", "dd"), row("q", "eeee"))


def test_first_answers_come_first_and_go_back_to_their_groups() -> None:
    answers = collate_groups([PAIR, THREE], pad_id=0, device=torch.device("cpu"))
    assert answers.batch.lengths.tolist() == [5, 2, 3, 3, 5]  # a c b d e
    assert answers.present.tolist() == [[True, True, False], [True, True, True]]
    assert answers.grouped(tensor([1.0, 2.0, 3.0, 4.0, 5.0])).tolist() == [[1, 3, 0], [2, 4, 5]]
    two = answers.grouped(tensor([[1.0, -1], [2, -2], [3, -3], [4, -4], [5, -5]]))
    assert two[1].tolist() == [[2, -2], [4, -4], [5, -5]] and two[0, 2].tolist() == [0, 0]


def test_what_a_group_takes() -> None:
    assert group_tokens(THREE, share_prompts=True) == 1 + 1 + 2 + 4  # the prompt once
    assert group_tokens(THREE, share_prompts=False) == 3 * 5  # rows at the length of the longest
    assert group_tokens(THREE, share_prompts=False, packed=True) == 8
    unlike = (row("p", "a"), row("q", "bb"))
    assert group_tokens(unlike, share_prompts=True) == 2 * 3
    assert group_tokens(unlike, share_prompts=True, packed=True) == 2 + 3
