"""The policy: a causal language model with its tokenizer.

Recipes use it to encode conversations, compute log-probabilities and save the result.  Sampling is in
`rollout/`.

B rows, T tokens, V vocabulary, H hidden size, N response tokens of a batch.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel, TaskType
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.records import Message
from fairlead.encoding.batching import Batch
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import ChatFormat, Tools
from fairlead.encoding.encoders import PolicyEncoder
from fairlead.forward import decoder, layout
from fairlead.forward.backend import default_backend
from fairlead.model import adapters, load
from fairlead.ops.logprobs import linear_logps, selected_logps


class Policy:
    """A language model to train or sample from.

    The reference is the policy before training.  Under LoRA it is the same network with the adapter disabled,
    otherwise a frozen copy.
    """

    def __init__(self, network: PreTrainedModel, chat: ChatFormat, reference: str) -> None:
        self._network = network
        self.chat = chat
        self.reference = reference  # folder or Hub name that the network was loaded from
        self.backend = default_backend(network)
        self._frozen: PreTrainedModel | None = None

    @property
    def network(self) -> PreTrainedModel:
        """The network, with the policy's adapter and backend active.

        A critic and a reward model may have adapters on the same network.
        """
        adapters.activate(self._network, adapters.POLICY)
        self.backend.apply_modules(self._network)
        return self._network

    @property
    def device(self) -> torch.device:
        return next(self._network.parameters()).device

    @property
    def has_adapter(self) -> bool:
        return isinstance(self._network, PeftModel)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.chat.tokenizer

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return self.chat.stop_ids

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def context(self) -> int | None:
        """The longest input in tokens, if the model declares one."""
        return decoder.longest_row(self._network)

    def networks(self) -> list[PreTrainedModel]:
        """The networks in memory: the policy, and the frozen reference if there is one."""
        return [self.network] if self._frozen is None else [self.network, self._frozen]

    def trainable(self) -> dict[str, nn.Parameter]:
        """Name -> trainable parameter, in a fixed order."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    @property
    def encoder(self) -> PolicyEncoder:
        """What encodes conversations, without the network."""
        return PolicyEncoder(self.chat)

    def encode(
        self,
        messages: Sequence[Message],
        *,
        num_context: int,
        max_tokens: int | None = None,
        tools: Tools = (),
    ) -> Encoded:
        """Encode a conversation; the assistant turns from message `num_context` on are trained."""
        return self.encoder.encode(messages, num_context=num_context, max_tokens=max_tokens, tools=tools)

    def encode_rows(
        self,
        messages: Sequence[Message],
        *,
        num_context: int,
        max_tokens: int | None = None,
        tools: Tools = (),
    ) -> list[Encoded]:
        """`encode`, as several rows where the template writes earlier turns differently."""
        return self.encoder.encode_rows(messages, num_context=num_context, max_tokens=max_tokens, tools=tools)

    def encode_prompt(self, messages: Sequence[Message], *, tools: Tools = ()) -> tuple[int, ...]:
        """Token ids of a prompt, up to where the answer begins."""
        return self.encoder.encode_prompt(messages, tools=tools)

    def text(self, tokens: Sequence[int]) -> str:
        """Decode sampled tokens, without control tokens."""
        return self.chat.text(tokens)

    @property
    def width(self) -> int:
        """Size of a token embedding, H."""
        weight = self._network.get_input_embeddings().weight
        assert isinstance(weight, Tensor)
        return weight.shape[1]

    def logits(self, batch: Batch, noise: Tensor | None = None) -> Tensor:
        """All logits of a padded batch.  [B, T, V]"""
        with self.backend.autocast(self.device):
            arguments = decoder.input_arguments(self.network, batch.tokens, noise)
            output = self.network(**arguments, attention_mask=batch.token_mask.long(), use_cache=False)
        logits: Tensor = output.logits
        return logits

    def token_logps(self, batch: Batch, noise: Tensor | None = None) -> Tensor:
        """log p(token t | tokens before t) on the response, zero elsewhere.  [B, T] float32

        `noise` [B, T, H] is added to the embeddings.  Rows with noise do not share prompts: their noise
        differs.
        """
        head = decoder.output_head(self.network) if self.backend.chunked_logits else None
        if head is None:
            return selected_logps(self.logits(batch, noise), batch.tokens, batch.response_mask)
        picked = batch.response_index
        arranged = self.backend.layout(batch, self.network, pad_id=self.pad_id, share=noise is None)
        if noise is not None:
            noise = layout.to_layout(noise, batch, arranged)
        with self.backend.autocast(self.device):
            all_hidden = decoder.hidden_states(
                self.network,
                arranged,
                gradient_checkpointing=self.backend.gradient_checkpointing,
                noise=noise,
            )
            hidden = all_hidden[arranged.previous_index[picked]]  # [N, H]
            values = linear_logps(hidden, head, batch.tokens[picked]).logps  # [N]
        return torch.zeros(batch.tokens.shape, device=values.device).index_put(picked, values)

    def keep_reference(self) -> None:
        """Freeze the policy as it is now for `as_reference`.  Under LoRA nothing is copied."""
        if not self.has_adapter:
            self._frozen = copy.deepcopy(self.network).requires_grad_(False)

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """Inside the block the policy computes as its reference."""
        if isinstance(self.network, PeftModel):
            with self.network.disable_adapter():
                yield
            return
        assert self._frozen is not None, "keep_reference() comes before as_reference()"
        trained = self._network
        self._network = self._frozen
        try:
            yield
        finally:
            self._network = trained

    def save(self, folder: Path, *, final_folder: Path | None = None) -> None:
        """Write a transformers folder, or a PEFT adapter that names its base.

        `final_folder` is where `folder` will be moved to.  A base on disk is written relative to it.
        """
        network = self.network
        if isinstance(network, PeftModel):
            adapters.save(network, folder, base=self.reference, final_folder=final_folder or folder)
        else:
            with load.quiet_transformers():
                network.save_pretrained(folder)
        self._save_stops(folder)
        self.chat.save(folder)

    def _save_stops(self, folder: Path) -> None:
        """Name the stop tokens in the generation config, where other programs look for them."""
        declared = load.declared_stops(self.network)
        if set(declared if isinstance(declared, list) else [declared]) == self.stop_ids:
            return
        config = copy.deepcopy(self.network.generation_config) or GenerationConfig()
        config.eos_token_id = sorted(self.stop_ids)
        config._from_model_config = False  # transformers would make the config again from config.json
        with load.quiet_transformers():
            config.save_pretrained(folder)


def load_policy(
    reference: str, *, lora: adapters.Lora | None = None, template: Template = OWN_TEMPLATE
) -> Policy:
    """Load a policy: the full network, or a new adapter on a frozen network.  Raises ModelError."""
    network, chat = load.load_language_model(reference, template)
    if lora is not None:
        network = adapters.add_lora(network, lora, task=TaskType.CAUSAL_LM)
    load.to_default_device(network)
    return Policy(network, chat, reference)
