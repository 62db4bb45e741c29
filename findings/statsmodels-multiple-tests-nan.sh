#!/bin/sh
# One missing p value changes the adjusted p values of the others in `statsmodels`, by four methods into NaN with
# reject=True.
#
# Versions: statsmodels 0.15.0, scipy 1.17.1, numpy 2.4.6, pandas 3.1.1. Input: multipletests([0.01, NaN, 0.03]), as a
# family has it in which one contrast could not be computed; alpha 0.05.
# Expected: NaN at its own place and no effect on the other two, or an error (scipy's false_discovery_control raises one).
# Seen, by method:
# - bonferroni, sidak, holm, holm-sidak: the NaN counts as a test, so that Holm gives 0.03, NaN, 0.06 where the two alone
#   have 0.02, 0.03, and the second is no longer significant;
# - simes-hochberg, fdr_bh, fdr_tsbh, fdr_tsbky: every adjusted p value is NaN, while `reject` is True for the first or for
#   both;
# - hommel, fdr_by, fdr_gbs: every adjusted p value is NaN, and nothing is rejected; of the two alone both are.
# Then `reject` and "adjusted p below alpha" are two different answers. Nothing is raised or warned about.
# The script fails when one of these changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
cat >"$folder/show.py" <<'PYTHON'
import warnings

import numpy as np
import scipy.stats
import statsmodels
from statsmodels.stats.multitest import multipletests

COUNTED, BOTH, FIRST, NONE = "counted as a test", [True, False, True], [True, False, False], [False, False, False]
KNOWN = {
    "bonferroni": (COUNTED, FIRST),
    "sidak": (COUNTED, FIRST),
    "holm": (COUNTED, FIRST),
    "holm-sidak": (COUNTED, FIRST),
    "simes-hochberg": ("all NaN", FIRST),
    "fdr_bh": ("all NaN", BOTH),
    "fdr_tsbh": ("all NaN", BOTH),
    "fdr_tsbky": ("all NaN", BOTH),
    "hommel": ("all NaN", NONE),
    "fdr_by": ("all NaN", NONE),
    "fdr_gbs": ("all NaN", NONE),
}
warnings.simplefilter("error")  # so that a new warning ends the script
print("statsmodels", statsmodels.__version__, "scipy", scipy.__version__, "numpy", np.__version__)
for method, known in KNOWN.items():
    reject, adjusted = multipletests([0.01, np.nan, 0.03], method=method)[:2]
    alone = multipletests([0.01, 0.03], method=method)[1]
    print(f"{method}: {adjusted.round(4)}, reject {reject.tolist()}; without the NaN {alone.round(4)}")
    if np.isnan(adjusted).all():
        kind = "all NaN"
    elif np.all(adjusted[[0, 2]] > alone):
        kind = COUNTED
    else:
        kind = "no effect"
    if (kind, reject.tolist()) != known:
        raise SystemExit(f"changed: {method} was {known}")
try:
    print("scipy:", scipy.stats.false_discovery_control([0.01, np.nan, 0.03]))
except ValueError as error:
    print("scipy's false_discovery_control:", error)
PYTHON
"$folder/env/bin/python" "$folder/show.py"
