"""LoRA adapters with peft: a new one for training, a saved one for inference, and the check that it has an effect."""

from bias_inheritance.models import network
from bias_inheritance.plumbing import files

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # a Llama's linear layers


def add_lora(model, settings, seed, start=None):
    """The model with a LoRA on the linear layers listed in `settings`, ready for training.

    B starts at zero and A is drawn from `seed`, or both are loaded from the adapter in the folder `start`.
    Raises RuntimeError if the model already has an adapter.
    """
    import torch
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    _assert_bare(model)
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=settings["targets"],
        task_type="CAUSAL_LM",
    )
    tuned = _accelerated_like(model, get_peft_model(model, lora))
    if start:
        set_peft_model_state_dict(tuned, load_file(start / "adapter_model.safetensors"))
    return tuned


def load_adapter(model, folder):
    """The base with a cell's adapter, in the base's type, as in training.

    Raises RuntimeError if the adapter has no effect (was silently not loaded), or if the base already has one.
    """
    from peft import PeftModel

    _assert_bare(model)
    tuned = _accelerated_like(model, PeftModel.from_pretrained(model, folder)).eval()
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(model.dtype)
    assert_adapter_acts(tuned)
    return tuned


def _accelerated_like(model, tuned):
    if network.accelerated(model):
        from bias_inheritance.models.cpu_kernels import door

        door.accelerate(tuned)
    return tuned


def _assert_bare(model):
    """Raise RuntimeError if a model has an adapter: a second one would not remove the first from layers it lacks itself."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(layer, BaseTunerLayer) for layer in model.modules()):
        raise RuntimeError("the base already has an adapter; unload it first, or reload the base")


def assert_adapter_acts(tuned):
    """Raise RuntimeError unless the adapter's logits differ from the base's on a fixed input."""
    import torch

    ids = torch.arange(100, 108, device=tuned.device).unsqueeze(0)
    with torch.inference_mode():
        with_adapter = tuned(input_ids=ids).logits
        with tuned.disable_adapter():
            without = tuned(input_ids=ids).logits
    if not torch.isfinite(with_adapter).all():
        raise RuntimeError("the adapter's logits are not finite: its training diverged")
    if torch.equal(with_adapter, without):
        raise RuntimeError("the adapter's logits equal the base's: it was not trained or not loaded")


def save(tuned, folder, base_name):
    """Write an adapter as safetensors with its configuration, byte-identical on every machine."""
    tuned.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty template
    configuration = files.read_json(folder / "adapter_config.json")
    configuration["base_model_name_or_path"] = base_name  # not a path of this machine
    configuration["target_modules"] = sorted(configuration["target_modules"])  # a set has no order
    files.write_json(folder / "adapter_config.json", configuration)
