"""Makes goldens/wav2vec2.npz with transformers: python -m tests.models.make_goldens_wav2vec2.

A tiny `Wav2Vec2ForPreTraining` with random weights in training mode, all dropouts 0 and the Gumbel
noise taken out: weights, input, mask and negatives, and what comes out, gradients included.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2 import modeling_wav2vec2 as reference

CONFIG = Wav2Vec2Config(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    conv_dim=(12,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
    codevector_dim=8, proj_codevector_dim=10, num_codevectors_per_group=6, num_negatives=20,
    hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0,
    feat_quantizer_dropout=0.0, layerdrop=0.0, attn_implementation="eager",
)  # fmt: skip


def hard_argmax(logits, tau, hard):
    return torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.shape[-1])


def main() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    np.random.seed(0)  # transformers draws its negatives from the global generator
    model = Wav2Vec2ForPreTraining(CONFIG).train()
    with torch.no_grad():
        for parameter in model.parameters():  # so that no bias is 0 and no scale is 1
            parameter.add_(0.1 * torch.randn_like(parameter))
    waveform = torch.tensor(0.1 * rng.normal(size=(2, 16_000)).astype(np.float32))
    frames = int(model._get_feat_extract_output_lengths(16_000))
    masked = reference._compute_mask_indices((2, frames), 0.65, 10, min_masks=2)
    negatives = reference._sample_negative_indices((2, frames), CONFIG.num_negatives, masked)
    torch.nn.functional.gumbel_softmax = hard_argmax
    out = model(
        waveform,
        mask_time_indices=torch.tensor(masked),
        sampled_negative_indices=torch.tensor(negatives),
        output_hidden_states=True,
    )
    out.loss.backward()
    kernel = model.wav2vec2.feature_extractor.conv_layers[0].conv.weight
    found = {
        "waveform": waveform, "masked": masked, "negatives": negatives,
        "features": model.wav2vec2.feature_extractor(waveform).transpose(1, 2),
        "context": out.hidden_states[-1], "predictions": out.projected_states,
        "targets": out.projected_quantized_states, "contrastive": out.contrastive_loss,
        "diversity": out.diversity_loss, "loss": out.loss,
        "gradient/conv0": kernel.grad, "gradient/project_hid": model.project_hid.weight.grad,
    }  # fmt: skip
    found = {name: np.asarray(x.detach() if torch.is_tensor(x) else x) for name, x in found.items()}
    found |= {f"weights/{name}": w.numpy() for name, w in model.state_dict().items()}
    path = Path(__file__).parent / "goldens" / "wav2vec2.npz"
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main()
