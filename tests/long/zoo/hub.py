"""Small configurations of the architectures of the library `transformers`, with random weights."""

import torch
import transformers as hub
from torch import nn

WORDS = 120
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TEXT = {"vocab_size": WORDS, **SIZES}
DECODER = {**TEXT, "num_key_value_heads": 2, "max_position_embeddings": 64}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}


class Pick(nn.Module):
    """What one function makes of a model and its input."""

    def __init__(self, model, function):
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x):
        return self.function(self.model, x)


def states(model, x):
    return model(x).last_hidden_state


def logits(model, x):
    return model(x).logits


def uncached(model, x):
    return model(x, use_cache=False).logits


def found(model, x):
    output = model(x)
    return output.logits, output.pred_boxes


def whisper():
    config = hub.WhisperConfig(
        vocab_size=WORDS, d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_source_positions=30, num_mel_bins=16, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1)
    return hub.WhisperModel(config).encoder


def wav2vec2():
    return hub.Wav2Vec2Model(hub.Wav2Vec2Config(
        **SIZES, conv_dim=(16, 16, 16), conv_stride=(5, 4, 2), conv_kernel=(10, 8, 4), num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, vocab_size=12))


def models(tokens, image, samples):
    """Name, how to make the model, what it gives, its input. Inputs are made by `tokens(words, length)`, `image(channels, size)` and
    `samples(shape)`; the latter's shape is without the batch."""
    text = tokens(WORDS, 12)
    yield "bert", lambda: hub.BertModel(hub.BertConfig(**TEXT)), states, text
    yield "roberta", lambda: hub.RobertaForSequenceClassification(hub.RobertaConfig(**TEXT)), logits, text
    yield "albert", lambda: hub.AlbertModel(hub.AlbertConfig(**TEXT, embedding_size=16)), states, text
    yield "mobilebert", lambda: hub.MobileBertModel(hub.MobileBertConfig(**TEXT, embedding_size=32, intra_bottleneck_size=32)), states, text
    yield "gpt2", lambda: hub.GPT2LMHeadModel(hub.GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=32)), uncached, text
    yield "llama", lambda: hub.LlamaForCausalLM(hub.LlamaConfig(**DECODER)), uncached, text
    yield "qwen3", lambda: hub.Qwen3ForCausalLM(hub.Qwen3Config(**DECODER, head_dim=8)), uncached, text
    yield "mamba", lambda: hub.MambaForCausalLM(hub.MambaConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=1, state_size=4)), uncached, text
    yield "t5_encoder", lambda: hub.T5EncoderModel(hub.T5Config(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)), states, text
    yield "clip_text", lambda: hub.CLIPTextModel(hub.CLIPTextConfig(**TEXT, max_position_embeddings=16, pad_token_id=1, bos_token_id=0,
                                                                    eos_token_id=2)), states, text
    yield "whisper_encoder", whisper, states, samples((16, 60))
    yield "wav2vec2", wav2vec2, states, samples((1600,))
    yield "vit", lambda: hub.ViTModel(hub.ViTConfig(**VISION)), states, image(3, 32)
    yield "yolos", lambda: hub.YolosForObjectDetection(hub.YolosConfig(**{**VISION, "image_size": [32, 32]}, initializer_range=0.5, num_detection_tokens=5,
                                                                        num_labels=4)), found, image(3, 32)
    yield "swin", lambda: hub.SwinModel(hub.SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4],
                                                       window_size=4)), states, image(3, 32)
    yield "segformer", lambda: hub.SegformerForSemanticSegmentation(hub.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=16,
        num_labels=4)), logits, image(3, 64)
    yield "mobilevit", lambda: hub.MobileViTModel(hub.MobileViTConfig(
        image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32])), states, image(3, 64)
    yield "convnextv2", lambda: hub.ConvNextV2Model(hub.ConvNextV2Config(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1],
                                                                         image_size=32)), states, image(3, 32)
