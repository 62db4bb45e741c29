#!/bin/sh
# statsmodels' MixedLM reports convergence below the maximum of the likelihood if a variance component is close to 0.
#
# Versions: statsmodels 0.15.0, scipy 1.17.1, numpy 2.4.6, pandas 3.1.1. Input: 24 numbers drawn here, four subjects at two
# sites with three cells each, fitted with a fixed effect per cell and variance components for subject and subject × site.
# Expected: `converged` is true only at the maximum, or it warns.
# Seen: with the default methods the fit is "converged" at a log-likelihood of 39.45; Nelder-Mead ends at 40.05, with other
# components. The standard error of a contrast of two cells differs by 14%. (Components are square roots inside: at 0 the
# gradient is 0 whatever the data.)
# The script fails when this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
cat >"$folder/show.py" <<'PYTHON'
import warnings

import numpy as np
import pandas as pd
import statsmodels
from statsmodels.formula.api import mixedlm

stream, rows = np.random.default_rng(9), []
for subject in range(4):
    level = 0.6 + stream.normal(0, 0.03)
    for site in "ab":
        stream.normal()
        rows += [(subject, site, f"{site}{number}", level + stream.normal(0, 0.02)) for number in range(3)]
data = pd.DataFrame(rows, columns=["subject", "site", "cell", "value"])
model = mixedlm(
    "value ~ 0 + C(cell)", data, groups="subject", re_formula="1", vc_formula={"site": "0 + C(site)"}
)
fits = {}
for method in (None, "nm"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fits[method] = model.fit(method=method)
    error = fit.t_test(np.array([[1.0, 0, 0, -1.0, 0, 0]])).sd.item()
    components = fit.cov_re.iloc[0, 0], fit.vcomp[0], fit.scale
    print(f"{method or 'default methods'}: converged {fit.converged}, log-likelihood {fit.llf:.3f}, "
          f"components {', '.join(f'{value:.2e}' for value in components)}, standard error {error:.5f}")
print("statsmodels", statsmodels.__version__)
if not (fits[None].converged and fits[None].llf < fits["nm"].llf - 0.3):
    raise SystemExit("changed: the default methods reach the maximum, or do not report convergence")
PYTHON
"$folder/env/bin/python" "$folder/show.py"
