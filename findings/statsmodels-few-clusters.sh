#!/bin/sh
# With cluster-robust errors and use_t=True, `statsmodels` gives two different intervals for one number.
#
# Versions: statsmodels 0.15.0, scipy 1.17.1, numpy 2.4.6, pandas 3.1.1. Input: simulated scores of 3, 4 and 5 seeds with 20
# items in each of two arms; OLS and Logit of score on arm, clustered by seed, use_t=True.
# Expected: the mean of the first arm is the intercept, so conf_int() and get_prediction() agree about it. With use_t,
# conf_int(), t_test() and wald_test() use the t distribution with (clusters − 1) degrees of freedom.
# Seen: estimate and standard error are the same, but get_prediction() uses the degrees of freedom of the residuals: its
# interval has 0.46, 0.62 and 0.71 of the width, the same for OLS and Logit. Of 400 simulated studies with 4 seeds, 386
# intervals of conf_int() contain the true mean, and 351 of get_prediction(), which are 97% and 88% where 95% is meant.
# Logit's get_margeff() ignores use_t too: its p value is the normal one. Nothing is warned about.
# The script fails when the two intervals agree.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
cat >"$folder/show.py" <<'PYTHON'
import numpy as np
import pandas as pd
import scipy
import statsmodels
import statsmodels.formula.api as formula
from scipy.stats import norm, t

ITEMS, MEAN = 20, 0.6


def simulate(seeds, generator):
    """Scores without any effect of the arm: a seed's own level, and noise per item."""
    seed = np.repeat(np.arange(seeds), 2 * ITEMS)
    score = MEAN + generator.normal(0, 0.1, seeds)[seed] + generator.normal(0, 0.2, len(seed))
    return pd.DataFrame(
        {"seed": seed, "arm": np.tile([0, 1], seeds * ITEMS), "score": score, "right": 1.0 * (score > MEAN)}
    )


def fit(model, data, **options):
    return model.fit(cov_type="cluster", cov_kwds={"groups": data["seed"]}, use_t=True, **options)


def intervals(fitted, columns):
    """The 95% intervals of the first arm's mean: from conf_int and from get_prediction."""
    predicted = fitted.get_prediction(pd.DataFrame({"arm": [0]})).summary_frame()
    return fitted.conf_int().loc["Intercept"].to_numpy(), predicted.loc[0, columns].to_numpy(float)


print(*(f"{module.__name__} {module.__version__}" for module in (statsmodels, scipy, np, pd)))
for seeds in (3, 4, 5):
    data = simulate(seeds, np.random.default_rng(1))
    linear, predicted = intervals(fit(formula.ols("score ~ arm", data), data), ["mean_ci_lower", "mean_ci_upper"])
    logit = fit(formula.logit("right ~ arm", data), data, disp=0)
    log_odds, chances = intervals(logit, ["ci_lower", "ci_upper"])
    ratios = np.ptp(predicted) / np.ptp(linear), np.ptp(np.log(chances / (1 - chances))) / np.ptp(log_odds)
    by_degrees = t.ppf(0.975, len(data) - 2) / t.ppf(0.975, seeds - 1)
    print(f"{seeds} seeds: conf_int {linear.round(3)}, get_prediction {predicted.round(3)}")
    print(
        f"  ratio of the widths: OLS {ratios[0]:.3f}, Logit {ratios[1]:.3f}; by the degrees of freedom {by_degrees:.3f}"
    )
    if not np.allclose(ratios, by_degrees, atol=1e-6):
        raise SystemExit("changed: get_prediction has other degrees of freedom")
effect = logit.get_margeff()
tails = {"normal": 2 * norm.sf(abs(effect.tvalues[0])), "t": 2 * t.sf(abs(effect.tvalues[0]), 4)}
print(f"get_margeff, 5 seeds: p {effect.pvalues[0]:.4f}; normal {tails['normal']:.4f}, t with 4 {tails['t']:.4f}")
if not np.isclose(effect.pvalues[0], tails["normal"]):
    raise SystemExit("changed: get_margeff is not normal")

generator, covered = np.random.default_rng(2), np.zeros(2, int)
for _ in range(400):
    data = simulate(4, generator)
    both = intervals(fit(formula.ols("score ~ arm", data), data), ["mean_ci_lower", "mean_ci_upper"])
    covered += [low < MEAN < high for low, high in both]
print("of 400 simulated studies with 4 seeds, the true mean lies in conf_int / get_prediction:", *covered)
PYTHON
"$folder/env/bin/python" "$folder/show.py"
