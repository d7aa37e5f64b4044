"""A decoder with a linear head that returns numbers: the network behind reward models and critics.

A reward model reads the head once per conversation, a critic once per token, a process reward model at the
end of each step.  This module does not create or load models; see `reward_model.py` and `critic.py`.

B rows, T tokens, A heads (1 unless the reward model has aspects), H hidden size, R * C places of a layout.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fairlead.data.records import Message
from fairlead.encoding.batching import Batch
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import ChatFormat, Tools
from fairlead.encoding.encoders import RewardEncoder
from fairlead.forward import decoder
from fairlead.forward.backend import default_backend
from fairlead.forward.layout import Layout
from fairlead.model import adapters, load, reward_reading
from fairlead.model.reward_config import (
    Aspects,
    RewardScale,
    StepSettings,
    read_aspects,
    read_scale,
    read_steps,
    write_aspects,
    write_scale,
    write_steps,
)
from fairlead.ops.combine_rewards import pooled_steps

ADAPTER = "adapter"  # subfolder of a merged reward model that keeps its LoRA adapter for reuse on the base
HEAD = adapters.CLASSIFIER_HEAD


class ScalarModel:
    """A decoder with a linear head on its last hidden states.

    The decoder is either a network of its own, or one adapter on a network that is shared with a policy.
    A model on a shared network keeps its head outside the network, in `head`.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        chat: ChatFormat,
        *,
        adapter: str = adapters.POLICY,
        head: nn.Linear | None = None,
    ) -> None:
        self._network = network
        self._head = head
        self.adapter = adapter  # name of the adapter to activate before each forward pass
        self.reference = ""  # folder or Hub name of the model that the decoder was copied from
        self.chat = chat
        self.backend = default_backend(network)
        config = decoder.base_network(network).config
        self.scale = read_scale(config)
        # A head outside the network already returns the total over all aspects.
        self.aspects = read_aspects(config) if head is None else None
        self.steps = read_steps(config) if head is None else None
        # Set for a model from elsewhere, which is read at the end of the whole rendering.
        self.reads_whole_rendering = False
        self.skipped_padding: int | None = None  # the token that such a model was not read at

    @property
    def network(self) -> PreTrainedModel:
        """The network, with this model's adapter and backend active."""
        adapters.activate(self._network, self.adapter)
        self.backend.apply_modules(self._network)
        return self._network

    @property
    def head(self) -> nn.Linear:
        """The linear head.  [A, H]"""
        module = self._head or getattr(decoder.base_network(self._network), HEAD)
        # PEFT wraps a head that is trained together with an adapter and keeps the trained copy in
        # modules_to_save.
        copies = getattr(module, "modules_to_save", {adapters.POLICY: module})
        head: nn.Linear = copies[adapters.POLICY]
        return head

    @property
    def device(self) -> torch.device:
        return next(self._network.parameters()).device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.chat.tokenizer

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return self.chat.stop_ids

    @property
    def pad_id(self) -> int:
        """A token that the network has an embedding for; what it is does not matter, because it is masked."""
        pad_id = int(self.tokenizer.pad_token_id)
        return pad_id if pad_id < reward_reading.num_embeddings(self._network) else 0

    @property
    def context(self) -> int | None:
        """The longest input in tokens, if the model declares one."""
        return decoder.longest_row(self._network)

    def set_scale(self, *, mean: float, std: float) -> None:
        """Store the mean and standard deviation of the scores with the model."""
        self.scale = RewardScale(mean, std)
        write_scale(decoder.base_network(self._network).config, self.scale)

    def set_aspects(self, aspects: Aspects) -> None:
        """Store the aspects, one for each head, with the model."""
        self.aspects = aspects
        write_aspects(decoder.base_network(self._network).config, aspects)

    def set_steps(self, steps: StepSettings) -> None:
        """Turn this into a process reward model and store its settings with the model."""
        self.steps = steps
        write_steps(decoder.base_network(self._network).config, steps)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Name -> trainable parameter, in a fixed order."""
        parameters = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        if self._head is not None:
            parameters |= {f"{HEAD}.{name}": p for name, p in self._head.named_parameters()}
        return parameters

    @property
    def encoder(self) -> RewardEncoder:
        """What encodes conversations, without the network."""
        return RewardEncoder(
            self.chat,
            None if self.steps is None else self.steps.separator,
            self.reads_whole_rendering,
            self.skipped_padding,
        )

    def encode(
        self, messages: Sequence[Message], *, max_tokens: int | None = None, tools: Tools = ()
    ) -> Encoded:
        """Encode a conversation whose last assistant turn is scored.

        For a process reward model, the mask selects the last token of each step.
        """
        return self.encoder.encode(messages, max_tokens=max_tokens, tools=tools)

    def scores(self, batch: Batch) -> Tensor:
        """One score per row: the total of the heads at the row's last token.  [B]

        A process reward model returns its pooled step probabilities, between 0 and 1.
        """
        if self.steps is not None:
            return pooled_steps(self.step_scores(batch), batch.response_mask, pool=self.steps.pool)
        return self.total(self.aspect_scores(batch))

    def aspect_scores(self, batch: Batch) -> Tensor:
        """Every head at each row's last token.  [B, A]"""
        layout, values = self._head_values(batch)
        return values[layout.token_index.gather(1, batch.lengths[:, None] - 1).squeeze(1)]

    def step_scores(self, batch: Batch) -> Tensor:
        """The head on the tokens that `response_mask` selects, which `encode_steps` puts at the step ends;
        else 0.  [B, T]
        """
        layout, values = self._head_values(batch)
        picked = batch.response_index
        return self._scattered(batch, values[layout.token_index[picked]])

    def state_values(self, batch: Batch) -> Tensor:
        """V(s_t) before response token t was chosen, that is, the head at token t - 1; else 0.  [B, T]"""
        layout, values = self._head_values(batch)
        picked = batch.response_index
        return self._scattered(batch, values[layout.previous_index[picked]])

    def total(self, aspect_scores: Tensor) -> Tensor:
        """Combine the heads into one score.  [..., A] -> [...]"""
        if self.aspects is None:
            return aspect_scores.squeeze(-1)
        weights, means, stds = (
            torch.tensor(values, device=aspect_scores.device) for values in self.aspects[1:]
        )
        return ((aspect_scores - means) / stds * weights).sum(dim=-1)

    def zero_head(self) -> None:
        """Set the head to zero, so that every value is 0 until it is trained."""
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.zero_()

    def save(self, folder: Path, *, final_folder: Path | None = None) -> None:
        """Write a transformers sequence-classification folder.

        An adapter is merged, and also kept in `ADAPTER`.

        `final_folder` is where `folder` will be moved to.  A base on disk is written relative to it.
        """
        network = self.network
        if isinstance(network, PeftModel):
            adapter_folder = (final_folder or folder) / ADAPTER
            adapters.save(network, folder / ADAPTER, base=self.reference, final_folder=adapter_folder)
            network = adapters.merge(network)
        # A classifier has no generation config, where a language model keeps these.
        network.config.end_token_ids = sorted(self.stop_ids)
        with load.quiet_transformers():
            network.save_pretrained(folder)
        self.chat.save(folder)
        reward_reading.trim_template(folder)

    def _head_values(self, batch: Batch) -> tuple[Layout, Tensor]:
        """The heads at every place of the layout.  [R * C, A] float32"""
        layout = self.backend.layout(batch, self.network, pad_id=self.pad_id)
        with self.backend.autocast(self.device):
            hidden = decoder.hidden_states(
                self.network, layout, gradient_checkpointing=self.backend.gradient_checkpointing
            )
        # Always float32: differences between scores are small compared with the scores.
        head = self.head
        bias = None if head.bias is None else head.bias.float()
        return layout, functional.linear(hidden.float(), head.weight.float(), bias)

    def _scattered(self, batch: Batch, values: Tensor) -> Tensor:
        """Put the heads of the N response tokens back into rows.  [N, A] -> [B, T]"""
        result = torch.zeros(batch.tokens.shape, device=values.device)
        return result.index_put(batch.response_index, self.total(values))


def total_head(weight: Tensor, bias: Tensor | None, aspects: Aspects | None) -> nn.Linear:
    """One head that returns the total of all heads: linear maps of the same hidden state add up.

    [A, H], [A]
    """
    head = nn.Linear(weight.shape[1], 1, bias=bias is not None or aspects is not None)
    with torch.no_grad():
        if aspects is None:
            head.weight.copy_(weight)
            if bias is not None:
                head.bias.copy_(bias)
            return head
        weights, means, stds = (torch.tensor(values, device=weight.device) for values in aspects[1:])
        head.weight.copy_((weights / stds) @ weight)
        offsets = -means if bias is None else bias - means
        head.bias.fill_(float((weights / stds * offsets).sum()))
    return head
