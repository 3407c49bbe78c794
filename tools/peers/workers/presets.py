"""What the worker of mini-batches takes from a preset of ffwd, which reaches it as a table of all fields.

docs/recipes.md has the equations behind the fields.
"""

# What the worker computes, whatever the numbers: a preset with another choice is refused.
CHOICES = {
    "learning": "forward_forward",
    "together": True,
    "inner_steps": 1,
    "shuffle": True,
    "shift": 0,
    "dropout": 0,
    "use_bias": True,
    "kernel_initializer": "fan_in_normal",
    "bias_initializer": "zeros",
    "kernel_l2": 0,
    "bias_l2": 0,
    "normalisation": "root_mean_square",
    "goodness": "sum_of_squares",
    "loss": "swish",
    "label": "one",
    "negatives": "hard",
    "readout": True,
    "optimizer": "averaged",
    "schedule": "linear",
    "weight_average": 0,
}


def check(preset: dict) -> None:
    """Refuses what would train another recipe."""
    for field, expected in CHOICES.items():
        if preset[field] != expected:
            raise ValueError(f"{field}: found {preset[field]!r}, expected {expected!r}")


def rate_factor(preset: dict, progress: float) -> float:
    """What the learning rates are multiplied with after the share `progress` of the run: they rise linearly over its
    first share `warmup`, and fall linearly to zero over its last share `cooldown`."""
    warmup, cooldown = preset["warmup"], preset["cooldown"]
    risen = progress / warmup if progress < warmup else 1.0
    left = (1 - progress) / cooldown if progress > 1 - cooldown else 1.0
    return risen * left
