"""A two-layer model with random weights and a tokenizer of its own, for tests of capture."""

from __future__ import annotations

from pathlib import Path

ARCHITECTURES = ("llama", "gpt_neox", "gemma3", "gpt2")
"""Gated and plain MLPs, attention beside them and before them, norms after them."""

LINES = (
    "the quick brown fox jumps over the lazy dog while the cat sleeps",
    "a sparse probe reads few neurons; which ones carry the feature?",
    "Ünïcode words, numbers like 1234 and punctuation (of all kinds) occur too.",
)


def save_tiny(folder: Path, architecture: str = "llama", *, begins: bool = True) -> Path:
    """A model folder as `save_pretrained` writes it; texts begin with <s> if `begins` says so."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        GPT2Config,
        GPT2LMHeadModel,
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if begins:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    shared = {
        "vocab_size": 330,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    if architecture == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shared, **sizes, num_key_value_heads=2))
    elif architecture == "gpt_neox":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**shared, **sizes))
    elif architecture == "gemma3":
        model = Gemma3ForCausalLM(
            Gemma3TextConfig(**shared, **sizes, num_key_value_heads=1, head_dim=8, pad_token_id=1)
        )
    else:
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=330,
                n_positions=64,
                n_embd=16,
                n_inner=24,
                n_layer=2,
                n_head=2,
                bos_token_id=0,
                eos_token_id=1,
            )
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
